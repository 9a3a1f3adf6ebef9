//! The pool for functions that may block: a few threads and a short queue.
//!
//! A handover costs about a hundred times an inline call, so only functions that declare `may_block`
//! come here. A full queue refuses at once: waiting longer would only move the queue to the clients.
//!
//! No function can have all of it: a part of the threads is for functions that have no call running, and a
//! part of the queue for those that have few calls waiting. One that waits for a server that is down so
//! costs its own requests, and others have a thread still.
//!
//! A call that does not end by its deadline fails its request. Its thread cannot be ended: it counts as
//! stuck, and another takes its place, up to a bound.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use gantry_plugin_host::{Called, Exchange};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::api::Function;
use super::pending::{InFlightCall, Outcome, Waiting};
use super::respond::Refusal;
use crate::sys::preemption;
use crate::sys::slot::{Counter, Lane, SlotMemory};

/// Threads.
const THREADS: usize = 32;
/// Threads with those that took the places of stuck ones. Together with the runtime and the loader they
/// fit into the slot's lanes.
const THREADS_MAX: usize = 60;
/// Threads that only functions take which have none.
const THREADS_RESERVED: usize = 8;
/// Calls that wait for a thread, at most.
const QUEUE_MAX: usize = 256;
/// Calls of one function that do, at most.
const QUEUE_OF_ONE_MAX: usize = 192;

/// How far a call is.
const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const GIVEN_UP: u8 = 2;
const DONE: u8 = 3;

struct Job {
    function: Arc<Function>,
    in_flight: Option<Arc<InFlightCall>>,
    exchange: Box<Exchange>,
    progress: Arc<AtomicU8>,
    answer: oneshot::Sender<Outcome>,
}

impl Job {
    /// Whose call it is: the same for all generations that share the instance.
    fn instance(&self) -> usize {
        Arc::as_ptr(&self.function.instance).addr()
    }

    fn is_awaited(&self) -> bool {
        !self.answer.is_closed() && self.progress.load(Relaxed) == QUEUED
    }
}

/// Calls of one function.
#[derive(Debug, Default)]
struct Calls {
    waiting: usize,
    running: usize,
}

/// What waits and what runs.
#[derive(Default)]
struct Line {
    /// In the order in which they came.
    waiting: VecDeque<Job>,
    /// By their instances; none without calls.
    calls: HashMap<usize, Calls>,
    /// Threads, and those of them that are in a call.
    threads: usize,
    busy: usize,
}

impl Line {
    /// Takes a call up, if there is room for it.
    fn enter(&mut self, job: Job) -> bool {
        let instance = job.instance();
        let has_room = |line: &Self| {
            let of_one = line.calls.get(&instance).map_or(0, |calls| calls.waiting);
            line.waiting.len() < QUEUE_MAX && of_one < QUEUE_OF_ONE_MAX
        };
        if !has_room(self) {
            self.forget_unawaited();
            if !has_room(self) {
                return false;
            }
        }
        self.calls.entry(instance).or_default().waiting += 1;
        self.waiting.push_back(job);
        true
    }

    /// The first call that may run now.
    fn next(&mut self) -> Option<Job> {
        let idle = self.threads.saturating_sub(self.busy);
        let may_run = |job: &Job| {
            let calls = self.calls.get(&job.instance());
            idle > THREADS_RESERVED || calls.is_none_or(|calls| calls.running == 0)
        };
        let place = self
            .waiting
            .iter()
            .position(|job| !job.is_awaited() || may_run(job))?;
        let job = self.waiting.remove(place)?;
        let calls = self.calls.entry(job.instance()).or_default();
        calls.waiting = calls.waiting.saturating_sub(1);
        calls.running += 1;
        self.busy += 1;
        Some(job)
    }

    /// A call that was taken is over.
    fn ended(&mut self, instance: usize) {
        self.busy -= 1;
        if let Some(calls) = self.calls.get_mut(&instance) {
            calls.running -= 1;
            if calls.running + calls.waiting == 0 {
                self.calls.remove(&instance);
            }
        }
    }

    fn forget_unawaited(&mut self) {
        let calls = &mut self.calls;
        self.waiting.retain(|job| {
            let stays = job.is_awaited();
            if !stays && let Some(calls) = calls.get_mut(&job.instance()) {
                calls.waiting -= 1;
            }
            stays
        });
        calls.retain(|_, calls| calls.running + calls.waiting > 0);
    }
}

/// The pool. Its threads start with the first call and end with the process.
#[derive(Debug)]
pub struct BlockingPool {
    memory: &'static SlotMemory,
    threads: OnceLock<Arc<Threads>>,
}

