//! A control plane as a process of its own, with a metadata file and an object store in a folder.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::binaries::{binary, workspace};
use crate::process::Process;
use crate::small_disk::{self, seen_by};
use crate::storage::Bucket;

/// What a control plane is started with.
#[derive(Debug, Clone, Default)]
pub struct ControlPlaneOptions {
    /// Where objects are kept; in its folder unless set.
    pub bucket: Option<Bucket>,
    /// Further variables.
    pub variables: Vec<(String, String)>,
    /// The program that starts it, with arguments; it must become the control plane, as `env` does.
    pub under: Vec<String>,
    /// Bytes of a disk of its own that its data lie on; the system's unless set.
    pub disk_bytes: Option<u64>,
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    folder: PathBuf,
    options: ControlPlaneOptions,
    process: Process,
    address: SocketAddr,
}

impl ControlPlane {
    /// Starts one on a free port; what an earlier one left in the folder is taken up again.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, &ControlPlaneOptions::default())
    }

    /// Starts one as [`ControlPlane::start`] does, with options that hold for its restarts too.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start_with(folder: &Path, options: &ControlPlaneOptions) -> Result<Self> {
        Self::start_at(folder, options, "127.0.0.1:0")
    }

    fn start_at(folder: &Path, options: &ControlPlaneOptions, listen: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let address_file = folder.join("address");
        let _ = fs::remove_file(&address_file);
        let disk = options.disk_bytes;
        let mut under = disk.map_or_else(Vec::new, |bytes| {
            small_disk::under(&folder.join("data"), bytes)
        });
        under.extend_from_slice(&options.under);
        let mut command = Self::command(folder, &under)?;
        let bucket = options.bucket.as_ref();
        command
            .envs(bucket.map(Bucket::variables).unwrap_or_default())
            .envs(options.variables.iter().cloned())
            .args(["serve", "--listen", listen, "--address-file"])
            .arg(&address_file);
        let mut process = Process::start(
            "control plane",
            &mut command,
            &folder.join("control-plane.log"),
        )?;
        let address = process.wait_until("it listens", || {
            fs::read_to_string(&address_file).ok()?.trim().parse().ok()
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            options: options.clone(),
            process,
            address,
        })
    }

    fn command(folder: &Path, under: &[String]) -> Result<Command> {
        let program = binary("gantry-control-plane")?;
        let mut command = match under {
            [] => Command::new(program),
            [first, arguments @ ..] => {
                let mut command = Command::new(first);
                command.args(arguments).arg(program);
                command
            }
        };
        command
            .arg("--config")
            .arg(workspace().join("deploy/control-plane.toml"))
            .env("GANTRY_DATA_DIR", folder.join("data"))
            .env_remove("RUST_LOG");
        Ok(command)
    }

    /// Makes the first admin token of the operators' tenant.
    ///
    /// # Errors
    /// There is one already, or the metadata cannot be written.
    pub fn bootstrap(folder: &Path) -> Result<String> {
        fs::create_dir_all(folder)?;
        let output = Self::command(folder, &[])?
            .arg("bootstrap")
            .output()
            .context("start gantry-control-plane")?;
        ensure!(
            output.status.success(),
            "bootstrap:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Where clients reach it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The folder of its local objects, on the disk that it sees.
    pub fn objects_folder(&self) -> PathBuf {
        let folder = self.folder.join("data/objects");
        match self.options.disk_bytes {
            None => folder,
            Some(_) => seen_by(self.id(), &folder),
        }
    }

    /// Every object in its store: paths below the store's root, sorted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn objects(&self) -> Result<Vec<String>> {
        if let Some(bucket) = &self.options.bucket {
            return bucket.objects();
        }
        let root = self.objects_folder();
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root)?.to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// It could not be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill().map(drop)
    }

    /// Starts it again on the port it had.
    ///
    /// # Errors
    /// It does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        let again = Self::start_at(&self.folder, &self.options, &self.address.to_string())?;
        *self = again;
        Ok(())
    }
}
