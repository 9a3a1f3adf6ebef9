//! From what a revision wants to what workers are told. An API whose functions cannot be had keeps
//! the order it had before (`held`), or is refused if it had none; every other API is untouched.
//!
//! Invariant: equal orders stay equal from one generation to the next, numbers included, so that the
//! difference between two generations is exactly what changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use gantry_domain::api_definition::Route;
use gantry_domain::plan::{ApiPlan, PlannedEndpoint, PlannedFunction};
use gantry_domain::{Authentication, Digest, EndpointEntry, FunctionFlag};
use serde::{Deserialize, Serialize};

use super::plan::{Failure, Wanted, WantedApi};
use crate::protocol::{
    ApiOrder, ApiRuntime, EndpointFunction, EndpointOrder, FunctionOrder, Generation, Service,
};

/// Numbers of functions that are remembered, at most, beyond those in use.
const NUMBERS_KEPT_MAX: usize = 65_536;

/// A library as people know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ArtifactLabel {
    /// The digest.
    pub digest: String,
    /// The bundle.
    pub bundle: String,
    /// The bundle's version.
    pub version: String,
    /// The file's name in the bundle.
    pub file: String,
}

impl ArtifactLabel {
    /// The label of a planned function's library.
    pub fn of(function: &PlannedFunction) -> Self {
        Self {
            digest: function.artifact.digest.to_string(),
            bundle: function.bundle.to_string(),
            version: function.version.to_string(),
            file: function.artifact.file.to_string(),
        }
    }
}

/// One API as workers run it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EffectiveApi {
    /// What workers are told.
    pub order: ApiOrder,
    /// The libraries in it.
    pub artifacts: BTreeSet<ArtifactLabel>,
    /// Why this is not what the revision wants. With an order that serves, the API is held.
    pub trouble: Option<Failure>,
}

impl EffectiveApi {
    /// Whether requests are served.
    pub fn serves(&self) -> bool {
        matches!(self.order.service, Service::Serve(_))
    }

    /// Whether it serves what an earlier revision wanted.
    pub fn is_held(&self) -> bool {
        self.serves() && self.trouble.is_some()
    }

    /// Why requests to some of its endpoints are refused, while the others are served.
    pub fn endpoint_trouble(&self) -> Option<Failure> {
        let Service::Serve(runtime) = &self.order.service else {
            return None;
        };
        let refused = |endpoint: &EndpointOrder| match &endpoint.function {
            EndpointFunction::Run(_) => None,
            EndpointFunction::Refuse { code, message } => Some((
                code.clone(),
                format!("{} {}: {message}", endpoint.method, endpoint.path),
            )),
        };
        let all: Vec<_> = runtime.endpoints.iter().filter_map(refused).collect();
        let code = all.first()?.0.clone();
        let messages: Vec<_> = all.into_iter().map(|(_, message)| message).collect();
        Some(Failure::new(code, messages.join("; ")))
    }

    fn route(&self) -> (Option<String>, String) {
        (self.order.domain.clone(), self.order.prefix.clone())
    }
}

/// A revision as this gateway runs it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effective {
    /// The revision.
    pub revision: u64,
    /// Every API.
    pub apis: BTreeMap<String, EffectiveApi>,
}

impl Effective {
    /// The APIs that run on instances of an earlier revision.
    pub fn held(&self) -> BTreeMap<String, EffectiveApi> {
        let held = self.apis.iter().filter(|(_, api)| api.is_held());
        held.map(|(id, api)| (id.clone(), api.clone())).collect()
    }

    /// `OpenAPI` documents that workers read, by their digests.
    pub fn openapi(&self) -> impl Iterator<Item = String> {
        let of = |api: &EffectiveApi| match &api.order.service {
            Service::Serve(runtime) => runtime.openapi.clone(),
            Service::Refuse { .. } => None,
        };
        let paths = self.apis.values().filter_map(of);
        paths.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
    }

