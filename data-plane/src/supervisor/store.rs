//! What one environment keeps on disk so that it can start and serve with everything else down: the
//! revision in effect, its documents, its held APIs. Libraries are [`super::library`]'s, in the same
//! directory.
//!
//! Invariant: `revision.json` is replaced only after its generation serves, and every document in it
//! is on disk by then. What is read back is checked against its digest; what is damaged is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use gantry_domain::json::canonical;
use gantry_domain::release::RELEASE_BYTES_MAX;
use gantry_domain::{Digest, FieldError, Revision};
use serde::{Deserialize, Serialize};

use super::files;
use super::generation::EffectiveApi;
use super::state::{StateError, corrupt};
use crate::source::Snapshot;

/// Bytes of a document, at most: the largest are `OpenAPI` documents.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;
const _: () = assert!(RELEASE_BYTES_MAX <= DOCUMENT_BYTES_MAX);
/// Bytes of `revision.json`, at most.
const REVISION_BYTES_MAX: u64 = 256 << 20;

/// What served last.
#[derive(Debug)]
pub struct LastKnownGood {
    /// The revision with all its documents.
    pub snapshot: Snapshot,
    /// APIs that ran on instances of an earlier revision.
    pub held: BTreeMap<String, EffectiveApi>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevisionFile {
    revision: serde_json::Value,
    held: BTreeMap<String, EffectiveApi>,
}

/// The directory of one environment.
#[derive(Debug, Clone)]
pub struct Store {
    root: Arc<Path>,
}

impl Store {
    /// Opens the directory of an environment and makes what is missing.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(root: PathBuf) -> Result<Self, StateError> {
        let store = Self { root: root.into() };
        for directory in ["documents", "libraries", "keys"] {
            let path = store.directory(directory);
            files::make_directory(&path).map_err(StateError::at(&path))?;
            files::remove_staged(&path).map_err(StateError::at(&path))?;
        }
        files::remove_staged(&store.root).map_err(StateError::at(&store.root))?;
        Ok(store)
    }

