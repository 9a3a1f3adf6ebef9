//! One document from three sources: the file's tables, with variables and flags laid over them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gantry_domain::FieldError;
use serde_json::{Map, Value};

use super::{Arguments, ConfigError};

/// Bytes of a configuration file, at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The merged document, and where its overridden fields came from.
pub(super) struct Document {
    /// Sections and fields.
    pub(super) map: Map<String, Value>,
    /// Dotted path to the flag or variable that set it.
    origins: BTreeMap<String, &'static str>,
}

/// How a flag's text becomes a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
}

impl Document {
    /// Reads the file, if one is named, and lays variables and flags over it.
    pub(super) fn gather(arguments: &Arguments) -> Result<Self, ConfigError> {
        let map = match &arguments.config {
            Some(path) => read_file(path)?,
            None => Map::new(),
        };
        let mut document = Self {
            map,
            origins: BTreeMap::new(),
        };
        let a = arguments;
        document.lay(
            "control_plane.endpoint",
            "--endpoint",
            a.endpoint.as_ref(),
            Kind::Text,
        );
        document.lay(
            "control_plane.token_file",
            "--token-file",
            a.token_file.as_ref(),
            Kind::Text,
        );
        document.lay(
            "control_plane.ca_file",
            "--ca-file",
            a.ca_file.as_ref(),
            Kind::Text,
        );
        document.lay("source.folder", "--folder", a.folder.as_ref(), Kind::Text);
        document.lay("http.listen", "--listen", a.listen.as_ref(), Kind::Text);
        document.lay(
            "admin.listen",
            "--admin-listen",
            a.admin_listen.as_ref(),
            Kind::Text,
        );
        document.lay(
            "gateway.state_dir",
            "--state-dir",
            a.state_dir.as_ref(),
            Kind::Text,
        );
        document.lay(
            "gateway.workers",
            "--workers",
            a.workers.as_ref(),
            Kind::Number,
        );
        document.lay(
            "gateway.id",
            "--gateway-id",
            a.gateway_id.as_ref(),
            Kind::Text,
        );
        document.lay(
            "gateway.version",
            "--gateway-version",
            a.gateway_version.as_ref(),
            Kind::Text,
        );
        document.lay(
            "log.format",
            "--log-format",
            a.log_format.as_ref(),
            Kind::Text,
        );
        Ok(document)
    }

    fn lay(&mut self, path: &'static str, flag: &'static str, value: Option<&String>, kind: Kind) {
        let Some(text) = value else { return };
        let (section, field) = path
            .split_once('.')
            .expect("every path names section and field");
        let value = match kind {
            Kind::Number => text
                .parse()
                .map_or_else(|_| Value::from(text.as_str()), |n: u64| Value::from(n)),
            Kind::Text => Value::from(text.as_str()),
        };
        let table = self
            .map
            .entry(section)
            .or_insert_with(|| Value::Object(Map::new()));
        // A section that is no table is reported as such when it is read.
        if let Value::Object(table) = table {
            table.insert(field.to_owned(), value);
            self.origins.insert(path.to_owned(), flag);
        }
    }

    /// What set the fields that no file did: dotted path to flag.
    pub(super) fn origins(&self) -> BTreeMap<String, &'static str> {
        self.origins.clone()
    }
}

/// Names the flag (or the variable of its name) beside the field that it set.
pub(super) fn name_origins(errors: &mut [FieldError], origins: &BTreeMap<String, &'static str>) {
    for error in errors {
        if let Some(flag) = origins.get(&error.path) {
            error.path = format!("{} (from {flag} or its variable)", error.path);
        }
    }
}

fn read_file(path: &Path) -> Result<Map<String, Value>, ConfigError> {
    let owned = || PathBuf::from(path);
    let unreadable = |source| ConfigError::Unreadable {
        path: owned(),
        source,
    };
    let malformed = |message| ConfigError::Malformed {
        path: owned(),
        message,
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(malformed(format!(
            "expected at most {FILE_BYTES_MAX} bytes, found {size}"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let table: toml::Table = toml::from_str(&text).map_err(|e| malformed(e.to_string()))?;
    match serde_json::to_value(table) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(malformed("expected tables".into())),
        Err(e) => Err(malformed(e.to_string())),
    }
}
