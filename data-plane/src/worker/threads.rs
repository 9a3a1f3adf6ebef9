//! Lets the runtime's thread go before all others of the worker. It serves every request, and what plugins'
//! threads do (handlers on goroutines, garbage collection, a runtime's own watching) is in no hurry compared
//! with that: a thread that is woken for one call and takes the processor at once costs two switches for each
//! call, one that waits until the runtime waits, too, finds all calls that have come meanwhile.
//!
//! Threads inherit it. Libraries are opened on a thread that stands back, so those that they start there do;
//! those that they start in calls are found by looking again and again.
//!
//! And lets threads that run functions be interrupted again and again, which runtimes of libraries rely on.

use std::io;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::reports::Reporter;
use crate::sys::{preemption, scheduling};

/// How often threads are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Lets the calling thread stand back, and those that it starts.
pub fn stand_back(reporter: &Reporter) {
    report(reporter, scheduling::stand_back());
}

/// Looks at threads until the system refuses, which it would do each time.
pub async fn keep_back(reporter: Reporter) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(result) = spawn_blocking(scheduling::let_others_stand_back).await else {
            return;
        };
        if result.is_err() {
            return report(&reporter, result);
        }
    }
}

/// Lets runtimes of libraries interrupt the calling thread also when a signal of theirs was lost.
pub fn stay_interruptible(reporter: &Reporter) {
    if let Err(error) = preemption::repeat() {
        let text = format!(
            "repeat SIGURG: {error}; a loop of a Go function may keep its garbage from being collected"
        );
        reporter.note("warn", "SIGNAL_NOT_REPEATED", text);
    }
}

fn report(reporter: &Reporter, result: io::Result<()>) {
    if let Err(error) = result {
        let text = format!("let threads of plugins stand back: {error}; calls cost more");
        reporter.note("warn", "THREADS_NOT_SCHEDULED", text);
    }
}
