//! Every method there is, from the descriptor set: none lets in a missing, unknown, revoked or
//! foreign token, or one without the right. A method without a case here fails the test.

use bytes::Bytes;
use gantry_domain::{Digest, Right};
use gantry_proto::convert::right_to_wire;
use gantry_proto::descriptors::{access_table, path, pool};
use gantry_proto::v1;
use gantry_proto::v1::sync_request::Message as FromGateway;
use prost::Message;
use serde_json::json;
use tonic::Code;

use crate::apis::api;
use crate::support::{Bundle, Caller, Plugin, TestApp, call_raw, reason};
use crate::sync::{hello, profile};

/// What belongs to the tenant that is attacked. Its names occur nowhere else.
struct Victim {
    admin: Caller,
    gateway_token: String,
    token_id: String,
    upload: String,
    key: String,
    definition: String,
    release: String,
    artifact: String,
}

const MARK: &str = "victim";

async fn victim(app: &TestApp) -> Victim {
    let admin = app.tenant(MARK).await;
    let bytes = Plugin {
        build: MARK,
        ..Plugin::SIMPLE
    }
    .compile();
    let bundle = format!("{MARK}-hooks");
    let pushed = admin
        .push(&Bundle::simple(&bundle, "1.0.0", &bytes))
        .await
        .unwrap();
    admin.deploy_bundle(&bundle, "1.0.0", false).await.unwrap();
    let put = admin
        .put_api(&api(&format!("{MARK}-api"), "/x", &json!({})))
        .await
        .unwrap();
    let other = Plugin {
        build: "other",
        ..Plugin::SIMPLE
    }
    .compile();
    let draft = admin
        .begin(&Bundle::simple(&bundle, "2.0.0", &other))
        .await
        .unwrap();
    let create = v1::CreateKeyRequest {
        environment: "prod".into(),
        description: MARK.into(),
        ..Default::default()
    };
    let key = admin
        .keys()
        .create_key(create)
        .await
        .unwrap()
        .into_inner()
        .key
        .unwrap();
    Victim {
        gateway_token: admin.token(&[v1::Right::Gateway]).await.secret,
        token_id: admin.token(&[v1::Right::Publish]).await.token.unwrap().id,
        upload: draft.upload_id,
        key: key.id,
        definition: put.digest,
        release: pushed.release.unwrap().digest,
        artifact: Digest::of(&bytes).to_string(),
        admin,
    }
}

