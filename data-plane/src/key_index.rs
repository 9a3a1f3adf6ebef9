//! The index of consumer keys: one file that the supervisor writes and all workers map.
//!
//! | bytes | content |
//! |---|---|
//! | 8 | `GANTRYKI` |
//! | 4 | format, 2 |
//! | 4 | number of keys, n |
//! | 32 × n | HMAC-SHA256 of each key under the environment's pepper, ascending, each once |
//! | 8 × (n + 1) | where each key's entry begins, and where the last ends, counted from the first |
//! | the rest | entries: length of the rules (4 bytes), rules, session document (JSON) |
//!
//! Numbers are little-endian. An entry of format 1, which an earlier build may have left, is a session
//! document alone. The file holds no key in clear: who reads it learns no credential.
//!
//! Invariant: a damaged index finds no key that was not asked for, reads nothing beyond the file, and
//! does not panic.

mod rules;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bytes::{Buf as _, Bytes};
use gantry_domain::{Limits, SessionRules};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;

pub use self::rules::PackedRules;
use crate::sys::mapping::Mapping;

const MAGIC: [u8; 8] = *b"GANTRYKI";
const FORMAT: u32 = 2;
/// What an earlier build wrote.
const FORMAT_WITHOUT_RULES: u32 = 1;
const HEAD: usize = 16;
const HASH: usize = 32;
const OFFSET: usize = 8;
const RULES_LENGTH: usize = 4;

/// The HMAC of a consumer key.
pub type KeyHash = [u8; HASH];

/// Why there is no index.
#[derive(Debug, Error)]
pub enum KeyIndexError {
    /// The file system refused.
    #[error("key index: {0}")]
    Io(#[from] io::Error),
    /// The file is none, or is cut.
    #[error("key index is damaged: {0}")]
    Damaged(&'static str),
    /// It was written by another build.
    #[error("key index has format {0}; expected {FORMAT}")]
    OtherFormat(u32),
    /// Two keys of one hash, or more keys than the format holds.
    #[error("key index cannot hold these keys: {0}")]
    Unfit(&'static str),
}

impl KeyIndexError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "KEY_INDEX_IO",
            Self::Damaged(_) => "KEY_INDEX_DAMAGED",
            Self::OtherFormat(_) => "KEY_INDEX_FORMAT",
            Self::Unfit(_) => "KEY_INDEX_UNFIT",
        }
    }
}

/// Hashes keys under one pepper.
#[derive(Debug, Clone)]
pub struct KeyHasher(Hmac<Sha256>);

impl KeyHasher {
    /// A hasher for this pepper.
    #[expect(clippy::missing_panics_doc, reason = "HMAC takes keys of any length")]
    pub fn new(pepper: &[u8]) -> Self {
        Self(Hmac::new_from_slice(pepper).expect("HMAC takes keys of any length"))
    }

    /// The hash of a key.
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let mut mac = self.0.clone();
        mac.update(key);
        mac.finalize().into_bytes().into()
    }
}

/// Writes an index under a temporary name beside `path` and renames it, so that readers find the old
/// one or the new one. Keys come in any order, each with its session document.
///
/// # Errors
/// The file system refuses, or a key is there twice.
pub fn write_index<S: AsRef<str>>(
    path: &Path,
    keys: impl IntoIterator<Item = (KeyHash, S)>,
) -> Result<(), KeyIndexError> {
    let mut keys: Vec<_> = keys.into_iter().collect();
    keys.sort_unstable_by_key(|(hash, _)| *hash);
    if keys.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(KeyIndexError::Unfit("two keys have the same hash"));
    }
    let count = u32::try_from(keys.len()).map_err(|_| KeyIndexError::Unfit("too many"))?;
    let temporary = path.with_extension("tmp");
    let mut out = BufWriter::new(File::create(&temporary)?);
    out.write_all(&MAGIC)?;
    out.write_all(&FORMAT.to_le_bytes())?;
    out.write_all(&count.to_le_bytes())?;
    keys.iter().try_for_each(|(hash, _)| out.write_all(hash))?;
    let mut end = 0u64;
    out.write_all(&end.to_le_bytes())?;
    let limits = Limits::default();
    let mut all_rules = Vec::with_capacity(keys.len());
    for (_, session) in &keys {
        let rules = SessionRules::read(session.as_ref().as_bytes(), &limits);
        let rules = PackedRules::pack(&rules);
        end += (RULES_LENGTH + rules.len() + session.as_ref().len()) as u64;
        out.write_all(&end.to_le_bytes())?;
        all_rules.push(rules);
    }
    for ((_, session), rules) in keys.iter().zip(&all_rules) {
        let length = u32::try_from(rules.len()).map_err(|_| KeyIndexError::Unfit("too long"))?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(rules)?;
        out.write_all(session.as_ref().as_bytes())?;
    }
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.set_permissions(fs::Permissions::from_mode(0o400))?;
    file.sync_all()?;
    Ok(fs::rename(&temporary, path)?)
}

