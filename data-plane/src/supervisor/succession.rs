//! One worker takes over from another: the new one starts on standby, is brought to where the old one
//! is, then accepts the slot's connections while the old one drains.
//!
//! Invariants: of all slots, one at a time replaces its worker, from the start of the new one to the
//! end of the old one. A new one that is worse off than the old one never accepts a connection. The old
//! one gets generations and keys to its end, and no generation is in effect before it is there too.

use std::future::pending;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::departure::EXIT_TIMEOUT;
use super::exclusion::Exclusions;
use super::generation::Effective;
use super::pool::{Desired, Retiring};
use super::replacement::{Reason, due, resident_bytes};
use super::slot::Slot;
use super::worker::Worker;
use crate::protocol::{ApiFailure, Order, Report};

/// Time for a new worker to be where the old one is.
const STARTING_MAX: Duration = Duration::from_mins(2);
/// Time for the kernel to end a process that was killed, before that is asked again.
const KILLING: Duration = Duration::from_secs(10);

/// The second worker of a slot.
pub(super) struct Other {
    pub(super) worker: Worker,
    stage: Stage,
    /// When it is killed.
    until: Instant,
    /// Given back when the second worker is gone.
    turn: OwnedSemaphorePermit,
}

/// What a second worker is there for.
#[derive(Clone, Copy)]
enum Stage {
    /// To take over, because of this.
    Starting(Reason),
    /// To finish what it had begun when another took over, because of this.
    Retiring(Reason),
}

/// What a second worker does.
pub(super) enum OtherEvent {
    Said(Report),
    HungUp(String),
    Exited(io::Result<ExitStatus>),
    Overdue,
}

/// Waits for the second worker, if there is one.
pub(super) async fn next_of(other: &mut Option<Other>) -> OtherEvent {
    let Some(Other { worker, until, .. }) = other else {
        return pending().await;
    };
    tokio::select! {
        biased;
        said = worker.reader.next::<Report>(), if worker.hung_up.is_none() => match said {
            Ok(Some(report)) => OtherEvent::Said(report),
            Ok(None) => OtherEvent::HungUp("closed its control socket".into()),
            Err(e) => OtherEvent::HungUp(format!("left its control socket: {e}")),
        },
        status = worker.child.wait() => OtherEvent::Exited(status),
        () = sleep_until(*until) => OtherEvent::Overdue,
    }
}

impl Other {
    /// Tells the second worker what it does not know yet. One that is to try again what others did not
    /// survive is told everything.
    pub(super) fn instruct(
        &mut self,
        desired: Desired,
        exclusions: &Exclusions,
        good: Option<&Effective>,
    ) -> bool {
        let tries_again = matches!(self.stage, Stage::Starting(Reason::LoadAgain));
        let exclusions = if tries_again {
            &Exclusions::NONE
        } else {
            exclusions
        };
        self.worker.instruct(desired, exclusions, good)
    }
}

impl Slot {
    /// Starts a replacement if the worker is due for one, and it is the slot's turn.
    pub(super) async fn consider(&mut self, worker: &Worker) {
        if self.other.is_some() || worker.running.is_none() || !self.pace.permits(Instant::now()) {
            return;
        }
        let Some(reason) = self.due(worker) else {
            return;
        };
        let Ok(turn) = self.turn.clone().try_acquire_owned() else {
            return;
        };
        let memory_bytes = worker.pid.and_then(resident_bytes);
        let burden = worker.burden;
        tracing::info!(
            code = "WORKER_REPLACING",
            worker.slot = self.number,
            pid = worker.pid,
            reason = reason.as_str(),
            memory_bytes,
            "worker {} is being replaced for {}: {burden}",
            self.number,
            reason.as_str()
        );
        match Worker::start(self, worker.tenancy.clone(), 1 - worker.side, true).await {
            Ok(next) => {
                self.other = Some(Other {
                    worker: next,
                    stage: Stage::Starting(reason),
                    until: Instant::now() + STARTING_MAX,
                    turn,
                });
            }
            Err(e) => self.could_not_replace(reason, &format!("it could not be started: {e}")),
        }
    }

