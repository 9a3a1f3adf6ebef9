//! What every backend must do, written against the trait: each backend's tests run this suite.

use bytes::Bytes;
use gantry_domain::Digest;

use super::{BlobError, BlobKey, BlobPrefix, BlobStore, Created, PART_BYTES, Parts};

fn published(tenant: &str, version: &str) -> BlobKey {
    BlobKey::Published {
        tenant: tenant.parse().unwrap(),
        bundle: "hooks".parse().unwrap(),
        version: version.parse().unwrap(),
    }
}

fn staged(file: &str) -> BlobKey {
    BlobKey::Staged {
        tenant: "acme".parse().unwrap(),
        upload: "u1".parse().unwrap(),
        file: file.parse().unwrap(),
    }
}

fn artifact(file: &str) -> BlobKey {
    BlobKey::Artifact {
        tenant: "acme".parse().unwrap(),
        gateway_version: None,
        platform: "linux_amd64".parse().unwrap(),
        bundle: "hooks".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        digest: Digest::of(file),
        file: file.parse().unwrap(),
    }
}

/// Runs the suite on an empty store.
pub(crate) async fn run(store: &dyn BlobStore) {
    an_object_is_never_replaced(store).await;
    staged_bytes_go_on_at_a_committed_offset(store).await;
    sealed_bytes_whose_seal_was_not_noted_are_taken_again(store).await;
    lost_parts_are_said_to_be_lost(store).await;
    staged_bytes_are_promoted_once(store).await;
    listings_hold_each_key_once_and_stay_within_their_prefix(store).await;
    what_is_not_there_is_said_to_be_missing(store).await;
}

async fn body(store: &dyn BlobStore, key: &BlobKey) -> Bytes {
    store.read(key, 0, 1 << 20).await.unwrap()
}

async fn an_object_is_never_replaced(store: &dyn BlobStore) {
    let key = published("acme", "1.0.0");
    assert_eq!(
        store.create(&key, "first".into()).await.unwrap(),
        Created::Now
    );
    assert_eq!(
        store.create(&key, "second".into()).await.unwrap(),
        Created::Before
    );
    assert_eq!(body(store, &key).await, "first");
    assert_eq!(store.size(&key).await.unwrap(), 5);
}

/// Bytes that differ from place to place.
fn filling(size_bytes: u64) -> Bytes {
    (0..size_bytes)
        .map(|index| (index % 251) as u8)
        .collect::<Vec<_>>()
        .into()
}

/// Writes one part and a little more, and goes away.
async fn interrupted(store: &dyn BlobStore, key: &BlobKey) -> Option<Parts> {
    let mut append = store.append(key, 0, None).await.unwrap();
    append.write(filling(PART_BYTES)).await.unwrap();
    let committed = append.commit().await.unwrap();
    assert_eq!(committed.size_bytes, PART_BYTES);
    append.write("lost".into()).await.unwrap();
    let later = append.commit().await.unwrap().size_bytes;
    assert!([PART_BYTES, PART_BYTES + 4].contains(&later), "{later}");
    committed.parts
}

async fn staged_bytes_go_on_at_a_committed_offset(store: &dyn BlobStore) {
    let key = staged("large.so");
    let parts = interrupted(store, &key).await;
    let mut append = store.append(&key, PART_BYTES, parts.clone()).await.unwrap();
    append.write(filling(PART_BYTES)).await.unwrap();
    append.write("tail".into()).await.unwrap();
    append.seal().await.unwrap();
    assert_eq!(store.size(&key).await.unwrap(), 2 * PART_BYTES + 4);
    let around = store.read(&key, PART_BYTES - 2, 4).await.unwrap();
    assert_eq!(around[2..], [0, 1]);
    let end = store.read(&key, 2 * PART_BYTES, 100).await.unwrap();
    assert_eq!(end, "tail");
    let behind = store.read(&key, 2 * PART_BYTES + 4, 9).await.unwrap();
    assert_eq!(behind, "");
    let mut spooled = Vec::new();
    let mut file = store.open(&key).await.unwrap();
    std::io::Read::read_to_end(&mut file, &mut spooled).unwrap();
    let whole = [&filling(PART_BYTES)[..], &filling(PART_BYTES), b"tail"].concat();
    assert_eq!(Digest::of(&spooled), Digest::of(&whole));
    store.delete(&key).await.unwrap();
}