/// An index, mapped.
#[derive(Debug, Clone)]
pub struct KeyIndex {
    bytes: Bytes,
    count: usize,
    has_rules: bool,
}

/// What the index knows of a key; shares the mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Its session document, JSON.
    pub session: Bytes,
    /// What the document says, unless an earlier build wrote the index.
    pub rules: Option<PackedRules>,
}

impl KeyIndex {
    /// Maps an index. The file must stay as it is; [`write_index`] replaces, it does not change.
    ///
    /// # Errors
    /// It cannot be read, or is no index of this format.
    pub fn open(path: &Path) -> Result<Self, KeyIndexError> {
        let mapping = Mapping::of(&File::open(path)?)?;
        Self::of(Bytes::from_owner(mapping))
    }

    fn of(bytes: Bytes) -> Result<Self, KeyIndexError> {
        let damaged = KeyIndexError::Damaged;
        if bytes.get(..MAGIC.len()) != Some(&MAGIC) {
            return Err(damaged("it does not begin as one"));
        }
        let number = |at: usize| {
            let four: Option<[u8; 4]> = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
            four.map(u32::from_le_bytes)
        };
        let has_rules = match number(8) {
            Some(FORMAT) => true,
            Some(FORMAT_WITHOUT_RULES) => false,
            Some(other) => return Err(KeyIndexError::OtherFormat(other)),
            None => return Err(damaged("it ends within its head")),
        };
        let count = number(12).ok_or(damaged("it ends within its head"))? as usize;
        let index = Self {
            bytes,
            count,
            has_rules,
        };
        if index.documents() > index.bytes.len() {
            return Err(damaged("it ends within its tables"));
        }
        match index.offset(count) {
            Some(end) if index.documents().checked_add(end) == Some(index.bytes.len()) => Ok(index),
            _ => Err(damaged("its length is not what its tables say")),
        }
    }

    /// How many keys there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The session document of a key; none if there is no such key. The document shares the mapping.
    pub fn session(&self, hash: &KeyHash) -> Option<Bytes> {
        self.find(hash).map(|key| key.session)
    }

    /// A key; none if there is no such one.
    pub fn find(&self, hash: &KeyHash) -> Option<KnownKey> {
        let hashes = self.bytes.get(HEAD..self.offsets())?;
        let (hashes, _) = hashes.as_chunks::<HASH>();
        let place = hashes.binary_search(hash).ok()?;
        let base = self.documents();
        let begin = base.checked_add(self.offset(place)?)?;
        let end = base.checked_add(self.offset(place + 1)?)?;
        if begin > end || end > self.bytes.len() {
            return None;
        }
        let mut session = self.bytes.slice(begin..end);
        if !self.has_rules {
            return Some(KnownKey {
                session,
                rules: None,
            });
        }
        let length = session.try_get_u32_le().ok()? as usize;
        let rules = (length <= session.len()).then(|| session.split_to(length))?;
        Some(KnownKey {
            session,
            rules: Some(PackedRules::of(rules)),
        })
    }

    const fn offsets(&self) -> usize {
        HEAD + self.count * HASH
    }

    const fn documents(&self) -> usize {
        self.offsets() + (self.count + 1) * OFFSET
    }

