//! Every test of the project, on a machine that has Rust, a C compiler and Python.

use anyhow::Result;

use crate::run::{cargo, run as command};
use crate::tools;

/// Provides what the tests need, builds what they start, and runs them.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    tools::provide()?;
    command(cargo().args(["build", "--workspace", "--quiet"]))?;
    command(cargo().args(["test", "--workspace"]).args(arguments))
}
