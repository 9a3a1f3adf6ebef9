//! `gantry`: the command line.
//!
//! One file per verb under [`commands`]. Data goes to standard output, in the shapes that the verb
//! declares; words and progress go to standard error, both through a [`Printer`].
//! The exit code comes from one table, [`exit`].
//!
//! Invariants: no secret is taken from or put into an address; nothing but the wanted data reaches
//! standard output; the exit code is never 0 after an error.

mod args;
mod commands;
mod context;
mod error;
mod exit;
mod printer;
mod settings;
mod view;

use std::process::ExitCode;

use args::Cli;
use context::Context;
use exit::Exit;
use printer::Printer;

fn main() -> ExitCode {
    let (cli, settings) = match Cli::read() {
        Ok(read) => read,
        Err(args::Unread::Clap(e)) => return Printer::clap(&e).into(),
        Err(args::Unread::Settings(e)) => return fail(&Printer::plain(), &e.into()).into(),
    };
    let printer = Printer::new(settings.output, settings.quiet);
    let context = Context::new(printer, settings);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread needs only an epoll instance");
    match runtime.block_on(commands::run(cli.command, &context)) {
        Ok(()) => Exit::Success.into(),
        Err(error) => fail(context.printer(), &error).into(),
    }
}

fn fail(printer: &Printer, error: &error::CliError) -> Exit {
    printer.error(error);
    Exit::of(error)
}
