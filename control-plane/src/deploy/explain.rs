//! Why a gateway runs what it runs: every candidate of every function of an API.

use gantry_domain::plan::{hooks_of, owner, plan_api};
use gantry_domain::resolution::{Candidate, Lookup, resolve};
use gantry_domain::{
    AbiVersion, ApiDefinition, ApiId, BundleName, BundleVersion, Digest, EnvironmentName, FileName,
    FunctionName, GatewayId, GatewayProfile, GatewayVersion, Hook, HookEntry, LibcVersion,
    PathPattern, Platform, Release, endpoint,
};

use super::{DeployError, Deployments};
use crate::catalog::Snapshot;
use crate::principal::Principal;

/// For whom is explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExplainFor {
    /// A gateway, by what it last said of itself.
    Profile(GatewayProfile),
    /// A gateway that need not exist. It is taken to have this contract and a libc that is new enough.
    Imagined {
        /// Its version.
        version: GatewayVersion,
        /// Its platform.
        platform: Platform,
    },
}

/// Why something does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyNot {
    /// Stable code.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// One candidate and its fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedCandidate {
    /// The file.
    pub file: FileName,
    /// Of its bytes.
    pub digest: Digest,
    /// How its name answers.
    pub matched: &'static str,
    /// Stable code of its fate.
    pub verdict: &'static str,
    /// Its fate in words.
    pub reason: String,
}

/// One function in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedFunction {
    /// Where it runs.
    pub hook: Hook,
    /// Method and path, for a function of an endpoint.
    pub endpoint: Option<(String, PathPattern)>,
    /// Among the entries of the hook, or of the endpoints.
    pub position: usize,
    /// Its name.
    pub function: FunctionName,
    /// The name that resolution starts from.
    pub path: FileName,
    /// Kept but not run.
    pub disabled: bool,
    /// The release whose files are candidates.
    pub release: Option<(BundleName, BundleVersion)>,
    /// In the order in which they were tried.
    pub candidates: Vec<ExplainedCandidate>,
    /// When nothing runs.
    pub why_not: Option<WhyNot>,
}

/// An API on one gateway, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// For which gateway version.
    pub version: GatewayVersion,
    /// For which platform.
    pub platform: Platform,
    /// The environment's order.
    pub lookup: Lookup,
    /// On which revision.
    pub revision: u64,
    /// Every function.
    pub functions: Vec<ExplainedFunction>,
    /// When the API as a whole cannot run.
    pub why_not: Option<WhyNot>,
}

impl Deployments {
    /// Explains an API for a gateway.
    ///
    /// # Errors
    /// No such environment or API.
    pub async fn explain(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        api: &ApiId,
        whom: ExplainFor,
    ) -> Result<Explanation, DeployError> {
        let state = self.snapshot(who, environment).await?;
        let definition = state
            .apis
            .get(api)
            .ok_or_else(|| DeployError::NoApi(api.clone()))?;
        Ok(explain(&state, definition, &whom.profile()))
    }

    /// The profile that a gateway last gave, encoded as it came.
    ///
    /// # Errors
    /// It has never connected to this environment.
    pub async fn gateway_profile(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        gateway: &GatewayId,
    ) -> Result<Vec<u8>, DeployError> {
        let row = self
            .metadata
            .gateway(&who.tenant, environment, gateway)
            .await?;
        let row = row.ok_or_else(|| DeployError::NoGateway(gateway.clone()))?;
        Ok(row.profile)
    }
}

impl ExplainFor {
    fn profile(self) -> GatewayProfile {
        match self {
            Self::Profile(profile) => profile,
            Self::Imagined { version, platform } => GatewayProfile {
                version,
                platform,
                libc: LibcVersion {
                    major: u32::MAX,
                    minor: 0,
                },
                abi: AbiVersion {
                    major: gantry_abi::ABI_MAJOR,
                    minor: gantry_abi::ABI_MINOR,
                },
            },
        }
    }
}

