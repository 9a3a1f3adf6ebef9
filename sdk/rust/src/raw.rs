//! Calling the host: the one place that passes pointers to it and believes those that come back.
//!
//! Invariant: a [`Gate`] exists only between the entry of a call and its return, and borrows from
//! it; slices from the host are given out for no longer than a borrow of the gate, and `mutate` needs
//! the gate mutably.
#![expect(
    unsafe_code,
    reason = "the host is reached through C function pointers"
)]

use std::marker::PhantomData;

use gantry_abi::{Fault, Host, Str};

/// The way from one call to the host.
pub(crate) struct Gate<'a> {
    host: &'static Host,
    call: gantry_abi::Call,
    /// Handles belong to the thread that runs the call, so a gate must stay on it, and live no longer.
    _this_call: PhantomData<(&'a (), *const ())>,
}

impl Gate<'_> {
    pub(crate) const fn new(host: &'static Host, call: gantry_abi::Call) -> Self {
        Self {
            host,
            call,
            _this_call: PhantomData,
        }
    }

    pub(crate) fn get(&self, part: u32, key: &[u8]) -> Result<&[u8], Fault> {
        let get = self.host.get.ok_or(Fault::Unsupported)?;
        let mut out = Str::EMPTY;
        // SAFETY: `key` and `out` are valid during the callback; the host keeps neither.
        let code = unsafe { get(self.call, part, Str::new(key), &raw mut out) };
        succeeded(code)?;
        // SAFETY: the host gave these bytes; they live until the next change of this call, which
        // needs `&mut self`.
        Ok(unsafe { slice(out) })
    }

    pub(crate) fn next(&self, part: u32, key: &[u8], cursor: &mut u64) -> Option<(&[u8], &[u8])> {
        let next = self.host.next?;
        let (mut name, mut value) = (Str::EMPTY, Str::EMPTY);
        // SAFETY: all pointers are valid during the callback; the host keeps none.
        let code = unsafe {
            next(
                self.call,
                part,
                Str::new(key),
                cursor,
                &raw mut name,
                &raw mut value,
            )
        };
        succeeded(code).ok()?;
        // SAFETY: as in `get`.
        let name = unsafe { slice(name) };
        // SAFETY: as in `get`.
        let value = unsafe { slice(value) };
        Some((name, value))
    }

    pub(crate) fn mutate(&mut self, op: u32, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let mutate = self.host.mutate.ok_or(Fault::Unsupported)?;
        // SAFETY: `key` and `value` are valid during the callback; the host copies what it keeps.
        succeeded(unsafe { mutate(self.call, op, Str::new(key), Str::new(value)) })
    }

    pub(crate) fn log(&self, level: u32, message: &str) {
        log(self.host, self.call, level, message);
    }

    pub(crate) const fn origin(&self) -> (&'static Host, gantry_abi::Call) {
        (self.host, self.call)
    }
}

/// Ends a call that pends, from any thread. That the host does not take it (the call is gone) is nothing
/// a plugin could act on.
pub(crate) fn resume(host: &Host, call: gantry_abi::Call, verdict: i32, mutations: &[u8]) {
    if let Some(resume) = host.resume {
        // SAFETY: `mutations` is valid during the callback; the host copies what it keeps.
        let _ = unsafe { resume(call, verdict, Str::new(mutations)) };
    }
}

/// Asks for the body of a call that pends or is about to, from any thread.
pub(crate) fn ask(host: &Host, call: gantry_abi::Call, part: u32) -> Result<(), Fault> {
    let ask = host.ask.ok_or(Fault::Unsupported)?;
    // SAFETY: nothing is passed but numbers.
    succeeded(unsafe { ask(call, part) })
}

/// Writes a log line; for call 0 from any thread.
pub(crate) fn log(host: &Host, call: gantry_abi::Call, level: u32, message: &str) {
    if let Some(log) = host.log {
        // SAFETY: `message` is valid during the callback. That a line cannot be written is nothing a
        // plugin could act on.
        let _ = unsafe { log(call, level, Str::new(message.as_bytes())) };
    }
}

/// The host's table, if it covers what this SDK calls.
///
/// # Safety
/// `host` is null or points at a host's table, which lives as long as the process.
pub(crate) unsafe fn host_table(host: *const Host) -> Option<&'static Host> {
    if host.is_null() {
        return None;
    }
    // SAFETY: the size comes first in every version of the table.
    let size = unsafe { host.cast::<u32>().read() };
    // SAFETY: a table of at least this size has all fields of this version.
    (size as usize >= size_of::<Host>()).then(|| unsafe { &*host })
}

/// The bytes behind a string of the host.
///
/// # Safety
/// `text` is empty or valid for `'a`.
pub(crate) unsafe fn slice<'a>(text: Str) -> &'a [u8] {
    if text.ptr.is_null() || text.len == 0 {
        return &[];
    }
    // SAFETY: upheld by the caller.
    unsafe { std::slice::from_raw_parts(text.ptr, text.len) }
}

fn succeeded(code: i32) -> Result<(), Fault> {
    Fault::from_code(code).map_or(Ok(()), Err)
}
