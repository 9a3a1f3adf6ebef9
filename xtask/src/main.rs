//! `cargo xtask`: the project's habits in one place. `check` is what continuous integration holds
//! every change against, `test` runs every test after providing what the tests need, `demo` shows the
//! whole product at work on this machine, `bench` measures it.

mod bench;
mod check;
mod cross;
mod debian;
mod demo;
mod floors;
mod house;
mod room;
mod rounds;
mod run;
mod slowest;
mod test;
mod toolchains;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gantry_tests::Storage;

/// The project's habits.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    habit: Habit,
}

#[derive(Debug, Subcommand)]
enum Habit {
    /// Formatting, lints, documentation, floors, and one owner for each heavy dependency.
    Check,
    /// Installs what the tests need under target/tools, then runs every test.
    Test {
        /// Also what takes long: soaks, hundreds of libraries, every plugin on every platform.
        #[arg(long)]
        full: bool,
        /// Passed on to `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Kills clients, control planes and S3 servers in the midst of pushes.
    Rounds(rounds::Options),
    /// Builds what is released and measures it.
    Bench(bench::Options),
    /// Builds and starts everything, and shows what each hook does.
    Demo {
        /// Stop after the last check; the exit code is 0 only if every check held.
        #[arg(long)]
        once: bool,
        /// Keep data and logs in this folder instead of a temporary one.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// Where objects are kept: local, or a bucket of a real server: s3 (s3s-fs) or seaweedfs.
        #[arg(long, default_value_t)]
        storage: Storage,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().habit {
        Habit::Check => check::run(),
        Habit::Test { full, arguments } => test::run(full, &arguments),
        Habit::Rounds(options) => rounds::run(&options),
        Habit::Bench(options) => bench::run(&options),
        Habit::Demo {
            once,
            folder,
            storage,
        } => demo::run(once, folder, storage),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            run::say(&format!("\nerror: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
