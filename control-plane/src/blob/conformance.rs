//! What every backend must do, written against the trait: each backend's tests run this suite.

use bytes::Bytes;
use gantry_domain::Digest;

use super::{BlobError, BlobKey, BlobPrefix, BlobStore, Created};

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
    staged_bytes_go_on_at_any_committed_offset(store).await;
    staged_bytes_are_promoted_once(store).await;
    listings_are_ordered_bounded_and_within_their_prefix(store).await;
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

async fn staged_bytes_go_on_at_any_committed_offset(store: &dyn BlobStore) {
    let key = staged("a.so");
    let mut append = store.append(&key, 0).await.unwrap();
    append.write("0123456789".into()).await.unwrap();
    assert_eq!(append.commit().await.unwrap(), 10);
    drop(append);
    let mut append = store.append(&key, 4).await.unwrap();
    append.write("x".into()).await.unwrap();
    append.write("y".into()).await.unwrap();
    assert_eq!(append.commit().await.unwrap(), 6);
    assert_eq!(body(store, &key).await, "0123xy");
    assert_eq!(store.read(&key, 4, 1).await.unwrap(), "x");
    assert_eq!(store.read(&key, 6, 9).await.unwrap(), "");
    let refusal = store.append(&key, 7).await.err().unwrap();
    assert!(matches!(
        refusal,
        BlobError::Truncated {
            offset: 7,
            size: 6,
            ..
        }
    ));
}

async fn staged_bytes_are_promoted_once(store: &dyn BlobStore) {
    let (from, to) = (staged("a.so"), artifact("a.so"));
    assert_eq!(store.promote(&from, &to).await.unwrap(), Created::Now);
    assert_eq!(store.promote(&from, &to).await.unwrap(), Created::Before);
    store.delete(&from).await.unwrap();
    store.delete(&from).await.unwrap();
    assert_eq!(body(store, &to).await, "0123xy");
    let refusal = store.promote(&from, &artifact("b.so")).await.unwrap_err();
    assert!(matches!(refusal, BlobError::NotFound { key } if *key == from));
}

async fn listings_are_ordered_bounded_and_within_their_prefix(store: &dyn BlobStore) {
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
    assert_eq!(store.list(&prefix, None, 10).await.unwrap(), all);
    assert_eq!(store.list(&prefix, None, 2).await.unwrap(), all[..2]);
    assert_eq!(
        store.list(&prefix, Some(&all[1]), 10).await.unwrap(),
        all[2..]
    );
    let nobody = BlobPrefix::Staging("nobody".parse().unwrap());
    assert_eq!(store.list(&nobody, None, 10).await.unwrap(), []);
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
