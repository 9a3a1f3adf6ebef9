//! What an environment says, and how that changes: pins, API definitions, revisions.
//!
//! Responsible for which states are allowed. Every change reads the head, decides on it, and writes
//! the next revision only if the head is still the one it read; otherwise it decides again. Not
//! responsible for telling gateways: it wakes those who do. Invariant: a revision is never changed,
//! and nothing that changes nothing makes one.

mod apis;
mod check;
mod error;
mod explain;
mod openapi;

use std::sync::Arc;

use gantry_domain::{
    ApiDefinition, BundleName, BundleVersion, Clock, Digest, EnvironmentName, FieldWarning, Limits,
    Pin, Revision, Yank,
};

use crate::catalog::{Catalog, Snapshot};
use crate::links::Links;
use crate::metadata::{Metadata, NotCommitted, ReleaseRow};
use crate::metrics::Metrics;
use crate::principal::Principal;
use crate::refusal::Violation;
use crate::signals::Wakes;

pub use apis::{ApiPut, ApiSummary};
pub use error::DeployError;
pub use explain::{ExplainFor, ExplainedCandidate, ExplainedFunction, Explanation, WhyNot};

use check::{Findings, check, concerns};

/// Bundles that an environment may pin: keeps a revision's pins within one message.
const PINS_MAX: usize = 4096;
/// How often a change is decided anew when others write in between.
const ATTEMPTS_MAX: usize = 16;

/// Changes environments. Clones share everything.
#[derive(Clone)]
pub struct Deployments {
    metadata: Metadata,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    limits: Arc<Limits>,
    links: Links,
    wakes: Wakes,
    metrics: Metrics,
}

/// A pin that was moved.
#[derive(Debug)]
pub struct Deployed {
    /// The environment's revision afterwards.
    pub revision: Revision,
    /// What its author should know.
    pub warnings: Vec<FieldWarning>,
}

/// What a change comes to, given a state.
struct Change<T> {
    /// The next revision and the definition it brings; none when nothing changes.
    next: Option<(Revision, Option<Arc<ApiDefinition>>)>,
    answer: T,
}

impl Deployments {
    /// Deployments on a store, for gateways that are linked here.
    pub fn new(
        metadata: Metadata,
        catalog: Catalog,
        clock: Arc<dyn Clock>,
        limits: Arc<Limits>,
        (links, wakes): (Links, Wakes),
        metrics: Metrics,
    ) -> Self {
        Self {
            metadata,
            catalog,
            clock,
            limits,
            links,
            wakes,
            metrics,
        }
    }

    /// Moves a bundle's pin to a version, at once.
    ///
    /// # Errors
    /// No such environment or release; a yanked version that is not what runs; API definitions that
    /// contradict the version; gateways that could not run an API then, unless `force`.
    pub async fn deploy(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        (bundle, version): (&BundleName, &BundleVersion),
        force: bool,
    ) -> Result<Deployed, DeployError> {
        let row = self.metadata.release(&who.tenant, bundle, version).await?;
        let row = row.ok_or_else(|| DeployError::NoRelease {
            bundle: bundle.clone(),
            version: version.clone(),
        })?;
        let yank = self.metadata.yank_of(&who.tenant, bundle, version).await?;
        let deed = (
            "bundle.deploy",
            format!("{environment}: {bundle}@{version}"),
        );
        self.change(who, environment, deed, |state| {
            refuse_yanked(state, &row, yank.as_ref())?;
            self.plan_deployment(who, environment, state, &row, force)
        })
        .await
        .map(|(revision, warnings)| Deployed { revision, warnings })
    }

