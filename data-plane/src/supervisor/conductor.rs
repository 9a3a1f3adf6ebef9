//! Takes each snapshot of the source to the workers: plan, admit, compose, tell, and once all live
//! workers run it, keep it as last-known-good.
//!
//! Invariant: one revision at a time; the newest snapshot wins; what serves now goes on until
//! something newer is ready, whatever fails on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gantry_client::Backoff;
use gantry_domain::GatewayProfile;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::admission::{Admitter, Needs};
use super::generation::{Effective, EffectiveApi, Numbers, compose, functions_mut};
use super::library::Libraries;
use super::plan::{Wanted, plan};
use super::pool::{Desired, SlotStatus};
use super::progress::ProgressSender;
use super::state::StateError;
use crate::config::{BUILT_VERSION, Settings, Source};
use crate::protocol::Service;
use crate::source::{Origin, Snapshot, SourceState, Tenancy};

/// Waits before what failed for want of something is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// As above.
const RETRY_LONGEST: Duration = Duration::from_secs(30);
/// Time that the first generation waits for consumer keys when an API asks for them: without them it
/// would refuse every consumer for a moment. An environment without keys may never send any.
const FIRST_KEYS_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that the first generation waits for the control plane when libraries are missing.
const FIRST_LINK_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after which workers that do not take a generation over are worth a line.
const SLOW_AFTER: Duration = Duration::from_secs(30);

/// The task's parts.
pub struct Conductor {
    /// All configuration.
    pub settings: Arc<Settings>,
    /// What this gateway offers to libraries.
    pub profile: GatewayProfile,
    /// Where snapshots come from.
    pub source: watch::Receiver<SourceState>,
    /// Where generations go.
    pub desired: watch::Sender<Desired>,
    /// How far workers are.
    pub statuses: watch::Receiver<Vec<SlotStatus>>,
    /// Where the conductor says how far it is.
    pub progress: ProgressSender,
    /// Rings when a library on disk turned out damaged.
    pub damaged: Arc<Notify>,
    /// APIs that an earlier process held.
    pub held: BTreeMap<String, EffectiveApi>,
}

/// What the conductor knows between two events.
struct State {
    admitter: Option<Admitter>,
    numbers: Numbers,
    effective: Arc<Effective>,
    serial: u64,
    /// The snapshot that was taken to the workers last.
    done: Option<Arc<Snapshot>>,
    needs: Needs,
    /// Told to workers and not yet in effect in all of them.
    unsettled: Option<Unsettled>,
    retry_at: Option<Instant>,
    backoff: Backoff,
    had_origin: bool,
    /// Workers are told again even if nothing changed.
    retell: bool,
    /// What serves could not be made last-known-good.
    unkept: bool,
}

/// A generation on its way.
#[derive(Clone, Copy)]
struct Unsettled {
    /// When it was told.
    since: Instant,
    /// When it is worth a line that it still is.
    slow_at: Instant,
}

impl Unsettled {
    fn now() -> Self {
        let since = Instant::now();
        Self {
            since,
            slow_at: since + SLOW_AFTER,
        }
    }
}

