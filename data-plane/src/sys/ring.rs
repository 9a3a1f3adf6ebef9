//! A bounded ring of records from one worker to its supervisor, in shared memory: no lock, no system
//! call, no waiting. What finds no room is refused, and its owner counts it.
//!
//! A record becomes visible when it is whole, so a worker that is killed leaves no half of one. Native
//! code in the worker can write anything here all the same: the words are atomics, so that nothing it
//! writes is undefined behaviour; both ends keep their own position and only take the other's as a
//! hint; lengths are checked before they are used; and one drain reads at most one ring's worth. What
//! is damaged is skipped up to where the writer claims to be, and the ring goes on from there.
//!
//! Not here: what records mean.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// Words of eight bytes; a power of two. 1 MiB: at 50 000 requests a second and 200 bytes for each, ten
/// drains' worth.
const WORDS: usize = 1 << 17;
/// Bytes of all of them.
pub const RING_BYTES: usize = WORDS * 8;
/// Bytes of a record, at most.
pub const RECORD_BYTES_MAX: usize = 4096;
/// In the upper half of the word before a record: tells a length from most garbage.
const MARK: u64 = 0x6761_6e74 << 32;

/// Where a writer or reader is, alone on its cache line. Counts words and only grows.
#[derive(Debug)]
#[repr(C, align(64))]
struct Position(AtomicU64);

/// A ring. All zero is an empty one.
#[derive(Debug)]
#[repr(C)]
pub struct Ring {
    /// Written by the worker.
    head: Position,
    /// Written by the supervisor.
    tail: Position,
    words: [AtomicU64; WORDS],
}

impl Ring {
    fn word(&self, position: u64) -> &AtomicU64 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "masked by the ring's length"
        )]
        &self.words[position as usize & (WORDS - 1)]
    }
}

/// The writing end. There is one in a process, and its owner keeps it to one thread.
#[derive(Debug)]
pub struct Producer {
    ring: &'static Ring,
    head: u64,
    /// The reader's position when it was last looked at.
    tail: u64,
}

impl Producer {
    /// Goes on where the writer before stopped.
    pub(super) fn new(ring: &'static Ring) -> Self {
        let head = ring.head.0.load(Acquire);
        Self {
            ring,
            head,
            tail: ring.tail.0.load(Acquire),
        }
    }

    /// Writes a record; `false` if there is no room or it is too long.
    pub fn push(&mut self, record: &[u8]) -> bool {
        let words = 1 + record.len().div_ceil(8) as u64;
        if record.len() > RECORD_BYTES_MAX || !self.has_room(words) {
            return false;
        }
        self.ring
            .word(self.head)
            .store(MARK | record.len() as u64, Relaxed);
        let (whole, rest) = record.as_chunks::<8>();
        let mut position = self.head;
        for word in whole {
            position += 1;
            self.ring
                .word(position)
                .store(u64::from_le_bytes(*word), Relaxed);
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.ring
                .word(position + 1)
                .store(u64::from_le_bytes(word), Relaxed);
        }
        self.head = self.head.wrapping_add(words);
        self.ring.head.0.store(self.head, Release);
        true
    }

    fn has_room(&mut self, words: u64) -> bool {
        let fits = |tail: u64| self.head.wrapping_sub(tail).saturating_add(words) <= WORDS as u64;
        if fits(self.tail) {
            return true;
        }
        // Acquire: the reader is done with what is overwritten now.
        let tail = self.ring.tail.0.load(Acquire);
        let fits = fits(tail);
        self.tail = tail;
        fits
    }
}

/// The reading end. There is one, and it outlives writers.
#[derive(Debug, Default)]
pub struct Consumer {
    tail: u64,
    record: Vec<u8>,
}

/// What a drain found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Records.
    pub records: u64,
    /// Whether something was no record, so that the rest was skipped.
    pub damaged: bool,
}

impl Consumer {
    /// Gives every record that was whole when the drain began.
    pub(super) fn drain(&mut self, ring: &Ring, mut each: impl FnMut(&[u8])) -> Drained {
        let head = ring.head.0.load(Acquire);
        let mut drained = Drained::default();
        if head.wrapping_sub(self.tail) > WORDS as u64 {
            drained.damaged = true;
            self.tail = head;
        }
        while self.tail != head {
            let Some(words) = self.read(ring, head.wrapping_sub(self.tail)) else {
                drained.damaged = true;
                self.tail = head;
                break;
            };
            each(&self.record);
            drained.records += 1;
            self.tail = self.tail.wrapping_add(words);
        }
        // Also when nothing was there: if somebody else wrote it, the writer would find no room.
        ring.tail.0.store(self.tail, Release);
        drained
    }

