//! Room on the disks that tests use: without it they fail in many ways, none of which says so.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gantry_tests::binaries::target_dir;

/// What must be free: the tests' own files, and what they build. Everything from a fresh clone on takes some 9 GiB.
const FREE_BYTES_MIN: u64 = 2 << 30;

/// Checks the disks of the target folder and of temporary files.
///
/// # Errors
/// One has not enough room; the message says how much there is to be.
pub(crate) fn check() -> Result<()> {
    let target = target_dir();
    std::fs::create_dir_all(&target)?;
    for folder in [target.as_path(), &std::env::temp_dir()] {
        check_folder(folder, FREE_BYTES_MIN)?;
    }
    Ok(())
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
