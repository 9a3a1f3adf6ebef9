//! The handler of fatal signals: notes where the process was, and lets it die.
//!
//! A process whose native code faulted cannot be trusted with another request (locks may be held, the
//! heap may be damaged), so nothing is caught here. The handler writes signal, instruction and thread
//! into the slot's memory for the supervisor, and lets the signal strike again: a fault under the
//! earlier disposition, which is the standard library's and tells a stack overflow from other faults
//! before it dies; a signal that was sent under the default one, since the standard library's handler
//! would take it for the last and go on.
#![expect(
    unsafe_code,
    reason = "signal handlers are installed and run by the system"
)]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

use super::slot::SlotMemory;

/// Signals that end a process because of what its code did.
const FATAL: [i32; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
];

static MEMORY: OnceLock<&'static SlotMemory> = OnceLock::new();
static EARLIER: OnceLock<[libc::sigaction; FATAL.len()]> = OnceLock::new();

/// Installs the handler for the whole process, once. Without memory it notes nothing, and still sees to
/// it that the process dies.
///
/// # Errors
/// The system refuses, or it was installed before.
pub fn install(memory: Option<&'static SlotMemory>) -> io::Result<()> {
    let mut earlier = [default_action(); FATAL.len()];
    for (signal, earlier) in FATAL.into_iter().zip(&mut earlier) {
        *earlier = action_of(signal)?;
    }
    // The handler may run as soon as it is installed, and needs to know all this then.
    if EARLIER.set(earlier).is_err() {
        return Err(io::Error::other("the fault handler is installed already"));
    }
    if let Some(memory) = memory {
        let _ = MEMORY.set(memory);
    }
    let mut action = default_action();
    action.sa_sigaction = on_fatal as *const () as usize;
    // On the alternate stack, since the thread's own may be what overflowed.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    FATAL
        .into_iter()
        .try_for_each(|signal| set_action(signal, &action))
}

extern "C" fn on_fatal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if let Some(memory) = MEMORY.get() {
        memory.note_fault(signal, instruction(context));
    }
    let place = FATAL.iter().position(|each| *each == signal);
    let earlier = EARLIER
        .get()
        .zip(place)
        .map(|(earlier, place)| earlier[place]);
    // A fault strikes again when its instruction runs again. What was sent does not.
    let sent = was_sent(info);
    let next = earlier.filter(|_| !sent).unwrap_or_else(default_action);
    if set_action(signal, &next).is_err() || sent {
        // Blocked until this handler returns.
        // SAFETY: async-signal-safe, without preconditions.
        unsafe { libc::raise(signal) };
    }
}

/// Whether a process sent the signal, in contrast to an instruction that faulted.
fn was_sent(info: *mut libc::siginfo_t) -> bool {
    // SAFETY: the kernel passes a valid pointer or null to a handler with `SA_SIGINFO`.
    unsafe { info.as_ref() }.is_none_or(|info| info.si_code <= 0)
}

/// Where the thread was when the signal came.
fn instruction(context: *mut libc::c_void) -> u64 {
    // SAFETY: the kernel passes a valid pointer to the interrupted context, or a caller null.
    let Some(context) = (unsafe { context.cast::<libc::ucontext_t>().as_ref() }) else {
        return 0;
    };
    #[cfg(target_arch = "x86_64")]
    let instruction = context.uc_mcontext.gregs[libc::REG_RIP as usize].cast_unsigned();
    #[cfg(target_arch = "aarch64")]
    let instruction = context.uc_mcontext.pc;
    instruction
}

fn action_of(signal: i32) -> io::Result<libc::sigaction> {
    let mut action = default_action();
    // SAFETY: null as the new action only asks; the old one goes to a valid place.
    match unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } {
        0 => Ok(action),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_action(signal: i32, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: the action is valid; what it names is the default, `on_fatal`, or what was there before.
    match unsafe { libc::sigaction(signal, action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn default_action() -> libc::sigaction {
    // SAFETY: all zero is a valid `sigaction`: the default disposition, no flags, an empty mask.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
