//! `[storage]`: where objects lie: a local directory or an S3 bucket.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::source::Source;
use crate::blob::{
    PART_BYTES, PRESIGNED_FOR_MAX, Patience, PresignOptions, RESERVED_BYTES, S3_PART_BYTES_MIN,
    S3Options,
};

/// How long an upload may rest unless configuration says otherwise.
const UPLOAD_IDLE_DEFAULT: Duration = Duration::from_hours(24);
/// How often is swept unless configuration says otherwise.
const SWEEP_INTERVAL_DEFAULT: Duration = Duration::from_hours(1);
/// The smallest part: each costs a sync and a row.
const PART_BYTES_MIN: u64 = 64 << 10;
/// The largest part: one is in memory for each file that comes in.
const PART_BYTES_MAX: u64 = 64 << 20;

/// Attempts of a call, at most: somebody waits for the answer.
const ATTEMPTS_MAX: u32 = 20;
/// How long a URL lets a gateway in unless configuration says otherwise: it is used at once.
const PRESIGNED_FOR_DEFAULT: Duration = Duration::from_mins(5);

/// Where objects lie, and for how long unfinished ones do.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// The backend.
    pub backend: StorageBackend,
    /// `part_bytes`: how much of a file that comes in is made durable at once. A crash costs its sender
    /// as much at most.
    pub part_bytes: u64,
    /// `reserved_bytes`: what local objects leave free of their file system.
    pub reserved_bytes: u64,
    /// `upload_idle_max_s`: an upload that rests for longer is dropped, and bytes that belong to no
    /// upload and no version are deleted at that age.
    pub upload_idle_max: Duration,
    /// `sweep_interval_s`: how often such uploads and bytes are looked for; at least 1.
    pub sweep_interval: Duration,
}

/// `kind`, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageBackend {
    /// `local`, with `directory`: on one file system; `objects` in the data directory unless set.
    Local(PathBuf),
    /// `s3`, with `bucket`, `prefix`, `endpoint`, `region`, `path_style`, `spool_directory`,
    /// `attempt_timeout_ms`, `attempts_max`, `presigned_downloads`, `presigned_endpoint` and `presigned_for_s`.
    /// Credentials are no settings: they come from the environment, as AWS's tools take them.
    S3(S3Options),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Local,
    S3,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "local",
            Self::S3 => "s3",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "local" => Ok(Self::Local),
            "s3" => Ok(Self::S3),
            other => Err(format!("kind {other:?} is unknown; expected local or s3")),
        }
    }
}

impl StorageConfig {
    pub(super) fn read(source: &mut Source, data_dir: &Path) -> Self {
        let folder = |name: &str| data_dir.join(name).display().to_string();
        let kind = source.setting("storage.kind", Kind::Local);
        let directory: String = source.setting("storage.directory", folder("objects"));
        let bucket: Option<String> = source.optional("storage.bucket");
        let part_bytes = source.setting("storage.part_bytes", PART_BYTES);
        let options = S3Options {
            bucket: bucket.clone().unwrap_or_default(),
            prefix: source.optional("storage.prefix").unwrap_or_default(),
            endpoint: source.optional("storage.endpoint"),
            region: source.optional("storage.region"),
            path_style: source.setting("storage.path_style", false),
            part_bytes,
            spool_directory: source
                .setting("storage.spool_directory", folder("spool"))
                .into(),
            patience: read_patience(source),
            presign: read_presign(source),
        };
        let idle_s = source.setting("storage.upload_idle_max_s", UPLOAD_IDLE_DEFAULT.as_secs());
        let sweep_s = source.setting("storage.sweep_interval_s", SWEEP_INTERVAL_DEFAULT.as_secs());
        if sweep_s == 0 {
            source.conflict("storage.sweep_interval_s", "expected at least 1, found 0");
        }
        if !(PART_BYTES_MIN..=PART_BYTES_MAX).contains(&part_bytes) {
            let expected = format!("{PART_BYTES_MIN} to {PART_BYTES_MAX}");
            source.conflict(
                "storage.part_bytes",
                format!("expected {expected}, found {part_bytes}"),
            );
        }
        if kind == Kind::S3 {
            check(source, &options);
        } else if bucket.is_some() {
            source.conflict(
                "storage.bucket",
                "expected storage.kind = \"s3\" beside a bucket, found local",
            );
        }
        Self {
            backend: match kind {
                Kind::Local => StorageBackend::Local(directory.into()),
                Kind::S3 => StorageBackend::S3(options),
            },
            part_bytes,
            reserved_bytes: source.setting("storage.reserved_bytes", RESERVED_BYTES),
            upload_idle_max: Duration::from_secs(idle_s),
            sweep_interval: Duration::from_secs(sweep_s),
        }
    }
}