    /// Digests of all libraries in it.
    pub fn digests(&self) -> BTreeSet<String> {
        self.apis
            .values()
            .flat_map(|api| &api.artifacts)
            .map(|label| label.digest.clone())
            .collect()
    }

    /// What a worker that runs `from` must be told; everything when it runs nothing yet. Of the APIs in
    /// `failed` it does not run what `from` says, so they are told again.
    pub fn difference(&self, from: Option<&Self>, failed: &BTreeSet<String>) -> Generation {
        let before = |id: &str| {
            from.and_then(|from| from.apis.get(id))
                .map(|api| &api.order)
        };
        let changed =
            |id: &str, api: &EffectiveApi| before(id) != Some(&api.order) || failed.contains(id);
        let removed = from.map(|from| from.apis.keys()).into_iter().flatten();
        Generation {
            revision: self.revision,
            replace: from.is_none(),
            apis: self
                .apis
                .iter()
                .filter(|(id, api)| changed(id, api))
                .map(|(_, api)| api.order.clone())
                .collect(),
            removed: removed
                .filter(|id| !self.apis.contains_key(*id))
                .cloned()
                .collect(),
            numbers: BTreeMap::new(),
        }
    }
}

/// One use of a function: what the probe starts and a verdict is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionUse {
    /// The library.
    pub digest: Digest,
    /// The API.
    pub api_id: String,
    /// The hook.
    pub hook: String,
    /// The function.
    pub function: String,
    /// The digest of the configuration.
    pub config: Digest,
}

impl FunctionUse {
    /// The use of a function in a plan.
    pub fn of(plan: &ApiPlan, function: &PlannedFunction, config: Digest) -> Self {
        Self {
            digest: function.artifact.digest,
            api_id: plan.definition.api_id.to_string(),
            hook: function.hook.to_string(),
            function: function.function.to_string(),
            config,
        }
    }
}

/// What of a revision can be had: paths of proven libraries, and what failed.
#[derive(Debug, Default)]
pub struct Admission {
    /// Where the store keeps documents.
    pub documents: PathBuf,
    /// Proven libraries in the store.
    pub libraries: HashMap<Digest, PathBuf>,
    /// Libraries that cannot be had or opened.
    pub failed_libraries: HashMap<Digest, Failure>,
    /// Uses that do not start.
    pub failed_uses: HashMap<FunctionUse, Failure>,
}

impl Admission {
    fn path(&self, function: &FunctionUse) -> Result<PathBuf, Failure> {
        let failed = self
            .failed_libraries
            .get(&function.digest)
            .or_else(|| self.failed_uses.get(function));
        if let Some(failure) = failed {
            return Err(failure.clone());
        }
        let missing = || {
            Failure::new(
                "LIBRARY_MISSING",
                format!("library {} is not here", function.digest),
            )
        };
        self.libraries
            .get(&function.digest)
            .cloned()
            .ok_or_else(missing)
    }
}

/// A function in its place, for numbering and for naming culprits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    api_id: String,
    hook: String,
    endpoint: bool,
    position: usize,
    function: String,
    digest: String,
}

/// Gives each function in its place a number, the same one for as long as it is in use.
#[derive(Debug, Default)]
pub struct Numbers {
    known: HashMap<Place, u32>,
    last: u32,
}

impl Numbers {
    fn number(&mut self, place: Place) -> u32 {
        let last = &mut self.last;
        *self.known.entry(place).or_insert_with(|| {
            // Wrapping would take four billion deployments; 0 is never given.
            *last = last.wrapping_add(1).max(1);
            *last
        })
    }

    fn assign(&mut self, api_id: &str, function: &mut FunctionOrder) {
        function.number = self.number(Place {
            api_id: api_id.to_owned(),
            hook: function.hook.clone(),
            endpoint: function.endpoint,
            position: function.position,
            function: function.function.clone(),
            digest: function.digest.clone(),
        });
    }

