//! The plugin that is measured as users of Tyk write it: built by `gantry build`, as its author would.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gantry_tests::binaries::{profile_dir, target_dir, workspace};

/// Builds it into a folder; gives the library.
///
/// # Errors
/// `gantry` or Go is missing, or does not build it.
pub(crate) fn build(folder: &Path) -> Result<PathBuf> {
    let mut command = Command::new(profile_dir().join("gantry"));
    command
        .args(["build", "--system-toolchain", "--name", "bench"])
        .arg(workspace().join("benches/fixtures/tyk"))
        .arg("--out")
        .arg(folder)
        .arg("--cache-dir")
        .arg(target_dir().join("stage/benches/cache"));
    let output = command
        .output()
        .context("start gantry: `cargo xtask bench` builds it")?;
    ensure!(
        output.status.success(),
        "gantry build: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(folder.join("bench.so"))
}
