//! Shared memory of a worker slot: counters, a ring of records, and hints about what the worker is
//! doing.
//!
//! The supervisor makes one per slot and keeps it, so that what a worker counted and did last survives
//! the worker. The memory is a sealed memfd: its size cannot change, so a worker cannot make the
//! supervisor fault by shrinking it. What stands in it is another matter: native code in the worker can
//! write anything there. Readers therefore treat every value as a hint and never as an index.
//!
//! A *lane* is a thread of the worker that calls plugins. Each has its own cells, so threads do not
//! overwrite each other's hints.
#![expect(unsafe_code, reason = "a shared mapping has no safe interface")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

pub use super::counters::{ApiOutcome, Counter, HookError, Timing};
use super::counters::{Histogram, Tables};
use super::in_flight::InFlight;
use super::ring::{Consumer, Drained, Producer, Ring};

/// Threads of a worker that can call plugins: one runtime, the loader and the pool for blocking calls.
pub const LANES: usize = 64;

/// What a lane is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// The number of the function that runs (see `FunctionOrder::number`).
    pub function: u32,
    /// The thread.
    pub thread: i32,
    /// Counts calls: the same number at two looks means the same call, so a stall can be told from
    /// many short calls.
    pub sequence: u64,
}

/// What a worker's loader is bringing up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loading {
    /// The number of the function.
    pub function: u32,
    /// Whether its library is open.
    pub is_open: bool,
    /// The same number at two looks means the same step.
    pub step: u64,
}

/// The loader at a function.
#[derive(Debug)]
pub struct InLoad<'a> {
    record: &'a Record,
}

impl InLoad<'_> {
    /// The library is open, the function is being started.
    pub fn starts(&self) {
        self.record.load_steps.fetch_add(1, Relaxed);
        self.record.starting.store(1, Relaxed);
    }
}

impl Drop for InLoad<'_> {
    fn drop(&mut self) {
        self.record.loading.store(0, Relaxed);
    }
}

/// The first fatal signal of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The signal.
    pub signal: i32,
    /// Where the thread was.
    pub instruction: u64,
    /// The thread.
    pub thread: i32,
    /// The function that the thread's lane was in; none when it was in none, or is no lane (a thread
    /// that a plugin started).
    pub function: Option<u32>,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct LaneRecord {
    thread: AtomicI32,
    function: AtomicU32,
    sequence: AtomicU64,
}

#[derive(Debug)]
#[repr(C)]
struct Record {
    process: AtomicI32,
    fault_signal: AtomicI32,
    fault_thread: AtomicI32,
    fault_instruction: AtomicU64,
    loading: AtomicU32,
    starting: AtomicU32,
    load_steps: AtomicU64,
    lanes: [LaneRecord; LANES],
    in_flight: InFlight,
    counters: [AtomicU64; Counter::ALL.len()],
    tables: Tables,
    ring: Ring,
}

/// A slot's memory, mapped into this process.
#[derive(Debug)]
pub struct SlotMemory {
    record: NonNull<Record>,
    descriptor: OwnedFd,
}

// SAFETY: the record consists of atomics, which any thread may use at any time.
unsafe impl Send for SlotMemory {}
// SAFETY: as above.
unsafe impl Sync for SlotMemory {}

impl SlotMemory {
    /// New memory, all zero.
    ///
    /// # Errors
    /// The system gives none.
    pub fn create() -> io::Result<Self> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string.
        let raw = unsafe { libc::memfd_create(c"gantry-slot".as_ptr(), flags) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above gave this descriptor to nobody else.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        let file = File::from(descriptor);
        file.set_len(size_of::<Record>() as u64)?;
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: the descriptor is open; the call changes no memory.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Self::map(file.into())
    }

