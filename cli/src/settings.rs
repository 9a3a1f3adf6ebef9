//! What the command line works with: flags, then environment variables (both read by clap), then the
//! configuration file, then defaults.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use gantry_client::AccessToken;
use gantry_domain::EnvironmentName;
use serde::Deserialize;
use thiserror::Error;

/// Bytes of a configuration or token file, at most.
const FILE_BYTES_MAX: u64 = 64 << 10;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How to print data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutputFormat {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON value per command.
    Json,
}

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error("read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: {message}", path.display())]
    Malformed { path: PathBuf, message: String },
    #[error("no control plane is named")]
    NoEndpoint,
    #[error("no access token is given")]
    NoToken,
    #[error("no environment is named")]
    NoEnvironment,
    #[error("{0}")]
    Environment(#[from] gantry_domain::id::NameError),
    #[error(transparent)]
    Token(#[from] gantry_client::ConnectError),
}

impl SettingsError {
    /// What to do next.
    pub(crate) const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoEndpoint => {
                Some("use --endpoint, GANTRY_ENDPOINT, or endpoint in the configuration file")
            }
            Self::NoToken => {
                Some("set GANTRY_TOKEN or GANTRY_TOKEN_FILE, or token in the configuration file")
            }
            Self::NoEnvironment => {
                Some("use --env or GANTRY_ENVIRONMENT; `gantry env list` shows the environments")
            }
            Self::Malformed { .. } => Some(
                "the keys are endpoint, token, token_file, environment, output, ca_file, \
                 timeout_s, allow_plaintext",
            ),
            Self::Token(_) => Some("give the token as `gantry token create` printed it"),
            Self::Unreadable { .. } | Self::Environment(_) => None,
        }
    }
}

/// What flags and variables gave.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) endpoint: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) environment: Option<String>,
    pub(crate) output: Option<OutputFormat>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) timeout_s: Option<u64>,
    pub(crate) allow_plaintext: bool,
    pub(crate) config: Option<PathBuf>,
    pub(crate) quiet: bool,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    endpoint: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    environment: Option<String>,
    output: Option<OutputFormat>,
    ca_file: Option<PathBuf>,
    timeout_s: Option<u64>,
    #[serde(default)]
    allow_plaintext: bool,
}

/// Everything decided. What a verb may not need is only checked when it asks.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) output: OutputFormat,
    pub(crate) quiet: bool,
    pub(crate) timeout: Duration,
    pub(crate) allow_plaintext: bool,
    pub(crate) ca_file: Option<PathBuf>,
    /// What its user should know about the configuration.
    pub(crate) warning: Option<String>,
    endpoint: Option<String>,
    token: Option<TokenFrom>,
    environment: Option<String>,
}

enum TokenFrom {
    Value(String),
    File(PathBuf),
}

impl std::fmt::Debug for TokenFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(_) => f.write_str("****"),
            Self::File(path) => path.fmt(f),
        }
    }
}

impl Settings {
    /// Puts the sources together.
    pub(crate) fn load(given: Given) -> Result<Self, SettingsError> {
        let (file, warning) = match given.config.clone().filter(not_empty) {
            Some(path) => read_config(&path)?,
            None => match default_path() {
                Some(path) if path.exists() => read_config(&path)?,
                _ => (ConfigFile::default(), None),
            },
        };
        let text = |given: Option<String>, file| given.filter(|text| !text.is_empty()).or(file);
        let path = |given: Option<PathBuf>, file| given.filter(not_empty).or(file);
        let token = text(given.token, None)
            .map(TokenFrom::Value)
            .or_else(|| path(given.token_file, None).map(TokenFrom::File))
            .or_else(|| file.token.map(TokenFrom::Value))
            .or_else(|| file.token_file.map(TokenFrom::File));
        Ok(Self {
            output: given.output.or(file.output).unwrap_or_default(),
            quiet: given.quiet,
            timeout: given
                .timeout_s
                .or(file.timeout_s)
                .map_or(TIMEOUT_DEFAULT, Duration::from_secs),
            allow_plaintext: given.allow_plaintext || file.allow_plaintext,
            ca_file: path(given.ca_file, file.ca_file),
            warning,
            endpoint: text(given.endpoint, file.endpoint),
            token,
            environment: text(given.environment, file.environment),
        })
    }

    /// Where the control plane is.
    pub(crate) fn endpoint(&self) -> Result<&str, SettingsError> {
        self.endpoint.as_deref().ok_or(SettingsError::NoEndpoint)
    }

    /// Who is asking.
    pub(crate) fn token(&self) -> Result<AccessToken, SettingsError> {
        let token = match self.token.as_ref().ok_or(SettingsError::NoToken)? {
            TokenFrom::Value(token) => token.trim().parse(),
            TokenFrom::File(path) => read_bounded(path)?.trim().parse(),
        };
        token.map_err(SettingsError::Token)
    }

    /// The environment in question.
    pub(crate) fn environment(&self) -> Result<EnvironmentName, SettingsError> {
        let name = self
            .environment
            .as_ref()
            .ok_or(SettingsError::NoEnvironment)?;
        Ok(name.parse()?)
    }
}

/// Lets a variable that is set to nothing count as one that is not set.
fn not_empty(path: &PathBuf) -> bool {
    *path != PathBuf::new()
}

fn default_path() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_CONFIG_HOME").filter(|home| !home.is_empty()) {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".config"),
    };
    Some(base.join("gantry").join("config.toml"))
}

fn read_config(path: &Path) -> Result<(ConfigFile, Option<String>), SettingsError> {
    let text = read_bounded(path)?;
    let file: ConfigFile = toml::from_str(&text).map_err(|e| SettingsError::Malformed {
        path: path.to_owned(),
        message: e.message().to_owned(),
    })?;
    let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    let exposed = file.token.is_some() && mode & 0o077 != 0;
    let warning = exposed.then(|| {
        let path = path.display();
        format!("{path} holds a token and others can read it; run: chmod 600 {path}")
    });
    Ok((file, warning))
}

fn read_bounded(path: &Path) -> Result<String, SettingsError> {
    read_text(path, FILE_BYTES_MAX).map_err(|source| SettingsError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

/// Reads a file of text within a bound; `-` is standard input.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    let count = if path == Path::new("-") {
        io::stdin().take(bytes_max + 1).read_to_string(&mut text)?
    } else {
        std::fs::File::open(path)?
            .take(bytes_max + 1)
            .read_to_string(&mut text)?
    };
    if count as u64 > bytes_max {
        let message = format!("expected at most {bytes_max} bytes, found more");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}
