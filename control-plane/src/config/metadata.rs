//! `[metadata]`: where rows lie.

use std::path::{Path, PathBuf};

use super::source::Source;

/// Where rows lie.
#[derive(Debug, Clone)]
pub struct MetadataConfig {
    /// `file`: an SQLite database; `metadata.db` in the data directory unless set.
    pub file: PathBuf,
}

impl MetadataConfig {
    pub(super) fn read(source: &mut Source, data_dir: &Path) -> Self {
        let default = data_dir.join("metadata.db").display().to_string();
        Self {
            file: PathBuf::from(source.setting("metadata.file", default)),
        }
    }
}
