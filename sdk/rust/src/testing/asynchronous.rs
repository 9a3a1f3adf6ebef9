//! Running asynchronous functions on a call in memory: on the test's thread, to their end.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use gantry_abi::verdict;

use super::{Finished, TestCall, memory};
use crate::asynchronous::for_testing::{Conclusion, Copy, Documents, Shared};
use crate::raw::Gate;
use crate::{
    AsyncCall, AsyncRequestCall, AsyncRequestFunction, AsyncResponseCall, AsyncResponseFunction,
    Call, Hook, IntoOutcome,
};

impl TestCall {
    /// The client leaves when an asynchronous function waits for something other than the body: its
    /// future is dropped there, and the call fails as `cancelled`.
    #[must_use]
    pub fn client_leaves(mut self) -> Self {
        self.leaves = true;
        self
    }

    /// Runs an asynchronous request function.
    ///
    /// # Panics
    /// If the hook is `response`, or the function panics.
    pub fn run_async<F: AsyncRequestFunction>(self, function: &F) -> Finished {
        self.run_async_fn(async |call| function.call(call).await)
    }

    /// Runs an `async fn`.
    ///
    /// # Panics
    /// If the hook is `response`, or the function panics.
    pub fn run_async_fn<O: IntoOutcome>(
        self,
        function: impl AsyncFnOnce(&mut AsyncRequestCall) -> O,
    ) -> Finished {
        assert_ne!(
            self.hook,
            Hook::Response,
            "a request function runs at a request hook"
        );
        self.drive(async |call| {
            let mut call = AsyncRequestCall::new(call);
            let result = function(&mut call).await.into_outcome();
            call.into_inner().conclude(result)
        })
    }

    /// Runs an asynchronous response function.
    ///
    /// # Panics
    /// If the hook is not `response`, or the function panics.
    pub fn run_async_response<F: AsyncResponseFunction>(self, function: &F) -> Finished {
        self.run_async_response_fn(async |call| function.call(call).await)
    }

    /// Runs an `async fn` for responses.
    ///
    /// # Panics
    /// If the hook is not `response`, or the function panics.
    pub fn run_async_response_fn<O: IntoOutcome>(
        self,
        function: impl AsyncFnOnce(&mut AsyncResponseCall) -> O,
    ) -> Finished {
        assert_eq!(
            self.hook,
            Hook::Response,
            "a response function runs at the response hook"
        );
        self.drive(async |call| {
            let mut call = AsyncResponseCall::new(call);
            let result = function(&mut call).await.into_outcome();
            call.into_inner().conclude(result)
        })
    }

    fn drive(self, run: impl AsyncFnOnce(AsyncCall) -> Conclusion) -> Finished {
        let (hook, leaves) = (self.hook, self.leaves);
        let (exchange, (verdict, failure)) = memory::with_call(self.exchange, |host, handle| {
            let shared = Arc::new(Shared::new(host, handle));
            let call = Call::new(Gate::new(host, handle), hook);
            let copy = Copy::of(&call, Arc::new(Documents::of(&call)));
            let work = run(AsyncCall::new(copy, Arc::clone(&shared)));
            let Some(conclusion) = wait(work, handle, &shared, leaves) else {
                return (verdict::FAILED, Some("cancelled".to_owned()));
            };
            match memory::apply(handle, &conclusion.mutations) {
                Ok(()) => (conclusion.verdict, None),
                Err(fault) => (
                    verdict::FAILED,
                    Some(format!(
                        "a change was refused: {fault} ({})",
                        fault.as_str()
                    )),
                ),
            }
        });
        Finished::new(exchange, verdict, failure)
    }
}

/// Waits for the end of the work, and brings the body where it is asked for; `None` if the client left.
fn wait(
    work: impl Future<Output = Conclusion>,
    handle: gantry_abi::Call,
    shared: &Shared,
    leaves: bool,
) -> Option<Conclusion> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(conclusion) = work.as_mut().poll(&mut context) {
            return Some(conclusion);
        }
        if let Some(body) = memory::take_asked(handle) {
            shared.deliver(body);
        } else if leaves {
            shared.cancel();
            return None;
        } else {
            thread::park();
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
