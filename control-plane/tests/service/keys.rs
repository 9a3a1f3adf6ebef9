//! Consumer keys.

use gantry_domain::Limits;
use gantry_proto::v1;
use tonic::Code;

use crate::support::{Caller, TestApp, fields, reason};

async fn create(
    who: &Caller,
    session: &str,
    secret: &str,
) -> Result<v1::CreateKeyResponse, tonic::Status> {
    let request = v1::CreateKeyRequest {
        environment: "prod".into(),
        session: session.as_bytes().to_vec(),
        description: "test".into(),
        secret: secret.into(),
    };
    Ok(who.keys().create_key(request).await?.into_inner())
}

#[tokio::test]
async fn key_is_made_found_listed_and_revoked() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let made = create(&acme, r#"{"tier": "gold", "unknown": [1]}"#, "")
        .await
        .unwrap();
    assert!(made.secret.starts_with("gk_") && made.secret.len() > 40);
    let key = made.key.unwrap();
    assert_eq!(key.session, br#"{"tier":"gold","unknown":[1]}"#);
    let get = v1::GetKeyRequest {
        environment: "prod".into(),
        id: key.id.clone(),
    };
    assert_eq!(
        acme.keys()
            .get_key(get.clone())
            .await
            .unwrap()
            .into_inner()
            .key,
        Some(key.clone())
    );
    let list = v1::ListKeysRequest {
        environment: "prod".into(),
        ..Default::default()
    };
    assert_eq!(
        acme.keys()
            .list_keys(list.clone())
            .await
            .unwrap()
            .into_inner()
            .keys
            .len(),
        1
    );
    let revoke = v1::RevokeKeyRequest {
        environment: "prod".into(),
        id: key.id,
    };
    acme.keys().revoke_key(revoke.clone()).await.unwrap();
    for refusal in [
        acme.keys().get_key(get).await.unwrap_err(),
        acme.keys().revoke_key(revoke).await.unwrap_err(),
    ] {
        assert_eq!(
            (refusal.code(), reason(&refusal).as_str()),
            (Code::NotFound, "KEY_NOT_FOUND")
        );
    }
    assert!(
        acme.keys()
            .list_keys(list)
            .await
            .unwrap()
            .into_inner()
            .keys
            .is_empty()
    );
}

#[tokio::test]
async fn plaintext_of_a_key_is_stored_nowhere() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let made = create(&acme, "", "").await.unwrap();
    let rows = app.rows().await.join("\n");
    assert!(rows.contains("keys: acme/prod/"));
    for file in ["metadata.db", "metadata.db-wal"] {
        let bytes = std::fs::read(app.objects_dir().with_file_name(file)).unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&bytes).contains(&made.secret),
            "{file}"
        );
    }
}

#[tokio::test]
async fn secret_that_is_brought_along_is_taken_once_and_again_after_its_revocation() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let secret = "a-secret-from-elsewhere";
    let first = create(&acme, "", secret).await.unwrap();
    assert_eq!(first.secret, secret);
    let refusal = create(&acme, "", secret).await.unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::AlreadyExists, "KEY_EXISTS")
    );
    let id = first.key.unwrap().id;
    let revoke = v1::RevokeKeyRequest {
        environment: "prod".into(),
        id,
    };
    acme.keys().revoke_key(revoke).await.unwrap();
    create(&acme, "", secret).await.unwrap();
}

#[tokio::test]
async fn sessions_and_secrets_that_are_no_such_thing_are_refused_with_their_field() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(16 << 10));
    for (session, secret, field, code) in [
        ("[]", "", "session", "FIELD_TYPE"),
        ("{", "", "session", "JSON_MALFORMED"),
        (large.as_str(), "", "session", "DOCUMENT_TOO_LARGE"),
        ("", "short", "secret", "FIELD_INVALID"),
        ("", "with a space in it all", "secret", "FIELD_INVALID"),
    ] {
        let refusal = create(&acme, session, secret).await.unwrap_err();
        assert_eq!(
            (fields(&refusal), reason(&refusal).as_str()),
            (vec![field.to_owned()], code)
        );
    }
    assert!(!app.rows().await.iter().any(|row| row.starts_with("keys:")));
}

#[tokio::test]
async fn keys_are_bounded() {
    let app = TestApp::start_with(Limits {
        keys_max: 1,
        ..Limits::default()
    })
    .await;
    let acme = app.tenant("acme").await;
    create(&acme, "", "").await.unwrap();
    let refusal = create(&acme, "", "").await.unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::ResourceExhausted, "KEYS_TOO_MANY")
    );
}