impl Conductor {
    /// Runs until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let held = std::mem::take(&mut self.held);
        let mut state = State {
            admitter: None,
            numbers: Numbers::default(),
            effective: Arc::new(Effective {
                revision: 0,
                apis: held,
            }),
            serial: 0,
            done: None,
            needs: Needs::default(),
            unsettled: None,
            retry_at: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            had_origin: false,
            retell: false,
            unkept: false,
        };
        loop {
            let worked = tokio::select! {
                worked = self.step(&mut state) => worked,
                () = stop.cancelled() => return,
            };
            if worked {
                continue;
            }
            let damaged = self.damaged.clone();
            tokio::select! {
                changed = self.source.changed() => if changed.is_err() { return },
                changed = self.statuses.changed(), if state.unsettled.is_some() => if changed.is_err() { return },
                () = wait(state.retry_at) => {}
                () = wait(state.unsettled.map(|unsettled| unsettled.slow_at)) => {}
                () = damaged.notified() => {
                    if let Some(admitter) = &mut state.admitter {
                        admitter.distrust();
                    }
                    // Workers could not load it: they are told again once it is back. Not at once, since
                    // what damaged it may still be at work.
                    state.retell = true;
                    state.retry_at = Some(Instant::now() + state.backoff.next_wait());
                }
                () = stop.cancelled() => return,
            }
        }
    }

    /// Does what there is to do, if there is something.
    async fn step(&mut self, state: &mut State) -> bool {
        let source = self.source.borrow_and_update().clone();
        if let Some(snapshot) = &source.snapshot {
            let is_new = state
                .done
                .as_ref()
                .is_none_or(|done| !Arc::ptr_eq(done, snapshot));
            let due = state.retry_at.is_some_and(|at| at <= Instant::now());
            // What could not be fetched for want of a control plane can be now.
            let linked = state.retry_at.is_some() && source.origin.is_some() && !state.had_origin;
            state.had_origin = source.origin.is_some();
            if is_new || due || linked {
                if is_new {
                    state.backoff.reset();
                }
                self.advance(state, &source, snapshot, is_new).await;
                return true;
            }
        }
        if let Some(unsettled) = state.unsettled {
            self.settle(state, unsettled).await;
        }
        false
    }

    async fn advance(
        &mut self,
        state: &mut State,
        source: &SourceState,
        snapshot: &Arc<Snapshot>,
        is_new: bool,
    ) {
        let Some(tenancy) = &source.tenancy else {
            return;
        };
        if state.admitter.is_none() {
            self.recover(state, tenancy).await;
        }
        let Some(admitter) = &mut state.admitter else {
            return;
        };
        let wanted = self.plan(snapshot, tenancy).await;
        let needs = Needs::of(&wanted);
        self.progress.begin(&needs.labels());
        let origin = source.origin.as_ref();
        let (mut admission, mut retry) = admitter.admit(&needs, origin, &self.progress).await;
        if state.serial == 0 && retry && origin.is_none() {
            // Upgraded, most likely: what the new version needs is not on disk. If the control plane is
            // there, waiting for it costs less than an API that answers 500 for a moment.
            let origin = first_origin(&mut self.source).await;
            (admission, retry) = admitter
                .admit(&needs, origin.as_ref(), &self.progress)
                .await;
        }
        admission.documents = tenancy.store.directory("documents");
        let effective = compose(&wanted, &admission, &state.effective, &mut state.numbers);
        announce(tenancy, &state.effective, &effective);
        state.retry_at = retry.then(|| Instant::now() + state.backoff.next_wait());
        state.needs = needs;
        state.done = Some(snapshot.clone());
        if is_new || std::mem::take(&mut state.retell) || effective != *state.effective {
            self.tell(state, tenancy, effective).await;
        } else if state.unkept && state.unsettled.is_none() {
            self.keep(state).await;
        }
    }

    /// Plans a revision off the runtime's threads: there may be thousands of definitions.
    async fn plan(&self, snapshot: &Arc<Snapshot>, tenancy: &Tenancy) -> Wanted {
        let (snapshot, profile) = (snapshot.clone(), self.profile.clone());
        let tenant = tenancy.identity.tenant.clone();
        let number = snapshot.revision.number;
        // A control plane refuses what cannot run before it becomes a revision; of a folder that is known
        // only here.
        let hold_refused = matches!(self.settings.source, Source::Folder(_));
        let store = tenancy.store.clone();
        let work = move || {
            // Workers read them there, and those of a folder are not there yet.
            if let Err(e) = store.keep_openapi(&snapshot) {
                tracing::error!(code = "STATE_UNUSABLE", "keep OpenAPI documents: {e}");
            }
            Wanted {
                hold_refused,
                ..plan(&snapshot, &profile, &tenant)
            }
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(wanted) => wanted,
            // Only at shutdown, when nothing is made of it any more.
            Err(_) => Wanted {
                revision: number,
                apis: BTreeMap::new(),
                hold_refused: true,
            },
        }
    }

    /// The first revision of a tenancy: what an earlier process held is checked before it counts.
    async fn recover(&self, state: &mut State, tenancy: &Arc<Tenancy>) {
        state.admitter = Some(Admitter::new(self.settings.clone(), tenancy, BUILT_VERSION));
        let (held, store) = (state.effective.apis.clone(), tenancy.store.clone());
        let check = move || {
            let libraries = Libraries::of(&store);
            held.into_iter()
                .filter_map(|(id, api)| Some((id, restored(api, &libraries)?)))
                .collect()
        };
        let apis = tokio::task::spawn_blocking(check).await.unwrap_or_default();
        state.effective = Arc::new(Effective { revision: 0, apis });
    }

    async fn tell(&mut self, state: &mut State, tenancy: &Arc<Tenancy>, effective: Effective) {
        if state.serial == 0 && needs_keys(&effective) {
            let arrived = self.source.wait_for(|source| source.keys.is_some());
            // Those that come later are told later.
            let _ = timeout(FIRST_KEYS_TIMEOUT, arrived).await;
        }
        let keys = self.source.borrow().keys.clone();
        let effective = Arc::new(effective);
        state.effective = effective.clone();
        state.serial += 1;
        state.unsettled = Some(Unsettled::now());
        self.progress.told(effective.clone());
        self.desired.send_modify(|desired| {
            desired.tenancy = Some(tenancy.clone());
            desired.generation = Some((state.serial, effective));
            if keys.is_some() {
                desired.keys = keys;
            }
        });
    }

    /// Keeps the generation once it is in effect.
    async fn settle(&mut self, state: &mut State, unsettled: Unsettled) {
        let Unsettled { since, slow_at } = unsettled;
        let workers = in_effect(&self.statuses.borrow_and_update(), state.serial);
        let Some(workers) = workers else {
            if slow_at <= Instant::now() {
                let (revision, seconds) = (state.effective.revision, since.elapsed().as_secs());
                tracing::warn!(
                    code = "GENERATION_SLOW",
                    revision,
                    "revision {revision} is not in effect in all workers after {seconds} s"
                );
                let slow_at = Instant::now() + SLOW_AFTER;
                state.unsettled = Some(Unsettled { since, slow_at });
            }
            return;
        };
        state.unsettled = None;
        let revision = state.effective.revision;
        let duration_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            revision,
            workers,
            duration_ms,
            "revision {revision} is in effect in {workers} worker(s)"
        );
        self.progress.in_effect(state.effective.clone());
        self.keep(state).await;
    }

    /// Makes what serves last-known-good, later if it cannot be now: a disk may have room again then.
    async fn keep(&self, state: &mut State) {
        let tenancy = self.source.borrow().tenancy.clone();
        let (Some(tenancy), Some(snapshot)) = (tenancy, state.done.clone()) else {
            return;
        };
        let slots = self.statuses.borrow().clone();
        let slots: Vec<_> = slots.into_iter().filter_map(|slot| slot.good).collect();
        state.unkept = !keep(state, &tenancy, snapshot, &slots).await;
        if state.unkept {
            state.retry_at = Some(Instant::now() + state.backoff.next_wait());
        }
    }
}

