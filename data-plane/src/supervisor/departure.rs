//! How workers leave: drained on order, killed when they do not go, mourned when they died.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::culprit::Culprit;
use super::probe::{describe, signal_name};
use super::slot::Slot;
use super::worker::Worker;
use crate::protocol::{Order, Report};
use crate::sys::slot::{Activity, Fault};

/// Time for a worker that closed its control socket to be gone by itself.
pub(super) const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time beyond its own for a worker to drain.
const DRAIN_GRACE: Duration = Duration::from_secs(2);

impl Slot {
    /// Tells a worker to drain. Gives the time that it has for that.
    pub(super) fn tell_to_drain(&self, worker: &Worker) -> Duration {
        // Only a worker that reads no orders any more has no room for this one; it is killed soon.
        match worker.orders.try_send(Order::Drain) {
            Ok(()) => Duration::from_millis(self.settings.worker.drain_timeout_ms) + DRAIN_GRACE,
            Err(_) => EXIT_TIMEOUT,
        }
    }

    /// Lets the worker finish its requests until a time, and kills it only when it does not.
    pub(super) async fn await_drained(
        &self,
        worker: &mut Worker,
        until: Instant,
    ) -> io::Result<ExitStatus> {
        let drained = async {
            // What it says while it drains still counts.
            while let Ok(Some(report)) = worker.reader.next::<Report>().await {
                self.take(worker, report);
            }
        };
        let _ = timeout(until.saturating_duration_since(Instant::now()), drained).await;
        let left = until.saturating_duration_since(Instant::now());
        self.await_exit(worker, left.max(EXIT_TIMEOUT)).await
    }

    /// Waits until a worker that is about to end has ended, and kills it if it does not.
    pub(super) async fn await_exit(
        &self,
        worker: &mut Worker,
        patience: Duration,
    ) -> io::Result<ExitStatus> {
        if let Ok(status) = timeout(patience, worker.child.wait()).await {
            return status;
        }
        self.kill(worker)?;
        worker.child.wait().await
    }

    /// Kills a worker that does not end by itself.
    pub(super) fn kill(&self, worker: &mut Worker) -> io::Result<()> {
        tracing::warn!(
            code = "WORKER_KILLED",
            worker.slot = self.number,
            pid = worker.pid,
            "worker {} did not end by itself and is killed",
            self.number
        );
        worker.child.start_kill()
    }

    /// Lets go of what belongs to a worker that is gone, and gives what it printed last.
    pub(super) async fn bury(&self, worker: Worker) -> String {
        worker.writer.abort();
        let last_words = worker.printed.finish().await;
        worker.memory.rest();
        last_words
    }

    /// What stands in the memory of this worker; nothing if it died before it took the memory over from
    /// the one before.
    fn last_words(worker: &Worker) -> (Option<Fault>, Vec<Activity>) {
        let pid = worker.pid.map_or(0, u32::cast_signed);
        if pid == 0 || worker.memory.process() != pid {
            return (None, Vec::new());
        }
        (worker.memory.fault(), worker.memory.suspects())
    }

    /// Reads what a dead worker had said and nobody had read: which code is whose, above all.
    pub(super) async fn read_last_reports(&self, worker: &mut Worker) {
        let rest = async {
            while let Ok(Some(report)) = worker.reader.next::<Report>().await {
                self.take(worker, report);
            }
        };
        // Its end is closed by now; only a child of a plugin's could hold it open.
        let _ = timeout(EXIT_TIMEOUT, rest).await;
    }

    /// How a worker died, and who did it.
    pub(super) fn autopsy(worker: &Worker, status: &io::Result<ExitStatus>) -> (String, Culprit) {
        let (fault, running) = Self::last_words(worker);
        let culprit = worker.meanings.culprit(fault.as_ref(), &running);
        let how = match status {
            Ok(status) => describe(*status),
            Err(e) => format!("unknown: {e}"),
        };
        (how, culprit)
    }

    /// Says that a worker died and who did it.
    pub(super) fn mourn(&self, worker: &Worker, status: &io::Result<ExitStatus>) {
        let (how, culprit) = Self::autopsy(worker, status);
        let (fault, _) = Self::last_words(worker);
        let signal = fault.map(|fault| signal_name(fault.signal));
        let tenant = &worker.tenancy.identity.tenant;
        let broken = worker.hung_up.as_deref();
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
        });
    }
}
