//! The gateway's program: finds out which role it has and runs it.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use gantry_gateway::config::{Arguments, Command, ConfigCommand, Settings, Source};
use gantry_gateway::source::folder::check::check;
use gantry_gateway::supervisor::Tracing;
use gantry_gateway::{probe, supervisor, worker};

/// What a configuration that is refused ends with, as usage errors do.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Worker) => return exit(worker::run()),
        Some(Command::Probe) => return exit(probe::run()),
        _ => {}
    }
    let settings = match Settings::load(&arguments) {
        Ok(settings) => settings,
        Err(e) => {
            complain(&e);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    exit(match arguments.command {
        Some(Command::Config(ConfigCommand::Check)) => say("the configuration is right\n"),
        Some(Command::Config(ConfigCommand::Show)) => say(&settings.redacted()),
        Some(Command::Check) => check_folder(&settings),
        _ => supervise(settings),
    })
}

fn check_folder(settings: &Settings) -> anyhow::Result<()> {
    let Source::Folder(folder) = &settings.source else {
        anyhow::bail!("check looks at a folder: name one with --folder");
    };
    let profile = supervisor::profile(settings).map_err(anyhow::Error::msg)?;
    let findings = check(folder, &profile, &std::env::temp_dir());
    say(&findings.to_string())?;
    anyhow::ensure!(findings.complaints.is_empty(), "the folder is not right");
    Ok(())
}

fn supervise(settings: Settings) -> anyhow::Result<()> {
    let telemetry = gantry_telemetry::init(&gantry_telemetry::Process {
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
    let tracing = telemetry.spans().map(|spans| Tracing {
        sampler: telemetry.sampler(),
        spans,
    });
    // What it traced last is delivered when `telemetry` is dropped.
    Ok(runtime.block_on(supervisor::run(settings, tracing))?)
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
            complain(&told(&e));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, without those whose words stand in it already: errors that are logged elsewhere
/// name their cause themselves.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
