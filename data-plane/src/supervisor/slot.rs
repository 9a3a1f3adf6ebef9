//! One worker slot: its listening socket, its shared memory, and the worker of the moment. The slot
//! tells its worker what to run, learns how far it is, starts another when it dies, and says who
//! killed it.
//!
//! Invariant: a slot's socket and memory live as long as the supervisor; connections that wait in the
//! socket's backlog survive the worker.

use std::io;
use std::net::TcpListener;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::culprit::Culprit;
use super::plugin_log;
use super::pool::{Desired, SlotStatus};
use super::probe::{describe, signal_name};
use super::telemetry::SlotTelemetry;
use super::worker::Worker;
use crate::config::Settings;
use crate::frames::FrameError;
use crate::protocol::{Order, Report};
use crate::sys::slot::{Activity, Fault, SlotMemory};

/// How often an order that found no room is tried again.
const RETRY_ORDER: Duration = Duration::from_millis(100);
/// Time for a worker that closed its control socket to be gone by itself.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time beyond its own for a worker to drain.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
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
    /// Kept for ever.
    pub memory: Arc<SlotMemory>,
    /// What is to run.
    pub desired: watch::Receiver<Desired>,
    /// Where the slot says how far it is.
    pub statuses: watch::Sender<Vec<SlotStatus>>,
    /// Rung when a library on disk turned out damaged.
    pub damaged: Arc<Notify>,
    /// What its workers' words mean, and which they say.
    pub telemetry: SlotTelemetry,
}

/// How a worker's time ended.
enum End {
    Exited(io::Result<ExitStatus>),
    /// It said something that is no report, or hung up.
    Broken(String),
    Stopping,
}

impl Slot {
    /// Runs until told to stop, and drains the worker then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut young_deaths = 0;
        loop {
            tokio::select! {
                runnable = self.desired.wait_for(|desired| desired.generation.is_some()) => {
                    if runnable.is_err() { return }
                }
                () = stop.cancelled() => return,
            }
            let born = Instant::now();
            let ended = match self.spawn().await {
                Ok(worker) => self.attend(worker, &stop).await,
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
                    false
                }
            };
            if ended || stop.is_cancelled() {
                return;
            }
            young_deaths = if born.elapsed() >= SETTLED_AFTER {
                0
            } else {
                young_deaths + 1
            };
            tokio::select! {
                () = sleep(respawn_wait(young_deaths)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn spawn(&self) -> io::Result<Worker> {
        let tenancy = self.desired.borrow().tenancy.clone();
        let tenancy = tenancy.ok_or_else(|| io::Error::other("nobody to work for yet"))?;
        let worker = Worker::start(self, tenancy).await?;
        self.report(|status| {
            *status = SlotStatus {
                pid: worker.pid,
                deaths: status.deaths,
                crashes: status.crashes,
                last_death: status.last_death.take(),
                ..SlotStatus::default()
            };
        });
        Ok(worker)
    }

    /// Attends to a worker until it is gone. Gives whether the slot is to end.
    async fn attend(&mut self, mut worker: Worker, stop: &CancellationToken) -> bool {
        let end = self.converse(&mut worker, stop).await;
        let stopping = matches!(end, End::Stopping);
        let (status, broken) = match end {
            End::Exited(status) => (status, None),
            End::Broken(how) => (self.await_exit(&mut worker, EXIT_TIMEOUT).await, Some(how)),
            End::Stopping => (self.drain(&mut worker).await, None),
        };
        self.report(|status| status.pid = None);
        if !stopping {
            self.mourn(&worker, status, broken.as_deref());
        }
        worker.writer.abort();
        worker.printed.finish().await;
        stopping
    }

    async fn converse(&mut self, worker: &mut Worker, stop: &CancellationToken) -> End {
        loop {
            let room = worker.instruct(self.desired.borrow_and_update().clone());
            tokio::select! {
                report = worker.reader.next::<Report>() => match report {
                    Ok(Some(report)) => self.take(worker, report),
                    Ok(None) => return End::Broken("closed its control socket".into()),
                    Err(FrameError::Connection(_) | FrameError::Cut) => return End::Broken("left its control socket".into()),
                    Err(e) => return End::Broken(format!("said what is no report: {e}")),
                },
                status = worker.child.wait() => return End::Exited(status),
                changed = self.desired.changed() => if changed.is_err() { return End::Stopping },
                () = sleep(RETRY_ORDER), if !room => {}
                () = stop.cancelled() => return End::Stopping,
            }
        }
    }

    fn take(&self, worker: &mut Worker, report: Report) {
        match report {
            Report::Applied { failures, .. } => {
                let Some((serial, effective)) = worker.applying.take() else {
                    return;
                };
                worker.serial = serial;
                worker.running = Some(effective.clone());
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
                self.report(|status| {
                    status.serial = serial;
                    status.running = Some(effective);
                    status.failures = failures;
                });
            }
            Report::KeysLoaded { epoch } => self.report(|status| status.keys_epoch = epoch),
            Report::LibraryLoaded { digest, code } => worker.meanings.learn_code(&digest, &code),
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
                    plugin_log::log(self.number, &worker.tenancy.identity, &report);
                }
            }
            Report::Note { .. } => plugin_log::log(self.number, &worker.tenancy.identity, &report),
        }
    }

