//! What `gantry build` builds with, under `target/tools`: zig and `cargo-zigbuild` as Python packages,
//! and a Rust compiler with the standard library for arm64 from Debian's packages where the machine's
//! own has none.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gantry_tests::binaries::target_dir;

use crate::run::{quietly, say};
use crate::tools::pip_install;

/// Compiles C and links for each glibc and platform.
const ZIG: &str = "ziglang==0.17.1";
/// Lets cargo link with it.
const ZIGBUILD: &str = "cargo-zigbuild==0.24.1";
/// The platform that a machine's own Rust seldom has.
const FOREIGN: &str = "aarch64-unknown-linux-gnu";
/// Debian's compiler of the current release, beside the stable one, with libraries for both platforms
/// from the same build.
const PACKAGES: [&str; 3] = [
    "rustc-web:amd64",
    "libstd-rust-web-dev:amd64",
    "libstd-rust-web-dev:arm64",
];

/// Provides what is not there yet.
///
/// # Errors
/// A package cannot be had: the message names it.
pub(crate) fn provide() -> Result<()> {
    let tools = target_dir().join("tools");
    let programs = tools.join("python/bin");
    if !programs.join("python-zig").is_file() || !programs.join("cargo-zigbuild").is_file() {
        say("installing zig under target/tools");
        pip_install(&tools, ZIG)?;
        pip_install(&tools, ZIGBUILD)?;
    }
    let rustc = tools.join("rust-arm64/bin/rustc");
    if has_foreign_std(Path::new("rustc")) || has_foreign_std(&rustc) {
        return Ok(());
    }
    say("unpacking Rust's standard library for arm64 under target/tools");
    unpack(&tools.join("rust-arm64")).with_context(|| {
        format!("provide Rust's standard library for arm64; `rustup target add {FOREIGN}` does too")
    })?;
    ensure!(
        has_foreign_std(&rustc),
        "{} does not run as a compiler for {FOREIGN}",
        rustc.display()
    );
    Ok(())
}

fn has_foreign_std(rustc: &Path) -> bool {
    let folder =
        quietly(Command::new(rustc).args(["--print", "target-libdir", "--target", FOREIGN]));
    let is_std = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libstd-");
    folder
        .ok()
        .and_then(|folder| fs::read_dir(folder.trim()).ok())
        .is_some_and(|entries| entries.flatten().any(is_std))
}

/// Downloads the packages and what they are linked with, and unpacks them. The lists of packages are our
/// own: the machine's need not know arm64.
fn unpack(root: &Path) -> Result<()> {
    let apt = root.join("apt");
    for folder in ["lists/partial", "cache/archives/partial", "archives"] {
        fs::create_dir_all(apt.join(folder))?;
    }
    // A source of another kind that cannot be reached does no harm; a package that is missing will.
    if let Err(error) = quietly(in_own_lists("apt-get", &apt).arg("update")) {
        say(&format!("apt-get update: {error:#}"));
    }
    let archives = apt.join("archives");
    let mut packages = PACKAGES.map(str::to_owned).to_vec();
    let mut known = 0;
    while known < packages.len() {
        let package = packages[known].clone();
        known += 1;
        quietly(
            in_own_lists("apt-get", &apt)
                .current_dir(&archives)
                .args(["download", "-qq", &package]),
        )
        .with_context(|| format!("download the package {package}"))?;
        for linked in linked_with(&apt, &package)? {
            if !packages.contains(&linked) {
                packages.push(linked);
            }
        }
    }
    for entry in fs::read_dir(&archives)? {
        let archive = entry?.path();
        quietly(Command::new("dpkg").arg("-x").arg(&archive).arg(root))
            .with_context(|| format!("unpack {}", archive.display()))?;
    }
    fs::remove_dir_all(&apt)?;
    wrap(root)
}

/// The compiler's own libraries that this machine runs; everything else that packages name is there.
fn linked_with(apt: &Path, package: &str) -> Result<Vec<String>> {
    if package.ends_with(":arm64") {
        return Ok(Vec::new());
    }
    let listed = quietly(in_own_lists("apt-cache", apt).args(["depends", package]))?;
    let names = listed
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    let ours = names.filter(|name| {
        let is_library = name.starts_with("libstd-rust-web-") || name.starts_with("libllvm");
        is_library && !name.starts_with("libstd-rust-web-dev")
    });
    Ok(ours.map(|name| format!("{name}:amd64")).collect())
}

fn in_own_lists(program: &str, apt: &Path) -> Command {
    let set = |name: &str, folder: PathBuf| format!("{name}={}", folder.display());
    let mut command = Command::new(program);
    command
        .arg("-o")
        .arg(set("Dir::State::Lists", apt.join("lists")))
        .arg("-o")
        .arg(set("Dir::Cache", apt.join("cache")))
        .args(["-o", "APT::Architectures::=amd64"])
        .args(["-o", "APT::Architectures::=arm64"]);
    command
}

/// Puts a program beside the compiler that lets it find its libraries.
fn wrap(root: &Path) -> Result<()> {
    let usr = root.join("usr");
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{0}/lib/x86_64-linux-gnu' exec '{0}/bin/rustc' \"$@\"\n",
        usr.display()
    );
    let program = root.join("bin/rustc");
    fs::create_dir_all(root.join("bin"))?;
    fs::write(&program, script)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::root;

    #[test]
    fn workflows_of_authors_install_what_is_tested_here() -> Result<()> {
        for file in ["deploy/ci/github.yml", "deploy/ci/gitlab.yml"] {
            let text = fs::read_to_string(root().join(file))?;
            for package in [ZIG, ZIGBUILD] {
                assert!(text.contains(package), "{file} installs {package}");
            }
        }
        Ok(())
    }
}
