//! One worker slot: its listening socket, its shared memory, and the worker of the moment. The slot
//! tells its worker what to run, learns how far it is, starts another when it dies or has piled up too
//! much (see `succession`), and says who killed it.
//!
//! Invariant: a slot's socket and memory live as long as the supervisor; connections that wait in the
//! socket's backlog survive the worker.

use std::io;
use std::net::TcpListener;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::departure::EXIT_TIMEOUT;
use super::exclusion::Exclusions;
use super::generation::Effective;
use super::plugin_log;
use super::pool::{Desired, Sides, SlotStatus};
use super::replacement::Pace;
use super::succession::{Other, next_of};
use super::telemetry::SlotTelemetry;
use super::worker::{Applying, Worker};
use crate::config::Settings;
use crate::frames::FrameError;
use crate::protocol::{ApiFailure, Report};

/// How often an order that found no room is tried again.
const RETRY_ORDER: Duration = Duration::from_millis(100);
/// How often a worker is looked at when nothing happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A worker that lived this long did not die of being started.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// Waits between workers that die young: none at first, then these, doubling.
const RESPAWN_FIRST: Duration = Duration::from_millis(100);
/// As above.
const RESPAWN_LONGEST: Duration = Duration::from_secs(5);
/// How workers say that a library in the store is not what it was when it was admitted. They hash it
/// right before they load it.
const DAMAGE: [&str; 3] = [
    "LIBRARY_UNREADABLE",
    "LIBRARY_DIGEST_DIFFERS",
    "LIBRARY_CHANGED",
];

/// A slot's lasting parts.
pub struct Slot {
    /// From 0.
    pub number: u32,
    /// All configuration.
    pub settings: Arc<Settings>,
    /// Open for ever.
    pub listener: TcpListener,
    /// Kept for ever; a worker has one half of it.
    pub memories: Sides,
    /// What is to run.
    pub desired: watch::Receiver<Desired>,
    /// Where the slot says how far it is.
    pub statuses: watch::Sender<Vec<SlotStatus>>,
    /// Rung when a library on disk turned out damaged.
    pub damaged: Arc<Notify>,
    /// What its workers' words mean, and which they say.
    pub telemetry: SlotTelemetry,
    /// Whoever replaces a worker holds it: one slot at a time.
    pub turn: Arc<Semaphore>,
    /// How soon its worker may be replaced.
    pub(super) pace: Pace,
    /// A second worker, while one takes over from another.
    pub(super) other: Option<Other>,
    /// What its workers do not survive loading.
    pub(super) exclusions: Exclusions,
    /// What its worker ran last, without what it could not bring up.
    pub(super) good: Option<Arc<Effective>>,
}

/// How a conversation with a worker ended.
enum End {
    Exited(io::Result<ExitStatus>),
    /// It said something that is no report, or hung up.
    Broken(String),
    /// Another one is ready to take over.
    TakenOver,
    Stopping,
}

/// A worker that left its slot without one.
struct Gone {
    side: usize,
    age: Duration,
}

impl Slot {
    /// Runs until told to stop, and drains the worker then.
    pub async fn run(mut self, stop: CancellationToken) {
        let (mut young_deaths, mut side) = (0, 0);
        loop {
            let runnable = async {
                let runnable = |desired: &Desired| desired.generation.is_some();
                self.desired.wait_for(runnable).await.is_ok()
            };
            let runnable = tokio::select! {
                runnable = runnable => runnable,
                () = stop.cancelled() => false,
            };
            if !runnable {
                return self.finish_other().await;
            }
            let gone = match self.spawn(side).await {
                Ok(worker) => match self.attend(worker, &stop).await {
                    Some(gone) => gone,
                    None => return,
                },
                Err(e) => {
                    tracing::error!(
                        code = "WORKER_NOT_STARTED",
                        worker.slot = self.number,
                        "start a worker: {e}"
                    );
                    self.report(|status| {
                        status.deaths += 1;
                        status.last_death = Some(format!("not started: {e}"));
                    });
                    let age = Duration::ZERO;
                    Gone { side, age }
                }
            };
            side = gone.side;
            young_deaths = if gone.age >= SETTLED_AFTER {
                0
            } else {
                young_deaths + 1
            };
            tokio::select! {
                () = sleep(respawn_wait(young_deaths)) => {}
                () = stop.cancelled() => return self.finish_other().await,
            }
        }
    }

