//! Watches what libraries do to the signals that matter to the whole worker: after each load, and again
//! and again, since a function may do it at any time.
//!
//! Invariant: what was undone is reported, with the library where it is known.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::context::Worker;
use super::reports::Reporter;
use crate::sys::{dispositions, preemption};

/// How often signals are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Ignores again what a library made to end the worker, and says so. `who` is for the report.
pub fn restore(reporter: &Reporter, who: &str) {
    match dispositions::restore() {
        Ok(changed) if changed.is_empty() => {}
        Ok(changed) => {
            let names = changed.join(", ");
            let text = format!(
                "{who} changed what {names} does; it is ignored again: workers end when their supervisor says so"
            );
            reporter.note("warn", "SIGNAL_TAKEN", text);
        }
        Err(error) => {
            reporter.note(
                "error",
                "SIGNAL_UNKNOWN",
                format!("look at signals: {error}"),
            );
        }
    }
}

/// Looks at signals for ever: a runtime that came up late takes part in `SIGURG` from then on.
pub async fn guard(worker: &'static Worker) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        restore(&worker.reporter, "a library");
        if let Err(error) = preemption::share() {
            let text = format!("share SIGURG: {error}");
            worker
                .reporter
                .note("error", "LIBRARY_SIGNAL_NOT_SHARED", text);
        }
    }
}