    fn forget_unused(&mut self, effective: &Effective) {
        if self.known.len() <= NUMBERS_KEPT_MAX {
            return;
        }
        let used: BTreeSet<u32> = effective
            .apis
            .values()
            .flat_map(|api| functions(&api.order))
            .map(|f| f.number)
            .collect();
        self.known.retain(|_, number| used.contains(number));
    }
}

/// The functions of an order, at hooks and at endpoints.
pub fn functions(order: &ApiOrder) -> Vec<&FunctionOrder> {
    let Service::Serve(runtime) = &order.service else {
        return Vec::new();
    };
    let endpoints = runtime.endpoints.iter();
    let endpoints = endpoints.filter_map(|endpoint| match &endpoint.function {
        EndpointFunction::Run(function) => Some(function),
        EndpointFunction::Refuse { .. } => None,
    });
    runtime.functions.iter().chain(endpoints).collect()
}

/// The same, to be changed.
pub fn functions_mut(order: &mut ApiOrder) -> Vec<&mut FunctionOrder> {
    let Service::Serve(runtime) = &mut order.service else {
        return Vec::new();
    };
    let endpoints = runtime.endpoints.iter_mut();
    let endpoints = endpoints.filter_map(|endpoint| match &mut endpoint.function {
        EndpointFunction::Run(function) => Some(function),
        EndpointFunction::Refuse { .. } => None,
    });
    runtime.functions.iter_mut().chain(endpoints).collect()
}

/// Puts a generation together.
pub fn compose(
    wanted_all: &Wanted,
    admission: &Admission,
    previous: &Effective,
    numbers: &mut Numbers,
) -> Effective {
    let mut apis = BTreeMap::new();
    for (id, wanted) in &wanted_all.apis {
        let composed = match wanted {
            WantedApi::Run(plan) => match order(plan, admission) {
                Ok(order) => Some(serving(plan, order)),
                Err(failure) => Some(held_or_refused(plan, previous, failure)),
            },
            WantedApi::Refuse { route, failure } => wanted_all
                .hold_refused
                .then(|| held(id.as_str(), previous, failure))
                .flatten()
                .or_else(|| Some(refused(id.as_str(), pair(route.clone()?), failure.clone()))),
        };
        if let Some(api) = composed {
            apis.insert(id.to_string(), api);
        } else {
            tracing::error!(
                code = "ROUTE_UNREADABLE", api.id = %id,
                "API {id} is left out: not even its host and path can be read"
            );
        }
    }
    release_taken_routes(wanted_all, &mut apis);
    let mut effective = Effective {
        revision: wanted_all.revision,
        apis,
    };
    for (id, api) in &mut effective.apis {
        for function in functions_mut(&mut api.order) {
            numbers.assign(id, function);
        }
    }
    numbers.forget_unused(&effective);
    effective
}

fn serving(plan: &ApiPlan, order: ApiOrder) -> EffectiveApi {
    let run: BTreeSet<_> = functions(&order).iter().map(|f| f.digest.clone()).collect();
    let labels = plan.all_functions().map(ArtifactLabel::of);
    let artifacts = labels.filter(|label| run.contains(&label.digest)).collect();
    EffectiveApi {
        order,
        artifacts,
        trouble: None,
    }
}

fn held_or_refused(plan: &ApiPlan, previous: &Effective, failure: Failure) -> EffectiveApi {
    let id = plan.definition.api_id.as_str();
    held(id, previous, &failure).unwrap_or_else(|| refused(id, route_of(plan), failure))
}

/// The API as it served before, if it did.
fn held(id: &str, previous: &Effective, failure: &Failure) -> Option<EffectiveApi> {
    let before = previous.apis.get(id).filter(|api| api.serves())?;
    Some(EffectiveApi {
        trouble: Some(failure.clone()),
        ..before.clone()
    })
}

fn pair(route: Route) -> (Option<String>, String) {
    (route.domain, route.prefix)
}

fn route_of(plan: &ApiPlan) -> (Option<String>, String) {
    pair(plan.definition.route())
}

