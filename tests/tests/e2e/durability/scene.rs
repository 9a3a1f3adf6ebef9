//! The scene of the rounds: a control plane, its S3 server if it has one, and a relay on each wire.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gantry_tests::binaries::tool;
use gantry_tests::control_plane::ControlPlaneOptions;
use gantry_tests::plugins::BundleFolder;
use gantry_tests::process::eventually;
use gantry_tests::relay::Relay;
use gantry_tests::{ControlPlane, Gantry, S3Server, Storage, strace};
use tempfile::TempDir;

use super::plan::Plan;
use super::{library, write_padded};
use crate::lab::arch;

/// Small, so that small files have several.
const PART_BYTES_LOCAL: &str = "131072";
/// The least that S3 servers take.
const PART_BYTES_S3: &str = "5242880";
/// How long a traced control plane rests before and after each link: time to be found and killed there.
const REST_US: u32 = 80_000;
/// How long an upload may rest, in seconds, where nothing shall be swept.
const LONG: &str = "86400";
/// Prints what the metadata say: uploads, and whether a version has its row.
const LOOK: &str = "import sqlite3,sys\n\
    db=sqlite3.connect(sys.argv[1])\n\
    print(db.execute('select count(*) from uploads').fetchone()[0],\
    db.execute('select count(*) from releases where version=?',(sys.argv[2],)).fetchone()[0])";

/// The bundle's name.
pub(super) const BUNDLE: &str = "rounds";
const TENANT: &str = "acme";

/// Everything that a round needs.
pub(super) struct Scene {
    pub(super) folder: PathBuf,
    pub(super) admin: Gantry,
    pub(super) control_plane: ControlPlane,
    pub(super) s3: Option<S3Server>,
    /// Between client and control plane.
    pub(super) front: Relay,
    /// Between control plane and S3 server.
    pub(super) back: Option<Relay>,
    library: Vec<u8>,
    /// Every object that there must be, and no other.
    expected: Vec<String>,
    _temporary: TempDir,
}

/// What the metadata say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) uploads: u64,
    pub(super) released: bool,
}

impl Scene {
    pub(super) fn open(storage: Storage) -> Result<Self> {
        let temporary = tempfile::Builder::new()
            .prefix("gantry-rounds-")
            .tempdir()?;
        let folder = temporary.path().to_owned();
        let s3 = match storage {
            Storage::Local => None,
            remote => Some(S3Server::start(remote, &folder.join("s3"))?),
        };
        let back = s3.as_ref().map(|s3| Relay::start(s3.bucket().address()));
        let back = back.transpose()?;
        let home = folder.join("control-plane");
        let token = ControlPlane::bootstrap(&home)?;
        let options = options(s3.as_ref(), back.as_ref(), false, LONG)?;
        let control_plane = ControlPlane::start_with(&home, &options)?;
        let front = Relay::start(control_plane.address())?;
        let endpoint = format!("http://{}", front.address());
        let operator = Gantry::new(&endpoint, &token, "");
        let created = operator.json(&["tenant", "create", TENANT])?;
        let token = created["admin_token"].as_str().context("a token")?;
        Ok(Self {
            admin: operator.with_token(token),
            library: library(&folder),
            folder,
            control_plane,
            s3,
            front,
            back,
            expected: Vec::new(),
            _temporary: temporary,
        })
    }

    /// Starts the control plane anew. Without patience it drops what rests when it starts.
    pub(super) fn start(&mut self, traced: bool, patient: bool) -> Result<()> {
        self.control_plane.kill()?;
        let idle = if patient { LONG } else { "0" };
        let options = options(self.s3.as_ref(), self.back.as_ref(), traced, idle)?;
        let home = self.folder.join("control-plane");
        self.control_plane = ControlPlane::start_with(&home, &options)?;
        self.front.lead_to(self.control_plane.address());
        Ok(())
    }

    /// A bundle of a plan's version and sizes.
    pub(super) fn bundle(&self, plan: &Plan) -> Result<PathBuf> {
        let mut numbers = plan.numbers.clone();
        let mut bundle = BundleFolder::new(&self.folder.join("bundles"), BUNDLE, &plan.version())?;
        for (name, size_bytes) in ["a.so", "b.so"].into_iter().zip(plan.sizes) {
            let path = self.folder.join(name);
            write_padded(&path, &self.library, size_bytes, &mut numbers);
            bundle = bundle.file(name, &path)?;
        }
        bundle.hook("pre", "TagRequest", "a.so").write()
    }

    /// Where the local store has a version's commit object.
    pub(super) fn commit_object(&self, version: &str) -> PathBuf {
        let objects = self.control_plane.objects_folder();
        objects.join(published(version))
    }

    /// Where the local store has a version's files.
    pub(super) fn artifacts(&self, version: &str) -> PathBuf {
        let objects = self.control_plane.objects_folder();
        objects.join(artifacts(version))
    }

