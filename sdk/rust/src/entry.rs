//! Being called by the host: the C functions behind every function of a plugin.
//!
//! Invariant: no panic leaves here, and an instance is a `Box` that `start` gave away and only `stop`
//! takes back.
#![expect(unsafe_code, reason = "the host calls through C function pointers")]

use std::ffi::c_void;

use gantry_abi::constants::code;
use gantry_abi::{Frame, Host, Start, hook, verdict};

use crate::raw::{self, Gate};
use crate::{
    Call, Failure, Hook, Level, Outcome, RequestCall, RequestFunction, ResponseCall,
    ResponseFunction, panics,
};

/// `gantry_function.start` of a request function.
pub(crate) unsafe extern "C" fn start_request<F: RequestFunction>(
    host: *const Host,
    start: *mut Start,
    instance: *mut *mut c_void,
) -> i32 {
    // SAFETY: the host passes what the contract says.
    unsafe { start_with(host, start, instance, F::start) }
}

/// `gantry_function.start` of a response function.
pub(crate) unsafe extern "C" fn start_response<F: ResponseFunction>(
    host: *const Host,
    start: *mut Start,
    instance: *mut *mut c_void,
) -> i32 {
    // SAFETY: the host passes what the contract says.
    unsafe { start_with(host, start, instance, F::start) }
}

/// `gantry_function.call` of a request function.
pub(crate) unsafe extern "C" fn call_request<F: RequestFunction>(
    instance: *mut c_void,
    frame: *mut Frame,
) -> i32 {
    // SAFETY: the host passes an instance that `start_request::<F>` made, and a frame.
    unsafe {
        call_with::<F>(instance, frame, |function, call, _| {
            let mut call = RequestCall::new(call);
            let result = function.call(&mut call);
            conclude(call.into_inner(), result)
        })
    }
}

/// `gantry_function.call` of a response function.
pub(crate) unsafe extern "C" fn call_response<F: ResponseFunction>(
    instance: *mut c_void,
    frame: *mut Frame,
) -> i32 {
    // SAFETY: the host passes an instance that `start_response::<F>` made, and a frame.
    unsafe {
        call_with::<F>(instance, frame, |function, call, _| {
            let mut call = ResponseCall::new(call);
            let result = function.call(&mut call);
            conclude(call.into_inner(), result)
        })
    }
}

/// `gantry_function.stop`.
pub(crate) unsafe extern "C" fn stop<F>(instance: *mut c_void) {
    // SAFETY: the host gives back, once, what `start` gave it.
    let instance = unsafe { Box::from_raw(instance.cast::<F>()) };
    panics::barrier(0, || drop(instance));
}

/// The verdict behind a function's result; sets the answer if there is one.
pub(crate) fn conclude(mut call: Call<'_>, result: Result<Outcome, Failure>) -> i32 {
    let concluded = result.and_then(|outcome| match outcome {
        Outcome::Continue => Ok(verdict::CONTINUE),
        Outcome::Answer(answer) => Ok(answer.send(&mut call).map(|()| verdict::RESPOND)?),
    });
    concluded.unwrap_or_else(|failure| {
        call.log(Level::Error, failure.message());
        verdict::FAILED
    })
}

/// # Safety
/// The arguments are those of `gantry_function.start`.
pub(crate) unsafe fn start_with<F>(
    host: *const Host,
    start: *mut Start,
    instance: *mut *mut c_void,
    make: fn(&str) -> Result<F, String>,
) -> i32 {
    // SAFETY: the host's table lives as long as the process.
    let Some(host) = (unsafe { raw::host_table(host) }) else {
        return code::E_UNSUPPORTED;
    };
    panics::install_hook(host);
    // SAFETY: valid during `start`, and nobody else touches it.
    let start = unsafe { &mut *start };
    // SAFETY: the configuration is valid during `start`.
    let config = unsafe { raw::slice(start.config) };
    let made = match std::str::from_utf8(config) {
        Ok(config) => panics::barrier(0, || make(config)),
        Err(_) => Some(Err("the configuration is not UTF-8".to_owned())),
    };
    match made {
        Some(Ok(function)) => {
            // SAFETY: the host gives a place for one pointer.
            unsafe { instance.write(Box::into_raw(Box::new(function)).cast()) };
            code::OK
        }
        Some(Err(reason)) => refuse(start, &reason, verdict::FAILED),
        None => refuse(start, "start panicked", verdict::PANICKED),
    }
}

fn refuse(start: &mut Start, reason: &str, code: i32) -> i32 {
    let len = reason.floor_char_boundary(start.error_cap);
    if !start.error.is_null() {
        // SAFETY: the host gives `error_cap` bytes at `error`, and `len` is not more.
        unsafe { start.error.copy_from_nonoverlapping(reason.as_ptr(), len) };
        start.error_len = len;
    }
    code
}

/// Runs a call; `run` gets the number of the API definition, too.
///
/// # Safety
/// `instance` came from `start_with::<F>`; `frame` is that of a call.
pub(crate) unsafe fn call_with<F>(
    instance: *mut c_void,
    frame: *mut Frame,
    run: impl FnOnce(&F, Call<'_>, u64) -> i32,
) -> i32 {
    // SAFETY: the host stops an instance only when no call of it runs.
    let function = unsafe { &*instance.cast::<F>().cast_const() };
    // SAFETY: the frame is valid during the call; this SDK only reads it.
    let frame = unsafe { &*frame.cast_const() };
    // SAFETY: the host's table lives as long as the process.
    let Some(host) = (unsafe { raw::host_table(frame.host) }) else {
        return verdict::FAILED;
    };
    let hook = match frame.hook {
        hook::PRE => Hook::Pre,
        hook::AUTH => Hook::Auth,
        hook::POST_AUTH => Hook::PostAuth,
        hook::POST => Hook::Post,
        hook::RESPONSE => Hook::Response,
        _ => return verdict::FAILED,
    };
    let (call, number) = (frame.call, frame.definition);
    panics::barrier(call, || {
        run(function, Call::new(Gate::new(host, call), hook), number)
    })
    .unwrap_or(verdict::PANICKED)
}