/// An API that is answered 500.
pub(super) fn refused(
    id: &str,
    (domain, prefix): (Option<String>, String),
    failure: Failure,
) -> EffectiveApi {
    let Failure { code, message } = failure.clone();
    let service = Service::Refuse { code, message };
    let order = ApiOrder {
        api_id: id.to_owned(),
        domain,
        prefix,
        service,
    };
    EffectiveApi {
        order,
        artifacts: BTreeSet::new(),
        trouble: Some(failure),
    }
}

/// A held API stays at the route it had. If that belongs to another API by now, it cannot be held.
fn release_taken_routes(wanted: &Wanted, apis: &mut BTreeMap<String, EffectiveApi>) {
    let taken: BTreeSet<_> = apis
        .values()
        .filter(|api| !api.is_held())
        .map(EffectiveApi::route)
        .collect();
    for (id, wanted) in &wanted.apis {
        let Some(api) = apis.get_mut(id.as_str()) else {
            continue;
        };
        if !api.is_held() || !taken.contains(&api.route()) {
            continue;
        }
        let failure = api.trouble.clone();
        match (wanted.route(), failure) {
            (Some(route), Some(failure)) => *api = refused(id.as_str(), pair(route), failure),
            _ => drop(apis.remove(id.as_str())),
        }
    }
}

/// What cannot be had concerns this endpoint only.
fn endpoint_function(
    endpoint: &PlannedEndpoint,
    order: impl FnOnce(&PlannedFunction) -> Result<FunctionOrder, Failure>,
) -> EndpointFunction {
    let ordered = match &endpoint.function {
        Ok(function) => order(function).map_err(|failure| {
            let place = EndpointEntry::place(endpoint.position);
            let message = format!("{place} {}: {}", function.function, failure.message);
            Failure::new(failure.code, message)
        }),
        Err(failure) => Err(Failure::new(failure.code, failure.to_string())),
    };
    match ordered {
        Ok(order) => EndpointFunction::Run(order),
        Err(Failure { code, message }) => EndpointFunction::Refuse { code, message },
    }
}

fn order(plan: &ApiPlan, admission: &Admission) -> Result<ApiOrder, Failure> {
    let definition = &plan.definition;
    let config = definition.config_text();
    let config_digest = Digest::of(&config);
    let order = |function: &PlannedFunction, endpoint: bool| {
        Ok(FunctionOrder {
            hook: function.hook.to_string(),
            endpoint,
            position: function.position,
            function: function.function.to_string(),
            digest: function.artifact.digest.to_string(),
            library: admission.path(&FunctionUse::of(plan, function, config_digest))?,
            may_block: function.flags.contains(&FunctionFlag::MayBlock),
            deadline_ms: function.deadline_ms,
            number: 0,
        })
    };
    let functions = plan.functions.iter().map(|function| order(function, false));
    let functions = functions.collect::<Result<_, Failure>>()?;
    let endpoints = plan.endpoints.iter().map(|endpoint| EndpointOrder {
        method: endpoint.method.clone(),
        path: endpoint.path.to_string(),
        function: endpoint_function(endpoint, |function| order(function, true)),
    });
    let endpoints = endpoints.collect();
    let (keyless, plugin_auth, token_header) = match definition.authentication() {
        Authentication::Keyless => (true, false, None),
        Authentication::Required {
            plugin,
            token_header,
        } => (false, plugin, token_header),
    };
    let (domain, prefix) = route_of(plan);
    let runtime = ApiRuntime {
        target_url: definition.target_url.clone(),
        strip_listen_path: definition.strip_listen_path,
        keyless,
        plugin_auth,
        token_header,
        definition: definition.canonical(),
        config,
        functions,
        endpoints,
        openapi: definition
            .openapi
            .as_ref()
            .map(|openapi| admission.documents.join(openapi.digest.to_string())),
    };
    let service = Service::Serve(Box::new(runtime));
    Ok(ApiOrder {
        api_id: definition.api_id.to_string(),
        domain,
        prefix,
        service,
    })
}

#[cfg(test)]
mod tests;