    async fn spawn(&self, side: usize) -> io::Result<Worker> {
        let tenancy = self.desired.borrow().tenancy.clone();
        let tenancy = tenancy.ok_or_else(|| io::Error::other("nobody to work for yet"))?;
        let worker = Worker::start(self, tenancy, side, false).await?;
        self.publish(&worker);
        Ok(worker)
    }

    /// Attends to a worker, and to those that take over from it, until the slot has none. None when the
    /// slot is to end.
    async fn attend(&mut self, mut worker: Worker, stop: &CancellationToken) -> Option<Gone> {
        loop {
            let status = match self.converse(&mut worker, stop).await {
                End::TakenOver => {
                    self.hand_over(&mut worker);
                    continue;
                }
                End::Stopping => {
                    self.stop(worker).await;
                    return None;
                }
                End::Exited(status) => status,
                End::Broken(how) => {
                    worker.hung_up = Some(how);
                    self.await_exit(&mut worker, EXIT_TIMEOUT).await
                }
            };
            self.read_last_reports(&mut worker).await;
            self.mourn(&worker, &status);
            self.vacate();
            let gone = Gone {
                side: worker.side,
                age: worker.born.elapsed(),
            };
            let load = Self::fatal_load(&worker, &status);
            let last_words = self.bury(worker).await;
            if let Some(load) = load {
                self.blame(load, &last_words);
            }
            match self.inherit() {
                Some(heir) => worker = heir,
                None => return Some(gone),
            }
        }
    }

    async fn converse(&mut self, worker: &mut Worker, stop: &CancellationToken) -> End {
        loop {
            let desired = self.desired.borrow_and_update().clone();
            if let Some((_, wanted)) = &desired.generation {
                self.exclusions.forget_unwanted(wanted);
            }
            let good = self.good.as_deref();
            let mut room = worker.instruct(desired.clone(), &self.exclusions, good);
            if let Some(other) = &mut self.other {
                room &= other.instruct(desired, &self.exclusions, good);
            }
            self.watch_load(worker);
            if self.may_take_over(worker) {
                return End::TakenOver;
            }
            self.consider(worker).await;
            tokio::select! {
                report = worker.reader.next::<Report>() => match report {
                    Ok(Some(report)) => if self.take(worker, report) { self.keep_good(worker) },
                    Ok(None) => return End::Broken("closed its control socket".into()),
                    Err(FrameError::Connection(_) | FrameError::Cut) => return End::Broken("left its control socket".into()),
                    Err(e) => return End::Broken(format!("said what is no report: {e}")),
                },
                status = worker.child.wait() => return End::Exited(status),
                event = next_of(&mut self.other) => self.attend_other(event).await,
                changed = self.desired.changed() => if changed.is_err() { return End::Stopping },
                () = sleep(RETRY_ORDER), if !room => {}
                () = sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return End::Stopping,
            }
        }
    }

