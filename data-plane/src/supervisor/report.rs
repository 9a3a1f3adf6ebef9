//! What the gateway says of itself, to the control plane and on `/status`: one picture from four
//! sources, made when it is asked for.
//!
//! Invariant: nothing here is kept; a report is a function of what the others published.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gantry_proto::v1;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use super::generation::ArtifactLabel;
use super::pool::{Counters, SlotStatus};
use super::progress::{ArtifactProgress, FetchedFrom, Progress};
use super::report_json;
use crate::config::Source;
use crate::source::{Complaint, SourceState, Trouble};
use crate::sys::slot::Counter;

/// Changes that come together are reported together.
const COALESCE: Duration = Duration::from_millis(50);
/// How often counters alone make a new report.
const COUNTERS_EVERY: Duration = Duration::from_secs(5);

/// Entries of a report, at most, and characters of a message in it: together they keep reports well
/// within what the control plane takes (256 KiB). What is wrong comes first.
const ARTIFACTS_MAX: usize = 128;
/// As above.
const APIS_MAX: usize = 200;
/// As above.
const MESSAGE_CHARS_MAX: usize = 300;

/// The state of an API that is served but for some of its endpoints, which answer 500.
const PARTIAL: &str = "partial";

/// Where the picture comes from.
#[derive(Clone)]
pub struct View {
    /// Who this gateway is.
    pub profile: v1::GatewayProfile,
    /// Where revisions come from, as configured.
    pub place: Source,
    /// The source.
    pub source: watch::Receiver<SourceState>,
    /// The conductor.
    pub progress: watch::Receiver<Progress>,
    /// The slots.
    pub statuses: watch::Receiver<Vec<SlotStatus>>,
    /// Their counters.
    pub counters: Counters,
}

impl View {
    /// Whether a generation has been in effect: what readiness asks. Never false again.
    pub fn is_ready(&self) -> bool {
        self.progress.borrow().in_effect.is_some()
    }

    /// The report.
    pub fn report(&self) -> v1::GatewayReport {
        let source = self.source.borrow().clone();
        // In this order: what is in effect by the first is running by the second.
        let progress = self.progress.borrow().clone();
        let slots = self.statuses.borrow().clone();
        self.report_of(&source, &progress, &slots)
    }

    fn report_of(
        &self,
        source: &SourceState,
        progress: &Progress,
        slots: &[SlotStatus],
    ) -> v1::GatewayReport {
        let serving = |id: &str| {
            let effective = progress.effective.as_ref();
            effective.is_some_and(|effective| effective.apis.contains_key(id))
        };
        let apis = with_complaints(apis(progress, slots), &source.complaints, serving);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let live = slots.iter().filter(|slot| slot.pid.is_some()).count();
        let degraded = !apis.is_empty()
            || !source.complaints.is_empty()
            || live < slots.len()
            || source.trouble.as_ref().is_some_and(is_grave);
        let state = match (&progress.in_effect, degraded) {
            (None, _) => "starting",
            (Some(_), true) => "degraded",
            (Some(_), false) => "ready",
        };
        v1::GatewayReport {
            applied_revision: progress
                .in_effect
                .as_ref()
                .map_or(0, |effective| effective.revision),
            state: state.to_owned(),
            artifacts: artifacts(progress, slots),
            apis,
            workers_live: count(live),
            workers: count(slots.len()),
            requests_total: self.counters.total(Counter::Requests),
            worker_deaths_total: slots.iter().map(|slot| slot.deaths).sum(),
        }
    }