    /// Copies the next record out. None if what is there is not one.
    fn read(&mut self, ring: &Ring, available: u64) -> Option<u64> {
        let length = ring.word(self.tail).load(Relaxed);
        let length = usize::try_from(length.checked_sub(MARK)?).ok()?;
        let words = 1 + length.div_ceil(8) as u64;
        if length > RECORD_BYTES_MAX || words > available {
            return None;
        }
        self.record.clear();
        for position in 1..words {
            let word = ring.word(self.tail.wrapping_add(position)).load(Relaxed);
            self.record.extend_from_slice(&word.to_le_bytes());
        }
        self.record.truncate(length);
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::slot::SlotMemory;

    fn leaked() -> &'static SlotMemory {
        Box::leak(Box::new(SlotMemory::create().unwrap()))
    }

    fn all(memory: &SlotMemory, consumer: &mut Consumer) -> (Vec<Vec<u8>>, bool) {
        let mut records = Vec::new();
        let drained = memory.drain(consumer, |record| records.push(record.to_vec()));
        assert_eq!(drained.records, records.len() as u64);
        (records, drained.damaged)
    }

    fn record(number: usize) -> Vec<u8> {
        let byte = u8::try_from(number % 251).unwrap();
        vec![byte; number * 7 % 301]
    }

    #[test]
    fn records_come_out_as_they_went_in_also_around_the_end() {
        let memory = leaked();
        let (mut producer, mut consumer) = (memory.producer(), Consumer::default());
        for round in 0..400 {
            let sent: Vec<_> = (0..40).map(|n| record(round * 40 + n)).collect();
            assert!(sent.iter().all(|record| producer.push(record)));
            assert_eq!(all(memory, &mut consumer), (sent, false));
        }
        assert_eq!(all(memory, &mut consumer), (vec![], false));
    }

    #[test]
    fn full_ring_refuses_and_keeps_what_it_has() {
        let memory = leaked();
        let (mut producer, mut consumer) = (memory.producer(), Consumer::default());
        let mut sent = 0;
        while producer.push(&record(sent)) {
            sent += 1;
        }
        assert!(!producer.push(&[1; 300]));
        let (records, damaged) = all(memory, &mut consumer);
        assert!(!damaged);
        assert_eq!(records, (0..sent).map(record).collect::<Vec<_>>());
        assert!(producer.push(b"room again"));
        assert!(!producer.push(&[0; RECORD_BYTES_MAX + 1]));
        assert_eq!(all(memory, &mut consumer).0, [b"room again"]);
    }

    #[test]
    fn next_writer_goes_on_where_a_dead_one_stopped() {
        let memory = leaked();
        let mut consumer = Consumer::default();
        assert!(memory.producer().push(b"first"));
        assert!(memory.producer().push(b"second"));
        let (records, damaged) = all(memory, &mut consumer);
        assert_eq!(records, [b"first".to_vec(), b"second".to_vec()]);
        assert!(!damaged);
    }

    type Scribble = fn(&Ring);

    #[test]
    fn scribbled_positions_and_lengths_lose_records_and_nothing_else() {
        let memory = leaked();
        let (mut producer, mut consumer) = (memory.producer(), Consumer::default());
        let ring = memory.ring();
        let scribbles: [Scribble; 7] = [
            |ring| ring.head.0.store(u64::MAX, Relaxed),
            |ring| ring.head.0.store(0, Relaxed),
            |ring| _ = ring.head.0.fetch_add(5, Relaxed),
            |ring| ring.tail.0.store(u64::MAX / 2, Relaxed),
            |ring| ring.words.iter().for_each(|word| word.store(MARK, Relaxed)),
            |ring| {
                ring.words
                    .iter()
                    .for_each(|word| word.store(u64::MAX, Relaxed));
            },
            |ring| {
                let long = MARK | (RECORD_BYTES_MAX as u64);
                ring.words.iter().for_each(|word| word.store(long, Relaxed));
            },
        ];
        for (number, scribble) in scribbles.into_iter().enumerate() {
            producer.push(b"before");
            scribble(ring);
            // Whatever it finds, it ends, and two rounds later all is well again.
            all(memory, &mut consumer);
            producer.push(b"between");
            all(memory, &mut consumer);
            assert!(producer.push(b"after"), "{number}");
            let (records, _) = all(memory, &mut consumer);
            assert_eq!(records.last().unwrap(), b"after", "{number}");
            assert!(producer.push(b"whole"));
            assert_eq!(all(memory, &mut consumer), (vec![b"whole".to_vec()], false));
        }
    }

    #[test]
    fn reader_beside_a_fast_writer_sees_whole_records_in_order() {
        let memory = leaked();
        let writer = std::thread::spawn(move || {
            let mut producer = memory.producer();
            let mut refused = 0_u64;
            for number in 0_u64..200_000 {
                while !producer.push(&number.to_le_bytes().repeat(4)) {
                    refused += 1;
                    std::thread::yield_now();
                }
            }
            refused
        });
        let (mut consumer, mut next) = (Consumer::default(), 0_u64);
        while next < 200_000 {
            let drained = memory.drain(&mut consumer, |record| {
                assert_eq!(record, next.to_le_bytes().repeat(4));
                next += 1;
            });
            assert!(!drained.damaged);
        }
        writer.join().unwrap();
    }
}
