//! Where a stage keeps objects: in the control plane's folder, or in a bucket of an S3 server that is
//! a process of its own, as somebody else built it.
//!
//! Objects are listed and read here as any S3 client does it, without a word of ours in between.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rusty_s3::actions::{ListObjectsV2, S3Action};
use rusty_s3::{Credentials, UrlStyle};

use crate::binaries::tool;
use crate::ports;
use crate::process::Process;
use crate::web;

/// The variable that says on what every stage keeps its objects: `local`, `s3` or `seaweedfs`.
pub const VARIABLE: &str = "GANTRY_TEST_STORAGE";

const BUCKET: &str = "gantry";
const REGION: &str = "us-east-1";
const ACCESS_KEY: &str = "test-access-key";
const SECRET_KEY: &str = "test-secret-key";
/// How long a request of ours is signed for.
const SIGNED_FOR: Duration = Duration::from_mins(5);
/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: u64 = 1 << 31;

/// What objects are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// A folder of the control plane.
    #[default]
    Local,
    /// A bucket of an s3s-fs, which starts at once and keeps objects as files.
    S3sFs,
    /// A bucket of a `SeaweedFS`, which takes seconds to start and decides between writers as AWS does.
    SeaweedFs,
}

impl Storage {
    /// What [`VARIABLE`] says; local where it says nothing.
    ///
    /// # Errors
    /// It says something unknown.
    pub fn from_environment() -> Result<Self> {
        match std::env::var(VARIABLE) {
            Ok(name) if !name.is_empty() => name.parse(),
            _ => Ok(Self::Local),
        }
    }
}

impl FromStr for Storage {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "local" => Ok(Self::Local),
            "s3" | "s3s-fs" => Ok(Self::S3sFs),
            "seaweedfs" => Ok(Self::SeaweedFs),
            other => bail!("storage {other:?} is unknown; expected local, s3 or seaweedfs"),
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "local",
            Self::S3sFs => "s3",
            Self::SeaweedFs => "seaweedfs",
        })
    }
}

/// A bucket, as a client with its credentials sees it.
#[derive(Debug, Clone)]
pub struct Bucket {
    address: SocketAddr,
}

impl Bucket {
    /// The same bucket by another way, such as a proxy in front of the server.
    #[must_use]
    pub fn by_way_of(&self, address: SocketAddr) -> Self {
        Self { address }
    }

