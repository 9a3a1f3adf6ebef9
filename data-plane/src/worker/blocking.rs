//! The pool for functions that may block: a few threads and a short queue.
//!
//! A handover costs about a hundred times an inline call, so only functions that declare `may_block`
//! come here. A full queue refuses at once: waiting longer would only move the queue to the clients.
//!
//! A call that does not end by its deadline fails its request. Its thread cannot be ended: it counts as
//! stuck, and another takes its place, up to a bound.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
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
/// Calls that wait for a thread, at most.
const QUEUE_MAX: usize = 256;

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

/// The pool. Its threads start with the first call and end with the process.
#[derive(Debug)]
pub struct BlockingPool {
    memory: &'static SlotMemory,
    threads: OnceLock<Threads>,
}

#[derive(Debug)]
struct Threads {
    queue: SyncSender<Job>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    memory: &'static SlotMemory,
    jobs: Mutex<Receiver<Job>>,
    alive: AtomicUsize,
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
        if threads.queue.try_send(job).is_err() {
            self.memory.add(Counter::PluginPoolFull, 1);
            return Err(Refusal::PluginBusy);
        }
        if let Ok(outcome) = timeout(deadline, answered).await {
            return outcome.map_err(|_| Refusal::PluginFailed);
        }
        // Before its thread can see that it was given up, and count it down.
        self.memory.add(Counter::PluginThreadsStuck, 1);
        if progress.swap(GIVEN_UP, Relaxed) == RUNNING {
            threads.shared.replace_one();
        } else {
            self.memory.subtract(Counter::PluginThreadsStuck, 1);
        }
        self.memory.add(Counter::PluginTimeouts, 1);
        Err(Refusal::PluginTimeout)
    }
}

impl Threads {
    fn start(memory: &'static SlotMemory) -> Self {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let shared = Arc::new(Shared {
            memory,
            jobs: Mutex::new(jobs),
            alive: AtomicUsize::new(0),
        });
        for _ in 0..THREADS {
            shared.add_one();
        }
        Self { queue, shared }
    }
}

impl Shared {
    fn add_one(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let number = self.alive.fetch_add(1, Relaxed);
        let run = move || {
            // Where the system has no timers, the thread that serves requests has said so.
            let _ = preemption::repeat();
            shared.serve(shared.memory.take_lane().as_ref());
        };
        let spawned = std::thread::Builder::new()
            .name(format!("blocking-{number}"))
            .spawn(run);
        if spawned.is_err() {
            // With fewer threads calls wait longer.
            self.alive.fetch_sub(1, Relaxed);
        }
    }

    /// A thread is stuck: another comes, unless there are too many.
    fn replace_one(self: &Arc<Self>) {
        if self.alive.load(Relaxed) < THREADS_MAX {
            self.add_one();
        }
    }

    fn serve(&self, lane: Option<&Lane>) {
        loop {
            let next = self
                .jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            let Ok(job) = next else { return };
            if job.answer.is_closed()
                || job
                    .progress
                    .compare_exchange(QUEUED, RUNNING, Relaxed, Relaxed)
                    .is_err()
            {
                // Nobody waits for it.
                continue;
            }
            let progress = Arc::clone(&job.progress);
            run(lane, job);
            if progress.swap(DONE, Relaxed) == GIVEN_UP {
                self.memory.subtract(Counter::PluginThreadsStuck, 1);
                // Another took this one's place.
                if self.alive.fetch_sub(1, Relaxed) > THREADS {
                    return;
                }
                self.alive.fetch_add(1, Relaxed);
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
