//! A gateway as its process group: supervisor, workers, and now and then a probe.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::binaries::{binary, workspace};
use crate::process::{Process, eventually};
use crate::small_disk;
use crate::web::{Answer, Request};

/// Where a gateway takes revisions from.
#[derive(Debug, Clone)]
enum Source {
    ControlPlane { endpoint: String, token: String },
    Folder(PathBuf),
}

/// What a gateway is started with, beyond where it takes revisions from.
#[derive(Debug, Clone, Default)]
pub struct GatewayOptions {
    /// Its name; also that of its folder.
    pub id: String,
    /// The version that it reports instead of its own.
    pub version: Option<String>,
    /// Its configuration instead of the example in `deploy`.
    pub config: Option<PathBuf>,
    /// Further variables.
    pub variables: Vec<(String, String)>,
    /// Bytes of a disk of its own that its state lies on; the system's unless set.
    pub disk_bytes: Option<u64>,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    folder: PathBuf,
    source: Source,
    options: GatewayOptions,
    process: Process,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// Starts one and waits until it listens (not until it is ready).
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(
        folder: &Path,
        endpoint: &str,
        token: &str,
        options: &GatewayOptions,
    ) -> Result<Self> {
        let (endpoint, token) = (endpoint.to_owned(), token.to_owned());
        Self::begin(folder, Source::ControlPlane { endpoint, token }, options)
    }

    /// Starts one that has no control plane but a folder to watch, and waits until it listens.
    ///
    /// # Errors
    /// It does not come up.
    pub fn standalone(folder: &Path, watched: &Path, options: &GatewayOptions) -> Result<Self> {
        Self::begin(folder, Source::Folder(watched.to_owned()), options)
    }

    fn begin(folder: &Path, source: Source, options: &GatewayOptions) -> Result<Self> {
        let folder = folder.join(&options.id);
        fs::create_dir_all(&folder)?;
        let (process, listen, admin) =
            launch(&folder, &source, options, ("127.0.0.1:0", "127.0.0.1:0"))?;
        Ok(Self {
            folder,
            source,
            options: options.clone(),
            process,
            listen,
            admin,
        })
    }

    /// Stops it with SIGTERM and starts it again on the same ports and folder.
    ///
    /// # Errors
    /// It does not go down or come up.
    pub fn restart(&mut self) -> Result<()> {
        self.process.terminate()?;
        self.relaunch()
    }

    /// Kills the supervisor with SIGKILL and starts it again.
    ///
    /// # Errors
    /// It does not come up.
    pub fn kill_and_restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.relaunch()
    }

    /// Restarts it as another version, as an upgrade does.
    ///
    /// # Errors
    /// It does not go down or come up.
    pub fn upgrade(&mut self, version: &str) -> Result<()> {
        self.options.version = Some(version.to_owned());
        self.restart()
    }

    fn relaunch(&mut self) -> Result<()> {
        let ports = (self.listen.to_string(), self.admin.to_string());
        let launched = launch(
            &self.folder,
            &self.source,
            &self.options,
            (&ports.0, &ports.1),
        )?;
        (self.process, self.listen, self.admin) = launched;
        Ok(())
    }

    /// Where its clients reach it.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Where its operators reach it.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The process id of its supervisor.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its folder: state and log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Sends a request through it.
    ///
    /// # Errors
    /// No answer came.
    pub fn send(&self, request: &Request) -> Result<Answer> {
        request.send(self.listen)
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// It ended, or patience ran out.
    pub fn wait_ready(&mut self) -> Result<()> {
        let admin = self.admin;
        self.process.wait_until("it is ready", || {
            Request::get("/readyz")
                .send(admin)
                .is_ok_and(|answer| answer.status == 200)
                .then_some(())
        })
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn status(&self) -> Result<Value> {
        let answer = Request::get("/status")
            .send(self.admin)
            .context("ask for the gateway's status")?;
        Ok(answer.json())
    }

    /// Waits until its status satisfies a condition.
    ///
    /// # Errors
    /// Patience ran out.
    pub fn wait_status(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let found = eventually(what, || {
            last = self.status().ok()?;
            condition(&last).then(|| last.clone())
        });
        found.with_context(|| format!("last status: {last:#}\n{}", self.log_tail()))
    }

    /// Waits until a revision is in effect.
    ///
    /// # Errors
    /// Patience ran out.
    pub fn wait_revision(&self, revision: u64) -> Result<Value> {
        self.wait_status(&format!("revision {revision}"), |status| {
            status["report"]["applied_revision"]
                .as_u64()
                .is_some_and(|applied| applied >= revision)
        })
    }

    /// The process ids of its workers.
    ///
    /// # Errors
    /// The kernel's list cannot be read.
    pub fn worker_pids(&self) -> Result<Vec<u32>> {
        let id = self.process.id();
        let children =
            fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let mut pids: Vec<u32> = children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect();
        for task in fs::read_dir(format!("/proc/{id}/task"))? {
            let list = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            pids.extend(
                list.split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        pids.sort_unstable();
        pids.dedup();
        let is_worker = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).nth(1) == Some(b"worker")
        };
        pids.retain(is_worker);
        Ok(pids)
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Stops it with SIGTERM.
    ///
    /// # Errors
    /// It does not go down.
    pub fn stop(&mut self) -> Result<()> {
        self.process.terminate().map(drop)
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

fn launch(
    folder: &Path,
    source: &Source,
    options: &GatewayOptions,
    (listen, admin): (&str, &str),
) -> Result<(Process, SocketAddr, SocketAddr)> {
    let address_file = folder.join("addresses.json");
    let _ = fs::remove_file(&address_file);
    let mut command = match options.disk_bytes {
        None => Command::new(binary("gantry-gateway")?),
        Some(bytes) => {
            let words = small_disk::under(&folder.join("state"), bytes);
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).arg(binary("gantry-gateway")?);
            command
        }
    };
    command.arg("--config").arg(
        options
            .config
            .clone()
            .unwrap_or_else(|| workspace().join("deploy/gateway.toml")),
    );
    command.args([
        "--gateway-id",
        &options.id,
        "--listen",
        listen,
        "--admin-listen",
        admin,
    ]);
    command
        .arg("--state-dir")
        .arg(folder.join("state"))
        .arg("--address-file")
        .arg(&address_file);
    if let Some(version) = &options.version {
        command.args(["--gateway-version", version]);
    }
    match source {
        Source::ControlPlane { endpoint, token } => command
            .env("GANTRY_ENDPOINT", endpoint)
            .env("GANTRY_TOKEN", token),
        Source::Folder(watched) => command.arg("--folder").arg(watched),
    };
    command
        .env_remove("RUST_LOG")
        .envs(options.variables.iter().cloned());
    let mut process = Process::start(
        &format!("gateway {}", options.id),
        &mut command,
        &folder.join("gateway.log"),
    )?;
    let (listen, admin) = process.wait_until("it listens", || {
        let addresses: Value =
            serde_json::from_str(&fs::read_to_string(&address_file).ok()?).ok()?;
        let address = |name: &str| addresses[name].as_str()?.parse().ok();
        Some((address("listen")?, address("admin")?))
    })?;
    Ok((process, listen, admin))
}
