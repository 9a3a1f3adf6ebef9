//! What becomes of sessions that functions stored, without workers and a control plane.

use std::path::{Path, PathBuf};

use gantry_proto::v1;
use gantry_telemetry::Secret;

use super::*;
use crate::source::KeyIndex;
use crate::supervisor::state::Identity;
use crate::supervisor::store::Store;

fn session(view: &StoredView, hmac: u8) -> Option<&str> {
    view.get(&[hmac; 32]).map(|(_, session)| &**session)
}

fn task() -> (watch::Receiver<Desired>, StoredSessions, StoredTask) {
    let (_, source) = watch::channel(SourceState::default());
    let (desired, told) = watch::channel(Desired::default());
    let (stored, task) = StoredSessions::new(source, desired, false);
    (told, stored, task)
}

#[tokio::test]
async fn sessions_are_told_the_later_one_counts_and_they_stay_without_a_control_plane() {
    let (mut told, stored, task) = task();
    let stop = CancellationToken::new();
    let running = tokio::spawn(task.run(stop.clone()));
    stored.offer([1; 32], "{}".into());
    stored.offer([1; 32], r#"{"a":1}"#.into());
    stored.offer([2; 32], "{}".into());
    let all = |desired: &Desired| {
        let view = &desired.stored;
        session(view, 1) == Some(r#"{"a":1}"#) && session(view, 2) == Some("{}")
    };
    let waited = timeout(Duration::from_secs(10), told.wait_for(all)).await;
    assert!(waited.unwrap().is_ok());
    stop.cancel();
    running.await.unwrap();
    assert!(all(&told.borrow()));
    assert_eq!(stored.counts().dropped.load(Relaxed), 0);
}

#[tokio::test]
async fn session_is_forgotten_when_the_index_of_its_epoch_is_here() {
    let (told, _stored, mut task) = task();
    task.take(&mut vec![([1; 32], "{}".into()), ([2; 32], "{}".into())]);
    let (sent, _) = task.batch();
    // The second key's session is another one by the time of the answer.
    task.take(&mut vec![([2; 32], r#"{"a":1}"#.into())]);
    let answer = v1::StoreSessionsResponse {
        keys_epoch: 5,
        refused: Vec::new(),
    };
    task.sent(Ok((sent, Ok(answer))));
    let at_epoch = |epoch| {
        let path = PathBuf::new();
        let keys = Some(KeyIndex { path, epoch });
        move |desired: &mut Desired| desired.keys = keys
    };
    task.desired.send_modify(at_epoch(4));
    task.forget();
    assert_eq!(session(&told.borrow().stored, 1), Some("{}"));
    task.desired.send_modify(at_epoch(5));
    task.forget();
    assert_eq!(session(&told.borrow().stored, 1), None);
    assert_eq!(session(&told.borrow().stored, 2), Some(r#"{"a":1}"#));
    assert_eq!(task.waiting(), 1);
}

#[tokio::test]
async fn refused_sessions_go_and_those_that_find_no_room_are_dropped() {
    let (told, stored, mut task) = task();
    task.take(&mut vec![([1; 32], "{}".into())]);
    let (sent, _) = task.batch();
    let answer = v1::StoreSessionsResponse {
        keys_epoch: 5,
        refused: vec![v1::RefusedSession {
            index: 0,
            code: "KEYS_TOO_MANY".into(),
            message: String::new(),
        }],
    };
    task.sent(Ok((sent, Ok(answer))));
    assert!(told.borrow().stored.is_empty());
    let hmac = |n: usize| {
        let mut hmac = [0; 32];
        hmac[..8].copy_from_slice(&n.to_le_bytes());
        hmac
    };
    let mut many = (0..=STORED_MAX)
        .map(|n| (hmac(n), "{}".to_owned()))
        .collect();
    task.take(&mut many);
    assert_eq!(told.borrow().stored.len(), STORED_MAX);
    assert_eq!(stored.counts().dropped.load(Relaxed), 2);
    // A key that is here already still gets its session.
    task.take(&mut vec![(hmac(0), r#"{"a":1}"#.into())]);
    assert_eq!(stored.counts().dropped.load(Relaxed), 2);
}

/// The task of a gateway that has a control plane, which is away, and its state in a folder.
fn durable(folder: &Path) -> (watch::Receiver<Desired>, StoredSessions, StoredTask) {
    let identity = Identity {
        tenant: "acme".parse().unwrap(),
        environment: "production".parse().unwrap(),
        key_pepper: Secret::new(vec![7; 32]),
    };
    let store = Store::open(folder.join("t/acme/production")).unwrap();
    let (_, source) = watch::channel(SourceState {
        tenancy: Some(Arc::new(Tenancy { identity, store })),
        ..SourceState::default()
    });
    let (desired, told) = watch::channel(Desired::default());
    let (stored, task) = StoredSessions::new(source, desired, true);
    (told, stored, task)
}

/// Waits until a session is told.
async fn until_told(told: &mut watch::Receiver<Desired>, hmac: u8, text: &str) {
    let is_told = |desired: &Desired| session(&desired.stored, hmac) == Some(text);
    let waited = timeout(Duration::from_secs(10), told.wait_for(is_told)).await;
    waited.expect("it is told in time").unwrap();
}

/// What the file of a folder says.
fn on_disk(folder: &Path) -> BTreeMap<KeyHash, Waiting> {
    let path = folder.join("t/acme/production").join(FILE);
    journal::Journal::open(&path).unwrap().1
}

async fn until_on_disk(folder: &Path, holds: impl Fn(&BTreeMap<KeyHash, Waiting>) -> bool) {
    let polling = async {
        while !holds(&on_disk(folder)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(Duration::from_secs(10), polling).await;
    waited.expect("it is on disk in time");
}

#[tokio::test]
async fn what_waits_survives_the_process_however_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (mut told, stored, task) = durable(folder.path());
    let running = tokio::spawn(task.run(CancellationToken::new()));
    stored.offer([1; 32], "{}".into());
    stored.offer([2; 32], "{}".into());
    stored.offer([1; 32], r#"{"a":1}"#.into());
    until_told(&mut told, 1, r#"{"a":1}"#).await;
    until_on_disk(folder.path(), |waiting| waiting.len() == 2).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());

    let stop = CancellationToken::new();
    let (mut told, stored, task) = durable(folder.path());
    let running = tokio::spawn(task.run(stop.clone()));
    until_told(&mut told, 1, r#"{"a":1}"#).await;
    until_told(&mut told, 2, "{}").await;
    // What comes when the gateway is told to end already is written at once.
    stored.offer([3; 32], "{}".into());
    stop.cancel();
    running.await.unwrap();
    assert_eq!(on_disk(folder.path()).len(), 3);
    assert_eq!(stored.counts().taken.load(Relaxed), 1);
}

#[tokio::test]
async fn what_the_control_plane_has_does_not_wait_any_more_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _stored, mut task) = durable(folder.path());
    task.recall().await;
    let came = |hmac| ([hmac; 32], "{}".to_owned());
    task.take(&mut vec![came(1), came(2), came(3)]);
    assert!(task.keeper.finish(|| all_waiting(&task.entries)).await);
    assert_eq!(on_disk(folder.path()).len(), 3);
    let (sent, _) = task.batch();
    let answer = v1::StoreSessionsResponse {
        keys_epoch: 5,
        refused: vec![v1::RefusedSession {
            index: 1,
            code: "KEYS_TOO_MANY".into(),
            message: String::new(),
        }],
    };
    task.take(&mut vec![([3; 32], r#"{"a":1}"#.into())]);
    task.sent(Ok((sent, Ok(answer))));
    assert!(task.keeper.finish(|| all_waiting(&task.entries)).await);
    let left: Vec<_> = on_disk(folder.path()).into_keys().collect();
    assert_eq!(left, [[3; 32]]);
}

#[tokio::test]
async fn what_has_waited_for_days_is_not_sent_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let (_, _stored, mut task) = durable(folder.path());
    task.recall().await;
    task.take(&mut vec![([1; 32], "{}".into()), ([2; 32], "{}".into())]);
    let day = millis(KEPT_MAX) + 1_000;
    task.entries.get_mut(&[1; 32]).unwrap().waiting.since_ms -= day;
    task.entries.get_mut(&[2; 32]).unwrap().waiting.since_ms -= 5_000;
    assert!(task.keeper.finish(|| all_waiting(&task.entries)).await);
    assert_eq!(on_disk(folder.path()).len(), 2);
    let (told, _stored, mut task) = durable(folder.path());
    task.recall().await;
    assert_eq!(task.waiting(), 1);
    assert_eq!(session(&told.borrow().stored, 2), Some("{}"));
    // What is sent says how long it has waited, the restart included.
    assert!((5_000..60_000).contains(&task.batch().1[0].age_ms));
}
