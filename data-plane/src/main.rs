//! The gateway's program: finds out which role it has and runs it.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use gantry_gateway::config::{Arguments, Command, ConfigCommand, Settings};
use gantry_gateway::{probe, supervisor, worker};

/// What a configuration that is refused ends with, as usage errors do.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let role = match arguments.command {
        Some(Command::Worker) => return exit(worker::run()),
        Some(Command::Probe) => return exit(probe::run()),
        Some(Command::Config(command)) => Some(command),
        None => None,
    };
    let settings = match Settings::load(&arguments) {
        Ok(settings) => settings,
        Err(e) => {
            complain(&e);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    exit(match role {
        Some(ConfigCommand::Check) => say("the configuration is right\n"),
        Some(ConfigCommand::Show) => say(&settings.redacted()),
        None => supervise(settings),
    })
}

fn supervise(settings: Settings) -> anyhow::Result<()> {
    let _telemetry = gantry_telemetry::init(&gantry_telemetry::Process {
        service: "gantry-gateway",
        version: env!("CARGO_PKG_VERSION"),
        format: settings.log_format,
        is_command: false,
    })
    .context("start logging")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("supervisor")
        .enable_all()
        .build()
        .context("start the runtime")?;
    Ok(runtime.block_on(supervisor::run(settings))?)
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn complain(error: &dyn std::fmt::Display) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "gantry-gateway: {error}");
}

fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("{e:#}"));
            ExitCode::FAILURE
        }
    }
}
