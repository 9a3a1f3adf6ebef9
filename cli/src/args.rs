//! The command line's grammar: what all verbs share. Each verb declares its own arguments.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser};

use crate::commands::Command;
use crate::settings::{Given, OutputFormat, Settings, SettingsError};

/// Host native plugins for API gateways: publish bundles, deploy them, see what runs where.
#[derive(Debug, Parser)]
#[command(
    name = "gantry",
    version,
    max_term_width = 100,
    propagate_version = true
)]
#[command(after_help = "Examples:
  gantry build ./hooks --out bundle            build a plugin from its source
  gantry push ./hooks                          publish a folder with manifest.json
  gantry deploy hooks@1.2.0 --env staging      run it
  gantry gateways --env staging                see where it runs
  gantry explain orders --gateway edge-1       see why it runs, or why not

Settings come from flags, then GANTRY_… variables, then $XDG_CONFIG_HOME/gantry/config.toml with
the keys endpoint, token or token_file, environment, output, ca_file, timeout_s, allow_plaintext.

Exit codes: 0 done, 1 failed, 2 done with a difference, 3 verification failed, 4 not found,
5 not allowed, 6 over a limit, 7 deployment refused or not served, 8 not done in time, 64 wrong usage.")]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Address of the control plane, such as <https://gantry.example:7443>.
    #[arg(
        short,
        long,
        global = true,
        value_name = "URL",
        env = "GANTRY_ENDPOINT"
    )]
    endpoint: Option<String>,
    /// Access token. Other users of this machine can see flags: prefer the variable or a file.
    #[arg(
        short,
        long,
        global = true,
        env = "GANTRY_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// File that holds the access token.
    #[arg(long, global = true, value_name = "FILE", env = "GANTRY_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Environment, such as staging.
    #[arg(
        long = "env",
        visible_alias = "environment",
        global = true,
        value_name = "NAME",
        env = "GANTRY_ENVIRONMENT"
    )]
    environment: Option<String>,
    /// How to print data.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        env = "GANTRY_OUTPUT"
    )]
    output: Option<OutputFormat>,
    /// CA certificates (PEM) to trust instead of the system's.
    #[arg(long, global = true, value_name = "FILE", env = "GANTRY_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Time for one call to the control plane.
    #[arg(long, global = true, value_name = "SECONDS", env = "GANTRY_TIMEOUT")]
    timeout: Option<u64>,
    /// Allow http:// to other machines, which shows the token to the network.
    #[arg(long, global = true)]
    allow_plaintext: bool,
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", env = "GANTRY_CONFIG")]
    config: Option<PathBuf>,
    /// Print data, warnings and errors only.
    #[arg(short, long, global = true)]
    quiet: bool,
}

/// Why the command line could not be read.
pub(crate) enum Unread {
    /// Wrong usage, or a wish for help.
    Clap(clap::Error),
    /// The settings behind it.
    Settings(SettingsError),
}

impl Cli {
    /// Reads arguments, environment and configuration file. Nothing reads them later.
    pub(crate) fn read() -> Result<(Self, Settings), Unread> {
        let mut matches = Self::command().try_get_matches().map_err(Unread::Clap)?;
        let token_file_first =
            on_command_line(&matches, "token_file") && !on_command_line(&matches, "token");
        let cli = Self::from_arg_matches_mut(&mut matches).map_err(Unread::Clap)?;
        let global = &cli.global;
        let given = Given {
            endpoint: global.endpoint.clone(),
            // A file named on the command line comes before a token from the environment.
            token: global.token.clone().filter(|_| !token_file_first),
            token_file: global.token_file.clone(),
            environment: global.environment.clone(),
            output: global.output,
            ca_file: global.ca_file.clone(),
            timeout_s: global.timeout,
            allow_plaintext: global.allow_plaintext,
            config: global.config.clone(),
            quiet: global.quiet,
        };
        let settings = Settings::load(given).map_err(Unread::Settings)?;
        Ok((cli, settings))
    }
}

/// Global arguments may stand behind any verb, and are known there only.
fn on_command_line(matches: &ArgMatches, id: &str) -> bool {
    let here = matches.try_contains_id(id).is_ok()
        && matches.value_source(id) == Some(ValueSource::CommandLine);
    here || matches
        .subcommand()
        .is_some_and(|(_, deeper)| on_command_line(deeper, id))
}