    fn offset(&self, place: usize) -> Option<usize> {
        let at = self.offsets() + place * OFFSET;
        let bytes: [u8; OFFSET] = self.bytes.get(at..at + OFFSET)?.try_into().ok()?;
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(keys: &[(KeyHash, &str)]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        write_index(&path, keys.iter().copied()).unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn written_keys_are_found_with_their_sessions_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let hasher = KeyHasher::new(b"pepper");
        let keys: Vec<_> = (0..100)
            .map(|n: i32| (hasher.hash(&n.to_le_bytes()), format!("{{\"n\":{n}}}")))
            .collect();
        write_index(&path, keys.clone()).unwrap();
        let index = KeyIndex::open(&path).unwrap();
        assert_eq!(index.len(), 100);
        for (hash, session) in keys {
            assert_eq!(index.session(&hash).unwrap(), session);
        }
        assert_eq!(index.session(&hasher.hash(b"unknown")), None);
        assert_eq!(
            index.session(&KeyHasher::new(b"other").hash(&0i32.to_le_bytes())),
            None
        );
    }

    #[test]
    fn hash_is_the_hmac_of_the_standard() {
        // RFC 4231, test case 2.
        let hash = KeyHasher::new(b"Jefe").hash(b"what do ya want for nothing?");
        assert_eq!(hash[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(hash[28..], [0x64, 0xec, 0x38, 0x43]);
    }

    #[test]
    fn index_without_keys_is_one() {
        let index = KeyIndex::of(bytes_of(&[]).into()).unwrap();
        assert!(index.is_empty());
        assert_eq!(index.session(&[0; HASH]), None);
    }

    #[test]
    fn key_has_its_rules_beside_its_document_and_an_older_index_none() {
        let document = r#"{"expires":7}"#;
        let index = KeyIndex::of(bytes_of(&[([1; HASH], document)]).into()).unwrap();
        let key = index.find(&[1; HASH]).unwrap();
        assert_eq!(key.session, document);
        assert_eq!(key.rules.unwrap().facts().expires_s, 7);
        let mut older = Vec::from(*b"GANTRYKI");
        older.extend(1u32.to_le_bytes());
        older.extend(1u32.to_le_bytes());
        older.extend([1; HASH]);
        older.extend(0u64.to_le_bytes());
        older.extend((document.len() as u64).to_le_bytes());
        older.extend(document.as_bytes());
        let key = KeyIndex::of(older.into()).unwrap().find(&[1; HASH]);
        let (session, rules) = (Bytes::from_static(document.as_bytes()), None);
        assert_eq!(key, Some(KnownKey { session, rules }));
    }

    #[test]
    fn replaced_index_leaves_readers_of_the_old_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        write_index(&path, [([1; HASH], "{}")]).unwrap();
        let old = KeyIndex::open(&path).unwrap();
        write_index(&path, [([2; HASH], "{}")]).unwrap();
        assert!(old.session(&[1; HASH]).is_some());
        assert!(KeyIndex::open(&path).unwrap().session(&[1; HASH]).is_none());
    }

    #[test]
    fn doubled_key_is_refused_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let error = write_index(&path, [([1; HASH], "{}"), ([1; HASH], "{}")]).unwrap_err();
        assert_eq!(error.code(), "KEY_INDEX_UNFIT");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn cut_and_foreign_files_are_refused() {
        let whole = bytes_of(&[([1; HASH], r#"{"a":1}"#), ([2; HASH], "{}")]);
        for len in 0..whole.len() {
            assert!(
                KeyIndex::of(Bytes::copy_from_slice(&whole[..len])).is_err(),
                "{len} bytes"
            );
        }
        let mut other = whole;
        other[8] = 3;
        assert_eq!(
            KeyIndex::of(other.into()).unwrap_err().code(),
            "KEY_INDEX_FORMAT"
        );
    }

    proptest! {
        #[test]
        fn damaged_index_never_panics(at in 8usize..200, with: [u8; 8], probe: [u8; HASH]) {
            let mut bytes = bytes_of(&[([1; HASH], r#"{"a":1}"#), ([2; HASH], "{}"), ([3; HASH], "{}")]);
            let end = bytes.len().min(at + with.len());
            let at = at.min(end);
            bytes[at..end].copy_from_slice(&with[..end - at]);
            if let Ok(index) = KeyIndex::of(bytes.into()) {
                for hash in [probe, [1; HASH], [2; HASH], [3; HASH]] {
                    let _ = index.session(&hash);
                }
            }
        }
    }
}