    fn due(&self, worker: &Worker) -> Option<Reason> {
        if worker.is_stuck {
            return Some(Reason::LoadStuck);
        }
        if worker.applying.is_none() && self.exclusions.due(Instant::now()) {
            return Some(Reason::LoadAgain);
        }
        let at = &self.settings.worker.replace_at;
        due(&worker.burden, at).or_else(|| {
            let budget = at.memory_bytes?;
            if !self.pace.permits_for_memory(worker.born.elapsed()) {
                return None;
            }
            (resident_bytes(worker.pid?)? > budget).then_some(Reason::Memory)
        })
    }

    /// Whether the second worker is where the first one is. One that is worse off is ended.
    pub(super) fn may_take_over(&mut self, worker: &Worker) -> bool {
        let Some(other) = &mut self.other else {
            return false;
        };
        let next = &mut other.worker;
        let Stage::Starting(reason) = other.stage else {
            return false;
        };
        if next.hung_up.is_some() || next.running.is_none() || next.serial < worker.serial {
            return false;
        }
        // One whose loader is stuck will never be where the new one is.
        let failure = worse(&worker.failures, &next.failures);
        if let Some(failure) = failure.filter(|_| reason != Reason::LoadStuck) {
            next.hung_up = Some(format!(
                "could not bring API {} to revision {}: {} ({})",
                failure.api_id,
                next.running.as_ref().map_or(0, |running| running.revision),
                failure.message,
                failure.code
            ));
            // It has accepted nothing, so nobody loses anything.
            other.until = Instant::now();
            return false;
        }
        next.orders.capacity() > 0 && worker.orders.capacity() > 0
    }

    /// Lets the second worker take over from the first, which drains then.
    pub(super) fn hand_over(&mut self, worker: &mut Worker) {
        let Some(other) = self.other.take() else {
            return;
        };
        let Stage::Starting(reason) = other.stage else {
            self.other = Some(other);
            return;
        };
        // There is room: whoever says that it may take over has looked.
        let _ = other.worker.orders.try_send(Order::Serve);
        let old = std::mem::replace(worker, other.worker);
        let patience = self.tell_to_drain(&old);
        self.pace.succeeded(reason, old.born.elapsed());
        if reason == Reason::LoadAgain {
            self.exclusions.lift();
        }
        let (name, from, to) = (reason.as_str(), old.pid, worker.pid);
        tracing::info!(
            code = "WORKER_REPLACED",
            worker.slot = self.number,
            reason = name,
            pid = to,
            retiring = from,
            "worker {} was replaced for {name}; the earlier one drains",
            self.number
        );
        self.report(|status| {
            status.replacements[reason as usize] += 1;
            status.last_replacement = Some(format!("for {name}"));
        });
        self.keep_good(worker);
        self.publish_retiring(Some(&old));
        self.other = Some(Other {
            worker: old,
            stage: Stage::Retiring(reason),
            until: Instant::now() + patience,
            turn: other.turn,
        });
    }

    /// The second worker takes the place of the first, which died, if it was to take over anyway.
    pub(super) fn inherit(&mut self) -> Option<Worker> {
        let other = self.other.take()?;
        let usable = matches!(other.stage, Stage::Starting(_)) && other.worker.hung_up.is_none();
        if usable && other.worker.orders.try_send(Order::Serve).is_ok() {
            self.publish(&other.worker);
            return Some(other.worker);
        }
        self.other = Some(other);
        None
    }

    /// Attends to the second worker.
    pub(super) async fn attend_other(&mut self, event: OtherEvent) {
        let Some(mut other) = self.other.take() else {
            return;
        };
        match event {
            OtherEvent::Said(report) => {
                let changed = self.take(&mut other.worker, report);
                if changed && matches!(other.stage, Stage::Retiring(_)) {
                    self.publish_retiring(Some(&other.worker));
                }
            }
            OtherEvent::HungUp(how) => {
                other.worker.hung_up = Some(how);
                other.until = Instant::now() + EXIT_TIMEOUT;
            }
            OtherEvent::Overdue => {
                // One that is gone already is about to say so.
                let _ = self.kill(&mut other.worker);
                other.until = Instant::now() + KILLING;
                if other.worker.hung_up.is_none() {
                    other.worker.hung_up = Some("took too long".into());
                }
            }
            OtherEvent::Exited(status) => {
                self.lose_other(other, status).await;
                return;
            }
        }
        self.other = Some(other);
    }