    async fn await_exit(&self, worker: &mut Worker, patience: Duration) -> io::Result<ExitStatus> {
        if let Ok(status) = timeout(patience, worker.child.wait()).await {
            return status;
        }
        tracing::warn!(
            code = "WORKER_KILLED",
            worker.slot = self.number,
            "worker {} did not end by itself and is killed",
            self.number
        );
        worker.child.start_kill()?;
        worker.child.wait().await
    }

    /// Lets the worker finish its requests, and kills it only when it does not.
    async fn drain(&self, worker: &mut Worker) -> io::Result<ExitStatus> {
        let patience = Duration::from_millis(self.settings.worker.drain_timeout_ms) + DRAIN_GRACE;
        // Only a worker that reads no orders any more has no room for this one; it is killed below.
        let told = worker.orders.try_send(Order::Drain).is_ok();
        let drained = async {
            // What it says while it drains still belongs in the log.
            while let Ok(Some(report)) = worker.reader.next::<Report>().await {
                plugin_log::log(self.number, &worker.tenancy.identity, &report);
            }
        };
        let patience = if told { patience } else { EXIT_TIMEOUT };
        let until = Instant::now() + patience;
        let _ = timeout(patience, drained).await;
        self.await_exit(
            worker,
            until
                .saturating_duration_since(Instant::now())
                .max(EXIT_TIMEOUT),
        )
        .await
    }

    /// What stands in the slot's memory of this worker; nothing if it died before it took the memory
    /// over from the one before.
    fn last_words(&self, worker: &Worker) -> (Option<Fault>, Vec<Activity>) {
        let pid = worker.pid.map_or(0, u32::cast_signed);
        if pid == 0 || self.memory.process() != pid {
            return (None, Vec::new());
        }
        (self.memory.fault(), self.memory.activities())
    }

    /// Says that a worker died and who did it.
    fn mourn(&self, worker: &Worker, status: io::Result<ExitStatus>, broken: Option<&str>) {
        let (fault, running) = self.last_words(worker);
        let culprit = worker.meanings.culprit(fault.as_ref(), &running);
        let how = match status {
            Ok(status) => describe(status),
            Err(e) => format!("unknown: {e}"),
        };
        let signal = fault.map(|fault| signal_name(fault.signal));
        let tenant = &worker.tenancy.identity.tenant;
        tracing::error!(
            code = "WORKER_DIED", tenant.id = %tenant, worker.slot = self.number, pid = worker.pid,
            signal, broken, culprit = %culprit, "worker {} died ({how}) {culprit}", self.number
        );
        self.report(|status| {
            status.deaths += 1;
            if !matches!(culprit, Culprit::Unattributed(_)) {
                status.crashes += 1;
            }
            status.last_death = Some(format!("{how} {culprit}"));
            (status.serial, status.running) = (0, None);
            status.failures.clear();
        });
    }

    fn report(&self, change: impl FnOnce(&mut SlotStatus)) {
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
