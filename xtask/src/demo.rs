//! The demo.

use std::path::PathBuf;

use anyhow::Result;

pub fn run(_once: bool, _folder: Option<PathBuf>) -> Result<()> {
    Ok(())
}
