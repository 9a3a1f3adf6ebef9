//! Where what lies between a source and its library is kept: a folder of our own per source folder,
//! so that authors' folders stay as they are and a second build finds what the first one made.
//!
//! Invariant: one build at a time uses the room of a source folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use gantry_bundle::hash::hash_reader;

use super::{BuildError, BuildTarget};

/// Digits of a path's digest that name its room.
const DIGITS: usize = 24;

/// The room of one source folder, for as long as it is held.
#[derive(Debug)]
pub(super) struct Room {
    path: PathBuf,
    _lock: File,
}

impl Room {
    /// Waits until nobody else builds this folder.
    pub(super) fn enter(cache: &Path, folder: &Path) -> Result<Self, BuildError> {
        let name = folder.as_os_str().as_encoded_bytes();
        let digest = hash_reader(name, u64::MAX)
            .map_err(|e| BuildError::file(folder, e))?
            .digest
            .to_string();
        let path = cache.join(digest.chars().take(DIGITS).collect::<String>());
        create(&path)?;
        let lock = path.join("lock");
        let lock = File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|e| BuildError::file(&lock, e))?;
        Ok(Self { path, _lock: lock })
    }

    /// A folder in it for a target.
    pub(super) fn of(&self, target: &BuildTarget) -> Result<PathBuf, BuildError> {
        self.folder(&target.folder())
    }

    /// A folder in it.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf, BuildError> {
        let folder = self.path.join(name);
        create(&folder)?;
        Ok(folder)
    }
}

fn create(folder: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(folder).map_err(|e| BuildError::file(folder, e))
}

/// Writes a file unless it holds this already: compilers look at the time of a change.
pub(super) fn write(path: &Path, text: &[u8]) -> Result<(), BuildError> {
    if fs::read(path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|e| BuildError::file(path, e))
}