    pub(super) fn objects(&self) -> Result<Vec<String>> {
        match &self.s3 {
            Some(s3) => s3.bucket().objects(),
            None => self.control_plane.objects(),
        }
    }

    /// Whether the commit object of a version is there.
    pub(super) fn is_committed(&self, version: &str) -> Result<bool> {
        Ok(self.objects()?.contains(&published(version)))
    }

    /// What the metadata say of a version. Looks at a copy: what a crash left is for the control plane
    /// to recover.
    pub(super) fn rows(&self, version: &str) -> Result<Rows> {
        let data = self.folder.join("control-plane/data");
        let copy = tempfile::tempdir_in(&self.folder)?;
        for name in ["metadata.db", "metadata.db-wal"] {
            let from = data.join(name);
            if from.exists() {
                fs::copy(&from, copy.path().join(name))?;
            }
        }
        let file = copy.path().join("metadata.db");
        let look = Command::new(tool("python3")?)
            .args(["-c", LOOK])
            .arg(&file)
            .arg(version)
            .output()?;
        let said = String::from_utf8_lossy(&look.stdout);
        let numbers: Vec<u64> = said
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        let [uploads, released] = numbers[..] else {
            anyhow::bail!(
                "look at the metadata: {}",
                String::from_utf8_lossy(&look.stderr)
            );
        };
        Ok(Rows {
            uploads,
            released: released > 0,
        })
    }

    /// Brings a version back, if it is there, and compares every byte.
    pub(super) fn is_intact(&self, plan: &Plan, bundle: &Path) -> Result<bool> {
        let release = format!("{BUNDLE}@{}", plan.version());
        let out = tempfile::tempdir_in(&self.folder)?;
        let folder = out.path().join("pulled");
        let pulled = self
            .admin
            .run(&["pull", &release, "--out", &folder.to_string_lossy()])?;
        if pulled.code != 0 {
            ensure!(
                pulled.stderr.contains("NOT_FOUND"),
                "pull {release}: {}",
                pulled.stderr
            );
            return Ok(false);
        }
        for name in ["a.so", "b.so"] {
            let same = fs::read(folder.join(name))? == fs::read(bundle.join(name))?;
            ensure!(same, "{name} of {release} is not what was pushed");
        }
        Ok(true)
    }

    /// Notes the objects that a published version has.
    pub(super) fn expect(&mut self, version: &str, release: &serde_json::Value) -> Result<()> {
        self.expected.push(published(version));
        for file in release["files"].as_array().context("files of a release")? {
            let text = |name: &str| file[name].as_str().context("a file's field");
            let (sha256, name) = (text("sha256")?, text("name")?);
            self.expected
                .push(format!("{}/{sha256}/{name}", artifacts(version)));
        }
        self.expected.sort();
        Ok(())
    }

    /// Waits until there is every expected object and no other, and no upload.
    pub(super) fn converge(&self) -> Result<()> {
        let mut last = (Vec::new(), None);
        let converged = eventually("the sweeper converges", || {
            let objects = self.objects().ok()?;
            let rows = self.rows("").ok()?;
            let done = objects == self.expected && rows.uploads == 0;
            last = (objects, Some(rows));
            done.then_some(())
        });
        converged.with_context(|| {
            let (objects, rows) = &last;
            let extra: Vec<_> = objects
                .iter()
                .filter(|o| !self.expected.contains(o))
                .collect();
            let lost: Vec<_> = self
                .expected
                .iter()
                .filter(|o| !objects.contains(o))
                .collect();
            format!("too many: {extra:#?}\nmissing: {lost:#?}\n{rows:?}")
        })
    }

    pub(super) fn log(&self) -> String {
        let log = self.control_plane.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

fn published(version: &str) -> String {
    format!("t/{TENANT}/published/{BUNDLE}/{version}.json")
}

fn artifacts(version: &str) -> String {
    format!("t/{TENANT}/any/linux_{}/{BUNDLE}/{version}", arch())
}

fn options(
    s3: Option<&S3Server>,
    back: Option<&Relay>,
    traced: bool,
    idle: &str,
) -> Result<ControlPlaneOptions> {
    let bucket = s3.zip(back);
    let part_bytes = if bucket.is_some() {
        PART_BYTES_S3
    } else {
        PART_BYTES_LOCAL
    };
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let rests = format!("inject=linkat:delay_enter={REST_US}:delay_exit={REST_US}");
    let under = if traced {
        let rest = [
            "--seccomp-bpf",
            "-o",
            "/dev/null",
            "-e",
            "trace=linkat",
            "-e",
            &rests,
        ];
        strace::words(&rest)?
    } else {
        Vec::new()
    };
    Ok(ControlPlaneOptions {
        bucket: bucket.map(|(s3, back)| s3.bucket().by_way_of(back.address())),
        variables: vec![
            variable("GANTRY_STORAGE_PART_BYTES", part_bytes),
            variable("GANTRY_STORAGE_UPLOAD_IDLE_MAX_S", idle),
        ],
        under,
        ..ControlPlaneOptions::default()
    })
}
