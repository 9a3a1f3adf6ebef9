//! Whether APIs are legal and can run, given what would be pinned. Pure: the same words for a
//! definition that is put, a deployment that is asked for, and a warning. (It counts what it resolves.)

use std::sync::Arc;

use gantry_domain::admission::{check_endpoints, check_entries};
use gantry_domain::api_definition::Plugins;
use gantry_domain::plan::{ApiPlan, PlanFailure, hooks_of, owner, plan_api};
use gantry_domain::resolution::matches;
use gantry_domain::{
    ApiDefinition, ApiId, EndpointEntry, GatewayId, GatewayProfile, Middleware, Release,
};

use crate::catalog::Snapshot;
use crate::metrics::Metrics;
use crate::refusal::Violation;

/// What stands against a state of an environment.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What no force can make right: contradictions and ambiguities.
    pub(super) illegal: Vec<Violation>,
    /// What would answer with errors somewhere.
    pub(super) unfit: Vec<Violation>,
}

/// Checks some APIs of a state against gateways.
pub(super) fn check<'a>(
    state: &Snapshot,
    apis: impl IntoIterator<Item = (&'a ApiId, &'a Arc<ApiDefinition>)>,
    gateways: &[(GatewayId, GatewayProfile)],
    metrics: &Metrics,
) -> Findings {
    let mut findings = Findings::default();
    for (api, definition) in apis {
        let before = findings.illegal.len() + findings.unfit.len();
        check_definition(state, api, definition, &mut findings);
        let sound = findings.illegal.len() + findings.unfit.len() == before;
        if sound && definition.active {
            check_gateways(state, (api, definition), gateways, metrics, &mut findings);
        }
    }
    findings
}

fn check_definition(
    state: &Snapshot,
    api: &ApiId,
    definition: &ApiDefinition,
    findings: &mut Findings,
) {
    let violation = |field: &str, code, message| Violation {
        subject: format!("apis/{api}{field}"),
        code,
        message,
    };
    let hooks = match hooks_of(definition, &state.releases) {
        Ok(hooks) => hooks,
        Err(failure) => {
            let found = violation("/custom_middleware_bundle", failure.code, failure.message);
            findings.unfit.push(found);
            return;
        }
    };
    if let Err(errors) = definition.clone().complete(hooks) {
        findings.illegal.extend(errors.into_iter().map(|error| {
            let mut found = Violation::from(error);
            found.subject = format!("apis/{api}/{}", found.subject);
            found
        }));
    }
    let mut ambiguous = |field: &str, path| {
        if let Err((code @ "FILE_AMBIGUOUS", message)) = owner(definition, path, &state.releases) {
            findings.illegal.push(violation(field, code, message));
        }
    };
    let enabled = definition.endpoints.iter().enumerate();
    for (position, endpoint) in enabled.filter(|(_, endpoint)| !endpoint.entry.disabled) {
        let field = format!("/{}.plugin_path", EndpointEntry::place(position));
        ambiguous(&field, &endpoint.entry.path);
    }
    let inline = match &definition.plugins {
        Plugins::Inline(middleware) => Some(middleware),
        Plugins::None | Plugins::Bundle(_) => None,
    };
    for (_, _, entry) in inline.into_iter().flat_map(Middleware::enabled) {
        ambiguous("/custom_middleware", &entry.path);
    }
    // The functions of a bundle's manifest were checked when it was published.
    let all = state.releases.values();
    let artifacts = all
        .filter(|release| match &definition.plugins {
            Plugins::Bundle(bundle) => release.bundle() == bundle,
            Plugins::None | Plugins::Inline(_) => true,
        })
        .flat_map(|release| &release.artifacts);
    let of_hooks =
        inline.map(|middleware| check_entries("custom_middleware", middleware, &artifacts));
    let of_endpoints = check_endpoints(&definition.endpoints, &artifacts);
    for found in of_hooks.into_iter().flatten().chain(of_endpoints) {
        let mut found = Violation::from(found);
        found.subject = format!("apis/{api}/{}", found.subject);
        if found.code == "FILE_NOT_FOUND" {
            found.message = found.message.replace("the bundle", "a deployed bundle");
        }
        findings.unfit.push(found);
    }
}

fn check_gateways(
    state: &Snapshot,
    (api, definition): (&ApiId, &ApiDefinition),
    gateways: &[(GatewayId, GatewayProfile)],
    metrics: &Metrics,
    findings: &mut Findings,
) {
    let lookup = state.revision.lookup;
    // A fleet has few profiles and many gateways: plan once per profile.
    let mut planned: Vec<(&GatewayProfile, Vec<(&'static str, String)>)> = Vec::new();
    for (gateway, profile) in gateways {
        let known = planned.iter().find(|(known, _)| *known == profile);
        let known = known.map(|(_, failures)| failures.clone());
        let failures = known.unwrap_or_else(|| {
            let plan = plan_api(definition, &state.releases, profile, lookup);
            let failures = failures_of(plan);
            metrics.resolved(if failures.is_empty() {
                "resolved"
            } else {
                "unresolved"
            });
            planned.push((profile, failures.clone()));
            failures
        });
        let subject = format!("gateways/{gateway}/apis/{api}");
        findings
            .unfit
            .extend(failures.into_iter().map(|(code, message)| Violation {
                subject: subject.clone(),
                code,
                message,
            }));
    }
}

/// Why an API, or some of its endpoints, cannot run.
fn failures_of(plan: Result<ApiPlan, PlanFailure>) -> Vec<(&'static str, String)> {
    let failures = match plan {
        Err(failure) => vec![failure],
        Ok(plan) => {
            let endpoints = plan.endpoints.into_iter();
            endpoints
                .filter_map(|endpoint| endpoint.function.err())
                .collect()
        }
    };
    let told = failures.iter();
    told.map(|failure| (failure.code, describe(failure)))
        .collect()
}

fn describe(failure: &PlanFailure) -> String {
    match &failure.place {
        Some((hook, position, function)) => {
            format!(
                "{}[{position}] {function}: {}",
                hook.field(),
                failure.message
            )
        }
        None => failure.message.clone(),
    }
}

/// Whether a deployment of a release can change what an API runs: it names the bundle, or lists
/// functions of a file that the release (or the one before) answers for.
pub(super) fn concerns(definition: &ApiDefinition, releases: &[&Release]) -> bool {
    match &definition.plugins {
        Plugins::Bundle(bundle) => releases.iter().any(|release| release.bundle() == bundle),
        Plugins::None | Plugins::Inline(_) => definition.files().any(|path| {
            let mut artifacts = releases.iter().flat_map(|release| &release.artifacts);
            artifacts.any(|file| matches(path, &file.file).is_some())
        }),
    }
}