    /// Takes what a worker says. Gives whether it is another picture of that worker.
    pub(super) fn take(&self, worker: &mut Worker, report: Report) -> bool {
        match report {
            Report::Applied { failures, .. } => return self.applied(worker, failures),
            Report::KeysLoaded { epoch } => worker.keys_epoch = epoch,
            Report::LibraryLoaded { digest, code, go } => {
                worker.meanings.learn_code(&digest, &code);
                worker.loaded.enter(digest, go);
                return false;
            }
            Report::PluginLog { .. } => {
                let (admitted, dropped) = worker.lines.admit(Instant::now());
                if dropped > 0 {
                    tracing::warn!(
                        code = "PLUGIN_LOG_DROPPED",
                        worker.slot = self.number,
                        "dropped {dropped} lines that plugins logged"
                    );
                }
                if admitted {
                    plugin_log::log(
                        self.number,
                        &worker.tenancy.identity,
                        &worker.meanings,
                        &report,
                    );
                }
                return false;
            }
            Report::StoreSession { hmac, session } => {
                self.telemetry.stored.offer(hmac, session);
                return false;
            }
            Report::Note { .. } => {
                plugin_log::log(
                    self.number,
                    &worker.tenancy.identity,
                    &worker.meanings,
                    &report,
                );
                return false;
            }
        }
        true
    }

    fn applied(&self, worker: &mut Worker, failures: Vec<ApiFailure>) -> bool {
        let Some(Applying {
            serial,
            effective,
            excluded,
        }) = worker.applying.take()
        else {
            return false;
        };
        worker.failed = failures
            .iter()
            .map(|failure| failure.api_id.clone())
            .collect();
        if failures
            .iter()
            .any(|failure| DAMAGE.contains(&failure.code.as_str()))
        {
            self.damaged.notify_one();
        }
        for failure in &failures {
            tracing::error!(
                code = failure.code,
                worker.slot = self.number,
                api.id = failure.api_id,
                plugin.digest = failure.digest,
                "worker {} could not bring API {} to revision {}: {}",
                self.number,
                failure.api_id,
                effective.revision,
                failure.message
            );
        }
        worker.burden = worker.loaded.burden(&effective.digests());
        (worker.serial, worker.failures) = (serial, failures);
        worker.failures.extend(excluded);
        worker.running = Some(effective);
        true
    }

    /// Publishes the slot's worker, and remembers what it runs for workers that cannot load what comes.
    pub(super) fn keep_good(&mut self, worker: &Worker) {
        if worker.applying.is_none()
            && let Some(running) = &worker.running
        {
            self.exclusions.survived();
            let mut good = Arc::clone(running);
            if !worker.failed.is_empty() {
                Arc::make_mut(&mut good)
                    .apis
                    .retain(|id, _| !worker.failed.contains(id));
            }
            self.good = Some(Arc::clone(&good));
            self.report(|status| status.good = Some(good));
        }
        self.publish(worker);
    }

    /// Says how far the slot's worker is.
    pub(super) fn publish(&self, worker: &Worker) {
        self.report(|status| {
            status.pid = worker.pid;
            status.serial = worker.serial;
            status.running.clone_from(&worker.running);
            status.failures.clone_from(&worker.failures);
            status.keys_epoch = worker.keys_epoch;
            status.burden = worker.burden;
        });
    }

    /// Says that the slot has no worker.
    pub(super) fn vacate(&self) {
        self.report(|status| {
            (status.pid, status.serial, status.running) = (None, 0, None);
            status.failures.clear();
        });
    }

    pub(super) fn report(&self, change: impl FnOnce(&mut SlotStatus)) {
        self.statuses.send_modify(|all| {
            if let Some(status) = all.get_mut(self.number as usize) {
                change(status);
            }
        });
    }
}

/// The wait before the next worker, after so many that died young in a row.
fn respawn_wait(young_deaths: u32) -> Duration {
    match young_deaths {
        0 | 1 => Duration::ZERO,
        n => RESPAWN_FIRST
            .saturating_mul(1 << (n - 2).min(16))
            .min(RESPAWN_LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_death_is_answered_at_once_and_crash_loops_are_slowed_within_a_bound() {
        let waits: Vec<_> = (0..12).map(|n| respawn_wait(n).as_millis()).collect();
        assert_eq!(waits[..5], [0, 0, 100, 200, 400]);
        assert_eq!(waits[11], RESPAWN_LONGEST.as_millis());
        assert_eq!(respawn_wait(u32::MAX), RESPAWN_LONGEST);
    }
}
