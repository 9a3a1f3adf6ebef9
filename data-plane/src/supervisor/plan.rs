//! What a revision asks of this gateway: for each API a plan, or the reason why its requests must be
//! refused. A function of documents and profile; what can be fetched and started is decided later.
//!
//! Invariant: a definition that this gateway does not understand fails closed at its own route, and
//! no API's trouble touches another.

use std::collections::BTreeMap;

use gantry_domain::api_definition::Route;
use gantry_domain::plan::{ApiPlan, PlanFailure, Releases, plan_api};
use gantry_domain::{
    ApiDefinition, ApiId, BundleName, Digest, FieldError, GatewayProfile, Limits, Release,
    Revision, TenantId,
};
use serde::{Deserialize, Serialize};

use crate::source::Snapshot;

/// Why something does not run: for status and logs, never for clients.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    /// Stable code.
    pub code: String,
    /// The text.
    pub message: String,
}

impl Failure {
    /// A failure of this code.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }
}

/// One API as the revision wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedApi {
    /// To be served by this plan.
    Run(Box<ApiPlan>),
    /// To be refused.
    Refuse {
        /// Where; none when not even that can be read.
        route: Option<Route>,
        /// Why.
        failure: Failure,
    },
}

impl WantedApi {
    /// Where it wants to answer; none when that cannot be read.
    pub(super) fn route(&self) -> Option<Route> {
        match self {
            Self::Run(plan) => Some(plan.definition.route()),
            Self::Refuse { route, .. } => route.clone(),
        }
    }
}

/// A revision as this gateway is to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its number.
    pub revision: u64,
    /// Active APIs.
    pub apis: BTreeMap<ApiId, WantedApi>,
    /// Whether an API that is to be refused, and served before, goes on as before: nobody has checked
    /// this revision before it came here.
    pub hold_refused: bool,
}

/// Plans a snapshot for a gateway of a tenant.
pub fn plan(snapshot: &Snapshot, profile: &GatewayProfile, tenant: &TenantId) -> Wanted {
    let (releases, unusable) = read_releases(snapshot, tenant);
    let revision = &snapshot.revision;
    let mut apis = BTreeMap::new();
    for (id, digest) in &revision.apis {
        let wanted = plan_one(snapshot, id, digest, |definition| {
            plan_api(definition, &releases, profile, revision.lookup)
                .map_err(|failure| explain(&failure, &unusable))
        });
        if let Some(wanted) = wanted {
            apis.insert(id.clone(), wanted);
        }
    }
    refuse_shared_routes(&mut apis);
    Wanted {
        revision: revision.number,
        apis,
        hold_refused: false,
    }
}

/// None for an API that is not active.
fn plan_one(
    snapshot: &Snapshot,
    id: &ApiId,
    digest: &Digest,
    plan: impl FnOnce(&ApiDefinition) -> Result<ApiPlan, Failure>,
) -> Option<WantedApi> {
    let Some(body) = snapshot.documents.get(digest) else {
        let failure = Failure::new(
            "DOCUMENT_MISSING",
            format!("definition {digest} is not here"),
        );
        return Some(WantedApi::Refuse {
            route: None,
            failure,
        });
    };
    let definition = match ApiDefinition::parse(body, &Limits::default()) {
        Ok((definition, _)) => definition,
        // Written for a newer gateway, or damaged: what it says cannot be honoured in part.
        Err(_) if is_inactive(body) => return None,
        Err(errors) => {
            let failure = Failure::new("DEFINITION_UNSUPPORTED", join(&errors));
            return Some(WantedApi::Refuse {
                route: Route::of_document(body),
                failure,
            });
        }
    };
    if !definition.active {
        return None;
    }
    let route = Some(definition.route());
    if definition.api_id != *id {
        let message = format!(
            "the revision says {id}, the definition {}",
            definition.api_id
        );
        return Some(WantedApi::Refuse {
            route,
            failure: Failure::new("DEFINITION_MISMATCH", message),
        });
    }
    Some(match plan(&definition) {
        Ok(plan) => WantedApi::Run(Box::new(plan)),
        Err(failure) => WantedApi::Refuse { route, failure },
    })
}

/// The releases that pins name, and for the bundles that cannot be used, why.
fn read_releases(
    snapshot: &Snapshot,
    tenant: &TenantId,
) -> (Releases, BTreeMap<BundleName, String>) {
    let (mut releases, mut unusable) = (Releases::new(), BTreeMap::new());
    for bundle in snapshot.revision.pins.keys() {
        match read_release(&snapshot.revision, bundle, &snapshot.documents, tenant) {
            Ok(release) => drop(releases.insert(bundle.clone(), release)),
            Err(reason) => drop(unusable.insert(bundle.clone(), reason)),
        }
    }
    (releases, unusable)
}

