//! Go toolchains older than the machine's, under `target/tools`: what plugins are built with differs from
//! author to author, and one worker loads them all. They come as the toolchain itself fetches others:
//! from the Go module proxy, held against the checksum database.

use std::env::consts::ARCH;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use gantry_tests::binaries::target_dir;
use gantry_tests::plugins::GO_TOOLCHAINS;

use crate::run::{quietly, say};

/// Provides the toolchains that are not there yet. To be called when `go` is there.
///
/// # Errors
/// One cannot be had: the message names it.
pub(crate) fn provide() -> Result<()> {
    let tools = target_dir().join("tools");
    let cache = tools.join("go-toolchains");
    for (program, version) in GO_TOOLCHAINS {
        let link = tools.join("bin").join(program);
        if link.is_file() {
            continue;
        }
        say(&format!("fetching {version} into target/tools"));
        fs::create_dir_all(&cache)?;
        quietly(
            Command::new(tools.join("bin/go"))
                .arg("version")
                .current_dir(&tools)
                .env("GOTOOLCHAIN", version)
                .env("GOMODCACHE", &cache)
                .env("GOFLAGS", "-modcacherw"),
        )
        .with_context(|| format!("fetch the toolchain {version}"))?;
        let folder = format!("golang.org/toolchain@v0.0.1-{version}.linux-{}", arch());
        let go = cache.join(folder).join("bin/go");
        replace_link(&go, &link)?;
    }
    Ok(())
}

fn replace_link(to: &Path, link: &Path) -> Result<()> {
    if link.is_symlink() {
        fs::remove_file(link)?;
    }
    symlink(to, link).with_context(|| format!("link {}", link.display()))
}

fn arch() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
