//! What a slot's workers do not survive loading. The probe has started it, but in a worker it ends the
//! process, or does not come back: an `init` that opens a port which another worker has, say. Its APIs
//! keep what they ran in the slot before, or are refused there; every other API is untouched.
//!
//! Invariants: a library is blamed for a death only if two workers in a row died while they loaded it. A
//! worker that serves is not risked for another try: only one that has accepted nothing yet tries again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::generation::{Effective, EffectiveApi, functions, refused};
use super::plan::Failure;
use crate::protocol::{ApiFailure, ApiOrder, EndpointFunction, FunctionOrder, Service};

/// Deaths in a row for which a library is blamed.
const DEATHS: u32 = 2;
/// The wait before another try, doubling.
const RETRY_FIRST: Duration = Duration::from_secs(10);
/// As above.
const RETRY_LONGEST: Duration = Duration::from_mins(10);

/// What was being loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Load {
    /// The library itself.
    Library(String),
    /// A function of a loaded library, for an API.
    Start { digest: String, api_id: String },
}

/// What a slot's workers are not told to load.
#[derive(Debug, Default)]
pub(super) struct Exclusions {
    excluded: BTreeMap<Load, Failure>,
    deaths: Option<(Load, u32)>,
    retry_at: Option<Instant>,
    tries: u32,
}

impl Exclusions {
    /// Nothing is excluded: what workers are told that have accepted no connection yet.
    pub(super) const NONE: Self = Self {
        excluded: BTreeMap::new(),
        deaths: None,
        retry_at: None,
        tries: 0,
    };

    /// A worker died while it loaded this. Gives whether it is excluded from now on.
    pub(super) fn died(&mut self, load: Load, failure: Failure) -> bool {
        let before = self.deaths.take().filter(|(earlier, _)| *earlier == load);
        let deaths = before.map_or(1, |(_, deaths)| deaths + 1);
        if deaths < DEATHS {
            self.deaths = Some((load, deaths));
            return false;
        }
        self.exclude(load, failure);
        true
    }

    /// Excludes what does not come back.
    pub(super) fn exclude(&mut self, load: Load, failure: Failure) {
        self.excluded.insert(load, failure);
        self.postpone();
    }

    /// A worker has loaded all that it was told.
    pub(super) fn survived(&mut self) {
        self.deaths = None;
    }

    /// The next try is some time away.
    pub(super) fn postpone(&mut self) {
        let wait = RETRY_FIRST.saturating_mul(1 << self.tries.min(8));
        self.retry_at = Some(Instant::now() + wait.min(RETRY_LONGEST));
        self.tries = self.tries.saturating_add(1);
    }

    /// Whether to try again now.
    pub(super) fn due(&self, now: Instant) -> bool {
        !self.excluded.is_empty() && self.retry_at.is_none_or(|at| at <= now)
    }

    /// A worker that was told everything lives.
    pub(super) fn lift(&mut self) {
        *self = Self::NONE;
    }

    /// Forgets what is not wanted any more: whoever deploys it again wants it tried again.
    pub(super) fn forget_unwanted(&mut self, wanted: &Effective) {
        if self.excluded.is_empty() {
            return;
        }
        let all = wanted.apis.iter().flat_map(|(id, api)| {
            let each = functions(&api.order).into_iter();
            each.flat_map(move |function| loads(id, function))
        });
        let all: BTreeSet<Load> = all.collect();
        self.excluded.retain(|load, _| all.contains(load));
        if self.excluded.is_empty() {
            self.lift();
        }
    }

    fn failure(&self, api_id: &str, function: &FunctionOrder) -> Option<&Failure> {
        let mut loads = loads(api_id, function).into_iter();
        loads.find_map(|load| self.excluded.get(&load))
    }

    /// A generation as the slot's workers are told it, and what of it they are not told. `good` is what
    /// one of them ran.
    pub(super) fn apply(
        &self,
        wanted: &Arc<Effective>,
        good: Option<&Effective>,
    ) -> (Arc<Effective>, Vec<ApiFailure>) {
        if self.excluded.is_empty() {
            return (Arc::clone(wanted), Vec::new());
        }
        let (mut told, mut failures) = (Effective::clone(wanted), Vec::new());
        for (id, api) in &mut told.apis {
            let (at_hooks, at_endpoints) = self.troubles(id, &api.order);
            if let Some((digest, failure)) = at_hooks {
                let before = good.and_then(|good| good.apis.get(id));
                *api = self.in_place_of(id, api, before, &failure);
                failures.push(told_of(id, api.is_held(), false, digest, failure));
            } else if let Some((digest, failure)) = at_endpoints {
                self.refuse_endpoints(id, api);
                failures.push(told_of(id, false, true, digest, failure));
            }
        }
        (Arc::new(told), failures)
    }

    /// The first excluded function at the hooks of an API, and the first at its endpoints.
    fn troubles(&self, id: &str, order: &ApiOrder) -> (Option<Trouble>, Option<Trouble>) {
        let Service::Serve(runtime) = &order.service else {
            return (None, None);
        };
        let trouble = |function: &FunctionOrder| {
            let failure = self.failure(id, function)?;
            Some((function.digest.clone(), failure.clone()))
        };
        let at_endpoint = runtime
            .endpoints
            .iter()
            .find_map(|endpoint| match &endpoint.function {
                EndpointFunction::Run(function) => trouble(function),
                EndpointFunction::Refuse { .. } => None,
            });
        (runtime.functions.iter().find_map(trouble), at_endpoint)
    }

    fn in_place_of(
        &self,
        id: &str,
        api: &EffectiveApi,
        before: Option<&EffectiveApi>,
        failure: &Failure,
    ) -> EffectiveApi {
        let route = (api.order.domain.clone(), api.order.prefix.clone());
        let survives = |before: &&EffectiveApi| {
            let mut functions = functions(&before.order).into_iter();
            before.serves()
                && (&before.order.domain, &before.order.prefix) == (&route.0, &route.1)
                && functions.all(|function| self.failure(id, function).is_none())
        };
        match before.filter(survives) {
            Some(before) => EffectiveApi {
                trouble: Some(failure.clone()),
                ..before.clone()
            },
            None => refused(id, route, failure.clone()),
        }
    }

    fn refuse_endpoints(&self, id: &str, api: &mut EffectiveApi) {
        let Service::Serve(runtime) = &mut api.order.service else {
            return;
        };
        for endpoint in &mut runtime.endpoints {
            if let EndpointFunction::Run(function) = &endpoint.function
                && let Some(failure) = self.failure(id, function)
            {
                let Failure { code, message } = failure.clone();
                endpoint.function = EndpointFunction::Refuse { code, message };
            }
        }
    }
}

/// A library's digest, and what is wrong with loading it.
type Trouble = (String, Failure);

fn loads(api_id: &str, function: &FunctionOrder) -> [Load; 2] {
    let digest = function.digest.clone();
    let api_id = api_id.to_owned();
    [
        Load::Library(digest.clone()),
        Load::Start { digest, api_id },
    ]
}

fn told_of(
    id: &str,
    held: bool,
    endpoint: bool,
    digest: String,
    Failure { code, message }: Failure,
) -> ApiFailure {
    ApiFailure {
        api_id: id.to_owned(),
        held,
        endpoint,
        digest: Some(digest),
        code,
        message,
    }
}

#[cfg(test)]
#[path = "exclusion/tests.rs"]
mod tests;
