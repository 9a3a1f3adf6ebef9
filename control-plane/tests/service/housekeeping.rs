//! What is swept: definitions that no environment has, documents that no API names, old revisions, old
//! tombstones of keys, old audit entries.

use std::sync::Arc;
use std::time::Duration;

use gantry_control_plane::housekeeping::{Housekeeping, Kept};
use gantry_control_plane::metadata::{Deed, NotCommitted};
use gantry_domain::{Clock, Digest, Limits, Revision, SystemClock, Timestamp};
use gantry_proto::v1;
use serde_json::json;
use tonic::Code;

use crate::apis::api;
use crate::openapi::{fetch, put_openapi, with_openapi};
use crate::support::{Caller, TestApp, reason};
use crate::sync::{FakeGateway, fleet, hello, profile};

const DAY: Duration = Duration::from_hours(24);
const KEPT: Kept = Kept {
    idle_max: DAY,
    revisions: 1_000,
    revoked_keys: 1_000,
    audit_entries: 1_000,
};

/// The machine's clock, so much ahead.
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        let ahead = i64::try_from(self.0.as_millis()).unwrap();
        Timestamp::from_millis(SystemClock.now().as_millis() + ahead)
    }
}

async fn sweep(app: &TestApp, ahead: Duration, kept: Kept) {
    let housekeeping = Housekeeping::new(app.metadata().await, Arc::new(Ahead(ahead)), kept);
    housekeeping.sweep().await.unwrap();
}

async fn rows_of(app: &TestApp, table: &str) -> usize {
    let rows = app.rows().await;
    let table = format!("{table}: ");
    rows.iter().filter(|row| row.starts_with(&table)).count()
}

async fn is_here(gateway: &Caller, digest: &str) -> bool {
    match fetch(gateway, digest).await {
        Ok(_) => true,
        Err(refusal) => {
            assert_eq!(reason(&refusal), "DOCUMENT_NOT_FOUND");
            false
        }
    }
}

#[tokio::test]
async fn document_that_no_api_names_goes_after_a_while_and_one_that_is_named_stays() {
    let app = TestApp::start().await;
    let (acme, gateway) = fleet(&app).await;
    let documents = [r#"{"openapi":"3.1.0"}"#, r#"{"openapi":"3.0.3"}"#];
    let named = put_openapi(&acme, documents[0].as_bytes()).await.unwrap();
    let alone = put_openapi(&acme, documents[1].as_bytes()).await.unwrap();
    let definition = with_openapi(&json!(named));
    acme.put_api(&definition).await.unwrap();
    let other = app.tenant("other").await;
    put_openapi(&other, documents[0].as_bytes()).await.unwrap();

    sweep(&app, DAY / 2, KEPT).await;
    assert_eq!(
        rows_of(&app, "openapi").await,
        3,
        "none has rested for long"
    );
    sweep(&app, DAY * 2, KEPT).await;
    assert!(is_here(&gateway, &named).await);
    assert!(!is_here(&gateway, &alone).await);
    assert_eq!(
        rows_of(&app, "openapi").await,
        1,
        "of each tenant by itself"
    );
    let refusal = acme.put_api(&with_openapi(&json!(alone))).await;
    assert_eq!(reason(&refusal.unwrap_err()), "OPENAPI_UNKNOWN");

    let delete = v1::DeleteApiRequest {
        environment: "prod".into(),
        api_id: "orders".into(),
    };
    acme.apis().delete_api(delete).await.unwrap();
    sweep(&app, DAY * 2, KEPT).await;
    assert!(
        is_here(&gateway, &named).await,
        "it was named until just now"
    );
    sweep(&app, DAY * 4, KEPT).await;
    assert!(!is_here(&gateway, &named).await);
}

#[tokio::test]
async fn document_and_definition_that_names_it_come_together_whatever_is_swept_meanwhile() {
    let app = TestApp::start().await;
    let (acme, gateway) = fleet(&app).await;
    let greedy = Kept {
        idle_max: Duration::ZERO,
        ..KEPT
    };
    let (mut put, mut refused) = (0, 0);
    for round in 0..40 {
        let document = json!({"openapi": "3.1.0", "x-round": round}).to_string();
        let digest = put_openapi(&acme, document.as_bytes()).await.unwrap();
        let definition = with_openapi(&json!(digest));
        let sweeping = async {
            // Sometimes before, sometimes in between, sometimes after.
            for _ in 0..round % 4 {
                tokio::task::yield_now().await;
            }
            sweep(&app, Duration::from_millis(5), greedy).await;
        };
        let ((), answer) = tokio::join!(sweeping, acme.put_api(&definition));
        match answer {
            Ok(_) => {
                put += 1;
                sweep(&app, Duration::from_millis(5), greedy).await;
                assert!(is_here(&gateway, &digest).await, "round {round}");
            }
            Err(refusal) => {
                refused += 1;
                assert_eq!(reason(&refusal), "OPENAPI_UNKNOWN");
            }
        }
    }
    assert_eq!(put + refused, 40);
}

#[tokio::test]
async fn document_that_is_used_again_is_not_dropped_and_one_that_is_gone_is_not_named() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let put = put_openapi(&acme, br#"{"openapi":"3.1.0"}"#).await.unwrap();
    let (metadata, tenant) = (app.metadata().await, "acme".parse().unwrap());
    let digest: Digest = put.parse().unwrap();
    let deed = Deed {
        tenant,
        token: None,
        action: "test",
        subject: String::new(),
        at: SystemClock.now(),
    };
    let unused = async || {
        let unused = metadata.unused_openapi(&deed.tenant, None, Ahead(DAY * 2).now(), 10);
        let unused = unused.await.unwrap();
        assert_eq!((unused.len(), unused[0].0), (1, digest));
        unused[0].1
    };
    // Somebody puts it between the look and the drop, by a clock that stands still.
    let seen = unused().await;
    let used = metadata.use_openapi(&deed.tenant, &digest, seen);
    assert!(used.await.unwrap());
    let dropped = metadata.drop_openapi(&digest, seen, &deed);
    assert!(!dropped.await.unwrap());
    let seen = unused().await;
    let dropped = metadata.drop_openapi(&digest, seen, &deed);
    assert!(dropped.await.unwrap());
    // Somebody was about to name it.
    let definition = with_openapi(&json!(put));
    let environment = "prod".parse().unwrap();
    let brings = Some((Digest::of(&definition), definition));
    let next = Revision::empty().next();
    let committed = metadata.commit_revision(&environment, &next, brings, &deed);
    assert_eq!(
        committed.await.unwrap(),
        Err(NotCommitted::OpenApiGone(digest))
    );
    let head = metadata.head(&deed.tenant, &environment).await.unwrap();
    assert_eq!(head.unwrap().number, 0);
}

#[tokio::test]
async fn tenant_keeps_so_many_documents_and_no_more() {
    let app = TestApp::start_with(Limits::for_tests()).await;
    let acme = app.tenant("acme").await;
    let document = |n: usize| json!({"openapi": "3.1.0", "x-n": n}).to_string();
    for n in 0..4 {
        put_openapi(&acme, document(n).as_bytes()).await.unwrap();
    }
    let rows = app.rows().await;
    let refusal = put_openapi(&acme, document(4).as_bytes())
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::ResourceExhausted, "OPENAPI_TOO_MANY")
    );
    let held = with_openapi(&json!({"openapi": "3.1.0", "x-n": 4}));
    let refusal = acme.put_api(&held).await.unwrap_err();
    assert_eq!(reason(&refusal), "OPENAPI_TOO_MANY");
    assert_eq!(app.rows().await, rows);
    put_openapi(&acme, document(3).as_bytes()).await.unwrap();
    let other = app.tenant("other").await;
    put_openapi(&other, document(4).as_bytes()).await.unwrap();
}

