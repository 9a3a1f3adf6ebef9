//! Sessions that functions stored under their consumer keys.

use gantry_domain::Limits;
use gantry_proto::v1;
use tonic::Code;

use crate::support::{Caller, TestApp, reason};
use crate::sync::{FakeGateway, fleet, hello, profile};

fn session(key: u8, document: &str) -> v1::StoredSession {
    v1::StoredSession {
        hmac: vec![key; 32],
        session: document.as_bytes().to_vec(),
        age_ms: 0,
    }
}

async fn store(
    gateway: &Caller,
    sessions: &[v1::StoredSession],
) -> Result<v1::StoreSessionsResponse, tonic::Status> {
    let request = v1::StoreSessionsRequest {
        sessions: sessions.to_vec(),
    };
    Ok(gateway.sync().store_sessions(request).await?.into_inner())
}

async fn keys(who: &Caller) -> Vec<v1::Key> {
    let list = v1::ListKeysRequest {
        environment: "prod".into(),
        ..Default::default()
    };
    who.keys().list_keys(list).await.unwrap().into_inner().keys
}

#[tokio::test]
async fn stored_session_makes_a_key_replaces_its_session_and_reaches_every_gateway() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    let mut gateway = FakeGateway::connect(&token, hello(profile("g1", "v5.3.0")))
        .await
        .unwrap();
    let begin = gateway.keys().await.epoch;
    let made = store(&token, &[session(1, r#"{"tier": "gold"}"#)])
        .await
        .unwrap();
    assert!(made.refused.is_empty() && made.keys_epoch > begin);
    let delta = gateway.keys().await;
    assert_eq!(delta.epoch, made.keys_epoch);
    assert_eq!(delta.changed[0].hmac, vec![1; 32]);
    assert_eq!(delta.changed[0].session, br#"{"tier":"gold"}"#);
    let other = store(&token, &[session(1, "{}"), session(1, r#"{"a":1}"#)])
        .await
        .unwrap();
    let delta = gateway.keys().await;
    assert_eq!(delta.epoch, other.keys_epoch);
    assert_eq!(delta.changed.len(), 1);
    assert_eq!(delta.changed[0].session, br#"{"a":1}"#);
    let listed = keys(&acme).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, delta.changed[0].key_id);
    // Neither an epoch nor a row, where nothing changes.
    let rows = app.rows().await;
    let again = store(&token, &[session(1, r#"{"a":1}"#)]).await.unwrap();
    assert_eq!(again.keys_epoch, other.keys_epoch);
    assert_eq!(app.rows().await, rows);
}

#[tokio::test]
async fn revoked_key_comes_back_when_its_session_is_stored_again() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    store(&token, &[session(1, "{}")]).await.unwrap();
    let revoke = v1::RevokeKeyRequest {
        environment: "prod".into(),
        id: keys(&acme).await[0].id.clone(),
    };
    acme.keys().revoke_key(revoke).await.unwrap();
    assert!(keys(&acme).await.is_empty());
    store(&token, &[session(1, r#"{"a":1}"#)]).await.unwrap();
    assert_eq!(keys(&acme).await[0].session, br#"{"a":1}"#);
}

#[tokio::test]
async fn session_from_before_its_key_was_revoked_does_not_bring_it_back() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    store(&token, &[session(1, "{}"), session(2, "{}")])
        .await
        .unwrap();
    for key in keys(&acme).await {
        let revoke = v1::RevokeKeyRequest {
            environment: "prod".into(),
            id: key.id,
        };
        acme.keys().revoke_key(revoke).await.unwrap();
    }
    // A gateway that could not say so before: one from an hour ago, one from now, and one of a key that
    // nobody has revoked.
    let before = |key| v1::StoredSession {
        age_ms: 3_600_000,
        ..session(key, "{}")
    };
    let sent = [before(1), session(2, "{}"), before(3)];
    let answer = store(&token, &sent).await.unwrap();
    let refused = answer.refused.iter();
    let refused: Vec<_> = refused.map(|each| (each.index, &*each.code)).collect();
    assert_eq!(refused, [(0, "KEY_REVOKED")]);
    assert_eq!(keys(&acme).await.len(), 2);
}

#[tokio::test]
async fn equal_hmacs_of_two_tenants_are_two_keys() {
    let app = TestApp::start().await;
    let (acme, gateway) = fleet(&app).await;
    let other = app.tenant("other").await;
    let others_gateway = app.as_token(&other.token(&[v1::Right::Gateway]).await.secret);
    store(&gateway, &[session(1, r#"{"of":"acme"}"#)])
        .await
        .unwrap();
    store(&others_gateway, &[session(1, r#"{"of":"other"}"#)])
        .await
        .unwrap();
    assert_eq!(keys(&acme).await[0].session, br#"{"of":"acme"}"#);
    assert_eq!(keys(&other).await[0].session, br#"{"of":"other"}"#);
    assert_eq!((keys(&acme).await.len(), keys(&other).await.len()), (1, 1));
}

#[tokio::test]
async fn sessions_that_are_none_are_refused_one_by_one_and_the_others_kept() {
    let app = TestApp::start().await;
    let (acme, token) = fleet(&app).await;
    let short = v1::StoredSession {
        hmac: vec![1; 31],
        ..session(1, "{}")
    };
    let sent = [
        session(1, "[]"),
        session(2, "{}"),
        short,
        session(3, r#"{"expires": "tomorrow"}"#),
    ];
    let answer = store(&token, &sent).await.unwrap();
    let refused: Vec<_> = answer
        .refused
        .iter()
        .map(|refused| (refused.index, refused.code.as_str()))
        .collect();
    let expected = [(0, "FIELD_TYPE"), (2, "FIELD_INVALID"), (3, "FIELD_TYPE")];
    assert_eq!(refused, expected);
    assert_eq!(keys(&acme).await.len(), 1);
    let many = vec![session(4, "{}"); 129];
    let refusal = store(&token, &many).await.unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::InvalidArgument, "TOO_MANY")
    );
}

#[tokio::test]
async fn environment_with_all_the_keys_it_may_have_still_gets_new_sessions_for_them() {
    let limits = Limits {
        keys_max: 2,
        ..Limits::for_tests()
    };
    let app = TestApp::start_with(limits).await;
    let (acme, token) = fleet(&app).await;
    let full = [session(1, "{}"), session(2, "{}"), session(3, "{}")];
    let answer = store(&token, &full).await.unwrap();
    assert_eq!(answer.refused.len(), 1);
    assert_eq!(answer.refused[0].index, 2);
    assert_eq!(answer.refused[0].code, "KEYS_TOO_MANY");
    let answer = store(&token, &[session(1, r#"{"a":1}"#)]).await.unwrap();
    assert!(answer.refused.is_empty());
    assert_eq!(keys(&acme).await.len(), 2);
}