    /// The document of `/status`.
    pub fn status(&self) -> Value {
        // Each is read once, so that the parts of the document agree.
        let source = self.source.borrow().clone();
        let progress = self.progress.borrow().clone();
        let slots = self.statuses.borrow().clone();
        let report = self.report_of(&source, &progress, &slots);
        let identity = source.tenancy.as_ref().map(|tenancy| &tenancy.identity);
        let counters: serde_json::Map<_, _> = Counter::ALL
            .into_iter()
            .map(|counter| {
                (
                    counter.as_str().to_owned(),
                    json!(self.counters.total(counter)),
                )
            })
            .collect();
        json!({
            "profile": report_json::profile(&self.profile),
            "tenant": identity.map(|identity| identity.tenant.to_string()),
            "environment": identity.map(|identity| identity.environment.to_string()),
            "control_plane": report_json::control_plane(&self.place, &source),
            "folder": report_json::folder(&self.place, &source),
            "revision_received": source.snapshot.as_ref().map(|snapshot| snapshot.revision.number),
            "keys_epoch": source.keys.as_ref().map(|keys| keys.epoch),
            "report": report_json::report(&report),
            "workers": slots.iter().enumerate().map(report_json::slot).collect::<Vec<_>>(),
            "counters": counters,
        })
    }
}

/// Publishes a report whenever something changed, until told to stop.
pub async fn run(
    mut view: View,
    output: watch::Sender<v1::GatewayReport>,
    stop: CancellationToken,
) {
    let mut ticks = interval(COUNTERS_EVERY);
    loop {
        let report = view.report();
        output.send_if_modified(|last| {
            let changed = *last != report;
            *last = report;
            changed
        });
        tokio::select! {
            changed = view.source.changed() => if changed.is_err() { return },
            changed = view.progress.changed() => if changed.is_err() { return },
            changed = view.statuses.changed() => if changed.is_err() { return },
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        sleep(COALESCE).await;
        view.source.mark_unchanged();
        view.progress.mark_unchanged();
        view.statuses.mark_unchanged();
    }
}

/// A control plane that is away is what a gateway is built to bear; a refusal is for somebody to see.
fn is_grave(trouble: &Trouble) -> bool {
    trouble.code != "CONTROL_PLANE_UNREACHABLE"
}

fn artifacts(progress: &Progress, slots: &[SlotStatus]) -> Vec<v1::ArtifactStatus> {
    let workers = u32::try_from(slots.len()).unwrap_or(u32::MAX);
    let running = progress
        .effective
        .iter()
        .flat_map(|effective| effective.apis.values());
    let labels: BTreeSet<&ArtifactLabel> = progress
        .artifacts
        .keys()
        .chain(running.flat_map(|api| &api.artifacts))
        .collect();
    let status = |label: &ArtifactLabel| {
        let serving = slots.iter().filter(|slot| serves(slot, label)).count();
        let reached = progress.artifacts.get(label);
        let failure = reached.and_then(|reached| reached.failure.clone());
        let failure = failure
            .map(|failure| (failure.code, failure.message))
            .or_else(|| failure_in(slots, label));
        let (code, message) = failure.clone().unwrap_or_default();
        v1::ArtifactStatus {
            bundle: label.bundle.clone(),
            version: label.version.clone(),
            file: label.file.clone(),
            sha256: label.digest.clone(),
            phase: phase(serving, failure.is_some(), reached).to_owned(),
            workers_serving: u32::try_from(serving).unwrap_or(u32::MAX),
            workers,
            code,
            message: cut(&message),
            fetched_from: reached
                .and_then(|reached| reached.fetched_from)
                .map_or("", FetchedFrom::as_str)
                .to_owned(),
        }
    };
    let mut all: Vec<_> = labels.into_iter().map(status).collect();
    all.sort_by_key(|artifact| artifact.code.is_empty());
    all.truncate(ARTIFACTS_MAX);
    all
}

fn phase(serving: usize, failed: bool, reached: Option<&ArtifactProgress>) -> &'static str {
    match (serving, failed, reached) {
        (1.., _, _) => "serving",
        (0, true, _) => "failed",
        (0, false, Some(reached)) => reached.phase.as_str(),
        // In the order of a held API, whose workers are just starting.
        (0, false, None) => "probed",
    }
}

fn serves(slot: &SlotStatus, label: &ArtifactLabel) -> bool {
    let running = slot.pid.and(slot.running.as_ref());
    // A failure of an endpoint concerns its own library only.
    let failed = |api: &str| {
        slot.failures.iter().any(|failure| {
            failure.api_id == api
                && (!failure.endpoint || failure.digest.as_ref() == Some(&label.digest))
        })
    };
    running.is_some_and(|running| {
        running
            .apis
            .iter()
            .any(|(id, api)| api.artifacts.contains(label) && !failed(id))
    })
}