/// Messages that would touch or show the victim's things. `None`: the method has no case yet.
fn attack(victim: &Victim, method: &str) -> Option<Vec<Bytes>> {
    let environment = || "prod".to_owned();
    let one = |message: &dyn Encoded| vec![message.encoded()];
    let upload_id = victim.upload.clone();
    Some(match method {
        "AdminService/WhoAmI" => one(&v1::WhoAmIRequest {}),
        "AdminService/CreateTenant" => one(&v1::CreateTenantRequest {
            name: "made-by-attack".into(),
        }),
        "AdminService/ListTenants" => one(&v1::ListTenantsRequest::default()),
        "AdminService/CreateEnvironment" => one(&v1::CreateEnvironmentRequest {
            name: "made-by-attack".into(),
            lookup: String::new(),
        }),
        "AdminService/ListEnvironments" => one(&v1::ListEnvironmentsRequest {}),
        "AdminService/CreateToken" => one(&v1::CreateTokenRequest {
            rights: vec![v1::Right::Publish.into()],
            ..Default::default()
        }),
        "AdminService/ListTokens" => one(&v1::ListTokensRequest::default()),
        "AdminService/RevokeToken" => one(&v1::RevokeTokenRequest {
            id: victim.token_id.clone(),
        }),
        "PublishService/BeginUpload" => one(&v1::BeginUploadRequest {
            manifest: Bundle::simple("attack", "1.0.0", b"x")
                .manifest
                .into_bytes(),
            files: vec![v1::FileDeclaration {
                name: "hooks.so".into(),
                sha256: Digest::of("x").to_string(),
                size_bytes: 1,
            }],
        }),
        "PublishService/UploadFile" => one(&v1::UploadFileRequest {
            upload_id,
            file: "hooks.so".into(),
            offset: 0,
            chunk: "x".into(),
        }),
        "PublishService/GetUpload" => one(&v1::GetUploadRequest { upload_id }),
        "PublishService/Publish" => one(&v1::PublishRequest { upload_id }),
        "PublishService/AbortUpload" => one(&v1::AbortUploadRequest { upload_id }),
        "CatalogService/ListBundles" => one(&v1::ListBundlesRequest::default()),
        "CatalogService/ListVersions" => one(&v1::ListVersionsRequest {
            bundle: format!("{MARK}-hooks"),
            ..Default::default()
        }),
        "CatalogService/GetRelease" => one(&v1::GetReleaseRequest {
            bundle: format!("{MARK}-hooks"),
            version: "1.0.0".into(),
        }),
        "CatalogService/DownloadFile" => one(&v1::DownloadFileRequest {
            bundle: format!("{MARK}-hooks"),
            version: "1.0.0".into(),
            file: "hooks.so".into(),
            offset: 0,
        }),
        "CatalogService/Yank" => one(&v1::YankRequest {
            bundle: format!("{MARK}-hooks"),
            version: "1.0.0".into(),
            ..Default::default()
        }),
        "CatalogService/Unyank" => one(&v1::UnyankRequest {
            bundle: format!("{MARK}-hooks"),
            version: "1.0.0".into(),
            etag: String::new(),
        }),
        "DeployService/Deploy" => one(&v1::DeployRequest {
            environment: environment(),
            bundle: format!("{MARK}-hooks"),
            version: "1.0.0".into(),
            force: true,
        }),
        "DeployService/ListPins" => one(&v1::ListPinsRequest {
            environment: environment(),
        }),
        "DeployService/ListGateways" => one(&v1::ListGatewaysRequest {
            environment: environment(),
            ..Default::default()
        }),
        "DeployService/Explain" => one(&v1::ExplainRequest {
            environment: environment(),
            api_id: format!("{MARK}-api"),
            gateway_version: "v5.3.0".into(),
            platform: "linux_amd64".into(),
            ..Default::default()
        }),
        "ApiService/PutApi" => one(&v1::PutApiRequest {
            environment: environment(),
            definition: api("attack", "/attack", &json!({})).into_bytes(),
            ..Default::default()
        }),
        "ApiService/PutOpenApi" => one(&v1::PutOpenApiRequest {
            part: br#"{"openapi": "3.1.0"}"#.to_vec(),
        }),
        "ApiService/GetApi" => one(&v1::GetApiRequest {
            environment: environment(),
            api_id: format!("{MARK}-api"),
        }),
        "ApiService/ListApis" => one(&v1::ListApisRequest {
            environment: environment(),
            ..Default::default()
        }),
        "ApiService/DeleteApi" => one(&v1::DeleteApiRequest {
            environment: environment(),
            api_id: format!("{MARK}-api"),
        }),
        "KeyService/CreateKey" => one(&v1::CreateKeyRequest {
            environment: environment(),
            ..Default::default()
        }),
        "KeyService/GetKey" => one(&v1::GetKeyRequest {
            environment: environment(),
            id: victim.key.clone(),
        }),
        "KeyService/ListKeys" => one(&v1::ListKeysRequest {
            environment: environment(),
            ..Default::default()
        }),
        "KeyService/RevokeKey" => one(&v1::RevokeKeyRequest {
            environment: environment(),
            id: victim.key.clone(),
        }),
        "SyncService/Sync" => one(&v1::SyncRequest {
            message: Some(FromGateway::Hello(hello(profile("attack", "v5.3.0")))),
        }),
        "SyncService/GetDocuments" => one(&v1::GetDocumentsRequest {
            digests: vec![victim.definition.clone(), victim.release.clone()],
        }),
        "SyncService/LocateArtifact" => one(&v1::LocateArtifactRequest {
            sha256: victim.artifact.clone(),
        }),
        "SyncService/FetchArtifact" => one(&v1::FetchArtifactRequest {
            sha256: victim.artifact.clone(),
            offset: 0,
        }),
        "SyncService/StoreSessions" => one(&v1::StoreSessionsRequest {
            sessions: vec![v1::StoredSession {
                hmac: vec![7; 32],
                session: b"{}".to_vec(),
                age_ms: 0,
            }],
        }),
        _ => return None,
    })
}

