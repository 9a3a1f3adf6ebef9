//! Configuration: a TOML file, then `GANTRY_*` variables, then flags; the later one wins.
//!
//! Responsible for turning all of it into checked values, with every mistake reported at once. Unknown
//! keys are mistakes: a misspelt limit must not silently be the default. (Unknown variables are not:
//! other programs of Gantry have some, and orchestrators set more.) Invariant: nothing reads the
//! environment after [`Config::read`].

mod http;
mod limits;
mod log;
mod metadata;
mod metrics;
mod server;
mod source;
mod storage;

use std::collections::BTreeMap;
use std::path::PathBuf;

use gantry_domain::Limits;

pub use http::HttpConfig;
pub use log::LogConfig;
pub use metadata::MetadataConfig;
pub use metrics::MetricsConfig;
pub use server::{ServerConfig, TlsConfig};
pub use source::{ConfigError, Setting};
pub use storage::{StorageBackend, StorageConfig};

use crate::blob::{S3_FILE_BYTES_MAX, S3_PARTS_MAX};
use source::Source;

/// Where data lies unless configuration says otherwise.
const DATA_DIR_DEFAULT: &str = "/var/lib/gantry-control-plane";

/// Everything that can be configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// How it listens.
    pub server: ServerConfig,
    /// Whether and how it takes bundles by plain HTTP.
    pub http: HttpConfig,
    /// Where objects lie.
    pub storage: StorageConfig,
    /// Where rows lie.
    pub metadata: MetadataConfig,
    /// How it logs.
    pub log: LogConfig,
    /// Whether and how it shows what it counts.
    pub metrics: MetricsConfig,
    /// Bounds on what tenants send and keep.
    pub limits: Limits,
    /// Every setting with its origin, in the order of the documentation.
    pub settings: Vec<Setting>,
}

/// What configuration is made from.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// The process's variables.
    pub variables: BTreeMap<String, String>,
    /// Flags by the path of the setting that they stand for, such as `server.listen`.
    pub flags: BTreeMap<&'static str, String>,
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every mistake.
    pub fn read(inputs: Inputs) -> Result<Self, Vec<ConfigError>> {
        let mut source = Source::open(inputs)?;
        let data_dir: String = source.setting("data_dir", DATA_DIR_DEFAULT.to_owned());
        let data_dir = PathBuf::from(data_dir);
        let server = ServerConfig::read(&mut source);
        let http = HttpConfig::read(&mut source, &server, &data_dir);
        let storage = StorageConfig::read(&mut source, &data_dir);
        let metadata = MetadataConfig::read(&mut source, &data_dir);
        let log = LogConfig::read(&mut source);
        let metrics = MetricsConfig::read(&mut source);
        let limits = limits::read(&mut source);
        let s3 = matches!(storage.backend, StorageBackend::S3(_));
        if s3 && limits.file_bytes_max > S3_FILE_BYTES_MAX {
            source.conflict(
                "limits.file_bytes_max",
                format!(
                    "expected at most {S3_FILE_BYTES_MAX}, since storage.kind is s3, found {}",
                    limits.file_bytes_max
                ),
            );
        }
        if s3 && limits.file_bytes_max.div_ceil(storage.part_bytes.max(1)) > S3_PARTS_MAX {
            source.conflict(
                "storage.part_bytes",
                format!(
                    "expected parts of which {S3_PARTS_MAX} hold limits.file_bytes_max ({}), found {}",
                    limits.file_bytes_max, storage.part_bytes
                ),
            );
        }
        let settings = source.finish()?;
        Ok(Self {
            server,
            http,
            storage,
            metadata,
            log,
            metrics,
            limits,
            settings,
        })
    }
}

#[cfg(test)]
mod tests;