    fn plan_deployment(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        state: &Snapshot,
        row: &ReleaseRow,
        force: bool,
    ) -> Result<Change<Vec<FieldWarning>>, DeployError> {
        let release = &row.release;
        let (bundle, version) = (release.bundle().clone(), release.version().clone());
        let pin = Pin {
            version: version.clone(),
            release: release.digest(),
            weight: 100,
        };
        let mut after = state.clone();
        let before = after.releases.insert(bundle.clone(), release.clone());
        if before.is_none() && state.revision.pins.len() >= PINS_MAX {
            return Err(DeployError::TooManyPins(PINS_MAX));
        }
        let moved: Vec<_> = before.iter().chain([release]).collect();
        let concerned = after
            .apis
            .iter()
            .filter(|(_, definition)| concerns(definition, &moved));
        let gateways = self.links.connected(&who.tenant, environment);
        let Findings { illegal, unfit } = check(&after, concerned, &gateways, &self.metrics);
        if !illegal.is_empty() {
            return Err(DeployError::Illegal {
                bundle,
                version,
                illegal,
            });
        }
        if !unfit.is_empty() && !force {
            return Err(DeployError::Unfit {
                bundle,
                version,
                unfit,
            });
        }
        let next = (state.revision.pins.get(&bundle) != Some(&vec![pin.clone()])).then(|| {
            let mut next = state.revision.next();
            next.pins.insert(bundle, vec![pin]);
            (next, None)
        });
        Ok(Change {
            next,
            answer: warnings(unfit),
        })
    }

    /// The newest revision of an environment.
    ///
    /// # Errors
    /// No such environment.
    pub async fn head(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
    ) -> Result<Revision, DeployError> {
        let head = self.metadata.head(&who.tenant, environment).await?;
        head.ok_or_else(|| DeployError::NoEnvironment(environment.clone()))
    }

    async fn snapshot(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
    ) -> Result<Snapshot, DeployError> {
        let state = self.catalog.snapshot(&who.tenant, environment).await?;
        state.ok_or_else(|| DeployError::NoEnvironment(environment.clone()))
    }

    /// Decides on the head and writes, until nobody wrote in between.
    async fn change<T>(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        (action, subject): (&'static str, String),
        decide: impl Fn(&Snapshot) -> Result<Change<T>, DeployError>,
    ) -> Result<(Revision, T), DeployError> {
        for _ in 0..ATTEMPTS_MAX {
            let state = self.snapshot(who, environment).await?;
            let Change { next, answer } = decide(&state)?;
            let Some((next, definition)) = next else {
                return Ok((state.revision, answer));
            };
            let definition = definition.map(|definition| {
                let document = definition.canonical();
                (Digest::of(&document), document)
            });
            let deed = who.deed(action, subject.clone(), self.clock.now());
            let written = self
                .metadata
                .commit_revision(environment, &next, definition, &deed)
                .await?;
            match written {
                Ok(()) => {}
                Err(NotCommitted::HeadMoved) => {
                    tracing::debug!(revision = next.number, "the head has moved");
                    continue;
                }
                Err(NotCommitted::OpenApiGone(digest)) => return Err(openapi::unknown(&digest)),
            }
            self.wakes.wake(&who.tenant, environment);
            tracing::info!(
                tenant.id = %who.tenant, %environment, revision = next.number, action,
                "wrote revision {} of {}/{environment}", next.number, who.tenant
            );
            return Ok((next, answer));
        }
        Err(DeployError::Contended(environment.clone()))
    }
}

/// A yanked version may stay where it is, and be confirmed there, but comes nowhere anew.
fn refuse_yanked(
    state: &Snapshot,
    row: &ReleaseRow,
    yank: Option<&Yank>,
) -> Result<(), DeployError> {
    let (bundle, version) = (row.release.bundle(), row.release.version());
    let pins = state.revision.pins.get(bundle);
    let runs = pins.is_some_and(|pins| pins.iter().any(|pin| pin.version == *version));
    match yank {
        Some(yank) if !runs => Err(DeployError::Yanked {
            bundle: bundle.clone(),
            version: version.clone(),
            reason: yank.reason.clone(),
        }),
        _ => Ok(()),
    }
}

fn warnings(findings: Vec<Violation>) -> Vec<FieldWarning> {
    let warning = |found: Violation| FieldWarning {
        path: found.subject,
        code: found.code,
        message: found.message,
    };
    findings.into_iter().map(warning).collect()
}
