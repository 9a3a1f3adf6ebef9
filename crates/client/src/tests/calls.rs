//! Unary calls: deadlines, repetition, credentials, encryption.

use std::time::{Duration, Instant};

use super::control_plane::{ControlPlane, TOKEN, client, serve};
use crate::{Client, ClientError, ClientOptions, Kind, Repeat};
use gantry_proto::v1;
use tonic::Status;
use tonic::transport::Identity;

async fn get(client: &Client, repeat: Repeat) -> Result<v1::GetUploadResponse, ClientError> {
    let request = v1::GetUploadRequest {
        upload_id: "u1".into(),
    };
    client
        .call(repeat, request, |client, request| async move {
            client.publish().get_upload(request).await
        })
        .await
}

#[tokio::test]
async fn safe_call_is_repeated_while_the_control_plane_is_unavailable() {
    let plane = ControlPlane::default();
    plane.0.lock().unwrap().refusals = vec![Status::unavailable("starting"); 2].into();
    let client = client(serve(&plane, None).await, ClientOptions::default());
    get(&client, Repeat::Safe).await.unwrap();
    assert_eq!(plane.calls("GetUpload"), 3);
}

#[tokio::test]
async fn call_that_could_happen_twice_is_sent_once() {
    let plane = ControlPlane::default();
    plane.0.lock().unwrap().refusals = vec![Status::unavailable("starting"); 2].into();
    let client = client(serve(&plane, None).await, ClientOptions::default());
    let error = get(&client, Repeat::Never).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert_eq!(plane.calls("GetUpload"), 1);
}

#[tokio::test]
async fn refusal_is_not_repeated() {
    let plane = ControlPlane::default();
    plane.0.lock().unwrap().refusals = vec![Status::not_found("no such upload"); 2].into();
    let client = client(serve(&plane, None).await, ClientOptions::default());
    assert_eq!(
        get(&client, Repeat::Safe).await.unwrap_err().kind,
        Kind::NotFound
    );
    assert_eq!(plane.calls("GetUpload"), 1);
}

#[tokio::test]
async fn control_plane_that_is_not_there_is_named_by_its_cause() {
    let plane = ControlPlane::default();
    let options = ClientOptions {
        attempts_max: 1,
        ..ClientOptions::default()
    };
    let client = client("127.0.0.1:1".parse().unwrap(), options);
    let error = get(&client, Repeat::Safe).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("Connection refused"), "{error}");
    assert_eq!(plane.calls("GetUpload"), 0);
}

#[tokio::test]
async fn call_without_an_answer_ends_at_its_deadline() {
    // Accepts connections into its backlog and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = ClientOptions {
        call_timeout: Duration::from_millis(200),
        ..ClientOptions::default()
    };
    let client = client(silent.local_addr().unwrap(), options);
    let begin = Instant::now();
    assert_eq!(
        get(&client, Repeat::Safe).await.unwrap_err().kind,
        Kind::Timeout
    );
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn encrypted_control_plane_is_trusted_by_its_authority_only() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = key.cert.pem();
    let identity = Identity::from_pem(&pem, key.signing_key.serialize_pem());
    let plane = ControlPlane::default();
    let port = serve(&plane, Some(identity)).await.port();
    let endpoint = format!("https://localhost:{port}");
    let with = |ca_pem: Option<Vec<u8>>| {
        let options = ClientOptions {
            ca_pem,
            attempts_max: 1,
            ..ClientOptions::default()
        };
        Client::connect(&endpoint, TOKEN.parse().unwrap(), options).unwrap()
    };
    get(&with(Some(pem.into_bytes())), Repeat::Safe)
        .await
        .unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let error = get(&with(Some(other.cert.pem().into_bytes())), Repeat::Safe)
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("certificate"), "{error}");
    assert_eq!(plane.calls("GetUpload"), 1);
}
