//! Before any worker sees a revision: its libraries are fetched, proven, and tried in the probe. What
//! cannot be had is said for each library and each use, so that only the APIs that need it suffer.
//!
//! Invariant: every path that is admitted was hashed since it was last out of use, and every use that
//! is admitted has started in a probe of this build with this configuration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use gantry_domain::{Artifact, Digest, TenantId};
use tokio::task::JoinSet;

use super::fetch::fetch;
use super::generation::{Admission, ArtifactLabel, FunctionUse};
use super::library::Libraries;
use super::plan::{Failure, Wanted, WantedApi};
use super::probe;
use super::progress::{FetchedFrom, Phase, ProgressSender};
use super::verdict::{Trial, Verdicts};
use crate::config::Settings;
use crate::protocol::{ProbeLibrary, ProbeRequest, ProbeUse};
use crate::source::{Origin, Tenancy};

/// Libraries fetched at once.
const FETCHES_MAX: usize = 4;

/// A library that a revision needs.
#[derive(Debug)]
struct Need {
    artifact: Artifact,
    labels: BTreeSet<ArtifactLabel>,
    /// Uses with their configurations.
    uses: BTreeMap<FunctionUse, Arc<str>>,
}

/// Everything that a revision needs.
#[derive(Debug, Default)]
pub struct Needs(BTreeMap<Digest, Need>);

impl Needs {
    /// The needs of the plans of a revision.
    pub fn of(wanted: &Wanted) -> Self {
        let mut needs: BTreeMap<Digest, Need> = BTreeMap::new();
        for wanted in wanted.apis.values() {
            let WantedApi::Run(plan) = wanted else {
                continue;
            };
            let config: Arc<str> = plan.definition.config_text().into();
            let config_digest = Digest::of(&*config);
            for function in plan.all_functions() {
                let need = needs
                    .entry(function.artifact.digest)
                    .or_insert_with(|| Need {
                        artifact: function.artifact.clone(),
                        labels: BTreeSet::new(),
                        uses: BTreeMap::new(),
                    });
                need.labels.insert(ArtifactLabel::of(function));
                need.uses.insert(
                    FunctionUse::of(plan, function, config_digest),
                    config.clone(),
                );
            }
        }
        Self(needs)
    }

    /// The digests of all libraries.
    pub fn digests(&self) -> BTreeSet<Digest> {
        self.0.keys().copied().collect()
    }

    /// The labels of all libraries.
    pub fn labels(&self) -> BTreeSet<ArtifactLabel> {
        self.0
            .values()
            .flat_map(|need| need.labels.clone())
            .collect()
    }

    fn trials(&self) -> BTreeSet<Trial> {
        let libraries = self.0.keys().copied().map(Trial::Library);
        let uses = self
            .0
            .values()
            .flat_map(|need| need.uses.keys().cloned().map(Trial::Use));
        libraries.chain(uses).collect()
    }
}

/// Admits what revisions need.
pub struct Admitter {
    tenant: TenantId,
    settings: Arc<Settings>,
    libraries: Libraries,
    verdicts: Verdicts,
    /// Hashed and in use since.
    proven: BTreeSet<Digest>,
}

impl Admitter {
    /// For the store of a tenant's environment.
    pub fn new(settings: Arc<Settings>, tenancy: &Tenancy, build: &str) -> Self {
        Self {
            tenant: tenancy.identity.tenant.clone(),
            settings,
            libraries: Libraries::of(&tenancy.store),
            verdicts: Verdicts::open(&tenancy.store, build),
            proven: BTreeSet::new(),
        }
    }

    /// A library was found damaged: all are hashed again.
    pub fn distrust(&mut self) {
        self.proven.clear();
    }

    /// Admits what can be had. The second value says whether trying again later may bring more.
    pub async fn admit(
        &mut self,
        needs: &Needs,
        origin: Option<&Origin>,
        progress: &ProgressSender,
    ) -> (Admission, bool) {
        self.proven.retain(|digest| needs.0.contains_key(digest));
        self.verdicts.retain(&needs.trials());
        let mut admission = Admission::default();
        let mut retry = self.obtain(needs, origin, progress, &mut admission).await;
        self.try_out(needs, &admission).await;
        for (digest, need) in &needs.0 {
            if let Some(failure) = self.verdicts.failure(&Trial::Library(*digest)) {
                admission
                    .failed_libraries
                    .entry(*digest)
                    .or_insert_with(|| failure.clone());
            }
            for each in need.uses.keys() {
                if let Some(failure) = self.verdicts.failure(&Trial::Use(each.clone())) {
                    admission.failed_uses.insert(each.clone(), failure.clone());
                }
            }
            let failed = admission.failed_libraries.get(digest);
            let failed = failed.or_else(|| {
                need.uses
                    .keys()
                    .find_map(|each| admission.failed_uses.get(each))
            });
            retry |= failed.is_some_and(|failure| failure.code == "PROBE_UNAVAILABLE");
            progress.artifacts(&need.labels, Phase::Probed, failed);
        }
        (admission, retry)
    }

    /// Writes what passed.
    pub fn keep_verdicts(&self) {
        if let Err(e) = self.verdicts.keep() {
            tracing::error!(code = "STATE_UNUSABLE", "keep the probe's verdicts: {e}");
        }
    }