fn read_release(
    revision: &Revision,
    bundle: &BundleName,
    documents: &BTreeMap<Digest, std::sync::Arc<[u8]>>,
    tenant: &TenantId,
) -> Result<Release, String> {
    let [pin] = revision.pins[bundle].as_slice() else {
        return Err("has several versions at once, which this gateway does not support".into());
    };
    let body = documents
        .get(&pin.release)
        .ok_or("has a release document that is not here")?;
    let release = Release::parse(body).map_err(|errors| join(&errors))?;
    if release.tenant != *tenant {
        return Err("belongs to another tenant".into());
    }
    if release.bundle() != bundle || *release.version() != pin.version {
        return Err(format!(
            "is {}@{} by its release document",
            release.bundle(),
            release.version()
        ));
    }
    Ok(release)
}

fn explain(failure: &PlanFailure, unusable: &BTreeMap<BundleName, String>) -> Failure {
    let unusable = unusable
        .iter()
        .map(|(bundle, reason)| format!("bundle {bundle} {reason}"));
    let parts: Vec<_> = [failure.to_string()].into_iter().chain(unusable).collect();
    Failure::new(failure.code, parts.join("; "))
}

/// Two definitions at one route: the control plane refuses that, and if it comes anyway, neither may
/// answer in the other's place.
fn refuse_shared_routes(apis: &mut BTreeMap<ApiId, WantedApi>) {
    let mut owners: BTreeMap<Route, Vec<ApiId>> = BTreeMap::new();
    for (id, wanted) in apis.iter() {
        if let Some(route) = wanted.route() {
            owners.entry(route).or_default().push(id.clone());
        }
    }
    for (route, ids) in owners.into_iter().filter(|(_, ids)| ids.len() > 1) {
        let names: Vec<_> = ids.iter().map(ToString::to_string).collect();
        let message = format!("{} answer at one host and path", names.join(" and "));
        for (i, id) in ids.into_iter().enumerate() {
            let route = (i == 0).then(|| route.clone());
            let failure = Failure::new("ROUTE_CONFLICT", message.clone());
            apis.insert(id, WantedApi::Refuse { route, failure });
        }
    }
}

fn is_inactive(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|document| document.get("active") == Some(&serde_json::Value::Bool(false)))
}

