//! A call that pends: what events change, and the one value that ends it.
//!
//! Invariant: [`Running`] drops the future first, takes the call out of its instance's table second and
//! resumes last. After that the host may stop the instance and give the handle to another call.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use gantry_abi::{Fault, Host, event, verdict};

use crate::{panics, raw};

/// How an asynchronous function ended, as `resume` takes it.
pub(crate) struct Conclusion {
    pub(crate) verdict: i32,
    pub(crate) mutations: Vec<u8>,
}

impl Conclusion {
    /// An end without changes.
    pub(crate) const fn bare(verdict: i32) -> Self {
        Self {
            verdict,
            mutations: Vec::new(),
        }
    }
}

/// A future that runs a function to its end.
pub(crate) type Work = Pin<Box<dyn Future<Output = Conclusion> + Send>>;

/// What a call's future and the host's events share.
pub(crate) struct Shared {
    host: &'static Host,
    call: gantry_abi::Call,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Cancelled, or ended: nobody waits for the call.
    over: bool,
    asked: bool,
    body: Option<Vec<u8>>,
    /// Drives the whole future.
    task: Option<Waker>,
    /// Waits for the body.
    reader: Option<Waker>,
    /// Those who wait for the end, in tasks of their own.
    watchers: Vec<Waker>,
}

impl Shared {
    pub(crate) fn new(host: &'static Host, call: gantry_abi::Call) -> Self {
        Self {
            host,
            call,
            state: Mutex::default(),
        }
    }

    pub(crate) fn log(&self, level: u32, message: &str) {
        raw::log(self.host, self.call, level, message);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// Ready when nobody waits for the call any more.
    pub(crate) fn poll_over(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.over {
            return Poll::Ready(());
        }
        if !state
            .watchers
            .iter()
            .any(|each| each.will_wake(context.waker()))
        {
            state.watchers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Asks for the body, the first time; ready when it is there.
    pub(crate) fn poll_body(
        &self,
        part: u32,
        context: &Context<'_>,
    ) -> Poll<Result<Vec<u8>, Fault>> {
        let first = {
            let mut state = self.lock();
            state.reader = Some(context.waker().clone());
            !std::mem::replace(&mut state.asked, true)
        };
        // Without the lock: the host may bring the body before `ask` returns.
        if first && let Err(fault) = raw::ask(self.host, self.call, part) {
            return Poll::Ready(Err(fault));
        }
        self.lock()
            .body
            .take()
            .map_or(Poll::Pending, |body| Poll::Ready(Ok(body)))
    }

    /// The body that was asked for is there.
    pub(crate) fn deliver(&self, body: Vec<u8>) {
        let reader = {
            let mut state = self.lock();
            state.body = Some(body);
            state.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }

    /// Nobody waits for the call any more.
    pub(crate) fn cancel(&self) {
        let task = self.lock().task.take();
        self.end();
        task.into_iter().for_each(Waker::wake);
    }

    /// The call has come to its end, its task with it.
    fn end(&self) {
        let watchers = {
            let mut state = self.lock();
            state.over = true;
            std::mem::take(&mut state.watchers)
        };
        watchers.into_iter().for_each(Waker::wake);
    }

    /// Whether the call is over; if it is not, its end will wake the task.
    fn watch(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if !state
            .task
            .as_ref()
            .is_some_and(|task| task.will_wake(waker))
        {
            state.task = Some(waker.clone());
        }
        state.over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calls of one instance that pend.
#[derive(Default)]
pub(crate) struct Calls(Mutex<HashMap<gantry_abi::Call, Arc<Shared>>>);

impl Calls {
    pub(crate) fn insert(&self, shared: &Arc<Shared>) {
        self.lock().insert(shared.call, Arc::clone(shared));
    }

    /// Something happened to a call. An event that comes after its end is for nobody.
    pub(crate) fn event(&self, call: gantry_abi::Call, event: u32, detail: &[u8]) {
        let Some(shared) = self.lock().get(&call).map(Arc::clone) else {
            return;
        };
        match event {
            event::CANCEL => shared.cancel(),
            event::BODY => shared.deliver(detail.to_vec()),
            _ => {}
        }
    }

    fn remove(&self, call: gantry_abi::Call) {
        self.lock().remove(&call);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<gantry_abi::Call, Arc<Shared>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pending call with its future. It is itself a future, for an executor; dropped before its end, it
/// fails the call.
pub(crate) struct Running {
    /// None once it is dropped.
    work: Option<Work>,
    shared: Arc<Shared>,
    calls: Arc<Calls>,
    /// Whether `resume` is still owed.
    owed: bool,
}

impl Running {
    /// From here on events of the call find it.
    pub(crate) fn new(work: Work, shared: Arc<Shared>, calls: Arc<Calls>) -> Self {
        calls.insert(&shared);
        Self {
            work: Some(work),
            shared,
            calls,
            owed: true,
        }
    }

    /// For a call that does not pend after all: its verdict is returned instead.
    pub(crate) fn withdraw(mut self) {
        self.owed = false;
    }

    fn conclude(&mut self, conclusion: &Conclusion) {
        let Self {
            work,
            shared,
            calls,
            owed,
        } = self;
        // What a future drops is the author's.
        panics::barrier(shared.call, || drop(work.take()));
        calls.remove(shared.call);
        shared.end();
        if std::mem::replace(owed, false) {
            raw::resume(
                shared.host,
                shared.call,
                conclusion.verdict,
                &conclusion.mutations,
            );
        }
    }
}

impl Future for Running {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(work) = this.work.as_mut() else {
            return Poll::Ready(());
        };
        let conclusion = if this.shared.watch(context.waker()) {
            Conclusion::bare(verdict::FAILED)
        } else {
            match panics::barrier(this.shared.call, || work.as_mut().poll(context)) {
                Some(Poll::Pending) => return Poll::Pending,
                Some(Poll::Ready(conclusion)) => conclusion,
                None => Conclusion::bare(verdict::PANICKED),
            }
        };
        this.conclude(&conclusion);
        Poll::Ready(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.work.is_some() {
            self.conclude(&Conclusion::bare(verdict::FAILED));
        }
    }
}
