//! The signals that ask a process to end stay ignored in workers, whatever libraries do to them.
//!
//! Workers take orders from their supervisor alone. A library that catches `SIGTERM` to end "gracefully",
//! as programs do, would end the worker with all its requests when a terminal or a service manager
//! signals the whole group. What a library does to other signals is its own affair or seen to elsewhere
//! ([`super::preemption`], [`super::fault`]).
#![expect(unsafe_code, reason = "dispositions are set by system calls")]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use super::cures::Cure;

/// The signals, with their names.
const GUARDED: [(i32, &str); 3] = [
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGHUP, "SIGHUP"),
];

/// Ignores the signals.
pub fn ignore_termination() {
    for (signal, _) in GUARDED {
        ignore(signal);
    }
}

/// Ignores again those that somebody did something else to, and names them.
///
/// # Errors
/// The system refuses to tell.
pub fn restore() -> io::Result<Vec<&'static str>> {
    let mut changed = Vec::new();
    if !Cure::GuardedSignals.is_on() {
        return Ok(changed);
    }
    for (signal, name) in GUARDED {
        if handler(signal)? != libc::SIG_IGN {
            ignore(signal);
            changed.push(name);
        }
    }
    Ok(changed)
}

fn ignore(signal: i32) {
    // SAFETY: `SIG_IGN` is a valid disposition; a library's handler that it replaces is just not called.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

fn handler(signal: i32) -> io::Result<libc::sighandler_t> {
    // SAFETY: all zero is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: null as the new action only asks; the old one goes to a valid place.
    match unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } {
        0 => Ok(action.sa_sigaction),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_that_was_taken_is_ignored_again_and_named() {
        ignore_termination();
        assert_eq!(restore().unwrap(), [] as [&str; 0]);
        // SAFETY: the default disposition is valid; nothing sends this process the signal meanwhile.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
        assert_eq!(restore().unwrap(), ["SIGHUP"]);
        assert_eq!(handler(libc::SIGHUP).unwrap(), libc::SIG_IGN);
    }
}