#[tokio::test]
async fn definition_that_no_environment_has_goes_after_a_while_and_comes_back_when_it_is_put() {
    let app = TestApp::start().await;
    let (acme, gateway) = fleet(&app).await;
    let (first, second) = (
        api("a", "/a", &json!({})),
        api("a", "/a", &json!({"name": "second"})),
    );
    acme.put_api(&first).await.unwrap();
    acme.put_api(&second).await.unwrap();
    app.tenant("other").await.put_api(&first).await.unwrap();
    sweep(&app, DAY / 2, KEPT).await;
    assert_eq!(
        rows_of(&app, "definitions").await,
        3,
        "none has rested long"
    );
    sweep(&app, DAY * 2, KEPT).await;
    assert_eq!(
        rows_of(&app, "definitions").await,
        2,
        "what heads have stays"
    );

    // What an environment had until just now stays for those who were told of it.
    let mut connected = FakeGateway::connect(&gateway, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    let told = Revision::empty()
        .apply(&connected.revision().await)
        .unwrap();
    let digest = told.apis.into_values().next().unwrap().to_string();
    acme.put_api(&first).await.unwrap();
    sweep(&app, DAY * 2 + DAY / 2, KEPT).await;
    assert!(is_here(&gateway, &digest).await);
    sweep(&app, DAY * 4, KEPT).await;
    assert!(!is_here(&gateway, &digest).await);
    assert_eq!(rows_of(&app, "definitions").await, 2);
    acme.put_api(&second).await.unwrap();
    assert!(is_here(&gateway, &digest).await);
}

#[tokio::test]
async fn definition_that_is_put_between_the_look_and_the_drop_stays() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let definition = api("a", "/a", &json!({}));
    acme.put_api(&definition).await.unwrap();
    let (metadata, tenant) = (app.metadata().await, "acme".parse().unwrap());
    let unused = metadata.unused_definitions(&tenant, None, Ahead(DAY * 2).now(), 10);
    let seen = unused.await.unwrap();
    assert_eq!(seen.len(), 1);
    let delete = v1::DeleteApiRequest {
        environment: "prod".into(),
        api_id: "a".into(),
    };
    acme.apis().delete_api(delete).await.unwrap();
    acme.put_api(&definition).await.unwrap();
    let dropped = metadata.drop_definitions(&tenant, &seen).await.unwrap();
    assert_eq!((dropped, rows_of(&app, "definitions").await), (0, 1));
}

