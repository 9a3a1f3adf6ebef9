//! A folder in place of a control plane: what lies in it is read, admitted and composed to revisions by
//! the same rules, and everything after that is the same code.
//!
//! ```text
//! apis/{api_id}.json      API definitions
//! bundles/{any}/          manifest.json and its files, or
//! bundles/{any}.zip       the same, packed
//! libraries/{any}.so      libraries that definitions name themselves
//! keys.json               consumer keys
//! ```
//!
//! Invariants: a file that is refused changes nothing for what it does not concern, and what was taken
//! from it before stays; a folder that cannot be read, or holds no definition, is no answer; no file of
//! the folder is mapped or loaded: bytes are copied into the store by digest.

mod bundles;
mod compose;
mod contents;
mod definitions;
mod files;
mod keys;
mod libraries;
mod look;

pub mod check;
pub mod watch;

use std::fs;

use gantry_telemetry::Secret;

pub use files::FolderFiles;

use crate::config::Folder;
use crate::supervisor::files as whole;
use crate::supervisor::state::{Identity, PEPPER_BYTES_MAX, StateError};
use crate::supervisor::store::Store;

/// Bytes of a pepper that is made here.
const PEPPER_BYTES: usize = 32;
/// Where archives are unpacked, below the state.
const UNPACKED: &str = "unpacked";

/// A file that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    code: &'static str,
    message: String,
}

impl Refused {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn unreadable(error: &std::io::Error) -> Self {
        Self::new("FILE_UNREADABLE", error.to_string())
    }
}

/// Whom the gateway works for: as configured, with the pepper of the folder's keys, or else one of its
/// own, which stays.
///
/// # Errors
/// The state cannot be used.
pub fn identity(store: &Store, folder: &Folder) -> Result<Identity, StateError> {
    let unpacked = store.file(UNPACKED);
    // What an earlier process unpacked and had no time to remove.
    match fs::remove_dir_all(&unpacked) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(StateError::at(&unpacked)(e));
        }
        _ => whole::make_directory(&unpacked).map_err(StateError::at(&unpacked))?,
    }
    let path = store.file("pepper");
    let kept = whole::read(&path, PEPPER_BYTES_MAX as u64).map_err(StateError::at(&path))?;
    let given = keys::pepper(&folder.path);
    let pepper = match (given, &kept) {
        (Some(given), _) => given,
        (None, Some(kept)) => kept.clone(),
        (None, None) => {
            let mut made = vec![0; PEPPER_BYTES];
            getrandom::fill(&mut made)
                .map_err(|e| StateError::at(&path)(std::io::Error::other(e)))?;
            made
        }
    };
    if kept.as_ref() != Some(&pepper) {
        whole::replace(&path, &pepper).map_err(StateError::at(&path))?;
    }
    Ok(Identity {
        tenant: folder.tenant.clone(),
        environment: folder.environment.clone(),
        key_pepper: Secret::new(pepper),
    })
}