fn failure_in(slots: &[SlotStatus], label: &ArtifactLabel) -> Option<(String, String)> {
    slots.iter().enumerate().find_map(|(n, slot)| {
        let mut failures = slot.failures.iter();
        let failure = failures.find(|failure| failure.digest.as_ref() == Some(&label.digest))?;
        let said = said_by((n, slot), &failure.message);
        Some((failure.code.clone(), said))
    })
}

/// A message with the worker that it is of: the others may do well.
fn said_by((n, slot): (usize, &SlotStatus), message: &str) -> String {
    match slot.pid {
        Some(pid) => format!("worker {n} (process {pid}): {message}"),
        None => format!("worker {n}: {message}"),
    }
}

/// The APIs that are not simply serving what the revision wants. What workers were told mends nothing
/// before it is in effect, and breaks something at once.
fn apis(progress: &Progress, slots: &[SlotStatus]) -> Vec<v1::ApiStatus> {
    let mut all: BTreeMap<String, v1::ApiStatus> = BTreeMap::new();
    let generations = [&progress.in_effect, &progress.effective];
    for (id, api) in generations
        .into_iter()
        .flatten()
        .flat_map(|effective| &effective.apis)
    {
        let endpoints = api.endpoint_trouble();
        if let Some(failure) = api.trouble.as_ref().or(endpoints.as_ref()) {
            let state = match (&api.trouble, api.is_held()) {
                (None, _) => PARTIAL,
                (Some(_), true) => "held",
                (Some(_), false) => "failed",
            };
            all.insert(
                id.clone(),
                api_status(id, state, &failure.code, &failure.message),
            );
        }
    }
    let live = slots.iter().enumerate();
    let live = live.filter(|(_, slot)| slot.pid.is_some());
    for (at, failure) in
        live.flat_map(|(n, slot)| slot.failures.iter().map(move |f| ((n, slot), f)))
    {
        let state = match (failure.endpoint, failure.held) {
            (true, _) => PARTIAL,
            (false, true) => "held",
            (false, false) => "failed",
        };
        let said = said_by(at, &failure.message);
        let status = api_status(&failure.api_id, state, &failure.code, &said);
        all.entry(failure.api_id.clone()).or_insert(status);
    }
    all.into_values().take(APIS_MAX).collect()
}

/// Adds what a source does not take: an API that is not in trouble otherwise is held by it, and one that
/// is gets the better reason.
fn with_complaints(
    apis: Vec<v1::ApiStatus>,
    complaints: &[Complaint],
    serving: impl Fn(&str) -> bool,
) -> Vec<v1::ApiStatus> {
    let mut all: BTreeMap<String, v1::ApiStatus> = apis
        .into_iter()
        .map(|api| (api.api_id.clone(), api))
        .collect();
    for complaint in complaints {
        let reason = format!("{}: {}", complaint.file, complaint.message);
        for id in complaint.apis.iter().map(ToString::to_string) {
            let state = if serving(&id) { "held" } else { "failed" };
            let status = all
                .entry(id.clone())
                .or_insert_with(|| api_status(&id, state, complaint.code, ""));
            let parts = [&*reason, &*status.message];
            let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            status.message = cut(&parts.join("; "));
        }
    }
    all.into_values().take(APIS_MAX).collect()
}

fn api_status(api_id: &str, state: &str, code: &str, message: &str) -> v1::ApiStatus {
    v1::ApiStatus {
        api_id: api_id.to_owned(),
        state: state.to_owned(),
        code: code.to_owned(),
        message: cut(message),
    }
}

