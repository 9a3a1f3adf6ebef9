//! What a change is held against before any test runs.

use anyhow::Result;

use crate::run::{cargo, run as command, say};
use crate::{floors, house};

/// Runs every check; the first that does not hold ends it.
pub(crate) fn run() -> Result<()> {
    command(cargo().args(["fmt", "--all", "--check"]))?;
    floors::check()?;
    house::check()?;
    command(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))?;
    command(
        cargo()
            .args([
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--quiet",
            ])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    say("every check holds");
    Ok(())
}
