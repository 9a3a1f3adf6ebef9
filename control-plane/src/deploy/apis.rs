//! API definitions of an environment: put, get, list, delete.

use std::ops::Bound;
use std::sync::Arc;

use gantry_domain::plan::hooks_of;
use gantry_domain::{ApiDefinition, ApiId, Digest, EnvironmentName, FieldWarning, Revision};

use super::{Change, DeployError, Deployments, Findings, check, warnings};
use crate::catalog::Snapshot;
use crate::principal::Principal;
use crate::refusal::{Violation, violations};

/// A definition as it is stored now.
#[derive(Debug)]
pub struct ApiPut {
    /// Complete: absent switches are filled in.
    pub definition: Arc<ApiDefinition>,
    /// The environment's revision afterwards.
    pub revision: u64,
    /// What its author should know.
    pub warnings: Vec<FieldWarning>,
}

/// A definition with its switches filled in, and what its author should know.
type Completed = (Arc<ApiDefinition>, Vec<FieldWarning>);

/// A line of a listing.
#[derive(Debug)]
pub struct ApiSummary {
    /// The definition.
    pub definition: Arc<ApiDefinition>,
    /// Of its canonical text.
    pub digest: Digest,
}

impl Deployments {
    /// Checks a definition, fills in what follows from it, and stores it. With `validate_only`
    /// everything but the storing.
    ///
    /// # Errors
    /// A definition that is refused, a route that another API has, or an etag that is not the stored
    /// definition's.
    pub async fn put_api(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        definition: &[u8],
        etag: Option<&str>,
        validate_only: bool,
    ) -> Result<ApiPut, DeployError> {
        let parsed = ApiDefinition::parse(definition, &self.limits);
        let (mut definition, mut notes) =
            parsed.map_err(|errors| DeployError::Refused(violations(errors)))?;
        self.settle_openapi(who, &mut definition, validate_only)
            .await?;
        let deed = ("api.put", format!("{environment}: {}", definition.api_id));
        let decide = |state: &Snapshot| self.plan_put(who, environment, state, &definition, etag);
        let (revision, (definition, found)) = if validate_only {
            let state = self.snapshot(who, environment).await?;
            let answer = decide(&state)?.answer;
            (state.revision, answer)
        } else {
            self.change(who, environment, deed, decide).await?
        };
        notes.extend(found);
        Ok(ApiPut {
            definition,
            revision: revision.number,
            warnings: notes,
        })
    }

    fn plan_put(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        state: &Snapshot,
        definition: &ApiDefinition,
        etag: Option<&str>,
    ) -> Result<Change<Completed>, DeployError> {
        let api = &definition.api_id;
        check_etag(&state.revision, api, etag)?;
        let hooks = hooks_of(definition, &state.releases).unwrap_or_default();
        let complete = definition.clone().complete(hooks);
        let complete = complete.map_err(|errors| DeployError::Refused(violations(errors)))?;
        check_route(state, &complete)?;
        if !state.apis.contains_key(api) && state.apis.len() >= self.limits.apis_max {
            return Err(DeployError::TooManyApis(self.limits.apis_max));
        }
        let complete = Arc::new(complete);
        let gateways = self.links.connected(&who.tenant, environment);
        let Findings { mut illegal, unfit } =
            check(state, [(api, &complete)], &gateways, &self.metrics);
        // What merely waits for a deployment is a warning; what is wrong by itself is refused.
        let (waiting, wrong): (Vec<_>, Vec<_>) = unfit.into_iter().partition(waits);
        illegal.extend(wrong);
        if !illegal.is_empty() {
            return Err(DeployError::Refused(without_prefix(illegal, api)));
        }
        let digest = complete.digest();
        let next = (state.revision.apis.get(api) != Some(&digest)).then(|| {
            let mut next = state.revision.next();
            next.apis.insert(api.clone(), digest);
            (next, Some(complete.clone()))
        });
        Ok(Change {
            next,
            answer: (complete, warnings(without_prefix(waiting, api))),
        })
    }

    /// A stored definition.
    ///
    /// # Errors
    /// No such environment or API.
    pub async fn get_api(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        api: &ApiId,
    ) -> Result<ApiSummary, DeployError> {
        let head = self.head(who, environment).await?;
        let digest = head
            .apis
            .get(api)
            .ok_or_else(|| DeployError::NoApi(api.clone()))?;
        let definition = self.catalog.definition(&who.tenant, digest).await?;
        Ok(ApiSummary {
            definition,
            digest: *digest,
        })
    }

    /// Stored definitions in the order of their identifiers.
    ///
    /// # Errors
    /// No such environment.
    pub async fn list_apis(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        after: Option<&ApiId>,
        entries_max: usize,
    ) -> Result<Vec<ApiSummary>, DeployError> {
        let head = self.head(who, environment).await?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Vec::new();
        for (_, digest) in head
            .apis
            .range::<ApiId, _>((from, Bound::Unbounded))
            .take(entries_max)
        {
            let definition = self.catalog.definition(&who.tenant, digest).await?;
            page.push(ApiSummary {
                definition,
                digest: *digest,
            });
        }
        Ok(page)
    }

    /// Removes a definition.
    ///
    /// # Errors
    /// No such environment or API.
    pub async fn delete_api(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        api: &ApiId,
    ) -> Result<u64, DeployError> {
        let deed = ("api.delete", format!("{environment}: {api}"));
        let decide = |state: &Snapshot| {
            let mut next = state.revision.next();
            match next.apis.remove(api) {
                Some(_) => Ok(Change {
                    next: Some((next, None)),
                    answer: (),
                }),
                None => Err(DeployError::NoApi(api.clone())),
            }
        };
        let (revision, ()) = self.change(who, environment, deed, decide).await?;
        Ok(revision.number)
    }
}

fn check_etag(head: &Revision, api: &ApiId, etag: Option<&str>) -> Result<(), DeployError> {
    let Some(expected) = etag else {
        return Ok(());
    };
    let found = head
        .apis
        .get(api)
        .map_or_else(|| "none".to_owned(), Digest::to_string);
    if expected == found {
        return Ok(());
    }
    Err(DeployError::Etag {
        expected: expected.chars().take(80).collect(),
        found,
    })
}

fn check_route(state: &Snapshot, definition: &ApiDefinition) -> Result<(), DeployError> {
    let route = definition.route();
    let mut others = state
        .apis
        .values()
        .filter(|other| other.api_id != definition.api_id);
    match others.find(|other| other.route() == route) {
        None => Ok(()),
        Some(other) => Err(DeployError::RouteTaken {
            route,
            other: other.api_id.clone(),
        }),
    }
}

/// Whether a finding will go away by deploying something, or concerns some gateways only.
fn waits(found: &Violation) -> bool {
    found.subject.starts_with("gateways/")
        || matches!(found.code, "BUNDLE_NOT_DEPLOYED" | "FILE_NOT_FOUND")
}

/// Fields of the definition at hand are named as they are written in it.
fn without_prefix(mut found: Vec<Violation>, api: &ApiId) -> Vec<Violation> {
    let prefix = format!("apis/{api}/");
    for violation in &mut found {
        if let Some(field) = violation.subject.strip_prefix(&prefix) {
            violation.subject = field.to_owned();
        }
    }
    found
}