    /// Memory that another process made.
    ///
    /// # Errors
    /// It is not slot memory of this build, or cannot be mapped.
    pub fn open(descriptor: OwnedFd) -> io::Result<Self> {
        let file = File::from(descriptor);
        let found = file.metadata()?.len();
        let expected = size_of::<Record>() as u64;
        if found != expected {
            let text = format!("slot memory has {found} bytes; expected {expected}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Self::map(file.into())
    }

    fn map(descriptor: OwnedFd) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Record>(),
                protection,
                libc::MAP_SHARED,
                descriptor.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(address.cast::<Record>()) {
            Some(record) if address != libc::MAP_FAILED => Ok(Self { record, descriptor }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The descriptor, to be handed to a worker.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// A new process takes the slot: hints and gauges start afresh, counters go on.
    pub fn begin(&self, process: u32) {
        let record = self.record();
        record.fault_signal.store(0, Relaxed);
        record.fault_thread.store(0, Relaxed);
        record.fault_instruction.store(0, Relaxed);
        record.loading.store(0, Relaxed);
        record.starting.store(0, Relaxed);
        for lane in &record.lanes {
            lane.thread.store(0, Relaxed);
            lane.function.store(0, Relaxed);
        }
        record.in_flight.clear();
        self.rest();
        record.process.store(process.cast_signed(), Relaxed);
    }

    /// The process is gone: nothing is open or under way any more.
    pub fn rest(&self) {
        let gauges = Counter::ALL.into_iter().filter(|each| each.is_gauge());
        for gauge in gauges {
            self.record().counters[gauge as usize].store(0, Relaxed);
        }
    }

    /// The process that took the slot last; 0 before the first.
    pub fn process(&self) -> i32 {
        self.record().process.load(Relaxed)
    }

    /// The loader brings up a function until the result is dropped: opens its library, starts it.
    pub fn load(&self, function: u32) -> InLoad<'_> {
        let record = self.record();
        record.load_steps.fetch_add(1, Relaxed);
        record.starting.store(0, Relaxed);
        record.loading.store(function, Relaxed);
        InLoad { record }
    }

    /// What the loader brings up.
    pub fn loading(&self) -> Option<Loading> {
        let record = self.record();
        let function = record.loading.load(Relaxed);
        (function != 0).then(|| Loading {
            function,
            is_open: record.starting.load(Relaxed) != 0,
            step: record.load_steps.load(Relaxed),
        })
    }

    /// Takes a lane for the calling thread; none when all [`LANES`] are taken.
    pub fn take_lane(&'static self) -> Option<Lane> {
        let thread = current_thread();
        let taken = |lane: &&LaneRecord| {
            lane.thread
                .compare_exchange(0, thread, Relaxed, Relaxed)
                .is_ok()
        };
        let record = self.record().lanes.iter().find(taken)?;
        Some(Lane { record })
    }

    /// What the lanes are doing that are in a function.
    pub fn activities(&self) -> Vec<Activity> {
        let activity = |lane: &LaneRecord| Activity {
            function: lane.function.load(Relaxed),
            thread: lane.thread.load(Relaxed),
            sequence: lane.sequence.load(Relaxed),
        };
        let lanes = self.record().lanes.iter().map(activity);
        lanes.filter(|activity| activity.function != 0).collect()
    }

    /// What [`SlotMemory::activities`] gives, and the functions that have calls on threads of their own.
    pub fn suspects(&self) -> Vec<Activity> {
        let mut suspects = self.activities();
        let elsewhere = |function| Activity {
            function,
            thread: 0,
            sequence: 0,
        };
        suspects.extend(self.in_flight().functions().into_iter().map(elsewhere));
        suspects
    }

    /// The functions that have calls on no thread of the worker.
    pub fn in_flight(&self) -> &InFlight {
        &self.record().in_flight
    }

    /// The first fatal signal since [`SlotMemory::begin`].
    pub fn fault(&self) -> Option<Fault> {
        let record = self.record();
        let signal = record.fault_signal.load(Relaxed);
        let thread = record.fault_thread.load(Relaxed);
        let of_thread = |activity: &Activity| activity.thread == thread;
        (signal != 0).then(|| Fault {
            signal,
            thread,
            instruction: record.fault_instruction.load(Relaxed),
            function: self
                .activities()
                .into_iter()
                .find(of_thread)
                .map(|found| found.function),
        })
    }

    /// Notes a fatal signal, if it is the first. Safe in a signal handler: atomics only.
    pub(super) fn note_fault(&self, signal: i32, instruction: u64) {
        let record = self.record();
        if record
            .fault_signal
            .compare_exchange(0, signal, Relaxed, Relaxed)
            .is_ok()
        {
            record.fault_thread.store(current_thread(), Relaxed);
            record.fault_instruction.store(instruction, Relaxed);
        }
    }

    /// Counts up.
    pub fn add(&self, counter: Counter, by: u64) {
        self.record().counters[counter as usize].fetch_add(by, Relaxed);
    }

    /// Counts a gauge down.
    pub fn subtract(&self, gauge: Counter, by: u64) {
        debug_assert!(gauge.is_gauge(), "counters only grow");
        self.record().counters[gauge as usize].fetch_sub(by, Relaxed);
    }

    /// A counter's value.
    pub fn read(&self, counter: Counter) -> u64 {
        self.record().counters[counter as usize].load(Relaxed)
    }

    /// What is counted by API, hook and time.
    pub fn tables(&self) -> &Tables {
        &self.record().tables
    }

    /// Notes how long something took.
    pub fn observe(&self, timing: Timing, nanos: u64) {
        self.tables().observe(timing, nanos);
    }

    /// How long something took so far.
    pub fn timing(&self, timing: Timing) -> Histogram {
        self.tables().timing(timing)
    }

    /// The writing end of the ring. One in a process, on one thread.
    pub fn producer(&'static self) -> Producer {
        Producer::new(&self.record().ring)
    }

    /// Gives every record of the ring that is whole.
    pub fn drain(&self, consumer: &mut Consumer, each: impl FnMut(&[u8])) -> Drained {
        consumer.drain(&self.record().ring, each)
    }

    #[cfg(test)]
    pub(super) fn ring(&'static self) -> &'static Ring {
        &self.record().ring
    }

    fn record(&self) -> &Record {
        // SAFETY: the mapping has the record's size and alignment (a page), is valid for every bit
        // pattern, and lives until `self` is dropped.
        unsafe { self.record.as_ref() }
    }
}

impl Drop for SlotMemory {
    fn drop(&mut self) {
        // SAFETY: made by `map` with this size; references to it cannot outlive `self`.
        unsafe { libc::munmap(self.record.as_ptr().cast(), size_of::<Record>()) };
    }
}

/// A thread's cells.
#[derive(Debug)]
pub struct Lane {
    record: &'static LaneRecord,
}

impl Lane {
    /// The thread is in a function until the result is dropped.
    pub fn enter(&self, function: u32) -> InFunction<'_> {
        let sequence = &self.record.sequence;
        sequence.store(sequence.load(Relaxed).wrapping_add(1), Relaxed);
        self.record.function.store(function, Relaxed);
        InFunction { lane: self }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.record.thread.store(0, Relaxed);
    }
}

/// A thread in a function.
#[derive(Debug)]
pub struct InFunction<'a> {
    lane: &'a Lane,
}

impl Drop for InFunction<'_> {
    fn drop(&mut self) {
        self.lane.record.function.store(0, Relaxed);
    }
}

fn current_thread() -> i32 {
    // SAFETY: the call has no preconditions, also in a signal handler.
    unsafe { libc::gettid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaked() -> &'static SlotMemory {
        Box::leak(Box::new(SlotMemory::create().unwrap()))
    }

    #[test]
    fn memory_is_the_same_through_a_second_mapping() {
        let first = SlotMemory::create().unwrap();
        let second = SlotMemory::open(first.descriptor().try_clone_to_owned().unwrap()).unwrap();
        second.add(Counter::Requests, 3);
        second.add(Counter::ConnectionsOpen, 2);
        second.subtract(Counter::ConnectionsOpen, 1);
        assert_eq!(first.read(Counter::Requests), 3);
        assert_eq!(first.read(Counter::ConnectionsOpen), 1);
        assert_eq!(first.read(Counter::RequestsActive), 0);
    }

    #[test]
    fn memory_of_another_size_is_refused_and_its_size_cannot_change() {
        let small = tempfile::tempfile().unwrap();
        assert_eq!(
            SlotMemory::open(small.into()).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let memory = SlotMemory::create().unwrap();
        let file = File::from(memory.descriptor().try_clone_to_owned().unwrap());
        assert!(file.set_len(0).is_err());
        assert!(file.set_len(1 << 20).is_err());
    }

    #[test]
    fn lanes_tell_functions_and_calls_apart() {
        let memory = leaked();
        let lane = memory.take_lane().unwrap();
        assert_eq!(memory.activities(), []);
        let first = {
            let _in = lane.enter(7);
            memory.activities()[0]
        };
        let _in = lane.enter(7);
        let second = memory.activities()[0];
        assert_eq!((first.function, first.thread), (7, second.thread));
        assert_ne!(first.sequence, second.sequence);
    }

    #[test]
    fn load_has_two_steps_that_are_told_apart() {
        let memory = leaked();
        assert_eq!(memory.loading(), None);
        let (opening, starting) = {
            let load = memory.load(7);
            let opening = memory.loading().unwrap();
            load.starts();
            (opening, memory.loading().unwrap())
        };
        assert_eq!((opening.function, opening.is_open), (7, false));
        assert_eq!((starting.function, starting.is_open), (7, true));
        let _load = memory.load(7);
        let again = memory.loading().unwrap();
        assert!(opening.step < starting.step && starting.step < again.step);
        assert!(!again.is_open);
        memory.begin(1);
        assert_eq!(memory.loading(), None, "another process has loaded nothing");
    }

    #[test]
    fn fault_names_the_function_of_its_thread_and_the_first_one_stays() {
        let memory = leaked();
        let other = std::thread::spawn(|| std::mem::forget(memory.take_lane().unwrap().enter(9)));
        other.join().unwrap();
        let lane = memory.take_lane().unwrap();
        {
            let _in = lane.enter(5);
            memory.note_fault(libc::SIGSEGV, 0x1000);
            memory.note_fault(libc::SIGABRT, 0x2000);
            let fault = memory.fault().unwrap();
            assert_eq!((fault.signal, fault.instruction), (libc::SIGSEGV, 0x1000));
            assert_eq!(fault.function, Some(5));
        }
        assert_eq!(memory.fault().unwrap().function, None);
    }

    #[test]
    fn successor_starts_without_hints_and_keeps_the_counts() {
        let memory = leaked();
        memory.add(Counter::Requests, 4);
        memory.add(Counter::ConnectionsOpen, 4);
        memory.note_fault(libc::SIGBUS, 1);
        std::mem::forget(memory.take_lane().unwrap());
        memory.begin(4711);
        assert_eq!((memory.process(), memory.fault()), (4711, None));
        assert_eq!(memory.read(Counter::Requests), 4);
        assert_eq!(memory.read(Counter::ConnectionsOpen), 0);
        assert_eq!(
            std::iter::from_fn(|| memory.take_lane().map(std::mem::forget)).count(),
            LANES
        );
    }

    #[test]
    fn counters_stand_where_their_numbers_say() {
        for (place, counter) in Counter::ALL.into_iter().enumerate() {
            assert_eq!(counter as usize, place, "{}", counter.as_str());
        }
    }
}
