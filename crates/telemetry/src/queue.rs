//! The bounded queue between work that is traced and the exporter, seen from both ends.
//!
//! The SDK's queue drops in silence what it has no room for; counting here what goes in and what comes
//! out says when that is so. Invariant: no more spans are let in than the queue behind has room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// How full the queue is. Clones share the count.
#[derive(Debug, Clone)]
pub(crate) struct Queue(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    room: usize,
    waiting: AtomicUsize,
    /// Since the last [`Queue::leave`].
    dropped: AtomicU64,
    /// Since it began to overflow.
    dropped_in_all: AtomicU64,
    overflows: AtomicBool,
}

/// What there is to say about the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It began to overflow.
    Overflows,
    /// It has room again; so many were dropped.
    Recovered(u64),
}

impl Queue {
    pub(crate) fn new(room: usize) -> Self {
        Self(Arc::new(Counts {
            room,
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            dropped_in_all: AtomicU64::new(0),
            overflows: AtomicBool::new(false),
        }))
    }

    /// Whether there is room for one more, which is then taken.
    pub(crate) fn enter(&self) -> bool {
        let counts = &self.0;
        let room = |waiting| (waiting < counts.room).then_some(waiting + 1);
        let entered = counts
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_ok();
        if !entered {
            counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        entered
    }

    /// Some have left. Called by one exporter, one batch after the other.
    pub(crate) fn leave(&self, count: usize) -> Option<Word> {
        let counts = &self.0;
        counts.waiting.fetch_sub(count, Ordering::Relaxed);
        let dropped = counts.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            counts.dropped_in_all.fetch_add(dropped, Ordering::Relaxed);
            let before = counts.overflows.swap(true, Ordering::Relaxed);
            return (!before).then_some(Word::Overflows);
        }
        let overflowed = counts.overflows.swap(false, Ordering::Relaxed);
        overflowed.then(|| Word::Recovered(counts.dropped_in_all.swap(0, Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_queue_lets_nothing_in_and_says_so_once_until_it_has_room() {
        let queue = Queue::new(2);
        let entered: Vec<_> = (0..5).map(|_| queue.enter()).collect();
        assert_eq!(entered, [true, true, false, false, false]);
        assert_eq!(queue.leave(1), Some(Word::Overflows));
        assert!(queue.enter());
        assert!(!queue.enter());
        assert_eq!(queue.leave(1), None);
        assert_eq!(queue.leave(1), Some(Word::Recovered(4)));
        assert_eq!(queue.leave(0), None);
    }
}
