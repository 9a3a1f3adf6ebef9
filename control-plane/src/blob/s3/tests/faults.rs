//! What the backend makes of a bad way to its server, and of a server that dies: it goes on where that
//! helps, gives up where it does not, and what is stored is whole either way.

use std::time::Duration;

use gantry_tests::{Fault, FaultProxy};

use super::*;
use crate::refusal::Refuse;

/// Attempts of the stores here: two faults, a connection that was closed while it was kept, and one
/// that succeeds.
const ATTEMPTS: u32 = 4;
/// Larger than what the proxy passes on at once, smaller than a part.
const OBJECT_BYTES: usize = 1 << 20;

/// A server behind a proxy, and a store that reaches it that way.
struct Lab {
    server: Server,
    proxy: FaultProxy,
    store: S3Store,
}

impl Lab {
    async fn start(storage: Storage) -> Self {
        Self::with_patience(Server::start(storage), Duration::from_mins(1)).await
    }

    async fn with_patience(server: Server, attempt_timeout: Duration) -> Self {
        let proxy = FaultProxy::start(server.process.bucket().address()).unwrap();
        let patience = Patience {
            attempt_timeout,
            attempts_max: ATTEMPTS,
            backoff_first: Duration::from_millis(20),
        };
        let store = server.store_behind(proxy.address(), patience).await;
        Self {
            server,
            proxy,
            store,
        }
    }

    /// The bytes of an object, as somebody else reads them.
    fn bytes(&self, key: &BlobKey) -> Vec<u8> {
        self.server.process.bucket().read(&key.path()).unwrap()
    }
}

fn staged(upload: &str) -> BlobKey {
    BlobKey::Staged {
        tenant: "acme".parse().unwrap(),
        upload: upload.parse().unwrap(),
        file: "hooks.so".parse().unwrap(),
    }
}

/// Bytes of which no two places look alike.
fn filling(size_bytes: usize) -> Bytes {
    let words =
        (0..size_bytes.div_ceil(8) as u64).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(size_bytes);
    bytes.into()
}

async fn upload(store: &S3Store, key: &BlobKey, body: &Bytes) {
    let mut append = store.append(key, 0, None).await.unwrap();
    append.write(body.clone()).await.unwrap();
    append.seal().await.unwrap();
}

fn assert_unavailable(refusal: &BlobError) {
    assert_eq!(refusal.code(), "STORAGE_UNAVAILABLE", "{refusal}");
}

/// More than one attempt was made, and no more than allowed.
fn assert_bounded(proxy: &FaultProxy) {
    let attempts = proxy.struck();
    assert!((2..=u64::from(ATTEMPTS)).contains(&attempts), "{attempts}");
}

async fn server_that_says_slow_down_is_asked_again(lab: &Lab) {
    let Lab { proxy, store, .. } = lab;
    proxy.fault(Fault::SlowDown, 2);
    let (commit, file) = (published("1.0.0"), staged("slow-down"));
    assert_eq!(
        store.create(&commit, "{}".into()).await.unwrap(),
        Created::Now
    );
    assert_eq!(proxy.struck(), 2);
    // More than one part, so that the calls of an upload meet it too.
    let body = filling(usize::try_from(store.options.part_bytes).unwrap() + 1000);
    proxy.fault(Fault::SlowDown, 2);
    upload(store, &file, &body).await;
    assert_eq!(proxy.struck(), 2);
    assert_eq!(lab.bytes(&commit), b"{}");
    assert_eq!(Digest::of(lab.bytes(&file)), Digest::of(&body));
}

async fn server_that_always_says_slow_down_is_given_up(lab: &Lab) {
    let Lab { proxy, store, .. } = lab;
    let key = published("2.0.0");
    proxy.fault(Fault::SlowDown, u64::MAX);
    assert_unavailable(&store.create(&key, "{}".into()).await.unwrap_err());
    assert_bounded(proxy);
    proxy.heal();
    let refusal = store.size(&key).await.unwrap_err();
    assert!(matches!(refusal, BlobError::NotFound { .. }), "{refusal}");
    assert_eq!(store.create(&key, "{}".into()).await.unwrap(), Created::Now);
}