    async fn lose_other(&mut self, mut other: Other, status: io::Result<ExitStatus>) {
        self.read_last_reports(&mut other.worker).await;
        let worker = other.worker;
        match other.stage {
            Stage::Starting(reason) => {
                let (how, culprit) = Self::autopsy(&worker, &status);
                let why = worker.hung_up.as_deref().unwrap_or("it died");
                self.could_not_replace(reason, &format!("{why} ({how}) {culprit}"));
            }
            Stage::Retiring(reason) => {
                self.publish_retiring(None);
                if status.as_ref().is_ok_and(ExitStatus::success) {
                    let name = reason.as_str();
                    tracing::info!(
                        code = "WORKER_RETIRED",
                        worker.slot = self.number,
                        pid = worker.pid,
                        reason = name,
                        "the worker {} that was replaced for {name} has drained",
                        self.number
                    );
                } else {
                    self.mourn(&worker, &status);
                }
            }
        }
        self.bury(worker).await;
        drop(other.turn);
    }

    fn could_not_replace(&mut self, reason: Reason, why: &str) {
        if reason == Reason::LoadAgain {
            self.exclusions.postpone();
        }
        let wait = self.pace.failed(Instant::now());
        let (name, seconds) = (reason.as_str(), wait.as_secs());
        tracing::error!(
            code = "WORKER_NOT_REPLACED",
            worker.slot = self.number,
            reason = name,
            "worker {} could not be replaced for {name} and goes on: {why}; tried again in {seconds} s",
            self.number
        );
        self.report(|status| {
            status.replacement_failures += 1;
            status.last_replacement = Some(format!("not for {name}: {why}"));
        });
    }

    fn publish_retiring(&self, worker: Option<&Worker>) {
        let retiring = worker.and_then(|worker| {
            let (pid, serial) = (worker.pid?, worker.serial);
            Some(Retiring { pid, serial })
        });
        self.report(|status| status.retiring = retiring);
    }

    /// Ends a slot's workers: both finish what they have begun.
    pub(super) async fn stop(&mut self, mut worker: Worker) {
        let until = Instant::now() + self.tell_to_drain(&worker);
        let other = self.other.take();
        let (status, ()) = tokio::join!(
            self.await_drained(&mut worker, until),
            self.await_other(other)
        );
        let _ = status;
        self.vacate();
        self.bury(worker).await;
    }

    /// Ends the second worker, if there is one.
    pub(super) async fn finish_other(&mut self) {
        let other = self.other.take();
        self.await_other(other).await;
    }

    async fn await_other(&self, other: Option<Other>) {
        let Some(mut other) = other else {
            return;
        };
        let status = match other.stage {
            Stage::Retiring(_) => self.await_drained(&mut other.worker, other.until).await,
            // It serves nobody yet.
            Stage::Starting(_) => self.await_exit(&mut other.worker, Duration::ZERO).await,
        };
        if let Err(e) = status {
            tracing::debug!("wait for a worker to end: {e}");
        }
        self.bury(other.worker).await;
    }
}

/// What is worse in a new worker than in the old one, if anything is.
fn worse<'a>(old: &[ApiFailure], new: &'a [ApiFailure]) -> Option<&'a ApiFailure> {
    let known = |failure: &&ApiFailure| {
        old.iter().any(|earlier| {
            earlier.api_id == failure.api_id
                && earlier.endpoint == failure.endpoint
                && (!earlier.held || failure.held)
        })
    };
    new.iter().find(|failure| !known(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(api_id: &str, held: bool) -> ApiFailure {
        ApiFailure {
            api_id: api_id.into(),
            held,
            endpoint: false,
            digest: None,
            code: "X".into(),
            message: String::new(),
        }
    }

    #[test]
    fn new_worker_is_worse_where_it_fails_an_api_that_the_old_one_serves() {
        let failed = |all: &[ApiFailure], new: &[ApiFailure]| worse(all, new).is_some();
        assert!(!failed(&[], &[]));
        assert!(!failed(&[failure("a", false)], &[failure("a", false)]));
        assert!(!failed(&[failure("a", false)], &[]));
        assert!(failed(&[], &[failure("a", false)]));
        assert!(failed(&[failure("a", false)], &[failure("b", false)]));
        // Held in the old one, refused in the new one.
        assert!(failed(&[failure("a", true)], &[failure("a", false)]));
    }
}
