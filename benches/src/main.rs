//! `gantry-bench`: measurements of the product, started by `cargo xtask bench`, which builds what they
//! need. Results go to standard output, what happens meanwhile to standard error.
//!
//! Not here: tests of speed. What is asserted in tests is counted (system calls, instructions,
//! allocations), never timed.

mod output;
mod record;

mod hook_call;
mod languages;
mod neighbours;
mod request_path;

mod build;
mod gateway;
mod generator;
mod measure;
mod relay;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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
    /// What a plugin takes to build, to load and to keep, in each language.
    Languages(Options),
    /// What other APIs notice of requests that wait inside of a function.
    Neighbours(Options),
    /// What a request costs on its way through the gateway, beside other proxies.
    RequestPath(Options),
    /// Loads a library and calls one function once; tells what that took, as JSON.
    #[command(hide = true)]
    LoadOnly {
        /// The library.
        library: PathBuf,
    },
    /// Calls one function again and again.
    #[command(hide = true)]
    CallOnly {
        /// How often.
        calls: u32,
        /// The library; the native header map without one.
        #[arg(requires = "function")]
        library: Option<PathBuf>,
        /// Its function.
        function: Option<String>,
    },
    /// Answers requests, and writes its address to a file.
    #[command(hide = true)]
    Upstream {
        /// The file.
        address_file: PathBuf,
    },
    /// Copies bytes, and writes its address to a file.
    #[command(hide = true)]
    Relay {
        /// Where to.
        upstream: SocketAddr,
        /// The file.
        address_file: PathBuf,
    },
    /// Sends a request at a fixed rate, and tells how long answers took, as JSON.
    #[command(hide = true)]
    Generate {
        /// Where to.
        to: SocketAddr,
        /// The whole request.
        request: String,
        /// Requests a second.
        rate: f64,
        /// How long.
        seconds: f64,
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
        Role::Languages(options) => {
            let (records, head) = languages::run(options.quick)?;
            options.show(languages::NAME, &head, &records, &[])
        }
        Role::LoadOnly { library } => {
            print(&serde_json::to_string(&languages::load(&library)?)?);
            Ok(())
        }
        Role::Neighbours(options) => {
            let (records, head) = neighbours::run(options.quick)?;
            options.show(neighbours::NAME, &head, &records, &[neighbours::ALONE])
        }
        Role::RequestPath(options) => {
            let (records, head) = request_path::run(options.quick)?;
            options.show(request_path::NAME, &head, &records, &request_path::PEERS)
        }
        Role::Upstream { address_file } => upstream::run(&address_file),
        Role::Relay {
            upstream,
            address_file,
        } => relay::run(upstream, &address_file),
        Role::Generate {
            to,
            request,
            rate,
            seconds,
        } => {
            let seen = generator::run(&generator::Plan {
                to,
                request: request.into_bytes(),
                rate,
                duration: Duration::from_secs_f64(seconds),
            })?;
            print(&serde_json::to_string(&seen)?);
            Ok(())
        }
        Role::CallOnly {
            calls,
            library,
            function,
        } => hook_call::call_only(calls, library.as_deref().zip(function.as_deref())),
    }
}

impl Options {
    fn show(&self, bench: &str, head: &str, records: &[Record], peers: &[&str]) -> Result<()> {
        let tables = format!("{head}\n{}", output::tables(records, peers));
        if let Some(page) = &self.page {
            output::replace_in(page, bench, &tables)?;
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
