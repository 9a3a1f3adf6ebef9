//! What gateways are told, and when.

use gantry_domain::{Digest, Revision};
use gantry_proto::convert::delta_from_wire;
use gantry_proto::v1;
use gantry_proto::v1::sync_request::Message as FromGateway;
use gantry_proto::v1::sync_response::Message as ToGateway;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::apis::api;
use crate::support::{Bundle, Caller, PATIENCE, Plugin, TestApp, reason};

/// A gateway that speaks the protocol and runs nothing.
pub(crate) struct FakeGateway {
    sender: mpsc::Sender<v1::SyncRequest>,
    stream: Streaming<v1::SyncResponse>,
    pub(crate) welcome: v1::Welcome,
}

pub(crate) fn profile(id: &str, version: &str) -> v1::GatewayProfile {
    v1::GatewayProfile {
        gateway_id: id.into(),
        instance_nonce: "n1".into(),
        version: version.into(),
        platform: "linux_amd64".into(),
        libc: "2.99".into(),
        abi: format!("{}.{}", gantry_abi::ABI_MAJOR, gantry_abi::ABI_MINOR),
        ..Default::default()
    }
}

pub(crate) fn hello(profile: v1::GatewayProfile) -> v1::Hello {
    v1::Hello {
        profile: Some(profile),
        ..Default::default()
    }
}

impl FakeGateway {
    pub(crate) async fn connect(who: &Caller, hello: v1::Hello) -> Result<Self, Status> {
        let (sender, receiver) = mpsc::channel(8);
        sender
            .send(message(FromGateway::Hello(hello)))
            .await
            .unwrap();
        let mut stream = who
            .sync()
            .sync(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        match stream.message().await?.unwrap().message {
            Some(ToGateway::Welcome(welcome)) => Ok(Self {
                sender,
                stream,
                welcome,
            }),
            other => panic!("not a welcome: {other:?}"),
        }
    }

    pub(crate) async fn say(&self, said: FromGateway) {
        self.sender.send(message(said)).await.unwrap();
    }

    async fn next(&mut self) -> Result<Option<ToGateway>, Status> {
        let next = tokio::time::timeout(PATIENCE, self.stream.message())
            .await
            .expect("a message in time");
        Ok(next?.and_then(|next| next.message))
    }

    /// The next differences of a revision, put together; keys that come in between are dropped.
    pub(crate) async fn revision(&mut self) -> gantry_domain::RevisionDelta {
        let mut parts = Vec::new();
        loop {
            if let Some(ToGateway::Revision(part)) = self.next().await.unwrap() {
                let last = part.last;
                parts.push(part);
                if last {
                    return delta_from_wire(&parts).unwrap();
                }
            }
        }
    }

    pub(crate) async fn keys(&mut self) -> v1::KeyDelta {
        loop {
            if let Some(ToGateway::Keys(part)) = self.next().await.unwrap() {
                assert!(part.last);
                return part;
            }
        }
    }

    /// How the stream ends.
    async fn end(&mut self) -> Option<Status> {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}

fn message(message: FromGateway) -> v1::SyncRequest {
    v1::SyncRequest {
        message: Some(message),
    }
}

pub(crate) async fn fleet(app: &TestApp) -> (Caller, Caller) {
    let acme = app.tenant("acme").await;
    let gateway = acme.token(&[v1::Right::Gateway]).await;
    (acme, app.as_token(&gateway.secret))
}

#[tokio::test]
async fn gateway_is_welcomed_with_everything_and_woken_with_differences() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    acme.put_api(&api("a", "/a", &json!({}))).await.unwrap();
    let mut gateway = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    assert_eq!(
        (
            gateway.welcome.tenant.as_str(),
            gateway.welcome.environment.as_str()
        ),
        ("acme", "prod")
    );
    assert_eq!(gateway.welcome.key_pepper.len(), 32);
    let full = gateway.revision().await;
    assert_eq!((full.from, full.number), (None, 1));
    let first = Revision::empty().apply(&full).unwrap();

    acme.put_api(&api("b", "/b", &json!({}))).await.unwrap();
    let delta = gateway.revision().await;
    assert_eq!((delta.from, delta.apis_changed.len()), (Some(1), 1));
    let second = first.apply(&delta).unwrap();
    assert_eq!(second.parent, Some(first.digest()));

    let delete = v1::DeleteApiRequest {
        environment: "prod".into(),
        api_id: "a".into(),
    };
    acme.apis().delete_api(delete).await.unwrap();
    let third = second.apply(&gateway.revision().await).unwrap();
    assert_eq!(third.apis.len(), 1);
}

#[tokio::test]
async fn gateway_that_names_a_revision_is_told_the_difference_and_one_that_is_wrong_everything() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    acme.put_api(&api("a", "/a", &json!({}))).await.unwrap();
    let mut gateway = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    let first = Revision::empty().apply(&gateway.revision().await).unwrap();
    drop(gateway);
    acme.put_api(&api("b", "/b", &json!({}))).await.unwrap();
    for (id, root, from) in [
        ("g2", first.root(), Some(1)),
        ("g3", Digest::of("other"), None),
    ] {
        let hello = v1::Hello {
            applied_revision: 1,
            applied_root: root.to_string(),
            ..hello(profile(id, "v5.3.0"))
        };
        let mut gateway = FakeGateway::connect(&token, hello).await.unwrap();
        let delta = gateway.revision().await;
        assert_eq!((delta.from, delta.number), (from, 2));
        assert_eq!(first.apply(&delta).unwrap().apis.len(), 2);
        let resync = v1::Resync {
            reason: "test".into(),
        };
        gateway.say(FromGateway::Resync(resync)).await;
        assert_eq!(gateway.revision().await.from, None);
    }
}