fn cut(message: &str) -> String {
    message.chars().take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::generation::{Effective, EffectiveApi};
    use super::super::plan::Failure;
    use super::super::progress::Phase;
    use super::*;
    use crate::protocol::{ApiFailure, ApiOrder, Service};

    fn label() -> ArtifactLabel {
        ArtifactLabel {
            digest: "d1".into(),
            bundle: "hooks".into(),
            version: "1.0.0".into(),
            file: "hooks.so".into(),
        }
    }

    fn effective() -> Arc<Effective> {
        let service = Service::Refuse {
            code: "X".into(),
            message: String::new(),
        };
        let order = ApiOrder {
            api_id: "a".into(),
            domain: None,
            prefix: "/a".into(),
            service,
        };
        let api = EffectiveApi {
            order,
            artifacts: [label()].into(),
            trouble: None,
        };
        Arc::new(Effective {
            revision: 3,
            apis: [("a".to_owned(), api)].into(),
        })
    }

    fn progress(failure: Option<Failure>) -> Progress {
        let reached = ArtifactProgress {
            phase: Phase::Probed,
            failure,
            fetched_from: None,
        };
        Progress {
            artifacts: [(label(), reached)].into(),
            effective: Some(effective()),
            in_effect: Some(effective()),
            ..Progress::default()
        }
    }

    fn slot(failures: Vec<ApiFailure>) -> SlotStatus {
        SlotStatus {
            pid: Some(1),
            serial: 1,
            running: Some(effective()),
            failures,
            ..SlotStatus::default()
        }
    }

    #[test]
    fn artifact_counts_the_workers_that_serve_it() {
        let failure = ApiFailure {
            api_id: "a".into(),
            held: false,
            endpoint: false,
            digest: Some("d1".into()),
            code: "START_FAILED".into(),
            message: "no".into(),
        };
        let slots = [slot(vec![]), slot(vec![failure]), SlotStatus::default()];
        let status = &artifacts(&progress(None), &slots)[0];
        assert_eq!(
            (
                status.phase.as_str(),
                status.workers_serving,
                status.workers
            ),
            ("serving", 1, 3)
        );
        assert_eq!(status.code, "START_FAILED");
        assert_eq!(apis(&progress(None), &slots)[0].state, "failed");
    }

    #[test]
    fn failure_of_an_endpoint_is_its_librarys_and_leaves_the_api_served_in_part() {
        let failure = |digest: &str| ApiFailure {
            api_id: "a".into(),
            held: false,
            endpoint: true,
            digest: Some(digest.into()),
            code: "START_FAILED".into(),
            message: "no".into(),
        };
        let of_another = [slot(vec![failure("d2")])];
        let status = &artifacts(&progress(None), &of_another)[0];
        assert_eq!(
            (status.phase.as_str(), status.code.as_str()),
            ("serving", "")
        );
        assert_eq!(apis(&progress(None), &of_another)[0].state, "partial");
        let its_own = &artifacts(&progress(None), &[slot(vec![failure("d1")])])[0];
        assert_eq!(
            (its_own.phase.as_str(), its_own.code.as_str()),
            ("failed", "START_FAILED")
        );
    }

    #[test]
    fn artifact_that_no_worker_serves_shows_where_it_stopped() {
        let failure = Failure::new("PROBE_CRASHED", "signal 11");
        let status = &artifacts(&progress(Some(failure)), &[SlotStatus::default()])[0];
        assert_eq!(
            (status.phase.as_str(), status.code.as_str()),
            ("failed", "PROBE_CRASHED")
        );
        let status = &artifacts(&progress(None), &[SlotStatus::default()])[0];
        assert_eq!(status.phase, "probed");
    }

    #[test]
    fn api_that_was_mended_is_in_trouble_until_the_workers_run_it() {
        let mut broken = Effective::clone(&effective());
        let api = broken.apis.get_mut("a").unwrap();
        api.trouble = Some(Failure::new("FETCH_UNAVAILABLE", "no"));
        let told = Progress {
            in_effect: Some(Arc::new(broken)),
            ..progress(None)
        };
        assert_eq!(apis(&told, &[])[0].code, "FETCH_UNAVAILABLE");
        assert!(apis(&progress(None), &[]).is_empty());
    }

    #[test]
    fn absent_control_plane_is_not_grave_and_a_refusal_is() {
        let trouble = |code| Trouble {
            code,
            message: String::new(),
        };
        assert!(!is_grave(&trouble("CONTROL_PLANE_UNREACHABLE")));
        assert!(is_grave(&trouble("CREDENTIAL_REFUSED")));
        assert!(is_grave(&trouble("REVISION_REGRESSED")));
    }
}
