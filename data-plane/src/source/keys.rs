//! Consumer keys as the control plane sends them, and the index files that workers map. Every change
//! makes a new file; `current` names the newest one, for a start without the control plane.
//!
//! Invariant: workers only ever see whole states: parts are gathered until the last one, and a file
//! has its name when it is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gantry_domain::Limits;
use gantry_proto::v1;
use thiserror::Error;

use super::KeyIndex;
use crate::key_index::{KeyHash, KeyIndexError, write_index};
use crate::supervisor::files;
use crate::supervisor::state::StateError;
use crate::supervisor::store::Store;

/// Index files kept beside the newest: a worker may still be about to open one.
const OLDER_FILES_KEPT: usize = 3;
/// Bytes of `current`, at most.
const CURRENT_BYTES_MAX: u64 = 256;

/// Why keys cannot be taken over.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The control plane sent something that is no key.
    #[error("keys: {0} (KEYS_MALFORMED)")]
    Malformed(&'static str),
    /// More keys than an environment may have.
    #[error("keys: expected at most {max}, found {found} (TOO_MANY)")]
    TooMany {
        /// The limit.
        max: usize,
        /// Keys that there would be.
        found: usize,
    },
    /// The index cannot be written.
    #[error("write the key index: {0}")]
    Index(#[from] KeyIndexError),
    /// The directory refuses.
    #[error(transparent)]
    State(#[from] StateError),
}

/// All keys of the environment.
#[derive(Debug)]
pub struct KeyLedger {
    directory: PathBuf,
    keys: BTreeMap<KeyHash, String>,
    epoch: u64,
    pending: Vec<v1::KeyDelta>,
    pending_keys: usize,
    keys_max: usize,
    files: Vec<String>,
}

impl KeyLedger {
    /// An empty ledger: the control plane is asked for all keys, since differences need what they
    /// start from.
    pub fn new(store: &Store, limits: &Limits) -> Self {
        Self {
            directory: store.directory("keys"),
            keys: BTreeMap::new(),
            epoch: 0,
            pending: Vec::new(),
            pending_keys: 0,
            keys_max: limits.keys_max,
            files: Vec::new(),
        }
    }

    /// The index that an earlier process wrote last, if it is there.
    ///
    /// # Errors
    /// The directory refuses.
    pub fn last_known(store: &Store) -> Result<Option<KeyIndex>, StateError> {
        let path = store.directory("keys").join("current");
        let current = files::read(&path, CURRENT_BYTES_MAX).map_err(StateError::at(&path))?;
        let name = current.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(name.and_then(|name| {
            let epoch = name.split('-').next()?.parse().ok()?;
            let path = path.with_file_name(&name);
            (!name.contains('/') && path.is_file()).then_some(KeyIndex { path, epoch })
        }))
    }

    /// How far the ledger is; 0 when it has nothing.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Drops parts of a state whose rest will not come, because its stream ended.
    pub fn forget_pending(&mut self) {
        self.pending.clear();
        self.pending_keys = 0;
    }

    /// Takes a part. With the last one, writes the new index and gives it. Blocks while it writes.
    ///
    /// # Errors
    /// The part is malformed, too much comes, or the index cannot be written. What was in effect stays.
    pub fn take(&mut self, part: v1::KeyDelta) -> Result<Option<KeyIndex>, KeysError> {
        self.pending_keys += part.changed.len() + part.removed.len();
        if self.pending_keys > 2 * self.keys_max {
            let found = self.pending_keys;
            self.forget_pending();
            return Err(KeysError::TooMany {
                max: self.keys_max,
                found,
            });
        }
        let (last, epoch) = (part.last, part.epoch);
        self.pending.push(part);
        if !last {
            return Ok(None);
        }
        let parts = std::mem::take(&mut self.pending);
        self.forget_pending();
        let keys = self.applied(parts)?;
        let index = self.write(&keys, epoch)?;
        (self.keys, self.epoch) = (keys, epoch);
        Ok(Some(index))
    }

    fn applied(&self, parts: Vec<v1::KeyDelta>) -> Result<BTreeMap<KeyHash, String>, KeysError> {
        let replace = parts.iter().any(|part| part.replace);
        let mut keys = if replace {
            BTreeMap::new()
        } else {
            self.keys.clone()
        };
        for part in parts {
            for hmac in part.removed {
                keys.remove(&hash(&hmac)?);
            }
            for key in part.changed {
                let session = String::from_utf8(key.session);
                let session =
                    session.map_err(|_| KeysError::Malformed("a session is not UTF-8"))?;
                keys.insert(hash(&key.hmac)?, session);
            }
        }
        if keys.len() > self.keys_max {
            return Err(KeysError::TooMany {
                max: self.keys_max,
                found: keys.len(),
            });
        }
        Ok(keys)
    }

    fn write(
        &mut self,
        keys: &BTreeMap<KeyHash, String>,
        epoch: u64,
    ) -> Result<KeyIndex, KeysError> {
        // Named anew each time: the same epoch may come again with other keys after the control
        // plane's database was restored, and files never change.
        let nonce = getrandom::u32()
            .map_err(|e| StateError::at(&self.directory)(std::io::Error::other(e)))?;
        let name = format!("{epoch}-{nonce:08x}.idx");
        let path = self.directory.join(&name);
        write_index(&path, keys.iter().map(|(hash, session)| (*hash, session)))?;
        let current = self.directory.join("current");
        files::replace(&current, name.as_bytes()).map_err(StateError::at(&current))?;
        self.files.push(name);
        self.remove_old()?;
        Ok(KeyIndex { path, epoch })
    }

    fn remove_old(&mut self) -> Result<(), StateError> {
        let older = self.files.len().saturating_sub(OLDER_FILES_KEPT + 1);
        self.files.drain(..older);
        let kept: BTreeSet<&str> = self
            .files
            .iter()
            .map(String::as_str)
            .chain(["current"])
            .collect();
        let at = || StateError::at(&self.directory);
        for entry in std::fs::read_dir(&self.directory).map_err(at())? {
            let entry = entry.map_err(at())?;
            if entry
                .file_name()
                .to_str()
                .is_none_or(|name| !kept.contains(name))
            {
                files::remove(&entry.path()).map_err(at())?;
            }
        }
        Ok(())
    }
}

fn hash(hmac: &[u8]) -> Result<KeyHash, KeysError> {
    hmac.try_into()
        .map_err(|_| KeysError::Malformed("an HMAC does not have 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8, session: &str) -> v1::HashedKey {
        v1::HashedKey {
            hmac: vec![n; 32],
            key_id: format!("k{n}"),
            session: session.as_bytes().to_vec(),
        }
    }

    fn part(epoch: u64, changed: Vec<v1::HashedKey>, last: bool) -> v1::KeyDelta {
        v1::KeyDelta {
            replace: false,
            epoch,
            changed,
            removed: Vec::new(),
            last,
        }
    }

    fn ledger() -> (tempfile::TempDir, Store, KeyLedger) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("t/acme/production")).unwrap();
        let ledger = KeyLedger::new(&store, &Limits::for_tests());
        (folder, store, ledger)
    }

    fn session(index: &KeyIndex, n: u8) -> Option<bytes::Bytes> {
        crate::key_index::KeyIndex::open(&index.path)
            .unwrap()
            .session(&[n; 32])
    }

    #[test]
    fn parts_take_effect_together_and_differences_build_on_them() {
        let (_folder, store, mut ledger) = ledger();
        assert_eq!(
            ledger.take(part(1, vec![key(1, "{}")], false)).unwrap(),
            None
        );
        assert_eq!(KeyLedger::last_known(&store).unwrap(), None);
        let first = ledger
            .take(part(1, vec![key(2, r#"{"a":1}"#)], true))
            .unwrap()
            .unwrap();
        assert_eq!(session(&first, 2).as_deref(), Some(&br#"{"a":1}"#[..]));
        let removed = v1::KeyDelta {
            removed: vec![vec![1; 32]],
            ..part(2, vec![], true)
        };
        let second = ledger.take(removed).unwrap().unwrap();
        assert_eq!(
            (session(&second, 1), session(&second, 2).is_some()),
            (None, true)
        );
        assert_eq!(KeyLedger::last_known(&store).unwrap(), Some(second));
        assert_eq!(ledger.epoch(), 2);
    }

    #[test]
    fn replacing_difference_forgets_earlier_keys() {
        let (_folder, _store, mut ledger) = ledger();
        ledger.take(part(5, vec![key(1, "{}")], true)).unwrap();
        let replacing = v1::KeyDelta {
            replace: true,
            ..part(5, vec![key(2, "{}")], true)
        };
        let index = ledger.take(replacing).unwrap().unwrap();
        assert_eq!(
            (session(&index, 1).is_some(), session(&index, 2).is_some()),
            (false, true)
        );
    }

    #[test]
    fn malformed_or_excessive_keys_change_nothing() {
        let (_folder, store, mut ledger) = ledger();
        let good = ledger.take(part(1, vec![key(1, "{}")], true)).unwrap();
        let short = v1::HashedKey {
            hmac: vec![1; 31],
            ..key(1, "{}")
        };
        assert!(ledger.take(part(2, vec![short], true)).is_err());
        let many = (0..20).map(|n| key(n, "{}")).collect();
        assert!(matches!(
            ledger.take(part(2, many, true)),
            Err(KeysError::TooMany { .. })
        ));
        assert_eq!(ledger.epoch(), 1);
        assert_eq!(KeyLedger::last_known(&store).unwrap(), good);
    }

    #[test]
    fn old_index_files_go() {
        let (_folder, _store, mut ledger) = ledger();
        for epoch in 1..=10 {
            ledger.take(part(epoch, vec![key(1, "{}")], true)).unwrap();
        }
        let files = std::fs::read_dir(&ledger.directory).unwrap().count();
        assert_eq!(
            files,
            OLDER_FILES_KEPT + 2,
            "the newest, some older ones and `current`"
        );
    }
}