#[tokio::test]
async fn keys_come_hashed_with_their_sessions_and_go_by_difference() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    let mut gateway = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    let none = gateway.keys().await;
    assert!(none.replace && none.changed.is_empty() && none.epoch > 0);
    let create = v1::CreateKeyRequest {
        environment: "prod".into(),
        session: br#"{"tier":"gold"}"#.to_vec(),
        ..Default::default()
    };
    let made = acme.keys().create_key(create).await.unwrap().into_inner();
    let delta = gateway.keys().await;
    assert!(!delta.replace && delta.epoch > none.epoch);
    let key = &delta.changed[0];
    assert_eq!(key.session, br#"{"tier":"gold"}"#);
    assert_ne!(key.hmac, made.secret.as_bytes());
    assert_eq!(key.hmac.len(), 32);
    let id = made.key.unwrap().id;
    assert_eq!(key.key_id, id);
    let revoke = v1::RevokeKeyRequest {
        environment: "prod".into(),
        id,
    };
    acme.keys().revoke_key(revoke).await.unwrap();
    let gone = gateway.keys().await;
    assert_eq!(
        (gone.removed, gone.changed.len()),
        (vec![key.hmac.clone()], 0)
    );
    // Another gateway that was away since then learns of it by difference too.
    let hello = v1::Hello {
        keys_epoch: delta.epoch,
        ..hello(profile("g2", "v5.3.0"))
    };
    let mut other = FakeGateway::connect(&token, hello).await.unwrap();
    assert_eq!(other.keys().await.removed.len(), 1);
}

#[tokio::test]
async fn second_process_with_the_same_id_is_refused_while_the_first_is_connected() {
    let app = TestApp::start().await;
    let (_, token) = fleet(&app).await;
    let mut first = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    let other = v1::GatewayProfile {
        instance_nonce: "n2".into(),
        ..profile("g1", "v5.3.0")
    };
    let refusal = FakeGateway::connect(&token, hello(other.clone()))
        .await
        .err()
        .unwrap();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::AlreadyExists, "GATEWAY_ID_IN_USE")
    );
    // The same process may: its earlier stream is told to end.
    let _again = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    assert_eq!(reason(&first.end().await.unwrap()), "STREAM_REPLACED");
}

