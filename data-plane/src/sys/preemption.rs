//! One signal for several runtimes: hands `SIGURG` to every handler that libraries have installed.
//!
//! Go interrupts loops by sending `SIGURG` to its own threads. A Go runtime that starts in a library
//! takes the handler's place and hands on nothing, so of several runtimes in a process only the last one
//! could still interrupt its loops: in the others a loop without calls would hold up their garbage
//! collector, and with it every request that enters them. A handler that gets a signal meant for another
//! runtime does nothing with it; Go does not promise that, so the end-to-end tests count it.
//!
//! Invariant: what is in `HANDLERS` below `COUNT` is a handler that was installed with `SA_SIGINFO` by a
//! library, and libraries are never unloaded.
#![expect(
    unsafe_code,
    reason = "signal handlers are installed and run by the system"
)]

use std::cell::Cell;
use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::cures::Cure;

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Handlers, at most. The static thread-local storage that workers are started with ends before.
const HANDLERS_MAX: usize = 1024;

static HANDLERS: [AtomicUsize; HANDLERS_MAX] = [const { AtomicUsize::new(0) }; HANDLERS_MAX];
static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread is in the handlers. Without a destructor, so that a handler may look at it.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Notes the handler that a library may just have installed, and puts in its place one that calls all
/// those noted so far. To be called after each load of a library. A handler of another form, and one
/// beyond 1024, is left in place.
///
/// # Errors
/// The system refuses.
pub fn share() -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let current = exchange(None)?;
    let handler = current.sa_sigaction;
    let is_handler = ![libc::SIG_DFL, libc::SIG_IGN, hand_out as *const () as usize]
        .contains(&handler)
        && current.sa_flags & libc::SA_SIGINFO != 0;
    let count = COUNT.load(Ordering::Relaxed);
    // Counted, and left alone, in tests that show what it is good for.
    let is_applied = Cure::SharedPreemption.is_on();
    if !is_handler || count == HANDLERS_MAX {
        return Ok(());
    }
    let is_known = HANDLERS[..count]
        .iter()
        .any(|known| known.load(Ordering::Relaxed) == handler);
    if !is_known {
        HANDLERS[count].store(handler, Ordering::Relaxed);
        // Whoever sees the count sees the handler.
        COUNT.store(count + 1, Ordering::Release);
    }
    if !is_applied {
        return Ok(());
    }
    let mut action = current;
    action.sa_sigaction = hand_out as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    exchange(Some(&action)).map(drop)
}

/// How many handlers were noted so far: as many Go runtimes are in this process, each of which brings
/// its own.
pub fn runtimes() -> usize {
    COUNT.load(Ordering::Acquire)
}

extern "C" fn hand_out(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // A runtime that is not up yet hands the signal back to whom it replaced, which is us.
    if INSIDE.replace(true) {
        return;
    }
    for handler in &HANDLERS[..COUNT.load(Ordering::Acquire)] {
        // SAFETY: by the invariant of this module, it is a function of this type.
        let handler: Handler = unsafe { mem::transmute(handler.load(Ordering::Relaxed)) };
        handler(signal, info, context);
    }
    INSIDE.set(false);
}

/// Gives the action of the signal, and replaces it if there is a new one.
fn exchange(new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    // SAFETY: all zero is a valid `sigaction`.
    let mut earlier: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the new action is null, which only asks, or names `hand_out`; the old one has a place.
    match unsafe { libc::sigaction(libc::SIGURG, new, &raw mut earlier) } {
        0 => Ok(earlier),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FIRST: AtomicUsize = AtomicUsize::new(0);
    static SECOND: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn first(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        FIRST.fetch_add(1, Ordering::Relaxed);
        // As a runtime that hands back would.
        hand_out(signal, info, context);
    }

    extern "C" fn second(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        SECOND.fetch_add(1, Ordering::Relaxed);
    }

    fn install(handler: Handler) {
        let mut action = exchange(None).unwrap();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        exchange(Some(&action)).unwrap();
        share().unwrap();
    }

    #[test]
    fn signal_reaches_each_handler_once_however_often_they_were_installed() {
        share().unwrap();
        for handler in [first as Handler, second, first] {
            install(handler);
        }
        share().unwrap();
        // SAFETY: async-signal-safe, without preconditions.
        unsafe { libc::raise(libc::SIGURG) };
        let counts = [&FIRST, &SECOND].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [1, 1]);
    }
}
