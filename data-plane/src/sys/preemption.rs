//! One signal for several runtimes: hands `SIGURG` to every handler that libraries have installed.
//!
//! Go interrupts loops by sending `SIGURG` to its own threads. A Go runtime that starts in a library
//! takes the handler's place and hands on nothing, so of several runtimes in a process only the last one
//! could still interrupt its loops: in the others a loop without calls would hold up their garbage
//! collector, and with it every request that enters them. A handler that gets a signal meant for another
//! runtime does nothing with it; Go does not promise that, so the end-to-end tests count it.
//!
//! A runtime sends a thread one signal and no second one before the first was handled. So a signal that is
//! lost leaves that thread without interruptions for ever. Two ways to lose one are known: another runtime has
//! just taken the handler's place, or the signal reaches a thread of ours right after it left Go (Go's
//! `sigtrampgo` then returns without the acknowledgement). Against the first, all threads get a signal after
//! each change of the handler; against the second, threads of ours that run functions get one again and again.
//! One that nobody waits for does nothing.
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
use std::time::Duration;

use super::cures::Cure;
use super::process::threads;

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Handlers, at most. The static thread-local storage that workers are started with ends before.
const HANDLERS_MAX: usize = 1024;

static HANDLERS: [AtomicUsize; HANDLERS_MAX] = [const { AtomicUsize::new(0) }; HANDLERS_MAX];
static COUNT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread is in the handlers. Without a destructor, so that a handler may look at it.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Processor time of a thread between two signals of [`repeat`]: as long as Go lets a loop run.
const REPEAT_EVERY: Duration = Duration::from_millis(10);

/// Notes the handler that a library may just have installed, and puts in its place one that calls all
/// those noted so far. To be called after each load of a library. A handler of another form, and one
/// beyond 1024, is left in place; one that a library removed is put back.
///
/// # Errors
/// The system refuses.
pub fn share() -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let current = exchange(None)?;
    let handler = current.sa_sigaction;
    let is_removed = [libc::SIG_DFL, libc::SIG_IGN].contains(&handler);
    let is_of_a_runtime = !is_removed && current.sa_flags & libc::SA_SIGINFO != 0;
    if handler == hand_out as *const () as usize || is_of_a_runtime && !note(handler) {
        return Ok(());
    }
    // Counted, and left alone, in tests that show what it is good for.
    let is_ours = is_of_a_runtime || is_removed && runtimes() > 0;
    if !is_ours || !Cure::SharedPreemption.is_on() {
        return Ok(());
    }
    let mut action = current;
    action.sa_sigaction = hand_out as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // As handlers of Go expect it.
    // SAFETY: the set is a local of the right type.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    exchange(Some(&action))?;
    signal_threads()
}

/// Whether there is room for the handler, or it is known.
fn note(handler: usize) -> bool {
    let count = COUNT.load(Ordering::Relaxed);
    let is_known = HANDLERS[..count]
        .iter()
        .any(|known| known.load(Ordering::Relaxed) == handler);
    if !is_known && count < HANDLERS_MAX {
        HANDLERS[count].store(handler, Ordering::Relaxed);
        // Whoever sees the count sees the handler.
        COUNT.store(count + 1, Ordering::Release);
    }
    is_known || count < HANDLERS_MAX
}

/// Signals each thread of this process once.
fn signal_threads() -> io::Result<()> {
    let process = std::process::id().cast_signed();
    for thread in threads()? {
        // SAFETY: takes numbers only; the signal has a handler.
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGURG) };
        let error = io::Error::last_os_error();
        // One may have ended meanwhile.
        if sent != 0 && error.raw_os_error() != Some(libc::ESRCH) {
            return Err(error);
        }
    }
    Ok(())
}

/// Signals the calling thread again and again from now on, whenever it used ten more milliseconds of a
/// processor; never while it waits.
///
/// # Errors
/// The system gives no timer.
pub fn repeat() -> io::Result<()> {
    if !Cure::RepeatedPreemption.is_on() {
        return Ok(());
    }
    // SAFETY: all zero is a valid `sigevent`.
    let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = libc::SIGURG;
    // SAFETY: without preconditions.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    let mut timer: libc::timer_t = ptr::null_mut();
    let clock = libc::CLOCK_THREAD_CPUTIME_ID;
    // SAFETY: the event and the place for the timer live until the call returns.
    if unsafe { libc::timer_create(clock, &raw mut event, &raw mut timer) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let every = libc::timespec {
        tv_sec: 0,
        tv_nsec: REPEAT_EVERY.subsec_nanos().into(),
    };
    let setting = libc::itimerspec {
        it_interval: every,
        it_value: every,
    };
    // SAFETY: the timer was just made, and the setting lives until the call returns. The timer ends with the
    // process; with its thread its clock stands still.
    match unsafe { libc::timer_settime(timer, 0, &raw const setting, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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
    use std::sync::MutexGuard;

    use super::*;

    thread_local! {
        /// Signals that this thread got, by handler.
        static COUNTS: [Cell<usize>; 2] = const { [Cell::new(0), Cell::new(0)] };
    }

    fn count(handler: usize) {
        COUNTS.with(|counts| counts[handler].update(|count| count + 1));
    }

    fn counts() -> [usize; 2] {
        COUNTS.with(|counts| [counts[0].get(), counts[1].get()])
    }

    extern "C" fn first(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        count(0);
        // As a runtime that hands back would.
        hand_out(signal, info, context);
    }

    extern "C" fn second(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
        count(1);
    }

    /// The action is the process's, and tests are threads.
    fn turn() -> MutexGuard<'static, ()> {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn install(handler: usize) {
        let mut action = exchange(None).unwrap();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO;
        exchange(Some(&action)).unwrap();
        share().unwrap();
    }

    #[test]
    fn signal_reaches_each_handler_once_however_often_they_were_installed() {
        let _turn = turn();
        let [first, second] = [first as Handler, second].map(|handler| handler as usize);
        for handler in [first, second, first] {
            install(handler);
        }
        let before = counts();
        share().unwrap();
        // SAFETY: async-signal-safe, without preconditions.
        unsafe { libc::raise(libc::SIGURG) };
        assert_eq!(counts(), before.map(|count| count + 1));
    }

    #[test]
    fn handler_that_a_library_removed_is_put_back_and_each_thread_is_signalled() {
        let _turn = turn();
        install(second as Handler as usize);
        let [_, before] = counts();
        install(libc::SIG_IGN);
        assert_eq!(counts()[1], before + 1);
        share().unwrap();
        assert_eq!(counts()[1], before + 1, "nothing changed");
    }

    #[test]
    fn thread_that_computes_is_signalled_again_and_again() {
        let _turn = turn();
        install(second as Handler as usize);
        let thread = std::thread::spawn(|| {
            repeat().unwrap();
            while counts()[1] < 3 {
                std::hint::spin_loop();
            }
        });
        thread.join().unwrap();
    }
}