async fn sealed_bytes_whose_seal_was_not_noted_are_taken_again(store: &dyn BlobStore) {
    let key = staged("sealed.so");
    let parts = interrupted(store, &key).await;
    for _ in 0..2 {
        let mut append = store.append(&key, PART_BYTES, parts.clone()).await.unwrap();
        append.write("tail".into()).await.unwrap();
        append.seal().await.unwrap();
        assert_eq!(store.size(&key).await.unwrap(), PART_BYTES + 4);
    }
    store.delete(&key).await.unwrap();
}

async fn lost_parts_are_said_to_be_lost(store: &dyn BlobStore) {
    let key = staged("lost.so");
    let parts = interrupted(store, &key).await;
    if let Some(parts) = &parts {
        store.abandon(&key, &parts.upload).await.unwrap();
        store.abandon(&key, &parts.upload).await.unwrap();
    }
    store.delete(&key).await.unwrap();
    let refusal = store.append(&key, PART_BYTES, parts).await.err().unwrap();
    let lost = matches!(refusal, BlobError::Truncated { size: 0, .. });
    assert!(lost, "{refusal}");
    store.delete(&key).await.unwrap();
}

async fn staged_bytes_are_promoted_once(store: &dyn BlobStore) {
    let (from, to) = (staged("a.so"), artifact("a.so"));
    let mut append = store.append(&from, 0, None).await.unwrap();
    append.write("0123".into()).await.unwrap();
    append.write("xy".into()).await.unwrap();
    append.seal().await.unwrap();
    assert_eq!(store.promote(&from, &to).await.unwrap(), Created::Now);
    assert_eq!(store.promote(&from, &to).await.unwrap(), Created::Before);
    store.delete(&from).await.unwrap();
    store.delete(&from).await.unwrap();
    assert_eq!(body(store, &to).await, "0123xy");
    let refusal = store.promote(&from, &artifact("b.so")).await.unwrap_err();
    assert!(matches!(refusal, BlobError::NotFound { key } if *key == from));
}

async fn listings_hold_each_key_once_and_stay_within_their_prefix(store: &dyn BlobStore) {
    for version in ["1.2.0", "1.1.0"] {
        store
            .create(&published("acme", version), "{}".into())
            .await
            .unwrap();
    }
    store
        .create(&published("acme-2", "1.0.0"), "{}".into())
        .await
        .unwrap();
    let prefix = BlobPrefix::Published("acme".parse().unwrap());
    let all = ["1.0.0", "1.1.0", "1.2.0"].map(|version| published("acme", version));
    for page_entries in [1, 2, 10] {
        let (mut keys, mut from) = (Vec::new(), None);
        loop {
            let page = store.list(&prefix, from, page_entries).await.unwrap();
            assert!(page.entries.len() <= page_entries);
            keys.extend(page.entries.into_iter().map(|entry| entry.key));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        keys.sort();
        assert_eq!(keys, all);
    }
    let nobody = BlobPrefix::Staging("nobody".parse().unwrap());
    assert_eq!(store.list(&nobody, None, 10).await.unwrap().entries, []);
}

async fn what_is_not_there_is_said_to_be_missing(store: &dyn BlobStore) {
    let key = published("acme", "9.9.9");
    for refusal in [
        store.size(&key).await.unwrap_err(),
        store.read(&key, 0, 1).await.unwrap_err(),
        store.open(&key).await.unwrap_err(),
    ] {
        assert!(matches!(refusal, BlobError::NotFound { .. }), "{refusal}");
    }
}