    async fn obtain(
        &mut self,
        needs: &Needs,
        origin: Option<&Origin>,
        progress: &ProgressSender,
        admission: &mut Admission,
    ) -> bool {
        let mut retry = false;
        let missing = needs
            .0
            .values()
            .filter(|need| !self.proven.contains(&need.artifact.digest));
        let (mut missing, mut running, mut obtained) = (missing, JoinSet::new(), Vec::new());
        loop {
            for need in missing.by_ref().take(FETCHES_MAX - running.len()) {
                running.spawn(obtain(
                    self.libraries.clone(),
                    need.artifact.clone(),
                    origin.cloned(),
                ));
            }
            // A task that panicked leaves its library unproven, which fails its APIs.
            let Some(ended) = running.join_next().await else {
                break;
            };
            if let Ok((digest, result)) = ended {
                let need = &needs.0[&digest];
                // What was here already was not asked for.
                let fetched = result.as_ref().map(|from| *from);
                if let Some(fetched) = fetched.transpose() {
                    progress.count_fetch(fetched, need.artifact.size_bytes);
                }
                match &result {
                    Ok(Some(from)) => progress.fetched(&need.labels, *from),
                    here => progress.artifacts(&need.labels, Phase::Verified, here.as_ref().err()),
                }
                obtained.push((need, result));
            }
        }
        for (need, obtained) in obtained {
            let digest = need.artifact.digest;
            match obtained {
                Ok(_) => drop(self.proven.insert(digest)),
                Err(failure) => {
                    // Wrong bytes may be what something on the way made of the right ones, and a full disk
                    // may have room again.
                    retry |= failure.code.starts_with("FETCH_")
                        || matches!(failure.code.as_str(), "LIBRARY_DIGEST" | "STATE_UNUSABLE");
                    admission.failed_libraries.insert(digest, failure);
                }
            }
        }
        for digest in &self.proven {
            admission
                .libraries
                .insert(*digest, self.libraries.path(digest));
        }
        retry
    }

    /// Probes what is new among the libraries that are here.
    async fn try_out(&mut self, needs: &Needs, admission: &Admission) {
        let (request, trials) = self.request(needs, &admission.libraries);
        if request.libraries.is_empty() {
            return;
        }
        let verdicts = probe::probe(&self.tenant, &self.settings, request).await;
        // A library that fails takes its uses along: that is one thing to say.
        let mut said = Vec::new();
        for ((library, each), verdict) in verdicts {
            let (digest, uses) = &trials[library];
            let trial = match each {
                None => Trial::Library(*digest),
                Some(each) => Trial::Use(uses[each].clone()),
            };
            if let Err(failure) = &verdict
                && !said.contains(&(library, failure.clone()))
            {
                tracing::error!(
                    code = failure.code, plugin.digest = %digest,
                    "library {} does not pass the probe: {}", digest.short(), failure.message
                );
                said.push((library, failure.clone()));
            }
            self.verdicts.record(trial, verdict);
        }
    }

    fn request(
        &self,
        needs: &Needs,
        paths: &HashMap<Digest, PathBuf>,
    ) -> (ProbeRequest, Vec<(Digest, Vec<FunctionUse>)>) {
        let (mut libraries, mut trials) = (Vec::new(), Vec::new());
        for (digest, need) in &needs.0 {
            let Some(path) = paths.get(digest) else {
                continue;
            };
            let library = Trial::Library(*digest);
            if self.verdicts.failure(&library).is_some() {
                continue;
            }
            let open = |each: &&FunctionUse| self.verdicts.is_open(&Trial::Use((*each).clone()));
            let uses: Vec<FunctionUse> = need.uses.keys().filter(open).cloned().collect();
            if uses.is_empty() && self.verdicts.passed(&library) {
                continue;
            }
            libraries.push(ProbeLibrary {
                digest: digest.to_string(),
                library: path.clone(),
                note: need.artifact.note.to_string(),
                uses: uses
                    .iter()
                    .map(|each| probe_use(each, &need.uses[each]))
                    .collect(),
            });
            trials.push((*digest, uses));
        }
        (ProbeRequest { libraries }, trials)
    }
}

fn probe_use(each: &FunctionUse, config: &str) -> ProbeUse {
    ProbeUse {
        api_id: each.api_id.clone(),
        hook: each.hook.clone(),
        function: each.function.clone(),
        config: config.to_owned(),
    }
}

/// A library from the store, or else from where it comes from; says where that is.
async fn obtain(
    libraries: Libraries,
    artifact: Artifact,
    origin: Option<Origin>,
) -> (Digest, Result<Option<FetchedFrom>, Failure>) {
    let (store, digest) = (libraries.clone(), artifact.digest);
    let here = tokio::task::spawn_blocking(move || store.verified(&digest)).await;
    let obtained = match here {
        Ok(Ok(Some(_))) => Ok(None),
        Ok(Ok(None)) => match origin {
            Some(Origin::Folder(files)) => files.copy(libraries, artifact).await.map(|_| None),
            Some(Origin::ControlPlane(link)) => fetch(Some(&link), &libraries, &artifact)
                .await
                .map(Some)
                .map_err(|e| e.failure()),
            None => fetch(None, &libraries, &artifact)
                .await
                .map(Some)
                .map_err(|e| e.failure()),
        },
        Ok(Err(e)) => Err(Failure::new("STATE_UNUSABLE", e.to_string())),
        Err(e) => Err(Failure::new("STATE_UNUSABLE", e.to_string())),
    };
    (digest, obtained)
}