/// Where libraries come from, if that is found before it is known to fail.
async fn first_origin(source: &mut watch::Receiver<SourceState>) -> Option<Origin> {
    let decided = source.wait_for(|source| source.origin.is_some() || source.trouble.is_some());
    let source = timeout(FIRST_LINK_TIMEOUT, decided).await.ok()?.ok()?;
    source.origin.clone()
}

/// Waits until a moment, or for ever.
async fn wait(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// In how many workers a generation is in effect, once it is in all that live. A slot that has not
/// had a worker yet is waited for; one whose worker died is not.
fn in_effect(statuses: &[SlotStatus], serial: u64) -> Option<usize> {
    let pending = |status: &SlotStatus| {
        let retiring = status
            .retiring
            .is_some_and(|retiring| retiring.serial < serial);
        retiring
            || match status.pid {
                Some(_) => status.serial < serial,
                None => status.deaths == 0,
            }
    };
    let live = statuses
        .iter()
        .filter(|status| status.pid.is_some())
        .count();
    (live > 0 && !statuses.iter().any(pending)).then_some(live)
}

fn needs_keys(effective: &Effective) -> bool {
    let asks = |service: &Service| matches!(service, Service::Serve(runtime) if runtime.token_header.is_some());
    effective.apis.values().any(|api| asks(&api.order.service))
}

/// A held API of an earlier process, if its libraries are still here and whole.
fn restored(mut api: EffectiveApi, libraries: &Libraries) -> Option<EffectiveApi> {
    for function in functions_mut(&mut api.order) {
        let digest = function.digest.parse().ok()?;
        function.library = libraries.verified(&digest).ok()??;
    }
    Some(api)
}

/// Says which APIs do not run what the revision wants, once each.
fn announce(tenancy: &Tenancy, before: &Effective, now: &Effective) {
    let (tenant, revision) = (&tenancy.identity.tenant, now.revision);
    for (id, api) in &now.apis {
        let endpoints = api.endpoint_trouble();
        let earlier = before.apis.get(id);
        if let Some(failure) = &endpoints
            && earlier.and_then(EffectiveApi::endpoint_trouble) != endpoints
        {
            let (code, message) = (failure.code.as_str(), &failure.message);
            tracing::error!(
                code, tenant.id = %tenant, api.id = id, revision,
                "API {id} answers 500 at some endpoints: {message}"
            );
        }
        let Some(failure) = &api.trouble else {
            continue;
        };
        let (code, message) = (failure.code.as_str(), &failure.message);
        if before.apis.get(id).and_then(|api| api.trouble.as_ref()) == Some(failure) {
            continue;
        }
        if api.is_held() {
            tracing::warn!(
                code, tenant.id = %tenant, api.id = id, revision,
                "API {id} is held at its earlier functions: {message}"
            );
        } else {
            tracing::error!(code, tenant.id = %tenant, api.id = id, revision, "API {id} answers 500: {message}");
        }
    }
}

/// Makes a generation last-known-good and removes what neither it nor its revision needs, nor any of the
/// slots, by what they ran. Says whether it could.
async fn keep(
    state: &State,
    tenancy: &Arc<Tenancy>,
    snapshot: Arc<Snapshot>,
    slots: &[Arc<Effective>],
) -> bool {
    if let Some(admitter) = &state.admitter {
        admitter.keep_verdicts();
    }
    let held = state.effective.held();
    let documents = snapshot.documents.keys().map(ToString::to_string);
    // What is held may have a document of an earlier revision.
    let effective = || std::iter::once(&state.effective).chain(slots);
    let held_documents = effective().flat_map(|effective| effective.openapi());
    let documents: BTreeSet<String> = documents.chain(held_documents).collect();
    let mut libraries: BTreeSet<String> = state
        .needs
        .digests()
        .iter()
        .map(Libraries::file_name)
        .collect();
    libraries.extend(
        effective()
            .flat_map(|effective| effective.digests())
            .map(|digest| format!("{digest}.so")),
    );
    let store = tenancy.store.clone();
    let work = move || -> Result<(), StateError> {
        store.keep(&snapshot, held)?;
        store.sweep("documents", &documents)?;
        store.sweep("libraries", &libraries)?;
        Ok(())
    };
    let kept = tokio::task::spawn_blocking(work).await;
    let kept = kept.map_err(anyhow::Error::from);
    match kept.and_then(|kept| Ok(kept?)) {
        Ok(()) => true,
        Err(e) => {
            tracing::error!(
                code = "STATE_UNUSABLE",
                "keep what serves as last-known-good: {e}"
            );
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::Retiring;
    use super::*;

    fn slot(pid: Option<u32>, serial: u64, deaths: u64) -> SlotStatus {
        SlotStatus {
            pid,
            serial,
            deaths,
            ..SlotStatus::default()
        }
    }

    #[test]
    fn generation_is_in_effect_when_all_live_workers_run_it() {
        assert_eq!(
            in_effect(&[slot(Some(1), 2, 0), slot(Some(2), 2, 0)], 2),
            Some(2)
        );
        assert_eq!(
            in_effect(&[slot(Some(1), 2, 0), slot(Some(2), 1, 0)], 2),
            None
        );
        assert_eq!(
            in_effect(&[slot(Some(1), 2, 0), slot(None, 0, 1)], 2),
            Some(1)
        );
    }

    #[test]
    fn worker_that_is_being_replaced_is_waited_for() {
        let retiring = |serial| SlotStatus {
            retiring: Some(Retiring { pid: 2, serial }),
            ..slot(Some(1), 2, 0)
        };
        assert_eq!(in_effect(&[retiring(1)], 2), None);
        assert_eq!(in_effect(&[retiring(2)], 2), Some(1));
    }

    #[test]
    fn slots_that_have_not_started_are_waited_for_and_no_worker_is_no_effect() {
        assert_eq!(in_effect(&[slot(Some(1), 1, 0), slot(None, 0, 0)], 1), None);
        assert_eq!(in_effect(&[slot(None, 0, 3), slot(None, 0, 1)], 1), None);
    }
}
