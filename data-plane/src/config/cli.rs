//! The command line. Values stay text here: they are checked together with the file's, so that all
//! mistakes are reported at once.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Runs a gateway: an endpoint and a token, or a folder, are all it needs.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "gantry-gateway", version, about, max_term_width = 100)]
pub struct Arguments {
    /// What to do; runs the gateway when absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file (TOML).
    #[arg(long, env = "GANTRY_CONFIG", global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The control plane, such as <https://control.example:7443>.
    #[arg(long, env = "GANTRY_ENDPOINT", global = true, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Access token with the right `gateway`. Other users of the machine can read flags; a variable
    /// or a file keeps it from them.
    #[arg(long, env = "GANTRY_TOKEN", global = true, hide_env_values = true)]
    pub token: Option<String>,
    /// File that holds the access token.
    #[arg(long, env = "GANTRY_TOKEN_FILE", global = true, value_name = "PATH")]
    pub token_file: Option<String>,
    /// Folder with API definitions and libraries, instead of a control plane (docs/STANDALONE.md).
    #[arg(long, env = "GANTRY_FOLDER", global = true, value_name = "PATH")]
    pub folder: Option<String>,
    /// Certificates (PEM) of the authorities that vouch for the control plane.
    #[arg(long, env = "GANTRY_CA_FILE", global = true, value_name = "PATH")]
    pub ca_file: Option<String>,
    /// Address for clients; port 0 lets the system choose [default: 127.0.0.1:8080].
    #[arg(long, env = "GANTRY_LISTEN", global = true, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Address for health and status, or `off` [default: 127.0.0.1:0].
    #[arg(
        long,
        env = "GANTRY_ADMIN_LISTEN",
        global = true,
        value_name = "ADDRESS"
    )]
    pub admin_listen: Option<String>,
    /// Directory for revisions, libraries and keys [default: gantry-gateway-state].
    #[arg(long, env = "GANTRY_STATE_DIR", global = true, value_name = "PATH")]
    pub state_dir: Option<String>,
    /// Worker processes [default: 2].
    #[arg(long, env = "GANTRY_WORKERS", global = true, value_name = "NUMBER")]
    pub workers: Option<String>,
    /// Identifier of this gateway, unique in its environment [default: from the host's name, kept].
    #[arg(long, env = "GANTRY_GATEWAY_ID", global = true, value_name = "ID")]
    pub gateway_id: Option<String>,
    /// Version to resolve plugins by, where it shall not be the program's own.
    #[arg(
        long,
        env = "GANTRY_GATEWAY_VERSION",
        global = true,
        value_name = "VERSION"
    )]
    pub gateway_version: Option<String>,
    /// File to write the bound addresses to, once, as JSON.
    #[arg(long, env = "GANTRY_ADDRESS_FILE", global = true, value_name = "PATH")]
    pub address_file: Option<String>,
    /// Log lines as `text` or `json` [default: text].
    #[arg(long, env = "GANTRY_LOG_FORMAT", global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// Something other than running the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Looks at the configuration without running.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Looks at the folder without running: says everything that is wrong with its definitions,
    /// libraries and keys, and ends with 1 if something is.
    Check,
    /// The role of a worker; started by the supervisor only.
    #[command(hide = true)]
    Worker,
    /// The role of the probe; started by the supervisor only.
    #[command(hide = true)]
    Probe,
}

/// What to do with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Says whether it is right, with every mistake.
    Check,
    /// Prints it as it would be used, with the token redacted.
    Show,
}
