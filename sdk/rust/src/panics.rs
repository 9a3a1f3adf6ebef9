//! The panic barrier: a panic of plugin code ends the call it happened in, is logged through the
//! host with its place, and goes no further.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Once, OnceLock};

use gantry_abi::{Host, level};

use crate::raw;

static HOST: OnceLock<&'static Host> = OnceLock::new();

thread_local! {
    static CURRENT: Cell<gantry_abi::Call> = const { Cell::new(0) };
}

/// Makes panics log through the host. A library has its own copy of the standard library, so this
/// hook is the plugin's alone.
pub(crate) fn install_hook(host: &'static Host) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Only this function sets it, once.
        let _ = HOST.set(host);
        std::panic::set_hook(Box::new(log_panic));
    });
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let Some(host) = HOST.get() else { return };
    let message = text(info.payload());
    let place = info
        .location()
        .map(|at| format!(" at {at}"))
        .unwrap_or_default();
    let call = CURRENT.try_with(Cell::get).unwrap_or(0);
    raw::log(
        host,
        call,
        level::ERROR,
        &format!("panicked{place}: {message}"),
    );
}

fn text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text")
}

/// Runs plugin code for a call (0 outside of calls); `None` if it panicked.
pub(crate) fn barrier<T>(call: gantry_abi::Call, run: impl FnOnce() -> T) -> Option<T> {
    let previous = CURRENT.replace(call);
    // Instances are shared between threads anyway, so authors already keep what a panic can leave
    // half-done behind locks that poison, or in atomics.
    let result = catch_unwind(AssertUnwindSafe(run));
    CURRENT.set(previous);
    result.map_err(discard).ok()
}

/// Drops a panic's payload, whose own drop may panic.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("while dropping the payload");
        }
    }

    #[test]
    fn barrier_contains_a_panic_and_a_payload_that_panics() {
        assert_eq!(barrier(1, || 5), Some(5));
        assert_eq!(barrier(1, || panic!("contained")), None::<()>);
        assert_eq!(barrier(1, || std::panic::panic_any(Bomb)), None::<()>);
        assert_eq!(CURRENT.get(), 0);
    }
}
