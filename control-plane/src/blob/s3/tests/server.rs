//! Stores on S3 servers that run as processes of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::Credentials;
use gantry_tests::{Bucket, S3Server, Storage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::super::PART_BYTES;
use super::super::{BlobError, Patience, PresignOptions, S3Options, S3Store};

/// A server with a bucket, and a folder for what stores on it spool.
pub(super) struct Server {
    pub(super) process: S3Server,
    folder: tempfile::TempDir,
}

impl Server {
    pub(super) fn start(storage: Storage) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = S3Server::start(storage, &folder.path().join("server")).unwrap();
        Self { process, folder }
    }

    pub(super) async fn store(&self, prefix: &str) -> S3Store {
        let bucket = self.process.bucket();
        let opened = open(self.folder.path(), bucket, prefix, Patience::default()).await;
        opened.unwrap()
    }

    /// A store whose way to the server leads over this address.
    pub(super) async fn store_behind(&self, address: SocketAddr, patience: Patience) -> S3Store {
        let bucket = self.process.bucket().by_way_of(address);
        let opened = open(self.folder.path(), &bucket, "", patience).await;
        opened.unwrap()
    }
}

/// Opens a bucket with its credentials.
pub(super) async fn open(
    folder: &Path,
    bucket: &Bucket,
    prefix: &str,
    patience: Patience,
) -> Result<S3Store, BlobError> {
    let options = S3Options {
        bucket: bucket.name().into(),
        prefix: prefix.into(),
        endpoint: Some(bucket.endpoint()),
        region: Some("us-east-1".into()),
        path_style: true,
        part_bytes: PART_BYTES,
        spool_directory: folder.join("spool"),
        patience,
        presign: Some(PresignOptions {
            endpoint: None,
            valid_for: Duration::from_mins(1),
        }),
    };
    let (access_key, secret_key) = bucket.credentials();
    let credentials = Credentials::new(access_key, secret_key, None, None, "test");
    let loader = aws_config::defaults(BehaviorVersion::latest()).credentials_provider(credentials);
    S3Store::open_with(options, loader).await
}

/// What a plain HTTP client gets for a URL.
pub(super) async fn get(url: &str) -> String {
    let (host, path) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .unwrap();
    let mut connection = tokio::net::TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}
