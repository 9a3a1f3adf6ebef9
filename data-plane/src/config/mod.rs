//! Configuration of the supervisor: a TOML file, then `GANTRY_*` variables, then flags, the later
//! winning. This module turns the three into [`Settings`] and is the only place that knows defaults.
//! It opens no sockets and no state.
//!
//! Invariant: every mistake of all sources is reported together, with its path and where it came
//! from; unknown keys are mistakes; a token never appears in output.

mod access_log;
mod cli;
mod document;
mod folder;
mod read;
mod show;
mod token;
mod worker;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use gantry_domain::resolution::Lookup;
use gantry_domain::{EnvironmentName, FieldError, GatewayId, GatewayVersion, TenantId};
use gantry_telemetry::Format;
use thiserror::Error;

use crate::protocol::WorkerSettings;

pub use access_log::{AccessLog, AccessLogFormat, AccessLogOutput};
pub use cli::{Arguments, Command, ConfigCommand};
pub use token::Token;
pub use worker::{ReplaceAt, Worker};

/// The version that gateways of this build have, unless configuration says another one.
pub const BUILT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything that the supervisor needs to know before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where revisions come from.
    pub source: Source,
    /// Who this gateway is.
    pub gateway: Gateway,
    /// The door for clients.
    pub http: Http,
    /// The door for operators; none when it is off.
    pub admin_listen: Option<SocketAddr>,
    /// How upstreams are called.
    pub upstream: Upstream,
    /// How workers are run.
    pub worker: Worker,
    /// How new libraries are tried.
    pub probe: Probe,
    /// How log lines are written. Which of them is `GANTRY_LOG`'s: a filter, `info` where unset.
    pub log_format: Format,
    /// One line for every request.
    pub access_log: AccessLog,
    /// Where the bound addresses are written, once, as JSON.
    pub address_file: Option<PathBuf>,
}

/// Where revisions come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From a control plane.
    ControlPlane(ControlPlane),
    /// From a folder: there is no control plane.
    Folder(Folder),
}

impl Source {
    /// The control plane's URL or the folder's path.
    pub fn place(&self) -> String {
        match self {
            Self::ControlPlane(control_plane) => control_plane.endpoint.clone(),
            Self::Folder(folder) => folder.path.display().to_string(),
        }
    }
}

/// `[source]`: a folder that says what runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// The tenant by which state, logs and metrics are kept apart.
    pub tenant: TenantId,
    /// The environment, likewise.
    pub environment: EnvironmentName,
    /// The order in which file names are tried.
    pub lookup: Lookup,
    /// Time between two looks at the folder, milliseconds. A change counts once two looks agree.
    pub poll_interval_ms: u64,
}

/// `[control_plane]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlane {
    /// `http://host:port` or `https://host:port`.
    pub endpoint: String,
    /// What tells the control plane which tenant and environment this gateway belongs to.
    pub token: Token,
    /// Certificates of the authorities that may vouch for the control plane (PEM); the system's
    /// where absent.
    pub ca_file: Option<PathBuf>,
    /// Send the token over plain HTTP to another machine.
    pub allow_plaintext: bool,
}

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Unique within the environment; made from the host's name at the first start where absent.
    pub id: Option<GatewayId>,
    /// The version that files are resolved by, where it is not the program's own.
    pub version: Option<GatewayVersion>,
    /// Where revisions, libraries and keys are kept.
    pub state_dir: PathBuf,
    /// Worker processes.
    pub workers: u32,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// The address that clients connect to.
    pub listen: SocketAddr,
    /// Time for a client to send a request's head, milliseconds.
    pub header_read_timeout_ms: u64,
    /// Client connections of one worker at once.
    pub connections_max: usize,
    /// Bytes of a request's body that a function gets, at most. Bodies that no function wants stream
    /// through, however long.
    pub request_body_bytes_max: usize,
}

/// `[upstream]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Time to connect, milliseconds.
    pub connect_timeout_ms: u64,
    /// Time from the end of a request to the head of its answer, milliseconds.
    pub response_timeout_ms: u64,
    /// Idle connections that one worker keeps per upstream.
    pub idle_max: usize,
    /// Bytes of a response's body that a function gets, at most; as in `[http]`.
    pub response_body_bytes_max: usize,
    /// Authorities that upstreams may be certified by, beside the system's.
    pub ca: Option<CaFile>,
}

/// A file of certificates, as it was when configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFile {
    /// The file.
    pub path: PathBuf,
    /// What was in it: PEM.
    pub pem: String,
}

/// `[probe]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Time for one library to open, or for one function to start, milliseconds.
    pub step_timeout_ms: u64,
}

/// Why configuration was refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read {path}: {source} (CONFIG_UNREADABLE)")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("read {path}: {message} (CONFIG_MALFORMED)")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// Fields are wrong: all of them.
    #[error("{}", Listed(.0))]
    Fields(Vec<FieldError>),
}

struct Listed<'e>(&'e [FieldError]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mistake(s) in the configuration", self.0.len())?;
        self.0.iter().try_for_each(|e| write!(f, "\n  {e}"))
    }
}

impl Settings {
    /// Reads file, variables and flags.
    ///
    /// # Errors
    /// See [`ConfigError`]; field mistakes of all sources come together.
    pub fn load(arguments: &Arguments) -> Result<Self, ConfigError> {
        let document = document::Document::gather(arguments)?;
        read::settings(document, arguments).map_err(ConfigError::Fields)
    }

    /// The settings as a TOML document, with the token redacted.
    pub fn redacted(&self) -> String {
        show::document(self)
    }

    /// What a worker of this slot is told first.
    pub fn for_worker(&self, slot: u32, key_pepper: &[u8]) -> WorkerSettings {
        WorkerSettings {
            slot,
            standby: false,
            key_pepper: key_pepper.to_vec(),
            upstream_connect_timeout_ms: self.upstream.connect_timeout_ms,
            upstream_response_timeout_ms: self.upstream.response_timeout_ms,
            upstream_idle_max: self.upstream.idle_max,
            upstream_ca_pem: self.upstream.ca.as_ref().map(|ca| ca.pem.clone()),
            header_read_timeout_ms: self.http.header_read_timeout_ms,
            connections_max: self.http.connections_max,
            request_body_bytes_max: self.http.request_body_bytes_max,
            response_body_bytes_max: self.upstream.response_body_bytes_max,
            plugin_deadline_ms: self.worker.plugin_deadline_ms,
            pending_calls_max: self.worker.pending_calls_max,
            drain_timeout_ms: self.worker.drain_timeout_ms,
            access_log: self.access_log.output != AccessLogOutput::Off,
            access_log_query: self.access_log.query,
            trace_sampler: None,
        }
    }
}

#[cfg(test)]
mod tests;
