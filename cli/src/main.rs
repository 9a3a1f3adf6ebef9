//! `gantry`: the command line.
//!
//! One file per verb under [`commands`]. Data goes to standard output, in the shapes that the verb
//! declares; words and progress go to standard error, both through a [`Printer`].
//! The exit code comes from one table, [`exit`].
//!
//! Invariants: no secret is taken from or put into an address; nothing but the wanted data reaches
//! standard output; the exit code is never 0 after an error.

mod args;
mod build;
mod commands;
mod context;
mod error;
mod exit;
mod import;
mod meter;
mod printer;
mod settings;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use args::Cli;
use gantry_telemetry::propagation::Remote;
use gantry_telemetry::{Format, Process, Telemetry};
use tracing::{Instrument as _, field};

use context::Context;
use exit::Exit;
use printer::Printer;

/// How long the trace of a command may take to leave once the command is done.
const TRACE_FINISH_MAX: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let (cli, settings) = match Cli::read() {
        Ok(read) => read,
        Err(args::Unread::Clap(e)) => return Printer::clap(&e).into(),
        Err(args::Unread::Settings(e)) => return fail(&Printer::plain(), &e.into()).into(),
    };
    let printer = Printer::new(settings.output, settings.quiet);
    let telemetry = telemetry(&printer);
    let context = Context::new(printer, settings);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread needs only an epoll instance");
    let exit = runtime.block_on(run(cli.command, &context));
    if let Some(telemetry) = telemetry {
        telemetry.finish(TRACE_FINISH_MAX);
    }
    exit.into()
}

/// Runs a command as one span, below the one that a CI system gave in `TRACEPARENT`.
async fn run(command: commands::Command, context: &Context) -> Exit {
    let span = tracing::info_span!(
        parent: None, "command", otel.name = format!("gantry {}", command.name()),
        otel.status_code = field::Empty, process.exit.code = field::Empty
    );
    let remote = Remote::from_environment();
    if let Some(remote) = &remote {
        remote.adopt(&span);
    }
    let running = async {
        let exit = match commands::run(command, context).await {
            Ok(()) => Exit::Success,
            Err(error) => {
                span.record("otel.status_code", "ERROR");
                fail(context.printer(), &error)
            }
        };
        span.record("process.exit.code", exit as i64);
        exit
    };
    let running = running.instrument(span.clone());
    match &remote {
        // Also where nothing is recorded here: those who are called go on with the trace.
        Some(remote) => remote.carry(running).await,
        None => running.await,
    }
}

/// A command works without telemetry too.
fn telemetry(printer: &Printer) -> Option<Telemetry> {
    let process = Process {
        service: "gantry",
        version: env!("CARGO_PKG_VERSION"),
        format: Format::Text,
        is_command: true,
    };
    gantry_telemetry::init(&process)
        .map_err(|error| printer.warn(error))
        .ok()
}

fn fail(printer: &Printer, error: &error::CliError) -> Exit {
    printer.error(error);
    Exit::of(error)
}
