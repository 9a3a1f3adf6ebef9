//! `[metadata]`: where rows lie, and how many of what has passed are kept.

use std::path::{Path, PathBuf};

use super::source::Source;

/// Revisions of an environment that are kept unless configuration says otherwise.
const REVISIONS_KEPT_DEFAULT: u64 = 1_000;
/// Tombstones of an environment's keys that are kept unless configuration says otherwise.
const REVOKED_KEYS_KEPT_DEFAULT: u64 = 100_000;
/// Entries of a tenant's audit log that are kept unless configuration says otherwise.
const AUDIT_ENTRIES_KEPT_DEFAULT: u64 = 1_000_000;

/// Where rows lie, and how many are kept.
#[derive(Debug, Clone)]
pub struct MetadataConfig {
    /// `file`: an SQLite database; `metadata.db` in the data directory unless set.
    pub file: PathBuf,
    /// `revisions_kept`: the newest revisions of an environment; at least 1. A gateway with an older one is
    /// sent everything.
    pub revisions_kept: u64,
    /// `revoked_keys_kept`: the newest revoked keys of an environment, by which gateways learn that a key is
    /// gone. A gateway that is further behind is sent all keys.
    pub revoked_keys_kept: u64,
    /// `audit_entries_kept`: the newest entries of a tenant's audit log; at least 1.
    pub audit_entries_kept: u64,
}

impl MetadataConfig {
    pub(super) fn read(source: &mut Source, data_dir: &Path) -> Self {
        let default = data_dir.join("metadata.db").display().to_string();
        let file = PathBuf::from(source.setting("metadata.file", default));
        let revisions_kept = source.setting("metadata.revisions_kept", REVISIONS_KEPT_DEFAULT);
        if revisions_kept == 0 {
            source.conflict("metadata.revisions_kept", "expected at least 1, found 0");
        }
        let revoked_keys_kept =
            source.setting("metadata.revoked_keys_kept", REVOKED_KEYS_KEPT_DEFAULT);
        let audit_entries_kept =
            source.setting("metadata.audit_entries_kept", AUDIT_ENTRIES_KEPT_DEFAULT);
        if audit_entries_kept == 0 {
            source.conflict(
                "metadata.audit_entries_kept",
                "expected at least 1, found 0",
            );
        }
        Self {
            file,
            revisions_kept,
            revoked_keys_kept,
            audit_entries_kept,
        }
    }
}
