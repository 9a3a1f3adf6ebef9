//! Settings by path, from wherever they are set.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use super::Inputs;

/// Bytes of a configuration file, at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system or the parser says.
        cause: String,
    },
    /// The file sets what does not exist.
    #[error("{0}: no such setting (from the file)")]
    Unknown(String),
    /// A value that is refused.
    #[error("{path}: expected {expected}, found {found} (from {origin})")]
    Invalid {
        /// The setting.
        path: String,
        /// What would be right.
        expected: String,
        /// What came.
        found: String,
        /// Where it came from.
        origin: Origin,
    },
    /// Settings that contradict each other.
    #[error("{path}: {problem}")]
    Conflict {
        /// The setting that must change.
        path: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File,
    /// A `GANTRY_*` variable.
    Variable,
    /// A flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::File => "the file",
            Self::Variable => "a variable",
            Self::Flag => "a flag",
        })
    }
}

/// A setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its path, such as `server.listen`.
    pub path: &'static str,
    /// Its value; empty when unset.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// The variable that stands for a setting.
pub(super) fn variable(path: &str) -> String {
    format!("GANTRY_{}", path.replace('.', "_").to_ascii_uppercase())
}

/// Hands settings out one by one and gathers mistakes.
pub(super) struct Source {
    file: BTreeMap<String, toml::Value>,
    variables: BTreeMap<String, String>,
    flags: BTreeMap<&'static str, String>,
    settings: Vec<Setting>,
    errors: Vec<ConfigError>,
}

impl Source {
    pub(super) fn open(inputs: Inputs) -> Result<Self, Vec<ConfigError>> {
        let Inputs {
            file,
            variables,
            flags,
        } = inputs;
        let mut flat = BTreeMap::new();
        if let Some(path) = file {
            let refuse = |cause| {
                vec![ConfigError::File {
                    path: path.clone(),
                    cause,
                }]
            };
            let text = read_bounded(&path).map_err(refuse)?;
            let table: toml::Table = text
                .parse()
                .map_err(|e: toml::de::Error| refuse(e.to_string()))?;
            flatten("", table, &mut flat);
        }
        Ok(Self {
            file: flat,
            variables,
            flags,
            settings: Vec::new(),
            errors: Vec::new(),
        })
    }

    /// A setting with a default.
    pub(super) fn setting<T>(&mut self, path: &'static str, default: T) -> T
    where
        T: FromStr + Display,
        T::Err: Display,
    {
        let found = self.take(path);
        let value = found.and_then(|(text, origin)| self.parse(path, &text, origin));
        value.unwrap_or_else(|| {
            self.note(path, default.to_string(), Origin::Default);
            default
        })
    }

    /// A setting that may be unset.
    pub(super) fn optional<T>(&mut self, path: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let found = self.take(path);
        let value = found.and_then(|(text, origin)| self.parse(path, &text, origin));
        if value.is_none() {
            self.note(path, String::new(), Origin::Default);
        }
        value
    }

    /// Notes settings that contradict each other.
    pub(super) fn conflict(&mut self, path: &'static str, problem: impl Into<String>) {
        let problem = problem.into();
        self.errors.push(ConfigError::Conflict { path, problem });
    }

    /// The settings, when nothing is wrong and nothing in the file is left over.
    pub(super) fn finish(mut self) -> Result<Vec<Setting>, Vec<ConfigError>> {
        self.errors
            .extend(self.file.into_keys().map(ConfigError::Unknown));
        if self.errors.is_empty() {
            Ok(self.settings)
        } else {
            Err(self.errors)
        }
    }

    fn take(&mut self, path: &'static str) -> Option<(String, Origin)> {
        let in_file = self.file.remove(path);
        let set = self
            .flags
            .remove(path)
            .map(|text| (text, Origin::Flag))
            .or_else(|| {
                let text = self
                    .variables
                    .get(&variable(path))
                    .filter(|text| !text.is_empty());
                text.map(|text| (text.clone(), Origin::Variable))
            });
        if set.is_some() {
            return set;
        }
        match in_file? {
            toml::Value::String(text) => Some((text, Origin::File)),
            toml::Value::Integer(number) => Some((number.to_string(), Origin::File)),
            toml::Value::Boolean(flag) => Some((flag.to_string(), Origin::File)),
            other => {
                self.errors.push(ConfigError::Invalid {
                    path: path.to_owned(),
                    expected: "text, a whole number, or true or false".into(),
                    found: other.type_str().to_owned(),
                    origin: Origin::File,
                });
                None
            }
        }
    }

    fn parse<T>(&mut self, path: &'static str, text: &str, origin: Origin) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match text.parse() {
            Ok(value) => {
                self.note(path, text.to_owned(), origin);
                Some(value)
            }
            Err(cause) => {
                self.errors.push(ConfigError::Invalid {
                    path: path.to_owned(),
                    expected: format!("another value ({cause})"),
                    found: format!("{:?}", text.chars().take(80).collect::<String>()),
                    origin,
                });
                None
            }
        }
    }

    fn note(&mut self, path: &'static str, value: String, origin: Origin) {
        self.settings.push(Setting {
            path,
            value,
            origin,
        });
    }
}

fn read_bounded(path: &std::path::Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!(
            "expected at most {FILE_BYTES_MAX} bytes, found {size}"
        ));
    }
    std::fs::read_to_string(path).map_err(|e| e.to_string())
}

fn flatten(prefix: &str, table: toml::Table, flat: &mut BTreeMap<String, toml::Value>) {
    for (name, value) in table {
        let path = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(inner) => flatten(&path, inner, flat),
            value => drop(flat.insert(path, value)),
        }
    }
}