fn check(source: &mut Source, options: &S3Options) {
    if options.bucket.is_empty() {
        source.conflict(
            "storage.bucket",
            "expected the name of a bucket, since storage.kind is s3, found none",
        );
    }
    if options.endpoint.is_none() && options.part_bytes < S3_PART_BYTES_MIN {
        source.conflict(
            "storage.part_bytes",
            format!(
                "expected at least {S3_PART_BYTES_MIN}, which AWS wants, found {}",
                options.part_bytes
            ),
        );
    }
    let prefix = &options.prefix;
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    let well_formed = match prefix.strip_suffix('/') {
        Some(inner) => !inner.split('/').any(odd),
        None => prefix.is_empty(),
    };
    if !well_formed {
        source.conflict(
            "storage.prefix",
            format!("expected nothing, or names that each end at a slash, found {prefix:?}"),
        );
    }
    let gateways = options.presign.as_ref();
    let gateways = gateways.and_then(|presign| presign.endpoint.as_ref());
    for (path, endpoint) in [
        ("storage.endpoint", options.endpoint.as_ref()),
        ("storage.presigned_endpoint", gateways),
    ] {
        if let Some(endpoint) = endpoint
            && !endpoint.starts_with("https://")
            && !endpoint.starts_with("http://")
        {
            source.conflict(
                path,
                format!("expected a URL that begins with https:// or http://, found {endpoint:?}"),
            );
        }
    }
}

/// `attempt_timeout_ms` and `attempts_max`.
fn read_patience(source: &mut Source) -> Patience {
    let default = Patience::default();
    let default_ms = u64::try_from(default.attempt_timeout.as_millis()).unwrap_or(u64::MAX);
    let timeout_ms = source.setting("storage.attempt_timeout_ms", default_ms);
    let attempts_max = source.setting("storage.attempts_max", default.attempts_max);
    if timeout_ms == 0 {
        source.conflict("storage.attempt_timeout_ms", "expected at least 1, found 0");
    }
    if !(1..=ATTEMPTS_MAX).contains(&attempts_max) {
        let expected = format!("expected 1 to {ATTEMPTS_MAX}, found {attempts_max}");
        source.conflict("storage.attempts_max", expected);
    }
    Patience {
        attempt_timeout: Duration::from_millis(timeout_ms),
        attempts_max,
        ..default
    }
}

/// `presigned_downloads`, `presigned_endpoint` and `presigned_for_s`.
fn read_presign(source: &mut Source) -> Option<PresignOptions> {
    let wanted = source.setting("storage.presigned_downloads", true);
    let endpoint = source.optional("storage.presigned_endpoint");
    let default_s = PRESIGNED_FOR_DEFAULT.as_secs();
    let valid_for = Duration::from_secs(source.setting("storage.presigned_for_s", default_s));
    if valid_for.is_zero() || valid_for > PRESIGNED_FOR_MAX {
        source.conflict(
            "storage.presigned_for_s",
            format!(
                "expected 1 to {}, found {}",
                PRESIGNED_FOR_MAX.as_secs(),
                valid_for.as_secs()
            ),
        );
    }
    wanted.then_some(PresignOptions {
        endpoint,
        valid_for,
    })
}
