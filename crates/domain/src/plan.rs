//! The plan of an API on one gateway: its completed definition and the exact file that each of its
//! functions comes from. A pure function of definition, pinned releases, lookup order and profile,
//! used by gateways to run, by the control plane to refuse and to explain.

use std::collections::BTreeMap;
use std::fmt;

use crate::api_definition::Plugins;
use crate::resolution::{Lookup, Resolution, matches, resolve};
use crate::{
    ApiDefinition, Artifact, BundleName, BundleVersion, EndpointEntry, FieldError, FileName,
    FunctionFlag, FunctionName, GatewayProfile, Hook, HookEntry, Middleware, PathPattern, Release,
    endpoint,
};

/// The releases that an environment pins.
pub type Releases = BTreeMap<BundleName, Release>;

/// One function in its place, with the file that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFunction {
    /// Where it runs.
    pub hook: Hook,
    /// Its position among the entries of the hook, or of the endpoints.
    pub position: usize,
    /// Its name.
    pub function: FunctionName,
    /// How it must be called.
    pub flags: Vec<FunctionFlag>,
    /// Time for a call that pends or blocks, milliseconds; the gateway's own where absent.
    pub deadline_ms: Option<u64>,
    /// The bundle it comes from.
    pub bundle: BundleName,
    /// The bundle's version.
    pub version: BundleVersion,
    /// The file.
    pub artifact: Artifact,
}

/// One function of an endpoint, with the file that it comes from or the reason why there is none. The
/// reason concerns requests to this endpoint only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedEndpoint {
    /// Its position in `extended_paths.go_plugin`.
    pub position: usize,
    /// The method.
    pub method: String,
    /// The path.
    pub path: PathPattern,
    /// The function.
    pub function: Result<PlannedFunction, PlanFailure>,
}

/// An API as one gateway runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiPlan {
    /// The definition with its switches complete.
    pub definition: ApiDefinition,
    /// Its functions, in the order in which a request meets them.
    pub functions: Vec<PlannedFunction>,
    /// The functions of its endpoints, in the order in which a request meets those that it matches.
    pub endpoints: Vec<PlannedEndpoint>,
}

impl ApiPlan {
    /// The functions of all hooks and endpoints that have a file.
    pub fn all_functions(&self) -> impl Iterator<Item = &PlannedFunction> {
        let endpoints = self.endpoints.iter();
        self.functions
            .iter()
            .chain(endpoints.filter_map(|endpoint| endpoint.function.as_ref().ok()))
    }
}

/// Why an API cannot run on a gateway. Its requests are answered with an error, never let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFailure {
    /// Stable code.
    pub code: &'static str,
    /// The hook and function in question, where there is one.
    pub place: Option<(Hook, usize, FunctionName)>,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for PlanFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((hook, position, function)) = &self.place {
            write!(f, "{}[{position}] {function}: ", hook.field())?;
        }
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// What an API's functions are called and where they come from, before any gateway is known.
///
/// # Errors
/// The definition names a bundle that is not pinned.
pub fn hooks_of<'a>(
    definition: &'a ApiDefinition,
    releases: &'a Releases,
) -> Result<Option<&'a Middleware>, PlanFailure> {
    match &definition.plugins {
        Plugins::None => Ok(None),
        Plugins::Inline(middleware) => Ok(Some(middleware)),
        Plugins::Bundle(bundle) => match releases.get(bundle) {
            Some(release) => Ok(Some(&release.manifest.middleware)),
            None => Err(PlanFailure {
                code: "BUNDLE_NOT_DEPLOYED",
                place: None,
                message: format!(
                    "custom_middleware_bundle: no version of {bundle} is deployed in this environment"
                ),
            }),
        },
    }
}

/// The release that a name belongs to: the definition's bundle, or the one pinned bundle with a file
/// that answers to the name.
///
/// # Errors
/// `FILE_NOT_FOUND`, or `FILE_AMBIGUOUS` when several pinned bundles answer: which of them runs would
/// then depend on what else is deployed.
pub fn owner<'a>(
    definition: &ApiDefinition,
    path: &FileName,
    releases: &'a Releases,
) -> Result<&'a Release, (&'static str, String)> {
    let answers = |release: &&Release| {
        release
            .artifacts
            .iter()
            .any(|artifact| matches(path, &artifact.file).is_some())
    };
    let owners: Vec<_> = match &definition.plugins {
        Plugins::Bundle(bundle) => releases.get(bundle).into_iter().filter(answers).collect(),
        _ => releases.values().filter(answers).collect(),
    };
    match owners[..] {
        [owner] => Ok(owner),
        [] => Err((
            "FILE_NOT_FOUND",
            format!("no deployed bundle has a file that answers to {path}"),
        )),
        [first, second, ..] => Err((
            "FILE_AMBIGUOUS",
            format!(
                "{path} could come from bundle {} and from bundle {}; use custom_middleware_bundle or rename",
                first.bundle(),
                second.bundle()
            ),
        )),
    }
}

