//! Which of a process's threads go first where several want the same processor.
#![expect(
    unsafe_code,
    reason = "the standard library offers no scheduling policies"
)]

use std::io;

use super::process::threads;

/// Lets the calling thread, and those that it starts, wait for whoever runs: it is scheduled as a batch thread,
/// which takes its fair share of a processor but does not interrupt another thread when it wakes (`sched(7)`,
/// `SCHED_BATCH`).
///
/// # Errors
/// The system refuses.
pub fn stand_back() -> io::Result<()> {
    set_batch(0)
}

/// The same for all threads of this process but its first one. One that was given another policy than the
/// usual keeps it.
///
/// # Errors
/// Threads cannot be listed, or the system refuses.
pub fn let_others_stand_back() -> io::Result<()> {
    let first = std::process::id().cast_signed();
    for thread in threads()? {
        if thread != first && is_usual(thread) {
            match set_batch(thread) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => result?,
            }
        }
    }
    Ok(())
}

fn is_usual(thread: libc::pid_t) -> bool {
    // SAFETY: takes and returns numbers only.
    unsafe { libc::sched_getscheduler(thread) == libc::SCHED_OTHER }
}

/// A thread by its number; 0 is the calling one.
fn set_batch(thread: libc::pid_t) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters live until the call returns.
    match unsafe { libc::sched_setscheduler(thread, libc::SCHED_BATCH, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
