//! Wakes from the threads of plugins, in batches: waking a task of another thread's runtime costs a
//! system call each time, so all go into one queue, and only the first of a batch wakes the one task
//! that wakes the others where that is cheap.

use std::mem;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

struct Queue {
    ready: Vec<Waker>,
    dispatcher: Dispatching,
}

enum Dispatching {
    /// There is no dispatcher: everybody is woken at once.
    Nobody,
    /// It will look into the queue.
    Awake,
    /// It looks once it is woken.
    Asleep(Waker),
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    ready: Vec::new(),
    dispatcher: Dispatching::Nobody,
});

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes, through the dispatcher if there is one.
pub(crate) fn wake(waker: Option<Waker>) {
    let Some(waker) = waker else { return };
    let to_wake = {
        let mut queue = queue();
        match mem::replace(&mut queue.dispatcher, Dispatching::Awake) {
            Dispatching::Nobody => {
                queue.dispatcher = Dispatching::Nobody;
                Some(waker)
            }
            Dispatching::Awake => {
                queue.ready.push(waker);
                None
            }
            Dispatching::Asleep(dispatcher) => {
                queue.ready.push(waker);
                Some(dispatcher)
            }
        }
    };
    if let Some(waker) = to_wake {
        waker.wake();
    }
}

/// Wakes the tasks whose pending calls plugins resumed. Never ends. To be run by the runtime of those
/// tasks, once in a process; without it each is woken on its own.
#[derive(Debug)]
#[must_use = "it works while it is polled"]
pub struct Dispatcher(());

impl Dispatcher {
    /// From now on wakes wait for this one.
    #[expect(
        clippy::new_without_default,
        reason = "it is a process's state, not a value"
    )]
    pub fn new() -> Self {
        queue().dispatcher = Dispatching::Awake;
        Self(())
    }
}

impl Future for Dispatcher {
    type Output = std::convert::Infallible;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut ready = {
            let mut queue = queue();
            queue.dispatcher = Dispatching::Asleep(cx.waker().clone());
            mem::take(&mut queue.ready)
        };
        ready.drain(..).for_each(Waker::wake);
        Poll::Pending
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        let ready = {
            let mut queue = queue();
            queue.dispatcher = Dispatching::Nobody;
            mem::take(&mut queue.ready)
        };
        ready.into_iter().for_each(Waker::wake);
    }
}
