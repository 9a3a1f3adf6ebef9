//! The library store: native files by digest. A file gets its name only when its bytes are proven,
//! and is proven again before it is handed to anyone who would load it.
//!
//! Invariant: a path from [`Libraries::verified`] held exactly the bytes of its digest at that
//! moment, in a directory that only this user can write; files are never rewritten in place.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gantry_domain::Digest;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::files;
use super::state::StateError;
use super::store::Store;

/// Bytes hashed at a time.
const HASH_BUFFER_BYTES: usize = 256 << 10;
/// Readable and executable by this user, writable by nobody.
const LIBRARY_MODE: u32 = 0o500;

/// Why incoming bytes do not become a library.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// More or fewer bytes than the release says.
    #[error("library {digest} has {expected} bytes; {found} came (LIBRARY_SIZE)")]
    Size {
        /// The library.
        digest: Digest,
        /// Bytes by the release.
        expected: u64,
        /// Bytes that came, at least.
        found: u64,
    },
    /// Other bytes than the release says.
    #[error("library {digest} was expected; bytes of digest {found} came (LIBRARY_DIGEST)")]
    Digest {
        /// The library.
        digest: Digest,
        /// What came.
        found: Digest,
    },
    /// The system refused.
    #[error(transparent)]
    State(#[from] StateError),
}

impl LibraryError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Size { .. } => "LIBRARY_SIZE",
            Self::Digest { .. } => "LIBRARY_DIGEST",
            Self::State(_) => "STATE_UNUSABLE",
        }
    }
}

/// The libraries of one environment.
#[derive(Debug, Clone)]
pub struct Libraries {
    directory: PathBuf,
}

impl Libraries {
    /// Those of this store.
    pub fn of(store: &Store) -> Self {
        Self {
            directory: store.directory("libraries"),
        }
    }

    /// The file's name in the store.
    pub fn file_name(digest: &Digest) -> String {
        format!("{digest}.so")
    }

    /// Where a library lies, if it does.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(Self::file_name(digest))
    }

    /// The path of a library whose bytes were hashed just now; none if it is not here. A damaged file
    /// is removed, so that it is fetched again. Blocks while it reads the whole file.
    ///
    /// # Errors
    /// The system refuses.
    pub fn verified(&self, digest: &Digest) -> Result<Option<PathBuf>, StateError> {
        let path = self.path(digest);
        let found = match hash(&path) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StateError::at(&path)(e)),
        };
        if found == *digest {
            return Ok(Some(path));
        }
        tracing::error!(
            code = "LIBRARY_CORRUPT", plugin.digest = %digest, %found,
            "library {} on disk is damaged; it is removed and fetched again", digest.short()
        );
        files::remove(&path).map_err(StateError::at(&path))?;
        Ok(None)
    }

    /// Begins to take in a library of known size.
    ///
    /// # Errors
    /// The system refuses.
    pub fn receive(&self, digest: Digest, size_bytes: u64) -> Result<Incoming, StateError> {
        let (staged, file) =
            files::stage(&self.directory).map_err(StateError::at(&self.directory))?;
        let target = self.path(&digest);
        Ok(Incoming {
            digest,
            size_bytes,
            written: 0,
            hasher: Sha256::new(),
            file,
            staged: Staged(staged),
            target,
        })
    }
}

/// A library on its way in.
pub struct Incoming {
    digest: Digest,
    size_bytes: u64,
    written: u64,
    hasher: Sha256,
    file: File,
    staged: Staged,
    target: PathBuf,
}

/// A temporary file that goes unless it was renamed.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // After the rename there is nothing of this name; before it, the next start would remove it.
        let _ = fs::remove_file(&self.0);
    }
}

impl Incoming {
    /// Bytes taken so far: where an interrupted transfer goes on.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether all bytes are there.
    pub fn is_complete(&self) -> bool {
        self.written == self.size_bytes
    }

    /// Takes the next bytes, hashing them on the way.
    ///
    /// # Errors
    /// More bytes come than the release says, or the system refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LibraryError> {
        let written = self.written.saturating_add(bytes.len() as u64);
        if written > self.size_bytes {
            return Err(LibraryError::Size {
                digest: self.digest,
                expected: self.size_bytes,
                found: written,
            });
        }
        self.file
            .write_all(bytes)
            .map_err(StateError::at(&self.staged.0))?;
        self.hasher.update(bytes);
        self.written = written;
        Ok(())
    }

    /// Gives the file its name, if its bytes are those of its digest.
    ///
    /// # Errors
    /// Size or digest differ (nothing is kept then), or the system refuses.
    pub fn finish(self) -> Result<PathBuf, LibraryError> {
        if !self.is_complete() {
            return Err(LibraryError::Size {
                digest: self.digest,
                expected: self.size_bytes,
                found: self.written,
            });
        }
        let found = Digest::from_bytes(self.hasher.finalize().into());
        if found != self.digest {
            return Err(LibraryError::Digest {
                digest: self.digest,
                found,
            });
        }
        let staged = &self.staged.0;
        let published = self
            .file
            .set_permissions(fs::Permissions::from_mode(LIBRARY_MODE))
            .and_then(|()| self.file.sync_all())
            .and_then(|()| fs::rename(staged, &self.target))
            .and_then(|()| files::flush_directory(self.target.parent().unwrap_or(Path::new("."))));
        published.map_err(StateError::at(&self.target))?;
        Ok(self.target.clone())
    }
}

fn hash(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = b"\x7fELF and so on";

    fn libraries() -> (tempfile::TempDir, Libraries) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("t/acme/production")).unwrap();
        (folder, Libraries::of(&store))
    }

    fn entries(libraries: &Libraries) -> usize {
        fs::read_dir(&libraries.directory).unwrap().count()
    }

    #[test]
    fn proven_library_gets_its_name_and_cannot_be_written() {
        let (_folder, libraries) = libraries();
        let digest = Digest::of(BYTES);
        assert_eq!(libraries.verified(&digest).unwrap(), None);
        let mut incoming = libraries.receive(digest, BYTES.len() as u64).unwrap();
        for part in BYTES.chunks(5) {
            incoming.write(part).unwrap();
        }
        let path = incoming.finish().unwrap();
        assert_eq!(libraries.verified(&digest).unwrap(), Some(path.clone()));
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            LIBRARY_MODE
        );
        assert_eq!(entries(&libraries), 1);
    }

    #[test]
    fn other_bytes_than_promised_leave_nothing_behind() {
        let (_folder, libraries) = libraries();
        let digest = Digest::of(BYTES);
        let mut lying = libraries.receive(digest, 3).unwrap();
        lying.write(b"abc").unwrap();
        assert!(matches!(lying.finish(), Err(LibraryError::Digest { .. })));
        let mut long = libraries.receive(digest, 3).unwrap();
        assert!(matches!(
            long.write(b"abcd"),
            Err(LibraryError::Size { found: 4, .. })
        ));
        drop(long);
        let short = libraries.receive(digest, 3).unwrap();
        assert!(matches!(
            short.finish(),
            Err(LibraryError::Size { found: 0, .. })
        ));
        assert_eq!(entries(&libraries), 0);
    }

    #[test]
    fn library_damaged_on_disk_is_removed() {
        let (_folder, libraries) = libraries();
        let digest = Digest::of(BYTES);
        fs::write(libraries.path(&digest), "rotten").unwrap();
        assert_eq!(libraries.verified(&digest).unwrap(), None);
        assert_eq!(entries(&libraries), 0);
    }
}