async fn request_that_is_cut_off_in_its_body_is_sent_again(lab: &Lab) {
    let Lab { proxy, store, .. } = lab;
    let part = usize::try_from(store.options.part_bytes).unwrap();
    let (key, body) = (staged("cut-off"), filling(2 * part + 1000));
    let mut append = store.append(&key, 0, None).await.unwrap();
    append.write(body.slice(..part)).await.unwrap();
    proxy.fault(Fault::ResetRequest(part as u64 / 2), 2);
    append.write(body.slice(part..)).await.unwrap();
    assert_eq!(proxy.struck(), 2);
    proxy.heal();
    append.seal().await.unwrap();
    assert_eq!(Digest::of(lab.bytes(&key)), Digest::of(&body));
}

/// The sender is told, and the parts that were stored before are gone on with.
async fn request_that_is_always_cut_off_is_given_up_and_gone_on_with_later(lab: &Lab) {
    let Lab { proxy, store, .. } = lab;
    let part = usize::try_from(store.options.part_bytes).unwrap();
    let (key, body) = (staged("given-up"), filling(2 * part));
    let mut append = store.append(&key, 0, None).await.unwrap();
    append.write(body.slice(..part)).await.unwrap();
    let committed = append.commit().await.unwrap();
    proxy.fault(Fault::ResetRequest(part as u64 / 2), u64::MAX);
    assert_unavailable(&append.write(body.slice(part..)).await.unwrap_err());
    assert_bounded(proxy);
    proxy.heal();
    assert_eq!(committed.size_bytes, part as u64);
    let mut append = store
        .append(&key, committed.size_bytes, committed.parts)
        .await
        .unwrap();
    append.write(body.slice(part..)).await.unwrap();
    append.seal().await.unwrap();
    assert_eq!(Digest::of(lab.bytes(&key)), Digest::of(&body));
}

async fn answer_that_breaks_off_is_gone_on_with(lab: &Lab, key: &BlobKey, body: &Bytes) {
    let Lab { proxy, store, .. } = lab;
    proxy.fault(Fault::ResetAnswer(OBJECT_BYTES as u64 / 4), 2);
    let read = store.read(key, 0, OBJECT_BYTES).await.unwrap();
    assert_eq!((Digest::of(&read), proxy.struck()), (Digest::of(body), 2));
    proxy.fault(Fault::ResetAnswer(OBJECT_BYTES as u64 / 4), 2);
    let (mut file, mut spooled) = (store.open(key).await.unwrap(), Vec::new());
    std::io::Read::read_to_end(&mut file, &mut spooled).unwrap();
    assert_eq!(
        (Digest::of(&spooled), proxy.struck()),
        (Digest::of(body), 2)
    );
}

async fn answer_that_always_breaks_off_is_given_up(lab: &Lab, key: &BlobKey) {
    let Lab { proxy, store, .. } = lab;
    proxy.fault(Fault::ResetAnswer(OBJECT_BYTES as u64 / 64), u64::MAX);
    assert_unavailable(&store.read(key, 0, OBJECT_BYTES).await.unwrap_err());
    assert_unavailable(&store.open(key).await.unwrap_err());
    proxy.heal();
}

async fn refused_connections_are_tried_again_and_given_up(lab: &Lab, key: &BlobKey) {
    let Lab { proxy, store, .. } = lab;
    proxy.fault(Fault::Refuse, 2);
    assert_eq!(store.size(key).await.unwrap(), OBJECT_BYTES as u64);
    proxy.fault(Fault::Refuse, u64::MAX);
    assert_unavailable(&store.size(key).await.unwrap_err());
    proxy.heal();
}

async fn silence_and_dribbling_are_not_waited_for(lab: &Lab, key: &BlobKey, body: &Bytes) {
    let Lab { proxy, store, .. } = lab;
    proxy.fault(Fault::Silence, 1);
    assert_eq!(store.size(key).await.unwrap(), OBJECT_BYTES as u64);
    proxy.fault(Fault::Silence, u64::MAX);
    assert_unavailable(&store.size(key).await.unwrap_err());
    // One piece dribbles, the rest comes as it should: what came so far counts.
    proxy.fault(Fault::Dribble(100), 1);
    let read = store.read(key, 0, OBJECT_BYTES).await.unwrap();
    assert_eq!(Digest::of(&read), Digest::of(body));
    proxy.fault(Fault::Dribble(100), u64::MAX);
    assert_unavailable(&store.read(key, 0, OBJECT_BYTES).await.unwrap_err());
    proxy.heal();
    assert_eq!(store.read(key, 0, OBJECT_BYTES).await.unwrap(), body);
}

