//! Room on the disks that tests use: without it they fail in many ways, none of which says so.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gantry_tests::binaries::target_dir;

/// What must be free below the target folder. Everything from a fresh clone on takes some 9 GiB there.
const TARGET_BYTES_MIN: u64 = 2 << 30;
/// What must be free for temporary files, of which there are some 600 MiB at once.
const TEMPORARY_BYTES_MIN: u64 = 1 << 30;

/// Checks the disks of the target folder and of temporary files.
///
/// # Errors
/// One has not enough room; the message says how much there is to be.
pub(crate) fn check() -> Result<()> {
    let target = target_dir();
    std::fs::create_dir_all(&target)?;
    check_folder(&target, TARGET_BYTES_MIN)?;
    check_folder(&std::env::temp_dir(), TEMPORARY_BYTES_MIN)
}

fn check_folder(folder: &Path, free_bytes_min: u64) -> Result<()> {
    let place = folder.display();
    let system =
        rustix::fs::statvfs(folder).with_context(|| format!("look at the disk of {place}"))?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    ensure!(
        free >= free_bytes_min,
        "expected {} MiB of free disk below {place}, found {}: make room, and repeat",
        free_bytes_min >> 20,
        free >> 20
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_with_less_than_is_needed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        check_folder(folder.path(), 1).unwrap();
        let refused = check_folder(folder.path(), u64::MAX)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(&folder.path().display().to_string()),
            "{refused}"
        );
    }
}
