//! Opening a library from the store: hashed again right before, so that what runs is what was admitted.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry_domain::Digest;
use gantry_plugin_host::{Library, LoadError};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::sys::preemption;

/// Bytes that are read at once for hashing.
const PIECE_BYTES: usize = 64 << 10;

/// Why a library of the store was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error("read library {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Its bytes are not what was admitted.
    #[error("library {path} has digest {found}; expected {expected}", path = path.display())]
    DigestDiffers {
        /// The file.
        path: PathBuf,
        /// The digest that was admitted.
        expected: Digest,
        /// The digest of the bytes there.
        found: Digest,
    },
    /// It changed while it was being opened.
    #[error("library {path} changed while it was being opened", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The signal that runtimes of libraries need could not be shared among them.
    #[error("share SIGURG with library {path}: {source}", path = path.display())]
    SignalNotShared {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The loader or the contract refused it.
    #[error(transparent)]
    Refused(#[from] LoadError),
}

impl OpenError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "LIBRARY_UNREADABLE",
            Self::DigestDiffers { .. } => "LIBRARY_DIGEST_DIFFERS",
            Self::Changed { .. } => "LIBRARY_CHANGED",
            Self::SignalNotShared { .. } => "LIBRARY_SIGNAL_NOT_SHARED",
            Self::Refused(error) => error.code(),
        }
    }
}

/// Hashes the file and opens it, if it is the one that was admitted and stays so meanwhile. The store's
/// directory belongs to the supervisor; this guards against what went wrong below it.
///
/// # Errors
/// As [`OpenError`] says.
pub fn open(path: &Path, digest: &Digest) -> Result<Arc<Library>, OpenError> {
    let unreadable = |source| OpenError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let before = file.metadata().map_err(unreadable)?;
    let found = digest_of(&mut file).map_err(unreadable)?;
    if found != *digest {
        return Err(OpenError::DigestDiffers {
            path: path.to_owned(),
            expected: *digest,
            found,
        });
    }
    let opened = Library::open(path);
    // Also after a refusal: a runtime that came with it stays.
    preemption::share().map_err(|source| OpenError::SignalNotShared {
        path: path.to_owned(),
        source,
    })?;
    let library = opened?;
    let after = file.metadata().map_err(unreadable)?;
    let at_path = path.metadata().map_err(unreadable)?;
    if identity(&before) != identity(&after) || identity(&before) != identity(&at_path) {
        return Err(OpenError::Changed {
            path: path.to_owned(),
        });
    }
    Ok(library)
}

fn digest_of(file: &mut File) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            len => hasher.update(&piece[..len]),
        }
    }
}

type Identity = (u64, u64, u64, i64, i64, i64, i64);

fn identity(file: &Metadata) -> Identity {
    let changed = (file.ctime(), file.ctime_nsec());
    (
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        changed.0,
        changed.1,
    )
}

/// Where a library's code lies in this process, as the system's table of mappings has it.
pub fn code_ranges(path: &Path) -> Vec<(u64, u64)> {
    let Ok(path) = path.canonicalize() else {
        return Vec::new();
    };
    let table = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| executable_range(line, &path))
        .collect()
}

/// Reads a line such as `7f00-7f10 r-xp 00000000 fe:00 1234    /path`.
fn executable_range(line: &str, path: &Path) -> Option<(u64, u64)> {
    let mut fields = line.splitn(6, ' ');
    let (begin, end) = fields.next()?.split_once('-')?;
    let executable = fields.next()?.contains('x');
    let file = Path::new(fields.nth(3)?.trim_start());
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    (executable && file == path).then_some((number(begin)?, number(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_is_not_what_was_admitted_is_refused_before_it_is_opened() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"not a library").unwrap();
        let code = |digest| open(file.path(), &digest).unwrap_err().code();
        assert_eq!(code(Digest::of(b"another")), "LIBRARY_DIGEST_DIFFERS");
        assert_eq!(code(Digest::of(b"not a library")), "LIBRARY_OPEN_FAILED");
        let missing = open(Path::new("/nowhere/x.so"), &Digest::of(b"")).unwrap_err();
        assert_eq!(missing.code(), "LIBRARY_UNREADABLE");
    }

    #[test]
    fn code_of_this_program_is_found() {
        let program = std::env::current_exe().unwrap();
        let here = code_of_this_program_is_found as *const () as u64;
        let ranges = code_ranges(&program);
        assert!(
            ranges
                .iter()
                .any(|(begin, end)| (*begin..*end).contains(&here)),
            "{ranges:x?}"
        );
        assert_eq!(code_ranges(Path::new("/nowhere")), []);
    }
}
