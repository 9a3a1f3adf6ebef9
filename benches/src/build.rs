//! Plugins that are measured, built by `gantry build` as their authors would.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gantry_tests::binaries::{outside_cargo, profile_dir, target_dir, workspace};

/// What a built library is called.
const NAME: &str = "bench";

/// Builds the plugin that is written as users of Tyk write them into a folder; gives the library.
///
/// # Errors
/// `gantry` or Go is missing, or does not build it.
pub(crate) fn tyk(folder: &Path) -> Result<PathBuf> {
    let cache = target_dir().join("stage/benches/cache");
    run(command(&fixture("tyk"), folder, &cache)).map(|()| library(folder))
}

/// The folder of a plugin's source.
pub(crate) fn fixture(name: &str) -> PathBuf {
    workspace().join("benches/fixtures").join(name)
}

/// Where a build leaves its library.
pub(crate) fn library(out: &Path) -> PathBuf {
    out.join(NAME).with_extension("so")
}

/// `gantry build` with this machine's own tools, from a folder into another.
pub(crate) fn command(source: &Path, out: &Path, cache: &Path) -> Command {
    let mut command = Command::new(profile_dir().join("gantry"));
    outside_cargo(&mut command);
    command
        .args(["build", "--system-toolchain", "--name", NAME])
        .arg(source)
        .arg("--out")
        .arg(out)
        .arg("--cache-dir")
        .arg(cache);
    command
}

/// Runs a build.
///
/// # Errors
/// `gantry` or a tool is missing, or does not build the plugin.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let output = command
        .output()
        .context("start gantry: `cargo xtask bench` builds it")?;
    ensure!(
        output.status.success(),
        "gantry build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
