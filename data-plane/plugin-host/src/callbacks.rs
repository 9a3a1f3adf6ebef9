//! The table of functions that every plugin gets. Each follows the plugin's pointers, finds the call
//! behind the handle, and lets `active` do the work; a panic of ours stops here.
#![expect(unsafe_code, reason = "plugins call through C function pointers")]

use std::arch::naked_asm;
use std::panic::{AssertUnwindSafe, catch_unwind};

use gantry_abi::constants::code;
use gantry_abi::{ABI_MAJOR, ABI_MINOR, Call, Fault, Host, Str, limits, rules};

use crate::logging::{LogLevel, PluginLog};
use crate::{foreign, handles, logging, pending};

/// The host's table; the same for all plugins, for as long as the process lives.
pub(crate) static HOST: Host = Host {
    #[expect(clippy::cast_possible_truncation, reason = "the table has 88 bytes")]
    size: size_of::<Host>() as u32,
    abi_major: ABI_MAJOR,
    abi_minor: ABI_MINOR,
    flags: 0,
    get: Some(get),
    next: Some(next),
    mutate: Some(mutate),
    snapshot: Some(snapshot),
    apply: Some(apply),
    log: Some(log),
    resume: Some(resume),
    body: Some(body),
    ask: Some(ask),
};

/// The most that one value may hold, whatever it is for.
const VALUE_BYTES_MAX: usize = limits::BODY_BYTES_MAX;

fn answer(run: impl FnOnce() -> Result<(), Fault>) -> i32 {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => code::OK,
        Ok(Err(fault)) => fault.code(),
        Err(_) => code::E_INTERNAL,
    }
}

unsafe extern "C" fn get(call: Call, part: u32, key: Str, out: *mut Str) -> i32 {
    answer(|| {
        // SAFETY: the contract: what a plugin passes is valid during the callback.
        let key = unsafe { foreign::bytes(key, limits::HEADER_NAME_BYTES_MAX) }?;
        handles::read(call, |active| {
            let value = Str::new(active.get(part, key)?);
            // SAFETY: the contract: a place for one string.
            unsafe { foreign::write(out, value) }
        })
    })
}

unsafe extern "C" fn next(
    call: Call,
    part: u32,
    key: Str,
    cursor: *mut u64,
    name: *mut Str,
    value: *mut Str,
) -> i32 {
    answer(|| {
        foreign::check_place(name)?;
        foreign::check_place(value)?;
        // SAFETY: the contract: what a plugin passes is valid during the callback.
        let key = unsafe { foreign::bytes(key, limits::HEADER_NAME_BYTES_MAX) }?;
        // SAFETY: the contract: a cursor that the plugin owns.
        let index = unsafe { foreign::read(cursor) }?;
        handles::read(call, |active| {
            let header = active.next(part, key, index)?;
            // SAFETY: the contract: a place for one string.
            unsafe { foreign::write(name, Str::new(header.0)) }?;
            // SAFETY: the contract: a place for one string.
            unsafe { foreign::write(value, Str::new(header.1)) }?;
            // SAFETY: read above.
            unsafe { foreign::write(cursor, index.saturating_add(1)) }
        })
    })
}

unsafe extern "C" fn mutate(call: Call, op: u32, key: Str, value: Str) -> i32 {
    answer(|| {
        // SAFETY: the contract: what a plugin passes is valid during the callback.
        let key = unsafe { foreign::bytes(key, limits::AUTH_TOKEN_BYTES_MAX) }?;
        // SAFETY: the contract: what a plugin passes is valid during the callback.
        let value = unsafe { foreign::bytes(value, VALUE_BYTES_MAX) }?;
        handles::change(call, |active| active.mutate(op, key, value))
    })
}

unsafe extern "C" fn snapshot(call: Call, parts: u64, out: *mut Str) -> i32 {
    answer(|| {
        foreign::check_place(out)?;
        handles::change(call, |active| {
            let snapshot = Str::new(active.snapshot(parts)?);
            // SAFETY: the contract: a place for one string.
            unsafe { foreign::write(out, snapshot) }
        })
    })
}

unsafe extern "C" fn apply(call: Call, mutations: Str) -> i32 {
    answer(|| {
        // SAFETY: the contract: what a plugin passes is valid during the callback.
        let mutations = unsafe { foreign::bytes(mutations, limits::MUTATIONS_BYTES_MAX) }?;
        handles::change(call, |active| active.apply_and_tell(mutations))
    })
}

/// Adds where it was called from, as a fifth argument: a line of a thread that no call belongs to says by
/// that alone which library it comes from. By both conventions, integers and the two words of a `Str` go
/// in registers one after the other (System V AMD64 ABI section 3.2.3, AAPCS64 section 6.8.2).
#[unsafe(naked)]
unsafe extern "C" fn log(call: Call, level: u32, message: Str) -> i32 {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("mov r8, [rsp]", "jmp {log_from}", log_from = sym log_from);
    #[cfg(target_arch = "aarch64")]
    naked_asm!("mov x4, x30", "b {log_from}", log_from = sym log_from);
}

unsafe extern "C" fn log_from(call: Call, level: u32, message: Str, logged_at: u64) -> i32 {
    answer(|| {
        let level = LogLevel::from_number(level).ok_or(Fault::Unknown)?;
        // One byte beyond the limit is enough to cut at a character.
        let len = message.len.min(limits::LOG_MESSAGE_BYTES_MAX + 1);
        // SAFETY: the contract: what a plugin passes is valid during the callback; the beginning of
        // it is, too.
        let message = unsafe { foreign::bytes(Str { len, ..message }, len) }?;
        let message = String::from_utf8_lossy(rules::cut_message(message));
        let line = PluginLog {
            level,
            message: &message,
            origin: None,
            logged_at: Some(logged_at),
        };
        if call == 0 {
            logging::write(&line);
            return Ok(());
        }
        let written = handles::read(call, |active| {
            logging::write(&PluginLog {
                origin: Some(active.origin()),
                logged_at: None,
                ..line
            });
            Ok(())
        });
        if written.is_ok() {
            return Ok(());
        }
        match pending::find(call) {
            Ok(record) => {
                logging::write(&PluginLog {
                    origin: Some(record.origin()),
                    logged_at: None,
                    ..line
                });
                Ok(())
            }
            // What a plugin says about a call that is over is still worth reading.
            Err(fault) => {
                logging::write(&line);
                Err(fault)
            }
        }
    })
}

unsafe extern "C" fn resume(call: Call, verdict: i32, mutations: Str) -> i32 {
    answer(|| {
        pending::resume(call, verdict, || {
            // SAFETY: the contract: what a plugin passes is valid during the callback.
            let bytes = unsafe { foreign::bytes(mutations, limits::RESUME_BYTES_MAX) }?;
            Ok(bytes.to_vec())
        })
    })
}

unsafe extern "C" fn ask(call: Call, part: u32) -> i32 {
    answer(|| pending::find(call)?.ask(part))
}

unsafe extern "C" fn body(call: Call, part: u32, offset: u64, chunk: *mut Str) -> i32 {
    answer(|| {
        handles::read(call, |active| {
            let rest = Str::new(active.body_from(part, offset)?);
            // SAFETY: the contract: a place for one string.
            unsafe { foreign::write(chunk, rest) }
        })
    })
}