    /// A directory of this environment: `documents`, `libraries` or `keys`.
    pub fn directory(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file of this environment.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn document_path(&self, digest: &Digest) -> PathBuf {
        self.directory("documents").join(digest.to_string())
    }

    /// A document, if it is here and whole. A damaged one is removed, so that it is fetched again.
    ///
    /// # Errors
    /// The system refuses.
    pub fn document(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>, StateError> {
        let path = self.document_path(digest);
        let bytes = files::read(&path, DOCUMENT_BYTES_MAX as u64).map_err(StateError::at(&path))?;
        match bytes {
            Some(bytes) if Digest::of(&bytes) == *digest => Ok(Some(bytes.into())),
            Some(_) => {
                tracing::warn!(code = "DOCUMENT_CORRUPT", document = %digest, "remove a damaged document");
                files::remove(&path).map_err(StateError::at(&path))?;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Keeps a document that was checked against its digest.
    ///
    /// # Errors
    /// The system refuses.
    pub fn keep_document(&self, digest: &Digest, body: &[u8]) -> Result<(), StateError> {
        let path = self.document_path(digest);
        files::replace(&path, body).map_err(StateError::at(&path))
    }

    /// Keeps the `OpenAPI` documents of a snapshot that are not here yet.
    ///
    /// # Errors
    /// The system refuses.
    pub fn keep_openapi(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        for digest in Snapshot::openapi_of(&snapshot.documents) {
            if let Some(body) = snapshot.documents.get(&digest)
                && !self.document_path(&digest).exists()
            {
                self.keep_document(&digest, body)?;
            }
        }
        Ok(())
    }

    /// What served last; none if nothing has, or if some of it is gone.
    ///
    /// # Errors
    /// The system refuses, or `revision.json` is damaged.
    pub fn last_known_good(&self) -> Result<Option<LastKnownGood>, StateError> {
        let path = self.file("revision.json");
        let bytes = files::read(&path, REVISION_BYTES_MAX).map_err(StateError::at(&path))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let file: RevisionFile = serde_json::from_slice(&bytes).map_err(|e| corrupt(&path, &e))?;
        let revision = Revision::parse(canonical(&file.revision).as_bytes())
            .map_err(|errors| corrupt(&path, &join(&errors)))?;
        let mut documents = BTreeMap::new();
        for digest in Snapshot::documents_of(&revision) {
            let Some(body) = self.document(&digest)? else {
                return Err(corrupt(&path, &format!("document {digest} is gone")));
            };
            documents.insert(digest, body);
        }
        for digest in Snapshot::openapi_of(&documents) {
            let Some(body) = self.document(&digest)? else {
                return Err(corrupt(&path, &format!("document {digest} is gone")));
            };
            documents.insert(digest, body);
        }
        let snapshot = Snapshot {
            revision,
            documents,
        };
        Ok(Some(LastKnownGood {
            snapshot,
            held: file.held,
        }))
    }

    /// When what serves was kept last.
    pub fn last_known_good_at(&self) -> Option<SystemTime> {
        fs::metadata(self.file("revision.json"))
            .ok()?
            .modified()
            .ok()
    }

    /// Libraries that are here.
    pub fn libraries_count(&self) -> u64 {
        let entries = fs::read_dir(self.directory("libraries"));
        let is_library = |entry: &io::Result<fs::DirEntry>| {
            let name = entry.as_ref().map(fs::DirEntry::file_name);
            name.is_ok_and(|name| Path::new(&name).extension() == Some(OsStr::new("so")))
        };
        entries.map_or(0, |entries| entries.filter(is_library).count() as u64)
    }

    /// Makes a snapshot the one that the next start serves.
    ///
    /// # Errors
    /// The system refuses.
    pub fn keep(
        &self,
        snapshot: &Snapshot,
        held: BTreeMap<String, EffectiveApi>,
    ) -> Result<(), StateError> {
        // Usually all are here; a sweep for the revision before may have taken some.
        for (digest, body) in &snapshot.documents {
            if !self.document_path(digest).exists() {
                self.keep_document(digest, body)?;
            }
        }
        let path = self.file("revision.json");
        let file = RevisionFile {
            revision: snapshot.revision.to_json(),
            held,
        };
        let content = serde_json::to_vec(&file).map_err(|e| corrupt(&path, &e))?;
        files::replace(&path, &content).map_err(StateError::at(&path))
    }

    /// Removes files of a directory that nothing needs any more: all but those kept and those that are
    /// being written.
    ///
    /// # Errors
    /// The system refuses.
    pub fn sweep(&self, name: &str, kept: &BTreeSet<String>) -> Result<usize, StateError> {
        let directory = self.directory(name);
        let mut removed = 0;
        for entry in fs::read_dir(&directory).map_err(StateError::at(&directory))? {
            let entry = entry.map_err(StateError::at(&directory))?;
            let name = entry.file_name();
            let needed = |name: &str| kept.contains(name) || files::is_staged(name);
            if !name.to_str().is_some_and(needed) {
                files::remove(&entry.path()).map_err(StateError::at(&entry.path()))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn join(errors: &[FieldError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("t/acme/production")).unwrap();
        (folder, store)
    }

    fn snapshot(number: u64, definition: &str) -> Snapshot {
        let mut revision = Revision {
            number,
            ..Revision::empty()
        };
        revision
            .apis
            .insert("a".parse().unwrap(), Digest::of(definition));
        let documents = BTreeMap::from([(Digest::of(definition), definition.as_bytes().into())]);
        Snapshot {
            revision,
            documents,
        }
    }

    #[test]
    fn damaged_document_is_removed_and_counts_as_absent() {
        let (_folder, store) = store();
        let digest = Digest::of("whole");
        store.keep_document(&digest, b"whole").unwrap();
        assert_eq!(
            store.document(&digest).unwrap().as_deref(),
            Some(&b"whole"[..])
        );
        fs::write(store.document_path(&digest), "torn").unwrap();
        assert_eq!(store.document(&digest).unwrap(), None);
        assert!(!store.document_path(&digest).exists());
    }

    #[test]
    fn last_known_good_comes_back_with_its_documents() {
        let (_folder, store) = store();
        assert!(store.last_known_good().unwrap().is_none());
        store.keep(&snapshot(7, "{}"), BTreeMap::new()).unwrap();
        let last = store.last_known_good().unwrap().unwrap();
        assert_eq!(last.snapshot, snapshot(7, "{}"));
    }

    #[test]
    fn last_known_good_without_one_of_its_documents_is_refused() {
        let (_folder, store) = store();
        store.keep(&snapshot(7, "{}"), BTreeMap::new()).unwrap();
        fs::remove_file(store.document_path(&Digest::of("{}"))).unwrap();
        assert!(matches!(
            store.last_known_good(),
            Err(StateError::Corrupt { .. })
        ));
    }

    #[test]
    fn sweep_removes_only_what_nothing_needs() {
        let (_folder, store) = store();
        let (kept, gone) = (Digest::of("kept"), Digest::of("gone"));
        store.keep_document(&kept, b"kept").unwrap();
        store.keep_document(&gone, b"gone").unwrap();
        let removed = store
            .sweep("documents", &BTreeSet::from([kept.to_string()]))
            .unwrap();
        assert_eq!(removed, 1);
        assert!(store.document(&kept).unwrap().is_some());
        assert!(store.document(&gone).unwrap().is_none());
    }
}