#[tokio::test]
async fn stream_of_a_revoked_token_is_closed_at_once() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let issued = acme.token(&[v1::Right::Gateway]).await;
    let token = app.as_token(&issued.secret);
    let mut gateway = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    let id = issued.token.unwrap().id;
    acme.admin()
        .revoke_token(v1::RevokeTokenRequest { id })
        .await
        .unwrap();
    let end = gateway.end().await.unwrap();
    assert_eq!(
        (end.code(), reason(&end).as_str()),
        (Code::Unauthenticated, "TOKEN_REVOKED")
    );
    let refusal = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .err()
        .unwrap();
    assert_eq!(refusal.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn reports_are_shown_while_connected_and_afterwards() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    let gateway = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    let report = v1::GatewayReport {
        applied_revision: 7,
        state: "ready".into(),
        ..Default::default()
    };
    gateway.say(FromGateway::Report(report.clone())).await;
    let list = || async {
        let request = v1::ListGatewaysRequest {
            environment: "prod".into(),
            ..Default::default()
        };
        acme.deploy()
            .list_gateways(request)
            .await
            .unwrap()
            .into_inner()
            .gateways
    };
    let until = |wanted: bool| {
        let (list, report) = (&list, &report);
        async move {
            loop {
                let gateways = list().await;
                if gateways[0].connected == wanted && gateways[0].report.as_ref() == Some(report) {
                    return gateways;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    };
    let shown = tokio::time::timeout(PATIENCE, until(true)).await.unwrap();
    assert_eq!(shown[0].profile, Some(profile("g1", "v5.3.0")));
    drop(gateway);
    tokio::time::timeout(PATIENCE, until(false)).await.unwrap();
}

#[tokio::test]
async fn gateways_are_listed_page_by_page() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    let mut connected = Vec::new();
    for id in ["g1", "g2", "g3"] {
        let gateway = FakeGateway::connect(&token, hello(profile(id, "v5.3.0"))).await;
        connected.push(gateway.unwrap());
    }
    let page = |page_token: String| {
        let request = v1::ListGatewaysRequest {
            environment: "prod".into(),
            page_size: 2,
            page_token,
        };
        let mut client = acme.deploy();
        async move {
            let answer = client.list_gateways(request).await.unwrap().into_inner();
            let id = |status: v1::GatewayStatus| status.profile.unwrap().gateway_id;
            let ids: Vec<_> = answer.gateways.into_iter().map(id).collect();
            (ids, answer.next_page_token)
        }
    };
    let (first, next) = page(String::new()).await;
    assert_eq!(
        (first, next.as_str()),
        (vec!["g1".into(), "g2".into()], "g2")
    );
    let (last, next) = page(next).await;
    assert_eq!((last, next.as_str()), (vec!["g3".to_owned()], ""));
}

#[tokio::test]
async fn streams_end_when_the_control_plane_does() {
    let app = TestApp::start().await;
    let (_, token) = fleet(&app).await;
    let mut gateway = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    let stopping = tokio::spawn(app.stop());
    let end = gateway.end().await.unwrap();
    assert_eq!(
        (end.code(), reason(&end).as_str()),
        (Code::Unavailable, "SHUTTING_DOWN")
    );
    stopping.await.unwrap();
}

#[tokio::test]
async fn documents_and_libraries_come_by_digest_to_their_own_tenant_alone() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    let bytes = Plugin::SIMPLE.compile();
    let release = acme
        .push(&Bundle::simple("hooks", "1.0.0", &bytes))
        .await
        .unwrap()
        .release
        .unwrap();
    let put = acme.put_api(&api("a", "/a", &json!({}))).await.unwrap();
    let digests = vec![release.digest.clone(), put.digest];
    let documents = |who: Caller, digests: Vec<String>| async move {
        let mut stream = who
            .sync()
            .get_documents(v1::GetDocumentsRequest { digests })
            .await?
            .into_inner();
        let mut all = Vec::new();
        while let Some(document) = stream.message().await? {
            all.push(document);
        }
        Ok::<_, Status>(all)
    };
    let got = documents(token.clone(), digests.clone()).await.unwrap();
    assert_eq!(got.len(), 2);
    for document in &got {
        assert_eq!(Digest::of(&document.body).to_string(), document.digest);
    }
    let fetch = |who: Caller, offset: u64| {
        let sha256 = Digest::of(&bytes).to_string();
        async move {
            let request = v1::FetchArtifactRequest { sha256, offset };
            let mut stream = who.sync().fetch_artifact(request).await?.into_inner();
            let mut all = Vec::new();
            while let Some(chunk) = stream.message().await? {
                assert_eq!(chunk.offset, offset + all.len() as u64);
                all.extend_from_slice(&chunk.data);
            }
            Ok::<_, Status>(all)
        }
    };
    assert_eq!(fetch(token.clone(), 0).await.unwrap(), bytes);
    assert_eq!(fetch(token.clone(), 100).await.unwrap(), bytes[100..]);
    assert_eq!(fetch(token.clone(), bytes.len() as u64).await.unwrap(), b"");
    assert_eq!(
        reason(&fetch(token, bytes.len() as u64 + 1).await.unwrap_err()),
        "OFFSET_INVALID"
    );

    let other = app
        .tenant("other")
        .await
        .token(&[v1::Right::Gateway])
        .await
        .secret;
    let other = app.as_token(&other);
    assert_eq!(
        reason(&documents(other.clone(), digests).await.unwrap_err()),
        "DOCUMENT_NOT_FOUND"
    );
    assert_eq!(
        reason(&fetch(other, 0).await.unwrap_err()),
        "ARTIFACT_NOT_FOUND"
    );
}
