//! Being called by the host, for asynchronous functions: the call is copied, handed to the executor, and
//! pends.
//!
//! Invariant: an instance is stopped only after each of its calls has resumed, and its futures are gone
//! by then, so `stop` drops the author's value.
#![expect(unsafe_code, reason = "the host calls through C function pointers")]

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use gantry_abi::{Str, verdict};

use super::copy::{Copy, Documents};
use super::executor;
use super::pending::{Calls, Running, Shared, Work};
use crate::entry::Entry;
use crate::function::AsyncFunctionOn;
use crate::{AsyncCall, Call, Level, Passing, panics, raw};

/// What the host holds for an asynchronous function.
pub(crate) struct Instance<F> {
    function: Arc<F>,
    calls: Arc<Calls>,
    /// The documents under the last number.
    documents: Mutex<Option<(u64, Arc<Documents>)>>,
}

impl<F> Instance<F> {
    fn new(function: F) -> Self {
        Self {
            function: Arc::new(function),
            calls: Arc::default(),
            documents: Mutex::new(None),
        }
    }

    fn documents(&self, number: u64, call: &Call<'_>) -> Arc<Documents> {
        let mut kept = self
            .documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match kept.as_ref() {
            Some((under, documents)) if *under == number => Arc::clone(documents),
            _ => {
                let documents = Arc::new(Documents::of(call));
                *kept = Some((number, Arc::clone(&documents)));
                documents
            }
        }
    }

    /// Begins a call: from here on it pends.
    fn begin(
        &self,
        number: u64,
        call: &Call<'_>,
        work: impl FnOnce(Arc<F>, AsyncCall) -> Work,
    ) -> i32 {
        let (host, handle) = call.origin();
        let shared = Arc::new(Shared::new(host, handle));
        let copy = Copy::of(call, self.documents(number, call));
        let work = work(
            Arc::clone(&self.function),
            AsyncCall::new(copy, Arc::clone(&shared)),
        );
        match executor::spawn(Running::new(work, shared, Arc::clone(&self.calls))) {
            Ok(()) => verdict::PENDING,
            Err(running) => {
                running.withdraw();
                call.log(
                    Level::Error,
                    "expected a thread for asynchronous functions, got none",
                );
                verdict::FAILED
            }
        }
    }
}

/// A function on the way `W` that answers later.
pub(crate) struct Later<W, F>(PhantomData<(W, F)>);

impl<W: 'static, F: AsyncFunctionOn<W>> Entry for Later<W, F> {
    type Instance = Instance<F>;

    fn start(config: &str) -> Result<Instance<F>, String> {
        F::start(config).map(Instance::new)
    }

    fn call(instance: &Instance<F>, call: Call<'_>, number: u64) -> i32 {
        instance.begin(number, &call, |function, call| {
            Box::pin(async move {
                let mut call = Passing::new(call);
                let result = function.call(&mut call).await;
                call.into_inner().conclude(result)
            })
        })
    }
}

/// `gantry_function.event`.
pub(crate) unsafe extern "C" fn event<F: Send + Sync + 'static>(
    instance: *mut c_void,
    call: gantry_abi::Call,
    event: u32,
    detail: Str,
) {
    // SAFETY: the host stops an instance only when none of its calls runs or pends, and an event is
    // about one of those.
    let instance = unsafe { &*instance.cast::<Instance<F>>().cast_const() };
    // SAFETY: valid during this call.
    let detail = unsafe { raw::slice(detail) };
    panics::barrier(call, || instance.calls.event(call, event, detail));
}