struct Threads {
    memory: &'static SlotMemory,
    line: Mutex<Line>,
    changed: Condvar,
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

impl BlockingPool {
    /// A pool without threads.
    pub const fn new(memory: &'static SlotMemory) -> Self {
        Self {
            memory,
            threads: OnceLock::new(),
        }
    }

    /// Calls a function on a thread of the pool.
    ///
    /// # Errors
    /// Too many calls wait, the call did not end by its deadline, or it was lost.
    pub async fn call(
        &self,
        function: &Arc<Function>,
        in_flight: Option<Arc<InFlightCall>>,
        exchange: Box<Exchange>,
        deadline: Duration,
    ) -> Result<Outcome, Refusal> {
        let (answer, answered) = oneshot::channel();
        let progress = Arc::new(AtomicU8::new(QUEUED));
        let job = Job {
            function: Arc::clone(function),
            in_flight,
            exchange,
            progress: Arc::clone(&progress),
            answer,
        };
        let threads = self.threads.get_or_init(|| Threads::start(self.memory));
        if !threads.enter(job) {
            self.memory.add(Counter::PluginPoolFull, 1);
            return Err(Refusal::PluginBusy);
        }
        if let Ok(outcome) = timeout(deadline, answered).await {
            return outcome.map_err(|_| Refusal::PluginFailed);
        }
        // Before its thread can see that it was given up, and count it down.
        self.memory.add(Counter::PluginThreadsStuck, 1);
        if progress.swap(GIVEN_UP, Relaxed) == RUNNING {
            threads.replace_one();
        } else {
            self.memory.subtract(Counter::PluginThreadsStuck, 1);
        }
        self.memory.add(Counter::PluginTimeouts, 1);
        Err(Refusal::PluginTimeout)
    }
}

impl Threads {
    fn start(memory: &'static SlotMemory) -> Arc<Self> {
        let threads = Arc::new(Self {
            memory,
            line: Mutex::default(),
            changed: Condvar::new(),
        });
        for _ in 0..THREADS {
            threads.add_one();
        }
        threads
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, job: Job) -> bool {
        let entered = self.line().enter(job);
        self.changed.notify_one();
        entered
    }

    fn add_one(self: &Arc<Self>) {
        let threads = Arc::clone(self);
        let number = {
            let mut line = self.line();
            line.threads += 1;
            line.threads
        };
        let run = move || {
            // Where the system has no timers, the thread that serves requests has said so.
            let _ = preemption::repeat();
            threads.serve(threads.memory.take_lane().as_ref());
        };
        let spawned = std::thread::Builder::new()
            .name(format!("blocking-{number}"))
            .spawn(run);
        if spawned.is_err() {
            // With fewer threads calls wait longer.
            self.line().threads -= 1;
        }
    }

    /// A thread is stuck: another comes, unless there are too many.
    fn replace_one(self: &Arc<Self>) {
        if self.line().threads < THREADS_MAX {
            self.add_one();
        }
    }

    fn next(&self) -> Job {
        let mut line = self.line();
        loop {
            if let Some(job) = line.next() {
                return job;
            }
            let waited = self.changed.wait(line);
            line = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn serve(&self, lane: Option<&Lane>) {
        loop {
            let job = self.next();
            let instance = job.instance();
            let progress = Arc::clone(&job.progress);
            let begins = progress.compare_exchange(QUEUED, RUNNING, Relaxed, Relaxed);
            // Else nobody waits for it.
            if !job.answer.is_closed() && begins.is_ok() {
                run(lane, job);
            }
            let was_given_up = progress.swap(DONE, Relaxed) == GIVEN_UP && begins.is_ok();
            let mut line = self.line();
            line.ended(instance);
            if was_given_up {
                self.memory.subtract(Counter::PluginThreadsStuck, 1);
                // Another took this one's place.
                if line.threads > THREADS {
                    line.threads -= 1;
                    return;
                }
            }
        }
    }
}

fn run(lane: Option<&Lane>, job: Job) {
    let Job {
        function,
        in_flight,
        mut exchange,
        answer,
        ..
    } = job;
    // Also while a call is given up for which nobody waits any more.
    let _in_function = lane.map(|lane| lane.enter(function.number));
    let hook = function.hook();
    let outcome = match in_flight {
        None => {
            let verdict = function.instance.get().call(hook, &mut exchange);
            Outcome::Ended(exchange, verdict)
        }
        Some(in_flight) => match in_flight.call(hook, &mut exchange) {
            Called::Ended(verdict) => Outcome::Ended(exchange, verdict),
            Called::Pending(call) => Outcome::Pending(Waiting::new(exchange, call, in_flight)),
        },
    };
    drop(answer.send(outcome));
}
