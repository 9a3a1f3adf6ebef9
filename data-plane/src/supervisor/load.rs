//! A slot looks at what its worker loads: what kills it, and what does not come back.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::Instant;

use super::culprit::FunctionName;
use super::exclusion::Load;
use super::plan::Failure;
use super::slot::Slot;
use super::worker::Worker;
use crate::sys::slot::Loading;

/// A worker has so many times as long for one library or function as the probe: it serves meanwhile.
const PATIENCE: u32 = 3;

/// A load that a worker did not survive.
pub(super) struct FatalLoad {
    load: Load,
    name: FunctionName,
    how: String,
}

impl Slot {
    /// What a worker was loading when it died, unless another of its threads is to blame.
    pub(super) fn fatal_load(
        worker: &Worker,
        status: &io::Result<ExitStatus>,
    ) -> Option<FatalLoad> {
        let loading = Self::loading(worker)?;
        let fault = worker.memory.fault();
        let elsewhere = fault.and_then(|fault| fault.function);
        if elsewhere.is_some_and(|function| function != loading.function) {
            return None;
        }
        let (load, name) = Self::load_of(worker, loading)?;
        let (how, _) = Self::autopsy(worker, status);
        Some(FatalLoad { load, name, how })
    }

    /// Counts a death against what was being loaded, and excludes that if it was not the first.
    pub(super) fn blame(&mut self, fatal: FatalLoad, last_words: &str) {
        let FatalLoad { load, name, how } = fatal;
        let what = match load {
            Load::Library(_) => "open the library",
            Load::Start { .. } => "start the function",
        };
        let said = match last_words {
            "" => String::new(),
            words => format!("; it printed last: {words}"),
        };
        let message = format!("a worker died ({how}) that was to {what} of {name}{said}");
        if self
            .exclusions
            .died(load, Failure::new("LOAD_CRASHED", message.clone()))
        {
            self.say_excluded("LOAD_CRASHED", &name, &message);
        }
    }

    /// Looks whether the worker's loader still gets on.
    pub(super) fn watch_load(&mut self, worker: &mut Worker) {
        let now = Instant::now();
        let Some(loading) = Self::loading(worker) else {
            worker.loading = None;
            return;
        };
        let since = match worker.loading {
            Some((earlier, since)) if earlier == loading => since,
            _ => now,
        };
        worker.loading = Some((loading, since));
        let step = Duration::from_millis(self.settings.probe.step_timeout_ms);
        let patience = step.saturating_mul(PATIENCE);
        if worker.is_stuck || now.duration_since(since) < patience {
            return;
        }
        let Some((load, name)) = Self::load_of(worker, loading) else {
            return;
        };
        worker.is_stuck = true;
        let seconds = patience.as_secs_f64();
        let message =
            format!("the loader of a worker did not come back within {seconds} s from {name}");
        self.exclusions
            .exclude(load, Failure::new("LOAD_TIMEOUT", message.clone()));
        self.say_excluded("LOAD_TIMEOUT", &name, &message);
        if worker.running.is_none() {
            // It serves nobody yet, and never will.
            worker.hung_up = Some("its loader does not come back".into());
            if let Err(e) = self.kill(worker) {
                tracing::debug!("kill a worker whose loader is stuck: {e}");
            }
        }
    }

    fn loading(worker: &Worker) -> Option<Loading> {
        let pid = worker.pid.map(u32::cast_signed);
        let is_its_own = pid.is_some_and(|pid| worker.memory.process() == pid);
        worker.memory.loading().filter(|_| is_its_own)
    }

    fn load_of(worker: &Worker, loading: Loading) -> Option<(Load, FunctionName)> {
        let name = worker.meanings.function(loading.function)?.clone();
        let digest = name.digest.clone();
        let load = if loading.is_open {
            let api_id = name.api_id.clone();
            Load::Start { digest, api_id }
        } else {
            Load::Library(digest)
        };
        Some((load, name))
    }

    fn say_excluded(&self, code: &str, name: &FunctionName, message: &str) {
        tracing::error!(
            code,
            worker.slot = self.number,
            api.id = name.api_id,
            plugin.digest = name.digest,
            "worker {} goes on without it, on the API's earlier functions where there are any: {message}",
            self.number
        );
    }
}