#[tokio::test]
async fn newest_audit_entries_are_kept_and_the_next_one_follows_them() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for name in ["a", "b", "c"] {
        let definition = api(name, &format!("/{name}"), &json!({}));
        acme.put_api(&definition).await.unwrap();
    }
    let (metadata, tenant) = (app.metadata().await, "acme".parse().unwrap());
    let before = metadata.audit(&tenant, 100).await.unwrap();
    assert!(before.len() > 3, "{before:?}");
    for (kept, left) in [(2, 2), (0, 1)] {
        let kept = Kept {
            audit_entries: kept,
            ..KEPT
        };
        sweep(&app, Duration::ZERO, kept).await;
        let now = metadata.audit(&tenant, 100).await.unwrap();
        assert_eq!(now, before[..left], "the newest");
    }
    acme.put_api(&api("d", "/d", &json!({}))).await.unwrap();
    let now = metadata.audit(&tenant, 100).await.unwrap();
    assert_eq!((now.len(), &now[1]), (2, &before[0]));
}

#[tokio::test]
async fn newest_revisions_are_kept_and_a_gateway_with_an_older_one_gets_everything() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    let mut gateway = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    let mut known = vec![Revision::empty().apply(&gateway.revision().await).unwrap()];
    for name in ["a", "b", "c", "d"] {
        acme.put_api(&api(name, &format!("/{name}"), &json!({})))
            .await
            .unwrap();
        let delta = gateway.revision().await;
        known.push(known.last().unwrap().apply(&delta).unwrap());
    }
    let kept = Kept {
        revisions: 2,
        ..KEPT
    };
    assert_eq!(rows_of(&app, "revisions").await, 5);
    sweep(&app, Duration::ZERO, kept).await;
    assert_eq!(rows_of(&app, "revisions").await, 2);
    // One that is connected goes on by difference; one that comes is as far as it says, or not.
    acme.put_api(&api("e", "/e", &json!({}))).await.unwrap();
    assert_eq!(gateway.revision().await.from, Some(4));
    for (number, from) in [(3, Some(3)), (2, None)] {
        let hello = v1::Hello {
            applied_revision: number,
            applied_root: known[usize::try_from(number).unwrap()].root().to_string(),
            ..hello(profile(&format!("late-{number}"), "v5.3.0"))
        };
        let mut late = FakeGateway::connect(&token, hello).await.unwrap();
        let delta = late.revision().await;
        assert_eq!((delta.from, delta.number), (from, 5));
    }
    let nothing = Kept {
        revisions: 0,
        ..KEPT
    };
    sweep(&app, Duration::ZERO, nothing).await;
    assert_eq!(rows_of(&app, "revisions").await, 1, "the head stays");
}

#[tokio::test]
async fn newest_tombstones_are_kept_and_a_gateway_behind_an_older_one_gets_all_keys() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    let mut keys = Vec::new();
    for _ in 0..4 {
        let create = v1::CreateKeyRequest {
            environment: "prod".into(),
            session: b"{}".to_vec(),
            ..Default::default()
        };
        let made = acme.keys().create_key(create).await.unwrap().into_inner();
        keys.push(made.key.unwrap().id);
    }
    let mut gateway = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    let full = gateway.keys().await;
    assert_eq!((full.replace, full.changed.len()), (true, 4));
    let mut epochs = vec![full.epoch];
    for id in keys.iter().take(3) {
        let revoke = v1::RevokeKeyRequest {
            environment: "prod".into(),
            id: id.clone(),
        };
        acme.keys().revoke_key(revoke).await.unwrap();
        epochs.push(gateway.keys().await.epoch);
    }
    drop(gateway);
    let kept = Kept {
        revoked_keys: 1,
        ..KEPT
    };
    sweep(&app, Duration::ZERO, kept).await;
    assert_eq!(rows_of(&app, "keys").await, 2);
    for (behind, replace, removed, changed) in [(0, true, 0, 1), (1, true, 0, 1), (2, false, 1, 0)]
    {
        let hello = v1::Hello {
            keys_epoch: epochs[behind],
            ..hello(profile(&format!("late-{behind}"), "v5.3.0"))
        };
        let mut late = FakeGateway::connect(&token, hello).await.unwrap();
        let delta = late.keys().await;
        assert_eq!(
            (delta.replace, delta.removed.len(), delta.changed.len()),
            (replace, removed, changed),
            "epoch {}",
            epochs[behind]
        );
        assert_eq!(delta.epoch, epochs[3]);
    }
}
