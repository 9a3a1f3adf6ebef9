//! `[storage]`: where objects lie.

use std::path::{Path, PathBuf};

use super::source::Source;

/// Where objects lie.
#[derive(Debug, Clone)]
pub struct StorageConfig {
    /// `directory`: on one file system; `objects` in the data directory unless set.
    pub directory: PathBuf,
}

impl StorageConfig {
    pub(super) fn read(source: &mut Source, data_dir: &Path) -> Self {
        let default = data_dir.join("objects").display().to_string();
        Self {
            directory: PathBuf::from(source.setting("storage.directory", default)),
        }
    }
}
