//! Pushing a bundle over connections that break.

use std::sync::Mutex;
use std::time::Duration;

use super::control_plane::{ControlPlane, Fault, client, serve};
use crate::upload::{Progress, PushError, push};
use crate::{ClientOptions, Kind};
use gantry_bundle::BundleSource;
use gantry_domain::Limits;
use tempfile::TempDir;
use tonic::Status;

const LARGE: usize = (2 << 20) + 17;

fn bundle() -> (TempDir, BundleSource) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let large: Vec<u8> = (0..LARGE).map(|i| u8::try_from(i % 251).unwrap()).collect();
    write("large.so", &large);
    write("small.so", b"small");
    write(
        "manifest.json",
        br#"{"name":"hooks","version":"1.0.0","file_list":["large.so","small.so"],
            "custom_middleware":{"driver":"goplugin","pre":[{"name":"A","path":"small.so"}]}}"#,
    );
    let source = BundleSource::open(folder.path(), &Limits::default()).unwrap();
    (folder, source)
}

#[tokio::test]
async fn push_sends_every_byte_once_and_reports_progress() {
    let plane = ControlPlane::default();
    let client = client(serve(&plane, None).await, ClientOptions::default());
    let (_folder, source) = bundle();
    let seen = Mutex::new(Vec::new());
    let pushed = push(&client, &source, |progress| {
        seen.lock().unwrap().push(format!("{progress:?}"));
    })
    .await
    .unwrap();
    assert_eq!(pushed.sent_bytes, (LARGE + 5) as u64);
    assert_eq!(plane.0.lock().unwrap().received, LARGE + 5);
    let seen = seen.into_inner().unwrap();
    assert!(seen[0].starts_with("Begun"), "{}", seen[0]);
    let whole = Progress::Sent {
        file: &"small.so".parse().unwrap(),
        offset_bytes: 5,
    };
    assert!(seen.contains(&format!("{whole:?}")), "{seen:?}");
    assert_eq!(seen.last().unwrap(), "Publishing");
}

#[tokio::test]
async fn broken_upload_goes_on_from_the_committed_offset() {
    let plane = ControlPlane::default();
    plane.0.lock().unwrap().faults = [
        Fault::BreakAfter(300 << 10),
        Fault::StopAfter(100 << 10),
        Fault::Refuse(Status::unavailable("not yet")),
    ]
    .into();
    // One file at a time, so that the faults meet the large one.
    plane
        .0
        .lock()
        .unwrap()
        .stored
        .insert("small.so".into(), b"small".to_vec());
    let client = client(serve(&plane, None).await, ClientOptions::default());
    let (_folder, source) = bundle();
    push(&client, &source, |_| {}).await.unwrap();
    let state = plane.0.lock().unwrap();
    assert_eq!(state.offsets, [0, 300 << 10, 400 << 10]);
    assert_eq!(state.stored["large.so"].len(), LARGE);
}

#[tokio::test]
async fn files_that_are_there_are_not_sent_again() {
    let plane = ControlPlane::default();
    let client = client(serve(&plane, None).await, ClientOptions::default());
    let (_folder, source) = bundle();
    push(&client, &source, |_| {}).await.unwrap();
    let again = push(&client, &source, |_| {}).await.unwrap();
    assert_eq!(again.sent_bytes, 0);
    assert_eq!(plane.calls("UploadFile"), 2);
}

#[tokio::test]
async fn refused_file_ends_the_push_without_publishing() {
    let plane = ControlPlane::default();
    let full = Status::resource_exhausted("the tenant's storage is full");
    plane.0.lock().unwrap().faults = [Fault::Refuse(full.clone()), Fault::Refuse(full)].into();
    let client = client(serve(&plane, None).await, ClientOptions::default());
    let (_folder, source) = bundle();
    let Err(PushError::Client(error)) = push(&client, &source, |_| {}).await else {
        panic!("a refused push succeeded");
    };
    assert_eq!(error.kind, Kind::Exhausted);
    assert_eq!(plane.calls("Publish"), 0);
}

#[tokio::test]
async fn upload_that_never_gets_further_ends() {
    let plane = ControlPlane::default();
    plane.0.lock().unwrap().faults = vec![Fault::BreakAfter(0); 500].into();
    let options = ClientOptions {
        patience: Duration::from_millis(300),
        ..ClientOptions::default()
    };
    let client = client(serve(&plane, None).await, options);
    let (_folder, source) = bundle();
    let Err(PushError::Client(error)) = push(&client, &source, |_| {}).await else {
        panic!("a push without a byte succeeded");
    };
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::Unavailable, "going down")
    );
}

#[tokio::test]
async fn file_that_vanished_is_our_own_error() {
    let plane = ControlPlane::default();
    let client = client(serve(&plane, None).await, ClientOptions::default());
    let (folder, source) = bundle();
    std::fs::remove_file(folder.path().join("large.so")).unwrap();
    let error = push(&client, &source, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("large.so"), "{error}");
    assert_eq!(plane.calls("Publish"), 0);
}
