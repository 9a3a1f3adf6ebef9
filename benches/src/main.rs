//! `gantry-bench`: measurements of the product, started by `cargo xtask bench`, which builds what they
//! need. Results go to standard output, what happens meanwhile to standard error.
//!
//! Not here: tests of speed. What is asserted in tests is counted (system calls, instructions,
//! allocations), never timed.

mod output;
mod record;

mod hook_call;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

use record::Record;

/// Measures the product.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// What one call of a plugin costs, in Rust, C and Go, beside the native header map.
    HookCall(Options),
    /// Calls one function again and again.
    #[command(hide = true)]
    CallOnly {
        /// Who is called.
        name: String,
        /// How often.
        calls: u32,
        /// The library; the native header map without one.
        library: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// How results are printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// Only shows that the bench works: its figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Also puts the tables in their place in this page.
    #[arg(long)]
    page: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// Markdown tables.
    Table,
    /// An array of objects, one per subject and metric.
    Json,
}

fn main() -> ExitCode {
    match run(Arguments::parse().role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(role: Role) -> Result<()> {
    match role {
        Role::HookCall(options) => {
            let records = hook_call::run(options.quick)?;
            options.show(hook_call::NAME, "", &records, &[hook_call::NATIVE])
        }
        Role::CallOnly {
            name,
            calls,
            library,
        } => hook_call::call_only(&name, library.as_deref(), calls),
    }
}

impl Options {
    fn show(&self, bench: &str, head: &str, records: &[Record], peers: &[&str]) -> Result<()> {
        let tables = format!("{head}\n{}", output::tables(records, peers));
        if let Some(page) = &self.page {
            output::replace_in(Path::new(page), bench, &tables)?;
        }
        print(&match self.output {
            Output::Table => tables,
            Output::Json => output::json(records)?,
        });
        Ok(())
    }
}

/// A line for people.
#[expect(clippy::print_stderr, reason = "this is where the program speaks")]
fn say(line: &str) {
    eprintln!("{line}");
}

#[expect(clippy::print_stdout, reason = "results are this program's output")]
fn print(results: &str) {
    println!("{results}");
}
