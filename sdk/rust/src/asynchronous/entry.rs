//! Being called by the host, for asynchronous functions: the call is copied, handed to the executor, and
//! pends.
//!
//! Invariant: an instance is stopped only after each of its calls has resumed, and its futures are gone
//! by then, so `stop` drops the author's value.
#![expect(unsafe_code, reason = "the host calls through C function pointers")]

use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use gantry_abi::{Frame, Host, Start, Str, verdict};

use super::call::{AsyncCall, AsyncRequestCall, AsyncResponseCall};
use super::copy::{Copy, Documents};
use super::executor;
use super::pending::{Calls, Running, Shared, Work};
use crate::entry::{self, call_with, start_with};
use crate::{AsyncRequestFunction, AsyncResponseFunction, Call, Level, panics, raw};

/// What the host holds for an asynchronous function.
struct Instance<F> {
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
    fn begin(&self, number: u64, call: &Call<'_>, work: fn(Arc<F>, AsyncCall) -> Work) -> i32 {
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

/// A request function's work.
pub(crate) fn run_request<F: AsyncRequestFunction>(function: Arc<F>, call: AsyncCall) -> Work {
    Box::pin(async move {
        let mut call = AsyncRequestCall(call);
        let result = function.call(&mut call).await;
        call.0.conclude(result)
    })
}

/// A response function's work.
pub(crate) fn run_response<F: AsyncResponseFunction>(function: Arc<F>, call: AsyncCall) -> Work {
    Box::pin(async move {
        let mut call = AsyncResponseCall(call);
        let result = function.call(&mut call).await;
        call.0.conclude(result)
    })
}

/// `gantry_function.start` of a request function.
pub(crate) unsafe extern "C" fn start_request<F: AsyncRequestFunction>(
    host: *const Host,
    start: *mut Start,
    instance: *mut *mut c_void,
) -> i32 {
    // SAFETY: the host passes what the contract says.
    unsafe {
        start_with(host, start, instance, |config| {
            F::start(config).map(Instance::new)
        })
    }
}

/// `gantry_function.start` of a response function.
pub(crate) unsafe extern "C" fn start_response<F: AsyncResponseFunction>(
    host: *const Host,
    start: *mut Start,
    instance: *mut *mut c_void,
) -> i32 {
    // SAFETY: the host passes what the contract says.
    unsafe {
        start_with(host, start, instance, |config| {
            F::start(config).map(Instance::new)
        })
    }
}

/// `gantry_function.call` of a request function.
pub(crate) unsafe extern "C" fn call_request<F: AsyncRequestFunction>(
    instance: *mut c_void,
    frame: *mut Frame,
) -> i32 {
    // SAFETY: the host passes an instance that `start_request::<F>` made, and a frame.
    unsafe {
        call_with::<Instance<F>>(instance, frame, |instance, call, number| {
            instance.begin(number, &call, run_request::<F>)
        })
    }
}

/// `gantry_function.call` of a response function.
pub(crate) unsafe extern "C" fn call_response<F: AsyncResponseFunction>(
    instance: *mut c_void,
    frame: *mut Frame,
) -> i32 {
    // SAFETY: the host passes an instance that `start_response::<F>` made, and a frame.
    unsafe {
        call_with::<Instance<F>>(instance, frame, |instance, call, number| {
            instance.begin(number, &call, run_response::<F>)
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

/// `gantry_function.stop`.
pub(crate) unsafe extern "C" fn stop<F>(instance: *mut c_void) {
    // SAFETY: the host gives back, once, what `start` gave it.
    unsafe { entry::stop::<Instance<F>>(instance) };
}
