//! Where asynchronous functions run: one thread per library and worker, started by the first call that
//! needs it.
//!
//! One thread, because functions that wait need no more, a gateway may hold hundreds of libraries, and
//! order is easier to reason about. It is the library's own, so a function that blocks here delays the
//! asynchronous functions of its library and nobody else. There is no I/O here: an author whose futures
//! need a runtime's reactor starts that runtime and awaits what it spawned, so that plugins without
//! one do not carry it.
//!
//! Invariant: a task is in the queue at most once, and no lock is held while a future runs or a waker
//! wakes.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Instant;

use super::pending::Running;

/// Deadline, and a number that tells equal ones apart.
pub(super) type TimerKey = (Instant, u64);

static QUEUE: Queue = Queue {
    state: Mutex::new(State {
        ready: VecDeque::new(),
        timers: BTreeMap::new(),
        next: 0,
        started: false,
    }),
    changed: Condvar::new(),
};

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    ready: VecDeque<Arc<Task>>,
    timers: BTreeMap<TimerKey, Waker>,
    next: u64,
    started: bool,
}

struct Task {
    /// None once it is done.
    running: Mutex<Option<Running>>,
    queued: AtomicBool,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        QUEUE.lock().ready.push_back(self);
        QUEUE.changed.notify_one();
    }
}

/// Runs a call to its end; gives it back if there is nothing to run it on.
pub(super) fn spawn(running: Running) -> Result<(), Running> {
    if !QUEUE.start() {
        return Err(running);
    }
    let task = Arc::new(Task {
        running: Mutex::new(Some(running)),
        queued: AtomicBool::new(false),
    });
    task.wake();
    Ok(())
}

/// Wakes at a deadline; again with the same key, the new waker takes the old one's place.
pub(super) fn set_timer(
    deadline: Instant,
    key: Option<TimerKey>,
    waker: &Waker,
) -> Option<TimerKey> {
    if !QUEUE.start() {
        return None;
    }
    let mut state = QUEUE.lock();
    let key = key.unwrap_or_else(|| {
        state.next += 1;
        (deadline, state.next)
    });
    state.timers.insert(key, waker.clone());
    drop(state);
    QUEUE.changed.notify_one();
    Some(key)
}

/// Forgets a timer.
pub(super) fn clear_timer(key: TimerKey) {
    let waker = QUEUE.lock().timers.remove(&key);
    drop(waker);
}

impl Queue {
    /// Whether the thread runs.
    fn start(&'static self) -> bool {
        let mut state = self.lock();
        if !state.started {
            let thread = std::thread::Builder::new().name("gantry-async".to_owned());
            state.started = thread.spawn(|| self.run()).is_ok();
        }
        state.started
    }

    fn run(&self) {
        loop {
            let (due, task) = self.next();
            due.into_iter().for_each(Waker::wake);
            if let Some(task) = task {
                task.run();
            }
        }
    }

    /// Waits until a task is ready or timers are due.
    fn next(&self) -> (Vec<Waker>, Option<Arc<Task>>) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let mut due = Vec::new();
            while let Some(first) = state.timers.first_entry()
                && first.key().0 <= now
            {
                due.push(first.remove());
            }
            let task = state.ready.pop_front();
            if task.is_some() || !due.is_empty() {
                return (due, task);
            }
            let first = state.timers.first_key_value();
            state = if let Some(left) = first.map(|(key, _)| key.0 - now) {
                let waited = self.changed.wait_timeout(state, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                let waited = self.changed.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    fn run(self: Arc<Self>) {
        // Before the poll: what wakes during it queues the task again.
        self.queued.store(false, Ordering::Release);
        let waker = Waker::from(Arc::clone(&self));
        // Only this thread takes it out, and it puts it back before it takes the next task.
        let mut place = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = place.as_mut() else {
            return;
        };
        let done = Pin::new(running).poll(&mut Context::from_waker(&waker));
        if done.is_ready() {
            *place = None;
        }
    }
}
