//! Small files, written so that a crash leaves the old or the new one and nothing between: a
//! temporary file beside it, flushed, renamed, and the directory flushed. Everything is private to
//! this user from its first byte.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Only this user.
const DIRECTORY_MODE: u32 = 0o700;
/// Only this user, not executable.
const FILE_MODE: u32 = 0o600;

/// Where names are tried until one is free, at most.
const STAGING_ATTEMPTS_MAX: u32 = 8;

/// What names of temporary files begin with.
const STAGED_PREFIX: &str = ".staging-";

/// Whether a name is that of a temporary file.
pub fn is_staged(name: &str) -> bool {
    name.starts_with(STAGED_PREFIX)
}

/// Makes a directory and its parents, private.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
}

/// Opens a new file of a unique name in a directory.
pub fn stage(directory: &Path) -> io::Result<(PathBuf, File)> {
    for _ in 0..STAGING_ATTEMPTS_MAX {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = directory.join(format!(
            "{STAGED_PREFIX}{:016x}",
            u64::from_le_bytes(random)
        ));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&path);
        match file {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (path, file)),
        }
    }
    Err(io::Error::other("no free name for a temporary file"))
}

/// Replaces a file's content whole.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    let (staged, mut file) = stage(directory)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&staged, path));
    if let Err(e) = written {
        // The temporary file is of no use to anyone; if it cannot go now, the next start removes it.
        let _ = fs::remove_file(&staged);
        return Err(e);
    }
    flush_directory(directory)
}

/// Where a file is: the current directory for a bare name, whose parent is the empty path.
fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

/// Makes renames in a directory last.
pub fn flush_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Reads a file of at most `bytes_max` bytes; none if there is no such file.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("has more than {bytes_max} bytes")));
    }
    Ok(Some(content))
}

/// Removes a file; one that is gone already is fine.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes what interrupted writers left in a directory.
pub fn remove_staged(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_staged) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn replaced_file_is_whole_private_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap().unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            FILE_MODE
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn bare_name_is_in_the_current_directory() {
        let directory = |path| directory_of(Path::new(path));
        assert_eq!(directory("a"), Path::new("."));
        assert_eq!(directory("x/a"), Path::new("x"));
        assert_eq!(directory("/a"), Path::new("/"));
    }

    #[test]
    fn file_beyond_the_bound_is_refused_and_a_missing_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(read(&path, 3).unwrap(), None);
        fs::write(&path, "four").unwrap();
        assert!(read(&path, 3).is_err());
    }

    #[test]
    fn leftovers_of_interrupted_writers_go() {
        let folder = tempfile::tempdir().unwrap();
        stage(folder.path()).unwrap();
        fs::write(folder.path().join("kept"), "").unwrap();
        remove_staged(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
