//! A disk of a few megabytes under one folder, which a process under test sees and nobody else: a file system
//! in memory, in a mount namespace of that process (`mount_namespaces(7)`). No right is needed for it where
//! the system lets users have namespaces.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What a full disk is filled with at once.
const BLOCK: [u8; 4096] = [0xaa; 4096];

/// The words that start a program with such a disk in place of a folder, with all that is in the folder.
pub fn under(folder: &Path, bytes: u64) -> Vec<String> {
    let script = r#"
        set -e
        mkdir -p -m 700 "$1"
        cp -a "$1" "$1.below"
        mount -t tmpfs -o "size=$2" tmpfs "$1"
        cp -a "$1.below/." "$1"
        shift 2
        exec "$@"
    "#;
    let words = ["unshare", "--user", "--map-root-user", "--mount"];
    let mut words = words.map(str::to_owned).to_vec();
    words.extend(["sh", "-c", script, "sh"].map(str::to_owned));
    words.extend([folder.display().to_string(), bytes.to_string()]);
    words
}

/// A path as a process sees it that was started so.
pub fn seen_by(process: u32, path: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{process}/root"));
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Fills what is free of a disk, with a file, and gives that.
///
/// # Errors
/// The file cannot be made, or something other than a full disk ends it.
pub fn fill(file: &Path) -> io::Result<File> {
    let mut file = File::create(file)?;
    loop {
        match file.write_all(&BLOCK) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(file),
            written => written?,
        }
    }
}
