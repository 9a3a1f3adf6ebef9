//! The suite against two unrelated S3 servers, as processes of their own.

mod faults;
mod server;

use gantry_tests::Storage;

use super::*;
use crate::blob::conformance;
use server::Server;

fn published(version: &str) -> BlobKey {
    BlobKey::Published {
        tenant: "acme".parse().unwrap(),
        bundle: "hooks".parse().unwrap(),
        version: version.parse().unwrap(),
    }
}

async fn check(storage: Storage) {
    let server = Server::start(storage);
    let store = server.store("plugins/").await;
    conformance::run(&store).await;
    presigned_url_gives_the_object_without_credentials(&store).await;
    prefixes_share_a_bucket_without_seeing_each_other(&server).await;
}

async fn presigned_url_gives_the_object_without_credentials(store: &S3Store) {
    let key = published("7.0.0");
    store.create(&key, "presigned".into()).await.unwrap();
    let url = store.presigned(&key).await.unwrap().unwrap();
    let body = server::get(url.url.expose()).await;
    assert!(body.starts_with("HTTP/1.1 200"), "{body}");
    assert!(body.ends_with("presigned"), "{body}");
    // What was signed for one object opens no other, and nothing without its signature.
    let other = url.url.expose().replace("7.0.0.json", "7.0.1.json");
    let unsigned = url.url.expose().split_once('?').unwrap().0;
    store
        .create(&published("7.0.1"), "other".into())
        .await
        .unwrap();
    for url in [&other, unsigned] {
        let body = server::get(url).await;
        assert!(body.starts_with("HTTP/1.1 403"), "{body}");
    }
}

async fn prefixes_share_a_bucket_without_seeing_each_other(server: &Server) {
    let other = server.store("others/").await;
    let all = other.list(&BlobPrefix::All, None, 10).await.unwrap();
    assert_eq!(all.entries, []);
}

#[tokio::test]
async fn s3s_fs_keeps_the_promises_of_a_store() {
    check(Storage::S3sFs).await;
}

#[tokio::test]
async fn seaweedfs_keeps_the_promises_of_a_store() {
    check(Storage::SeaweedFs).await;
}

/// `SeaweedFS` alone: s3s-fs does not list uploads.
#[tokio::test]
async fn unsealed_objects_are_listed_over_every_page_of_the_server() {
    let server = Server::start(Storage::SeaweedFs);
    let store = server.store("plugins/").await;
    let mut expected = Vec::new();
    for number in 0..5 {
        let key = BlobKey::Staged {
            tenant: "acme".parse().unwrap(),
            upload: format!("u{number}").parse().unwrap(),
            file: "hooks.so".parse().unwrap(),
        };
        let mut append = store.append(&key, 0, None).await.unwrap();
        let part = vec![0; usize::try_from(append.part_bytes()).unwrap()];
        append.write(part.into()).await.unwrap();
        let upload = append.commit().await.unwrap().parts.unwrap().upload;
        expected.push((key, upload));
    }
    for page_entries in [1, 2, 5, 1000] {
        let prefix = BlobPrefix::Staging("acme".parse().unwrap());
        let listed = store.uploads(&prefix, page_entries).await.unwrap();
        let mut found: Vec<_> = listed.into_iter().map(|u| (u.key, u.upload)).collect();
        found.sort();
        assert_eq!(found, expected, "{page_entries} on a page");
    }
    let nobody = BlobPrefix::Staging("nobody".parse().unwrap());
    assert_eq!(store.unsealed(&nobody).await.unwrap(), []);
}

/// `SeaweedFS` alone: s3s-fs looks and writes in two steps.
#[tokio::test]
async fn of_many_writers_of_one_object_one_wins_and_is_never_replaced() {
    let server = Server::start(Storage::SeaweedFs);
    let (one, other) = (server.store("").await, server.store("").await);
    for round in 0..5 {
        let key = published(&format!("1.0.{round}"));
        let create = |store: &S3Store, body: String| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { store.create(&key, body.into()).await.unwrap() })
        };
        let writers: Vec<_> = (0..4)
            .flat_map(|n| {
                [
                    create(&one, format!("a{n}")),
                    create(&other, format!("b{n}")),
                ]
            })
            .collect();
        let mut made = 0;
        for writer in writers {
            made += usize::from(writer.await.unwrap() == Created::Now);
        }
        assert_eq!(made, 1, "round {round}");
    }
}

#[tokio::test]
async fn server_that_was_killed_is_unavailable_and_has_everything_when_it_is_back() {
    let mut server = Server::start(Storage::S3sFs);
    let store = server.store("").await;
    store
        .create(&published("1.0.0"), "kept".into())
        .await
        .unwrap();
    server.process.kill().unwrap();
    let refusal = store.size(&published("1.0.0")).await.unwrap_err();
    assert!(
        matches!(refusal, BlobError::Unavailable { .. }),
        "{refusal}"
    );
    server.process.restart().unwrap();
    let body = store.read(&published("1.0.0"), 0, 10).await.unwrap();
    assert_eq!(body, "kept");
}

#[tokio::test]
async fn store_without_a_server_does_not_open() {
    let mut server = Server::start(Storage::S3sFs);
    server.process.kill().unwrap();
    let (folder, bucket) = (tempfile::tempdir().unwrap(), server.process.bucket());
    let opened = server::open(folder.path(), bucket, "", Patience::default()).await;
    let refusal = opened.unwrap_err();
    assert!(
        matches!(refusal, BlobError::Unavailable { .. }),
        "{refusal}"
    );
}
