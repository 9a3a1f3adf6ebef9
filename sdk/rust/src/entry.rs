//! Being called by the host: the C functions behind every function of a plugin.
//!
//! Invariant: no panic leaves here, and an instance is a `Box` that `start` gave away and only `stop`
//! takes back.
#![expect(unsafe_code, reason = "the host calls through C function pointers")]

use std::ffi::c_void;
use std::marker::PhantomData;

use gantry_abi::constants::code;
use gantry_abi::{Frame, Host, Start, verdict};

use crate::function::FunctionOn;
use crate::raw::{self, Gate};
use crate::{Answer, Call, Failure, Hook, Level, Outcome, Passing, panics};

/// A function as the host calls it.
pub(crate) trait Entry {
    /// What `start` makes and the host holds until `stop`.
    type Instance;

    /// Makes an instance, or says why not.
    fn start(config: &str) -> Result<Self::Instance, String>;

    /// Runs or begins a call and gives its verdict; `number` is that of the API definition.
    fn call(instance: &Self::Instance, call: Call<'_>, number: u64) -> i32;
}

/// A function on the way `W` that runs at once.
pub(crate) struct AtOnce<W, F>(PhantomData<(W, F)>);

impl<W, F: FunctionOn<W>> Entry for AtOnce<W, F> {
    type Instance = F;

    fn start(config: &str) -> Result<F, String> {
        F::start(config)
    }

    fn call(function: &F, call: Call<'_>, _number: u64) -> i32 {
        let mut call = Passing::new(call);
        let result = function.call(&mut call);
        conclude(call.into_inner(), result)
    }
}

/// `gantry_function.start`.
pub(crate) unsafe extern "C" fn start<E: Entry>(
    host: *const Host,
    start: *mut Start,
    instance: *mut *mut c_void,
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
        Ok(config) => panics::barrier(0, || E::start(config)),
        Err(_) => Some(Err("the configuration is not UTF-8".to_owned())),
    };
    match made {
        Some(Ok(made)) => {
            // SAFETY: the host gives a place for one pointer.
            unsafe { instance.write(Box::into_raw(Box::new(made)).cast()) };
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

/// `gantry_function.call`.
pub(crate) unsafe extern "C" fn call<E: Entry>(instance: *mut c_void, frame: *mut Frame) -> i32 {
    // SAFETY: the host passes an instance that `start::<E>` made, and stops it only when no call of it
    // runs.
    let instance = unsafe { &*instance.cast::<E::Instance>().cast_const() };
    // SAFETY: the frame is valid during the call; this SDK only reads it.
    let frame = unsafe { &*frame.cast_const() };
    // SAFETY: the host's table lives as long as the process.
    let Some(host) = (unsafe { raw::host_table(frame.host) }) else {
        return verdict::FAILED;
    };
    let Some(hook) = Hook::from_number(frame.hook) else {
        return verdict::FAILED;
    };
    let (call, number) = (frame.call, frame.definition);
    panics::barrier(call, || {
        E::call(instance, Call::new(Gate::new(host, call), hook), number)
    })
    .unwrap_or(verdict::PANICKED)
}

/// `gantry_function.stop`.
pub(crate) unsafe extern "C" fn stop<E: Entry>(instance: *mut c_void) {
    // SAFETY: the host gives back, once, what `start::<E>` gave it.
    let instance = unsafe { Box::from_raw(instance.cast::<E::Instance>()) };
    panics::barrier(0, || drop(instance));
}

/// The verdict behind a function's result; sets the answer if there is one.
#[expect(
    clippy::inline_always,
    reason = "most calls continue, and that costs a few instructions where the result is known"
)]
#[inline(always)]
pub(crate) fn conclude(call: Call<'_>, result: Result<Outcome, Failure>) -> i32 {
    match result {
        Ok(Outcome::Continue) => verdict::CONTINUE,
        Ok(Outcome::Answer(answer)) => answered(call, &answer),
        Err(failure) => failed(&call, &failure),
    }
}

#[inline(never)]
fn answered(mut call: Call<'_>, answer: &Answer) -> i32 {
    match answer.send(&mut call) {
        Ok(()) => verdict::RESPOND,
        Err(refusal) => failed(&call, &refusal.into()),
    }
}

#[cold]
fn failed(call: &Call<'_>, failure: &Failure) -> i32 {
    call.log(Level::Error, failure.message());
    verdict::FAILED
}
