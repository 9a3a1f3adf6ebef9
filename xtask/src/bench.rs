//! `cargo xtask bench`: builds what is released, provides what it is measured beside, and measures.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use gantry_tests::binaries::target_dir;

use crate::run::{cargo, root, run as command};
use crate::{debian, tools};

/// What is measured, and how the results are shown.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The bench.
    name: Bench,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// Only shows that the bench works: its figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// Also puts the tables in their place in docs/PERFORMANCE.md.
    #[arg(long, conflicts_with = "quick")]
    document: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Bench {
    /// What one call of a plugin costs.
    HookCall,
    /// What a plugin takes to build, to load and to keep, in each language.
    Languages,
    /// What other APIs notice of requests that wait inside of a function.
    Neighbours,
    /// What a request costs, beside other proxies.
    RequestPath,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// Markdown tables.
    Table,
    /// An array of objects, one per subject and metric.
    Json,
}

impl Bench {
    const fn name(self) -> &'static str {
        match self {
            Self::HookCall => "hook-call",
            Self::Languages => "languages",
            Self::Neighbours => "neighbours",
            Self::RequestPath => "request-path",
        }
    }

    /// What is built for it, in the profile that is released.
    const fn packages(self) -> &'static [&'static str] {
        match self {
            Self::HookCall => &["gantry", "gantry-benches", "gantry-bench-hooks"],
            // `gantry build` builds what is loaded.
            Self::Languages => &["gantry", "gantry-benches"],
            Self::Neighbours => &["gantry", "gantry-benches", "gantry-gateway"],
            Self::RequestPath => &[
                "gantry",
                "gantry-benches",
                "gantry-bench-hooks",
                "gantry-gateway",
            ],
        }
    }

    fn provide(self) -> Result<()> {
        match self {
            Self::HookCall | Self::Languages | Self::Neighbours => tools::provide_languages(),
            Self::RequestPath => debian::provide_peers(),
        }
    }
}

/// Measures.
pub(crate) fn run(options: &Options) -> Result<()> {
    options.name.provide()?;
    let mut build = cargo();
    build.args(["build", "--release", "--quiet"]);
    for package in options.name.packages() {
        build.args(["--package", package]);
    }
    command(&mut build)?;
    let program = target_dir().join("release/gantry-bench");
    if !program.is_file() {
        bail!("{} was not built", program.display());
    }
    let mut bench = std::process::Command::new(program);
    bench
        .arg(options.name.name())
        .env("GANTRY_STAGE_PROFILE", "release");
    if let Output::Json = options.output {
        bench.args(["--output", "json"]);
    }
    if options.quick {
        bench.arg("--quick");
    }
    if options.document {
        bench.arg("--page").arg(root().join("docs/PERFORMANCE.md"));
    }
    command(&mut bench)
}
