//! The pool for functions that may block: a few threads and a short queue.
//!
//! A handover costs about a hundred times an inline call, so only functions that declare `may_block`
//! come here. A full queue refuses at once: waiting longer would only move the queue to the clients.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gantry_plugin_host::{Exchange, Verdict};
use tokio::sync::oneshot;

use super::api::Function;
use super::respond::Refusal;
use crate::sys::slot::{Counter, Lane, SlotMemory};

/// Threads. Together with the runtime and the loader they fit into the slot's lanes.
const THREADS: usize = 32;
/// Calls that wait for a thread, at most.
const QUEUE_MAX: usize = 256;

struct Job {
    function: Arc<Function>,
    exchange: Box<Exchange>,
    answer: oneshot::Sender<(Box<Exchange>, Verdict)>,
}

/// The pool. Its threads start with the first call and end with the process.
#[derive(Debug)]
pub struct BlockingPool {
    memory: &'static SlotMemory,
    queue: OnceLock<SyncSender<Job>>,
}

impl BlockingPool {
    /// A pool without threads.
    pub const fn new(memory: &'static SlotMemory) -> Self {
        Self {
            memory,
            queue: OnceLock::new(),
        }
    }

    /// Calls a function on a thread of the pool.
    ///
    /// # Errors
    /// Too many calls wait, or the call was lost.
    pub async fn call(
        &self,
        function: &Arc<Function>,
        exchange: Box<Exchange>,
    ) -> Result<(Box<Exchange>, Verdict), Refusal> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            function: Arc::clone(function),
            exchange,
            answer,
        };
        let queue = self.queue.get_or_init(|| start_threads(self.memory));
        if queue.try_send(job).is_err() {
            self.memory.add(Counter::PluginPoolFull, 1);
            return Err(Refusal::PluginBusy);
        }
        answered.await.map_err(|_| Refusal::PluginFailed)
    }
}

fn start_threads(memory: &'static SlotMemory) -> SyncSender<Job> {
    let (queue, jobs) = sync_channel(QUEUE_MAX);
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..THREADS {
        let jobs = Arc::clone(&jobs);
        let run = move || serve(memory.take_lane().as_ref(), &jobs);
        // With fewer threads calls wait longer; with none the queue is closed and they are refused.
        let _ = std::thread::Builder::new()
            .name(format!("blocking-{number}"))
            .spawn(run);
    }
    queue
}

fn serve(lane: Option<&Lane>, jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job {
            function,
            mut exchange,
            answer,
        }) = next
        else {
            return;
        };
        if answer.is_closed() {
            // The client has gone.
            continue;
        }
        let verdict = {
            let _in_function = lane.map(|lane| lane.enter(function.number));
            function.instance.get().call(function.hook(), &mut exchange)
        };
        let _ = answer.send((exchange, verdict));
    }
}