    /// The server's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients reach the server.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        BUCKET
    }

    /// The access key and the secret key that open it.
    pub fn credentials(&self) -> (&'static str, &'static str) {
        (ACCESS_KEY, SECRET_KEY)
    }

    /// The variables with which a control plane keeps its objects here.
    pub fn variables(&self) -> Vec<(String, String)> {
        let endpoint = self.endpoint();
        let pairs = [
            ("GANTRY_STORAGE_KIND", "s3"),
            ("GANTRY_STORAGE_BUCKET", BUCKET),
            ("GANTRY_STORAGE_ENDPOINT", &endpoint),
            ("GANTRY_STORAGE_REGION", REGION),
            ("GANTRY_STORAGE_PATH_STYLE", "true"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        pairs.into_iter().map(own).collect()
    }

    /// The names of all objects, sorted.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn objects(&self) -> Result<Vec<String>> {
        let (mut names, mut from) = (Vec::new(), None);
        let (bucket, credentials) = self.client()?;
        loop {
            let mut list = bucket.list_objects_v2(Some(&credentials));
            if let Some(from) = from {
                list.with_continuation_token(from);
            }
            let answer = self.send("GET", list.sign(SIGNED_FOR).as_str(), &[])?;
            let page = ListObjectsV2::parse_response(&String::from_utf8(answer)?)
                .map_err(|e| anyhow::anyhow!("a listing that cannot be read: {e}"))?;
            names.extend(page.contents.into_iter().map(|object| object.key));
            from = page.next_continuation_token;
            if from.is_none() {
                break;
            }
        }
        names.sort();
        Ok(names)
    }

    /// An object's bytes.
    ///
    /// # Errors
    /// There is none of this name, or the server does not answer.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let (bucket, credentials) = self.client()?;
        let get = bucket.get_object(Some(&credentials), name);
        self.send("GET", get.sign(SIGNED_FOR).as_str(), &[])
    }

    /// Replaces an object, as only somebody with the bucket's credentials can.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn write(&self, name: &str, body: &[u8]) -> Result<()> {
        let (bucket, credentials) = self.client()?;
        let put = bucket.put_object(Some(&credentials), name);
        self.send("PUT", put.sign(SIGNED_FOR).as_str(), body)
            .map(drop)
    }

    /// Removes an object.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn delete(&self, name: &str) -> Result<()> {
        let (bucket, credentials) = self.client()?;
        let delete = bucket.delete_object(Some(&credentials), name);
        self.send("DELETE", delete.sign(SIGNED_FOR).as_str(), &[])
            .map(drop)
    }

    /// Makes the bucket where it is missing, and shows that objects can be written.
    fn prepare(&self) -> Result<()> {
        let (bucket, credentials) = self.client()?;
        let create = bucket.create_bucket(&credentials);
        // One that is there already is as good; anything else shows at the write.
        let _ = self.send("PUT", create.sign(SIGNED_FOR).as_str(), &[]);
        self.write("ready", b"ready")?;
        self.delete("ready")
    }

    fn client(&self) -> Result<(rusty_s3::Bucket, Credentials)> {
        let endpoint = self.endpoint().parse()?;
        let bucket = rusty_s3::Bucket::new(endpoint, UrlStyle::Path, BUCKET, REGION)?;
        Ok((bucket, Credentials::new(ACCESS_KEY, SECRET_KEY)))
    }

    fn send(&self, method: &str, url: &str, body: &[u8]) -> Result<Vec<u8>> {
        let request = ureq::http::Request::builder().method(method).uri(url);
        let mut response = web::agent()
            .run(request.body(body)?)
            .with_context(|| format!("{method} to the S3 server on {}", self.address))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let body = body.read_to_vec().context("read an S3 server's answer")?;
        ensure!(
            status.is_success(),
            "the S3 server answers {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }
}

/// A running S3 server with one bucket.
#[derive(Debug)]
pub struct S3Server {
    storage: Storage,
    folder: PathBuf,
    bucket: Bucket,
    /// Those beside the bucket's, the same at every start.
    ports: [u16; 9],
    process: Process,
}

impl S3Server {
    /// Starts one that keeps everything in a folder, and waits until objects can be written.
    ///
    /// # Errors
    /// It does not come up, or local storage is asked for.
    pub fn start(storage: Storage, folder: &Path) -> Result<Self> {
        let [port, ports @ ..] = ports::free::<10>()?;
        let bucket = Bucket {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        };
        fs::create_dir_all(folder)?;
        let process = launch(storage, folder, &bucket, &ports)?;
        Ok(Self {
            storage,
            folder: folder.to_owned(),
            bucket,
            ports,
            process,
        })
    }

    /// Its bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// What it is.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// It could not be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill().map(drop)
    }

    /// Kills it and starts it again on the same port and folder.
    ///
    /// # Errors
    /// It does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = launch(self.storage, &self.folder, &self.bucket, &self.ports)?;
        Ok(())
    }
}

fn launch(storage: Storage, folder: &Path, bucket: &Bucket, ports: &[u16; 9]) -> Result<Process> {
    let mut command = match storage {
        Storage::Local => bail!("local storage has no server"),
        Storage::S3sFs => s3s_fs(folder, bucket)?,
        Storage::SeaweedFs => seaweedfs(folder, bucket, ports)?,
    };
    let mut process = Process::start("S3 server", &mut command, &folder.join("s3.log"))?;
    process.wait_until("it takes objects", || bucket.prepare().ok())?;
    Ok(process)
}

fn s3s_fs(folder: &Path, bucket: &Bucket) -> Result<Command> {
    let data = folder.join("s3");
    fs::create_dir_all(data.join(BUCKET))?;
    let mut command = Command::new(tool("s3s-fs")?);
    command
        .args(["--host", "127.0.0.1", "--port"])
        .arg(bucket.address.port().to_string())
        .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
        .arg(data);
    Ok(command)
}

fn seaweedfs(folder: &Path, bucket: &Bucket, ports: &[u16; 9]) -> Result<Command> {
    let identities = folder.join("identities.json");
    let identity = serde_json::json!({ "identities": [{
        "name": "test",
        "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
        "actions": ["Admin"],
    }] });
    fs::write(&identities, identity.to_string())?;
    let mut command = Command::new(tool("weed")?);
    command
        .args(["server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
        .args(["-master.telemetry=false", "-master.volumeSizeLimitMB=64"])
        .arg("-volume.max=20")
        // By itself it takes no object where under a hundredth of the disk is free, however much that is.
        .arg("-volume.minFreeSpace=64MiB")
        .arg(format!("-dir={}", folder.display()))
        .arg(format!("-s3.config={}", identities.display()))
        .arg(format!("-s3.port={}", bucket.address.port()));
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
    for (name, port) in names.iter().zip(ports) {
        command.arg(format!("-{name}={port}"));
    }
    Ok(command)
}
