//! `gantry-control-plane`: reads its configuration, starts the log, and does one of three things.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use gantry_control_plane::app::{App, bootstrap};
use gantry_control_plane::config::{Config, Inputs};
use gantry_domain::SystemClock;
use gantry_telemetry::Process;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The control plane of Gantry.
#[derive(Debug, Parser)]
#[command(name = "gantry-control-plane", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to end (SIGTERM, SIGINT).
    Serve,
    /// Create the operators' first admin token and print it, this once.
    Bootstrap {
        /// Create another one although there is one.
        #[arg(long)]
        again: bool,
    },
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Report every mistake.
    Check,
    /// Print every setting, its value and where it came from.
    Show,
}

/// Every setting of the file can be a variable too: `server.listen` is `GANTRY_SERVER_LISTEN`.
#[derive(Debug, Args)]
struct Settings {
    /// Configuration file (TOML).
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "GANTRY_CONTROL_PLANE_CONFIG"
    )]
    config: Option<PathBuf>,
    /// Directory of the database and the objects (`data_dir`).
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address to listen on (`server.listen`); port 0 takes a free one.
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address to take bundles on by plain HTTP (`http.listen`); none unless given.
    #[arg(long, global = true, value_name = "ADDRESS")]
    http_listen: Option<String>,
    /// File that the HTTP address is written to once it is listened on (`http.address_file`).
    #[arg(long, global = true, value_name = "FILE")]
    http_address_file: Option<String>,
    /// File that the address is written to once it is listened on (`server.address_file`).
    #[arg(long, global = true, value_name = "FILE")]
    address_file: Option<String>,
    /// Certificate for TLS, PEM (`server.tls_certificate_file`).
    #[arg(long, global = true, value_name = "FILE")]
    tls_certificate: Option<String>,
    /// Its private key, PEM (`server.tls_key_file`).
    #[arg(long, global = true, value_name = "FILE")]
    tls_key: Option<String>,
    /// Serve other machines without TLS (`server.allow_plaintext_remote`).
    #[arg(long, global = true)]
    allow_plaintext_remote: bool,
    /// How log lines are written, text or json (`log.format`).
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Settings {
    fn inputs(self) -> Inputs {
        let plaintext = self.allow_plaintext_remote.then(|| "true".to_owned());
        let flags = [
            ("data_dir", self.data_dir),
            ("server.listen", self.listen),
            ("server.address_file", self.address_file),
            ("http.listen", self.http_listen),
            ("http.address_file", self.http_address_file),
            ("server.tls_certificate_file", self.tls_certificate),
            ("server.tls_key_file", self.tls_key),
            ("server.allow_plaintext_remote", plaintext),
            ("log.format", self.log_format),
        ];
        let flags: BTreeMap<_, _> = flags
            .into_iter()
            .filter_map(|(path, value)| Some((path, value?)))
            .collect();
        Inputs {
            file: self.config,
            variables: std::env::vars()
                .filter(|(name, _)| name.starts_with("GANTRY_"))
                .collect(),
            flags,
        }
    }
}

/// How long the last traces may take to leave when all else has ended.
const TRACES_FINISH_MAX: Duration = Duration::from_secs(3);

/// Exit codes: 0 done, 1 failed, 2 the command line or the configuration is wrong.
#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let config = match Config::read(cli.settings.inputs()) {
        Ok(config) => config,
        Err(errors) => {
            let mut stderr = std::io::stderr().lock();
            for error in errors {
                let _ = writeln!(stderr, "error: {error}");
            }
            return ExitCode::from(2);
        }
    };
    match run(cli.command, &config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, config: &Config) -> anyhow::Result<()> {
    match command {
        Command::Serve => serve(config).await,
        Command::Bootstrap { again } => {
            let token = bootstrap(config, &SystemClock, again).await?;
            print(&token.reveal())
        }
        Command::Config(ConfigCommand::Check) => print("the configuration is sound"),
        Command::Config(ConfigCommand::Show) => {
            let line = |setting: &gantry_control_plane::config::Setting| {
                format!(
                    "{} = {:?}  # {}",
                    setting.path, setting.value, setting.origin
                )
            };
            print(
                &config
                    .settings
                    .iter()
                    .map(line)
                    .collect::<Vec<_>>()
                    .join("\n"),
            )
        }
    }
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let telemetry = gantry_telemetry::init(&Process {
        service: "gantry-control-plane",
        version: env!("CARGO_PKG_VERSION"),
        format: config.log.format,
        is_command: false,
    })
    .context("start logging")?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        "starting the control plane"
    );
    let app = App::open(config, Arc::new(SystemClock)).await?;
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("watch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch SIGINT")?;
    let asked = stop.clone();
    let watching = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.cancel();
    });
    let served = app.serve(stop).await;
    watching.abort();
    telemetry.finish(TRACES_FINISH_MAX);
    Ok(served?)
}

/// Data goes to standard output, and nothing else does.
fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("write to standard output")
}