fn explain(state: &Snapshot, definition: &ApiDefinition, profile: &GatewayProfile) -> Explanation {
    let lookup = state.revision.lookup;
    let hooks = hooks_of(definition, &state.releases).ok().flatten();
    let entries = hooks.into_iter().flat_map(|hooks| {
        let all = Hook::ALL.into_iter();
        all.flat_map(move |hook| {
            let entries = hooks.entries(hook).iter().enumerate();
            entries.map(move |(position, entry)| (hook, position, entry))
        })
    });
    let mut functions: Vec<_> = entries
        .map(|place| explain_function(state, definition, profile, place))
        .collect();
    // Where a request meets them: before those at `post`.
    let after = |function: &ExplainedFunction| function.hook >= endpoint::HOOK;
    let at = functions.iter().position(after).unwrap_or(functions.len());
    let endpoints = definition.endpoints.iter().enumerate();
    functions.splice(
        at..at,
        endpoints.map(|(position, endpoint)| {
            let place = (endpoint::HOOK, position, &endpoint.entry);
            ExplainedFunction {
                endpoint: Some((endpoint.method.clone(), endpoint.path.clone())),
                ..explain_function(state, definition, profile, place)
            }
        }),
    );
    let failure = plan_api(definition, &state.releases, profile, lookup).err();
    Explanation {
        version: profile.version,
        platform: profile.platform,
        lookup,
        revision: state.revision.number,
        functions,
        why_not: failure.map(|failure| WhyNot {
            code: failure.code,
            message: failure.to_string(),
        }),
    }
}

fn explain_function(
    state: &Snapshot,
    definition: &ApiDefinition,
    profile: &GatewayProfile,
    (hook, position, entry): (Hook, usize, &HookEntry),
) -> ExplainedFunction {
    let mut explained = ExplainedFunction {
        hook,
        endpoint: None,
        position,
        function: entry.function.clone(),
        path: entry.path.clone(),
        disabled: entry.disabled,
        release: None,
        candidates: Vec::new(),
        why_not: None,
    };
    let release = match owner(definition, &entry.path, &state.releases) {
        Ok(release) => release,
        Err((code, message)) => {
            explained.why_not = Some(WhyNot { code, message });
            return explained;
        }
    };
    explained.release = Some((release.bundle().clone(), release.version().clone()));
    let resolution = resolve(
        &entry.path,
        &release.artifacts,
        profile,
        state.revision.lookup,
    );
    explained.candidates = resolution.candidates.iter().map(candidate).collect();
    explained.why_not = match resolution.taken() {
        None => Some(WhyNot {
            code: "TARGET_UNRESOLVED",
            message: format!(
                "{}@{} has no build of {} for gateway {} on {}",
                release.bundle(),
                release.version(),
                entry.path,
                profile.version,
                profile.platform
            ),
        }),
        Some(artifact) => function_missing(release, artifact, hook, entry),
    };
    explained
}

fn function_missing(
    release: &Release,
    artifact: &gantry_domain::Artifact,
    hook: Hook,
    entry: &HookEntry,
) -> Option<WhyNot> {
    let at = format!(
        "{} of {}@{}",
        artifact.file,
        release.bundle(),
        release.version()
    );
    match artifact.note.function(&entry.function) {
        None => Some(WhyNot {
            code: "FUNCTION_NOT_FOUND",
            message: format!("{at} does not offer {}", entry.function),
        }),
        Some(function) if !function.hooks.contains(hook) => Some(WhyNot {
            code: "HOOK_UNDECLARED",
            message: format!("{at} declares {} for {}", entry.function, function.hooks),
        }),
        Some(_) if entry.disabled => Some(WhyNot {
            code: "FUNCTION_DISABLED",
            message: "the entry says disabled".into(),
        }),
        Some(_) => None,
    }
}

fn candidate(candidate: &Candidate<'_>) -> ExplainedCandidate {
    ExplainedCandidate {
        file: candidate.artifact.file.clone(),
        digest: candidate.artifact.digest,
        matched: candidate.matched.as_str(),
        verdict: candidate.verdict.code(),
        reason: candidate.verdict.to_string(),
    }
}
