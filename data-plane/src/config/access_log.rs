//! `[access_log]`: one line for every request.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use gantry_domain::json::{Fields, Findings};
use serde_json::{Map, Value};
use thiserror::Error;

/// `[access_log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where lines go.
    pub output: AccessLogOutput,
    /// How they are written.
    pub format: AccessLogFormat,
    /// Whether they hold the query. Clients put credentials there.
    pub query: bool,
}

/// Where access lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogOutput {
    /// Nowhere: no line is written.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of a file.
    File(PathBuf),
}

/// How access lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLogFormat {
    /// The common log format, with further fields behind it.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// A name that is no format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("access log format {0:?} is unknown; expected text or json")]
pub struct AccessLogFormatError(String);

impl AccessLogFormat {
    /// The name in configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl FromStr for AccessLogFormat {
    type Err = AccessLogFormatError;

    fn from_str(s: &str) -> Result<Self, AccessLogFormatError> {
        match s {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(AccessLogFormatError(other.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for AccessLogOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Reads the section.
pub(super) fn read_access_log(map: Map<String, Value>, findings: &mut Findings) -> AccessLog {
    let mut fields = Fields::new("access_log", map, findings);
    let output = match fields.text("output").as_deref() {
        None | Some("stdout") => AccessLogOutput::Stdout,
        Some("off") => AccessLogOutput::Off,
        // A bare word is more likely a mistake than a file in whatever directory this runs in.
        Some(path) if path.contains('/') => AccessLogOutput::File(path.into()),
        Some(other) => {
            let expected = "stdout, off, or a file's path with a slash in it";
            fields.error("output", "FIELD_INVALID", expected, format!("{other:?}"));
            AccessLogOutput::Off
        }
    };
    let access_log = AccessLog {
        output,
        format: fields.parsed("format").unwrap_or_default(),
        query: fields.boolean("query").unwrap_or(false),
    };
    fields.finish();
    access_log
}