fn join(errors: &[FieldError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
pub(super) mod tests {
    use gantry_domain::{AbiVersion, GatewayVersion, LibcVersion, Pin, Platform};
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn profile() -> GatewayProfile {
        GatewayProfile {
            version: GatewayVersion::new(5, 3, 0),
            platform: "linux_amd64".parse::<Platform>().unwrap(),
            libc: LibcVersion {
                major: 2,
                minor: 36,
            },
            abi: AbiVersion { major: 0, minor: 1 },
        }
    }

    pub(crate) fn tenant() -> TenantId {
        "acme".parse().unwrap()
    }

    /// A release of one library with one function for `pre`.
    pub(crate) fn release(bundle: &str, file: &str, bytes: &str) -> String {
        let digest = Digest::of(bytes).to_string();
        let note = json!({"abi": {"major": 0, "minor": 1}, "language": "c", "sdk": "", "name": bundle,
            "version": "1.0.0", "functions": [{"name": "Pre", "hooks": ["pre"], "flags": []}]});
        let manifest = json!({"name": bundle, "version": "1.0.0",
            "file_list": [file], "sha256": {file: digest},
            "custom_middleware": {"driver": "goplugin", "pre": [{"name": "Pre", "path": file}]}});
        let manifest =
            gantry_domain::Manifest::parse(manifest.to_string().as_bytes(), &Limits::default());
        let manifest =
            manifest.map_or_else(|e| panic!("{}", join(&e)), |manifest| manifest.to_json());
        gantry_domain::json::canonical(
            &json!({"tenant": "acme", "manifest": manifest, "artifacts": [
            {"file": file, "sha256": digest, "size_bytes": bytes.len(), "platform": "linux_amd64",
             "note": note, "key": "k"}]}),
        )
    }

    pub(crate) fn definition(id: &str, path: &str, more: &Value) -> String {
        let mut document = json!({"api_id": id, "name": id, "use_keyless": true,
            "proxy": {"listen_path": path, "target_url": "http://127.0.0.1:1"}});
        for (name, value) in more.as_object().unwrap() {
            document[name] = value.clone();
        }
        gantry_domain::json::canonical(&document)
    }

    pub(crate) fn snapshot(
        number: u64,
        apis: &[(&str, String)],
        bundles: &[(&str, String)],
    ) -> Snapshot {
        let mut revision = Revision {
            number,
            ..Revision::empty()
        };
        let mut documents = BTreeMap::new();
        for (id, body) in apis {
            documents.insert(Digest::of(body), body.as_bytes().into());
            revision.apis.insert(id.parse().unwrap(), Digest::of(body));
        }
        for (bundle, body) in bundles {
            documents.insert(Digest::of(body), body.as_bytes().into());
            let pin = Pin {
                version: "1.0.0".parse().unwrap(),
                release: Digest::of(body),
                weight: 100,
            };
            revision.pins.insert(bundle.parse().unwrap(), vec![pin]);
        }
        Snapshot {
            revision,
            documents,
        }
    }

    fn code_of(wanted: &Wanted, id: &str) -> String {
        match &wanted.apis[&id.parse::<ApiId>().unwrap()] {
            WantedApi::Run(_) => "RUN".into(),
            WantedApi::Refuse { failure, .. } => failure.code.clone(),
        }
    }

    #[test]
    fn definition_written_for_a_newer_gateway_is_refused_at_its_route_and_others_run() {
        let apis = [
            (
                "new",
                definition("new", "/new/", &json!({"use_mutual_tls": true})),
            ),
            ("old", definition("old", "/old", &json!({}))),
        ];
        let wanted = plan(&snapshot(1, &apis, &[]), &profile(), &tenant());
        assert_eq!(code_of(&wanted, "old"), "RUN");
        let WantedApi::Refuse { route, failure } = &wanted.apis[&"new".parse::<ApiId>().unwrap()]
        else {
            panic!("a rule that is not understood must not be dropped");
        };
        assert_eq!(route, &Some(Route::new(None, "/new")));
        assert_eq!(failure.code, "DEFINITION_UNSUPPORTED");
    }

    #[test]
    fn inactive_definitions_are_left_out_even_when_unreadable() {
        let apis = [
            ("a", definition("a", "/a", &json!({"active": false}))),
            (
                "b",
                definition("b", "/b", &json!({"active": false, "added_later": 1})),
            ),
        ];
        assert!(
            plan(&snapshot(1, &apis, &[]), &profile(), &tenant())
                .apis
                .is_empty()
        );
    }

    #[test]
    fn plan_names_the_file_of_each_function() {
        let apis = [(
            "a",
            definition("a", "/a", &json!({"custom_middleware_bundle": "hooks"})),
        )];
        let bundles = [("hooks", release("hooks", "hooks.so", "bytes"))];
        let wanted = plan(&snapshot(3, &apis, &bundles), &profile(), &tenant());
        let WantedApi::Run(plan) = &wanted.apis[&"a".parse::<ApiId>().unwrap()] else {
            panic!("{wanted:?}");
        };
        assert_eq!(plan.functions[0].artifact.digest, Digest::of("bytes"));
    }

    #[test]
    fn release_of_another_tenant_is_not_used_and_the_reason_says_so() {
        let apis = [(
            "a",
            definition("a", "/a", &json!({"custom_middleware_bundle": "hooks"})),
        )];
        let foreign = release("hooks", "hooks.so", "bytes").replace("\"acme\"", "\"other\"");
        let wanted = plan(
            &snapshot(3, &apis, &[("hooks", foreign)]),
            &profile(),
            &tenant(),
        );
        let WantedApi::Refuse { failure, .. } = &wanted.apis[&"a".parse::<ApiId>().unwrap()] else {
            panic!("{wanted:?}");
        };
        assert_eq!(failure.code, "BUNDLE_NOT_DEPLOYED");
        assert!(
            failure.message.contains("belongs to another tenant"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn two_definitions_at_one_route_are_both_refused() {
        let apis = [
            ("a", definition("a", "/x", &json!({}))),
            ("b", definition("b", "/x/", &json!({}))),
            ("c", definition("c", "/x/y", &json!({}))),
        ];
        let wanted = plan(&snapshot(1, &apis, &[]), &profile(), &tenant());
        assert_eq!(code_of(&wanted, "a"), "ROUTE_CONFLICT");
        assert_eq!(code_of(&wanted, "b"), "ROUTE_CONFLICT");
        assert_eq!(code_of(&wanted, "c"), "RUN");
    }
}