/// Plans an API for a gateway.
///
/// # Errors
/// The first reason why it cannot run there.
pub fn plan_api(
    definition: &ApiDefinition,
    releases: &Releases,
    profile: &GatewayProfile,
    lookup: Lookup,
) -> Result<ApiPlan, PlanFailure> {
    let hooks = hooks_of(definition, releases)?.cloned().unwrap_or_default();
    let definition = definition
        .clone()
        .complete(Some(&hooks))
        .map_err(|errors| contradiction(&errors))?;
    let mut functions = Vec::new();
    for (hook, position, entry) in hooks.enabled() {
        let planned = plan_function(
            &definition,
            releases,
            profile,
            lookup,
            (hook, position, entry),
        );
        functions.push(planned.map_err(|(code, message)| PlanFailure {
            code,
            place: Some((hook, position, entry.function.clone())),
            message,
        })?);
    }
    let endpoints = plan_endpoints(&definition, releases, profile, lookup);
    Ok(ApiPlan {
        definition,
        functions,
        endpoints,
    })
}

fn plan_endpoints(
    definition: &ApiDefinition,
    releases: &Releases,
    profile: &GatewayProfile,
    lookup: Lookup,
) -> Vec<PlannedEndpoint> {
    let enabled = definition.endpoints.iter().enumerate();
    enabled
        .filter(|(_, endpoint)| !endpoint.entry.disabled)
        .map(|(position, endpoint)| {
            let place = (endpoint::HOOK, position, &endpoint.entry);
            let planned = plan_function(definition, releases, profile, lookup, place);
            PlannedEndpoint {
                position,
                method: endpoint.method.clone(),
                path: endpoint.path.clone(),
                function: planned.map_err(|(code, message)| PlanFailure {
                    code,
                    place: None,
                    message: format!(
                        "{} {}: {message}",
                        EndpointEntry::place(position),
                        endpoint.entry.function
                    ),
                }),
            }
        })
        .collect()
}

fn contradiction(errors: &[FieldError]) -> PlanFailure {
    let message = errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    PlanFailure {
        code: "HOOK_CONTRADICTION",
        place: None,
        message,
    }
}

fn plan_function(
    definition: &ApiDefinition,
    releases: &Releases,
    profile: &GatewayProfile,
    lookup: Lookup,
    (hook, position, entry): (Hook, usize, &HookEntry),
) -> Result<PlannedFunction, (&'static str, String)> {
    let release = owner(definition, &entry.path, releases)?;
    let resolution = resolve(&entry.path, &release.artifacts, profile, lookup);
    let Some(artifact) = resolution.taken() else {
        return Err((
            "TARGET_UNRESOLVED",
            unresolved(entry, release, profile, &resolution),
        ));
    };
    let Some(function) = artifact.note.function(&entry.function) else {
        let names: Vec<_> = artifact
            .note
            .functions
            .iter()
            .map(|function| function.name.as_str())
            .collect();
        return Err((
            "FUNCTION_NOT_FOUND",
            format!("{} offers {}", artifact.file, names.join(", ")),
        ));
    };
    if !function.hooks.contains(hook) {
        return Err((
            "HOOK_UNDECLARED",
            format!(
                "{} declares {} for {}, not {hook}",
                artifact.file, entry.function, function.hooks
            ),
        ));
    }
    Ok(PlannedFunction {
        hook,
        position,
        function: entry.function.clone(),
        flags: function.flags.clone(),
        deadline_ms: entry.deadline_ms,
        bundle: release.bundle().clone(),
        version: release.version().clone(),
        artifact: artifact.clone(),
    })
}

fn unresolved(
    entry: &HookEntry,
    release: &Release,
    profile: &GatewayProfile,
    resolution: &Resolution<'_>,
) -> String {
    let tried: Vec<_> = resolution
        .candidates
        .iter()
        .map(|candidate| format!("{} ({})", candidate.artifact.file, candidate.verdict))
        .collect();
    format!(
        "{}@{} has no build of {} for gateway {} on {}; it has {}",
        release.bundle(),
        release.version(),
        entry.path,
        profile.version,
        profile.platform,
        tried.join(", "),
    )
}
