//! S3 servers as processes, each on ports and in a folder of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::Credentials;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::super::PART_BYTES;
use super::super::{BlobError, PresignOptions, S3Options, S3Store};

const BUCKET: &str = "gantry";
const ACCESS_KEY: &str = "test-access-key";
const SECRET_KEY: &str = "test-secret-key";
/// Longer than a server takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server that runs until it is killed or dropped.
pub(super) struct S3Server {
    command: Command,
    process: Option<Child>,
    endpoint: String,
    folder: tempfile::TempDir,
}

impl S3Server {
    pub(super) async fn s3s_fs() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join(BUCKET)).unwrap();
        let port = free_port();
        let mut command = Command::new(tool("bin/s3s-fs"));
        command
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .arg(data);
        Self::of(command, port, folder).await
    }

    pub(super) async fn seaweedfs() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identities = folder.path().join("identities.json");
        let identity = serde_json::json!({ "identities": [{
            "name": "test",
            "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
            "actions": ["Admin"],
        }] });
        std::fs::write(&identities, identity.to_string()).unwrap();
        let ports = free_ports::<10>();
        let port = ports[0];
        let mut command = Command::new(tool("python/bin/weed"));
        command
            .args(["server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .args(["-master.telemetry=false", "-master.volumeSizeLimitMB=64"])
            .arg("-volume.max=20")
            .arg(format!("-dir={}", folder.path().display()))
            .arg(format!("-s3.config={}", identities.display()))
            .arg(format!("-s3.port={port}"));
        let names = [
            "s3.port.grpc",
            "s3.port.iceberg",
            "s3.port.lance",
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
        ];
        for (name, port) in names.iter().zip(&ports[1..]) {
            command.arg(format!("-{name}={port}"));
        }
        Self::of(command, port, folder).await
    }

    async fn of(mut command: Command, port: u16, folder: tempfile::TempDir) -> Self {
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut server = Self {
            command,
            process: None,
            endpoint: format!("http://127.0.0.1:{port}"),
            folder,
        };
        server.start().await;
        server
    }

    /// Starts it and waits until objects can be written.
    pub(super) async fn start(&mut self) {
        self.process = Some(self.command.spawn().unwrap());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let refusal = match open(self.folder.path(), &self.endpoint, "ready/").await {
                Ok(_) => return,
                Err(refusal) => format!("{refusal:?}"),
            };
            assert!(
                tokio::time::Instant::now() < deadline,
                "the server does not become ready: {refusal}\n{}",
                std::fs::read_to_string(self.folder.path().join("log")).unwrap()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(super) async fn store(&self, prefix: &str) -> S3Store {
        let opened = open(self.folder.path(), &self.endpoint, prefix).await;
        opened.unwrap()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Opens a bucket with the servers' credentials; makes the bucket where it is missing.
pub(super) async fn open(
    folder: &Path,
    endpoint: &str,
    prefix: &str,
) -> Result<S3Store, BlobError> {
    let options = S3Options {
        bucket: BUCKET.into(),
        prefix: prefix.into(),
        endpoint: Some(endpoint.into()),
        region: Some("us-east-1".into()),
        path_style: true,
        part_bytes: PART_BYTES,
        spool_directory: folder.join("spool"),
        presign: Some(PresignOptions {
            endpoint: None,
            valid_for: Duration::from_mins(1),
        }),
    };
    let loader = || {
        let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
        aws_config::defaults(BehaviorVersion::latest()).credentials_provider(credentials)
    };
    let client = super::super::client(&options, loader()).await;
    // A bucket that is there already is as good; anything else shows when the store is opened.
    let _ = client.create_bucket().bucket(BUCKET).send().await;
    S3Store::open_with(options, loader()).await
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
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// A port that was free a moment ago: these servers cannot be given port 0 and asked for it.
pub(super) fn free_port() -> u16 {
    free_ports::<1>()[0]
}

/// Different ones, since they are held until all are chosen.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn tool(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let path = target.join("tools").join(name);
    assert!(
        path.is_file(),
        "{} is missing: `cargo xtask test` installs it",
        path.display()
    );
    path
}