trait Encoded {
    fn encoded(&self) -> Bytes;
}

impl<M: Message> Encoded for M {
    fn encoded(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

/// Every method with its case.
fn cases(victim: &Victim) -> Vec<(String, Vec<Bytes>)> {
    let methods: Vec<_> = pool()
        .services()
        .flat_map(|s| s.methods().map(|m| path(&m)).collect::<Vec<_>>())
        .collect();
    assert!(methods.len() >= 34, "{methods:?}");
    let case = |path: String| {
        let method = path.strip_prefix("/gantry.v1.").unwrap().to_owned();
        let messages = attack(victim, &method);
        (
            path,
            messages.unwrap_or_else(|| panic!("{method} has no case in this test: add one")),
        )
    };
    methods.into_iter().map(case).collect()
}

/// A token of this tenant with one right.
async fn token(admin: &Caller, right: Right) -> v1::CreateTokenResponse {
    admin.token(&[right_to_wire(right)]).await
}

/// A right that suffices for a method.
fn sufficient(path: &str) -> Right {
    access_table()[path]
        .any_of
        .first()
        .copied()
        .unwrap_or(Right::Admin)
}

#[tokio::test]
async fn no_method_lets_in_a_missing_malformed_unknown_or_revoked_token() {
    let app = TestApp::start().await;
    let victim = victim(&app).await;
    let channel = app.channel();
    let mut revoked = Vec::new();
    for right in Right::ALL {
        let issued = token(&victim.admin, right).await;
        let revoke = v1::RevokeTokenRequest {
            id: issued.token.unwrap().id,
        };
        victim.admin.admin().revoke_token(revoke).await.unwrap();
        revoked.push((right, issued.secret));
    }
    let genuine = &victim.gateway_token;
    let (id, _) = genuine.rsplit_once('_').unwrap();
    let forged = format!("{id}_{}", "0".repeat(64));
    let rows = app.rows().await;
    for (path, messages) in cases(&victim) {
        let of_right = revoked
            .iter()
            .find(|(right, _)| *right == sufficient(&path))
            .unwrap();
        for (token, code) in [
            (None, "TOKEN_MISSING"),
            (Some("gantry_no_token"), "TOKEN_MALFORMED"),
            (Some(forged.as_str()), "TOKEN_UNKNOWN"),
            (Some(of_right.1.as_str()), "TOKEN_REVOKED"),
        ] {
            let refusal = call_raw(&channel, &path, token, messages.clone())
                .await
                .unwrap_err();
            assert_eq!(
                (refusal.code(), reason(&refusal).as_str()),
                (Code::Unauthenticated, code),
                "{path}"
            );
        }
    }
    assert_eq!(app.rows().await, rows);
}

#[tokio::test]
async fn no_method_lets_in_a_token_without_the_right() {
    let app = TestApp::start().await;
    let victim = victim(&app).await;
    let channel = app.channel();
    let operator = app.as_token(&app.operator);
    operator.environment("prod").await;
    let mut tokens = Vec::new();
    for right in Right::ALL {
        let own = token(&victim.admin, right).await.secret;
        tokens.push((right, own, token(&operator, right).await.secret));
    }
    let rows = app.rows().await;
    for (path, messages) in cases(&victim) {
        let access = &access_table()[&path];
        if access.any_of.is_empty() {
            assert_eq!(
                path, "/gantry.v1.AdminService/WhoAmI",
                "only WhoAmI may be for everybody"
            );
            continue;
        }
        let mut refused = 0;
        for (right, own, operators) in &tokens {
            let set = gantry_domain::RightSet::default().with(*right);
            let allowed = access.any_of.iter().any(|needed| set.allows(*needed));
            // Of the operators' tenant, where being one of them is asked for besides the right.
            let (token, code) = match (access.operator, allowed) {
                (true, true) => (own, "OPERATOR_ONLY"),
                (true, false) => (operators, "RIGHT_MISSING"),
                (false, false) => (own, "RIGHT_MISSING"),
                (false, true) => continue,
            };
            let refusal = call_raw(&channel, &path, Some(token), messages.clone())
                .await
                .unwrap_err();
            assert_eq!(
                (refusal.code(), reason(&refusal).as_str()),
                (Code::PermissionDenied, code),
                "{path} with {right}"
            );
            refused += 1;
        }
        assert!(refused > 0, "{path} was refused to nobody");
    }
    assert_eq!(app.rows().await, rows);
}

#[tokio::test]
async fn no_method_shows_or_changes_anything_of_another_tenant() {
    let app = TestApp::start().await;
    let victim = victim(&app).await;
    let channel = app.channel();
    let attacker = app.tenant("attacker").await;
    let victims = |rows: Vec<String>| -> Vec<String> {
        rows.into_iter()
            .filter(|row| row.contains(&format!(" {MARK}/")))
            .collect()
    };
    let rows = victims(app.rows().await);
    assert!(rows.len() >= 8, "{rows:?}");
    let objects = app.objects();
    for (path, messages) in cases(&victim) {
        if access_table()[&path].operator {
            continue;
        }
        let token = token(&attacker, sufficient(&path)).await.secret;
        match call_raw(&channel, &path, Some(&token), messages).await {
            Err(refusal) => assert_eq!(refusal.code(), Code::NotFound, "{path}: {refusal:?}"),
            Ok(answer) => {
                let secrets = [
                    MARK,
                    &victim.upload,
                    &victim.key,
                    &victim.token_id,
                    &victim.definition,
                    &victim.release,
                    &victim.artifact,
                ];
                for message in answer {
                    let text = String::from_utf8_lossy(&message);
                    for secret in secrets {
                        assert!(!text.contains(secret), "{path} shows {secret}");
                    }
                }
            }
        }
    }
    assert_eq!(victims(app.rows().await), rows);
    assert_eq!(app.objects(), objects);
}

#[tokio::test]
async fn every_method_lets_in_a_token_with_the_right() {
    let app = TestApp::start().await;
    let victim = victim(&app).await;
    let channel = app.channel();
    for (path, messages) in cases(&victim) {
        let right = sufficient(&path);
        let token = if access_table()[&path].operator {
            app.operator.clone()
        } else {
            token(&victim.admin, right).await.secret
        };
        // What the call itself comes to is for other tests: here it must get past the door.
        if let Err(refusal) = call_raw(&channel, &path, Some(&token), messages).await {
            let shut = matches!(
                refusal.code(),
                Code::Unauthenticated | Code::PermissionDenied | Code::Internal
            );
            assert!(!shut, "{path}: {refusal:?}");
        }
    }
}

#[tokio::test]
async fn method_that_does_not_exist_is_refused_to_everybody() {
    let app = TestApp::start().await;
    for path in [
        "/gantry.v1.AdminService/Nothing",
        "/other.Service/WhoAmI",
        "/",
    ] {
        let refusal = call_raw(
            &app.channel(),
            path,
            Some(&app.operator),
            vec![Bytes::new()],
        )
        .await
        .unwrap_err();
        assert_eq!(
            (refusal.code(), reason(&refusal).as_str()),
            (Code::Unimplemented, "METHOD_NOT_FOUND")
        );
    }
}