/// The copy was made and its answer is lost: the next attempt finds it and makes no other.
async fn promotion_whose_answer_is_lost_is_made_once(lab: &Lab) {
    let Lab { proxy, store, .. } = lab;
    let (from, body) = (staged("promoted"), filling(1000));
    upload(store, &from, &body).await;
    let to = published("4.0.0");
    // The answer to the first question passes, that to the copy does not.
    proxy.fault(Fault::ResetAnswer(0), 1);
    store.promote(&from, &to).await.unwrap();
    assert_eq!(proxy.struck(), 1);
    assert_eq!(lab.bytes(&to), body);
}

async fn survive_a_bad_way(storage: Storage) {
    let lab = Lab::start(storage).await;
    server_that_says_slow_down_is_asked_again(&lab).await;
    server_that_always_says_slow_down_is_given_up(&lab).await;
    request_that_is_cut_off_in_its_body_is_sent_again(&lab).await;
    request_that_is_always_cut_off_is_given_up_and_gone_on_with_later(&lab).await;
    promotion_whose_answer_is_lost_is_made_once(&lab).await;
    let (key, body) = (staged("read"), filling(OBJECT_BYTES));
    upload(&lab.store, &key, &body).await;
    answer_that_breaks_off_is_gone_on_with(&lab, &key, &body).await;
    answer_that_always_breaks_off_is_given_up(&lab, &key).await;
    refused_connections_are_tried_again_and_given_up(&lab, &key).await;
    let lab = Lab::with_patience(lab.server, Duration::from_secs(1)).await;
    silence_and_dribbling_are_not_waited_for(&lab, &key, &body).await;
}

#[tokio::test]
async fn bad_way_to_s3s_fs_is_borne_or_said() {
    survive_a_bad_way(Storage::S3sFs).await;
}

#[tokio::test]
async fn bad_way_to_seaweedfs_is_borne_or_said() {
    survive_a_bad_way(Storage::SeaweedFs).await;
}

/// Killed in the middle of a part, started again on the same data.
async fn survive_a_kill(storage: Storage) {
    let mut lab = Lab::start(storage).await;
    let store = lab.store.clone();
    let part = usize::try_from(store.options.part_bytes).unwrap();
    let (key, body) = (staged("killed"), filling(3 * part + 1000));
    let commit = published("1.0.0");
    store.create(&commit, "kept".into()).await.unwrap();
    let mut append = store.append(&key, 0, None).await.unwrap();
    append.write(body.slice(..part)).await.unwrap();
    let committed = append.commit().await.unwrap();
    let rest = body.slice(part..2 * part);
    lab.proxy.fault(Fault::HoldRequest(part as u64 / 2), 1);
    let writing = tokio::spawn(async move { append.write(rest).await });
    while lab.proxy.struck() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lab.server.process.kill().unwrap();
    lab.proxy.heal();
    assert_unavailable(&writing.await.unwrap().unwrap_err());
    lab.server.process.restart().unwrap();
    let mut append = store
        .append(&key, committed.size_bytes, committed.parts)
        .await
        .unwrap();
    append.write(body.slice(part..)).await.unwrap();
    append.seal().await.unwrap();
    assert_eq!(Digest::of(lab.bytes(&key)), Digest::of(&body));
    assert_eq!(lab.bytes(&commit), b"kept");
    let again = store.create(&commit, "other".into()).await.unwrap();
    assert_eq!(again, Created::Before);
}

#[tokio::test]
async fn upload_goes_on_when_s3s_fs_was_killed_and_is_back() {
    survive_a_kill(Storage::S3sFs).await;
}

#[tokio::test]
async fn upload_goes_on_when_seaweedfs_was_killed_and_is_back() {
    survive_a_kill(Storage::SeaweedFs).await;
}
