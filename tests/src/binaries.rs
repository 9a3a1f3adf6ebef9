//! Where the built binaries are. The test command builds them; nothing here builds them behind its
//! back, except plugins (see [`crate::plugins`]).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The root of the workspace.
#[expect(clippy::missing_panics_doc, reason = "the crate has a parent folder")]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in a folder of the workspace")
}

/// The folder of build products: `CARGO_TARGET_DIR`, or `target` in the workspace.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The folder of built binaries: of the profile that `GANTRY_STAGE_PROFILE` names, as benches do that
/// start what is released, or of the one that tests are built with.
pub fn profile_dir() -> PathBuf {
    let profile = std::env::var_os("GANTRY_STAGE_PROFILE").unwrap_or_else(|| "debug".into());
    target_dir().join(profile)
}

/// The path of a built binary.
///
/// # Errors
/// It is not there: the message says which command builds it.
pub fn binary(name: &str) -> Result<PathBuf> {
    let path = profile_dir().join(name);
    ensure!(
        path.is_file(),
        "{} is missing: run `cargo xtask test`, or `cargo build --workspace` first",
        path.display()
    );
    Ok(path)
}

/// The path of a tool that the test command installs under `target/tools`.
///
/// # Errors
/// It is not there: the message says which command installs it.
pub fn tool(name: &str) -> Result<PathBuf> {
    let tools = target_dir().join("tools");
    let places = ["bin", "python/bin"].map(|folder| tools.join(folder).join(name));
    let found = places.into_iter().find(|path| path.is_file());
    found.with_context(|| {
        let tools = tools.display();
        format!("{name} is missing in {tools}: `cargo xtask test` installs it")
    })
}

/// Lets a command run as outside of cargo: takes off what cargo told this process about the package it
/// belongs to, and what lets the test harness tell times. A cargo that inherits it believes that other
/// builds are stale, and makes them again.
pub fn outside_cargo(command: &mut Command) {
    command.env_remove("RUSTC_BOOTSTRAP");
    for (name, _) in std::env::vars_os() {
        let told = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
            "CARGO_PRIMARY_",
        ];
        if name
            .to_str()
            .is_some_and(|name| told.iter().any(|prefix| name.starts_with(prefix)))
        {
            command.env_remove(name);
        }
    }
}
