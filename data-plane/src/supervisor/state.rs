//! The state directory: the lock that keeps a second process out, this gateway's identifier, and
//! whose state this is. What belongs to a tenant lies below `t/{tenant}/{environment}` and is
//! [`super::store`]'s.
//!
//! Invariant: state is opened for the token it was made with, or for a tenant and environment that
//! the control plane has just confirmed; for nobody else.

use std::fmt::Display;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use gantry_domain::{Digest, EnvironmentName, GatewayId, TenantId};
use gantry_telemetry::Secret;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::files;
use crate::config::{Folder, Token};

/// Bytes of the small files at the top, at most.
const SMALL_BYTES_MAX: u64 = 64 << 10;
/// Characters of the digest of a folder's path that name its state.
const FOLDER_NAME_CHARS: usize = 16;
/// Bytes of the pepper, at most.
pub const PEPPER_BYTES_MAX: usize = 256;

/// Why the state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Another gateway runs on it.
    #[error("state directory {0} is in use by another gateway (STATE_LOCKED)")]
    Locked(PathBuf),
    /// Others may write to it: what they put there would be loaded as native code.
    #[error(
        "state directory {path} has mode {mode:o}; expected no access for group and others (STATE_EXPOSED)"
    )]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file does not hold what it should.
    #[error("read {path}: {message} (STATE_CORRUPT)")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The system refused.
    #[error("use {path}: {source} (STATE_UNUSABLE)")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StateError {
    /// Names the path that an operation was about.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Whom this gateway works for, as the control plane said of its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tenant.
    pub tenant: TenantId,
    /// The environment.
    pub environment: EnvironmentName,
    /// Under which consumer keys are hashed.
    pub key_pepper: Secret<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    token_id: String,
    token_sha256: String,
    tenant: String,
    environment: String,
    key_pepper: Vec<u8>,
}

/// The directory, locked for this process while it lives.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Opens the directory, makes it if need be, and locks it.
    ///
    /// # Errors
    /// Another process holds it, others can get at it, or the system refuses.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        files::make_directory(root).map_err(StateError::at(root))?;
        let root = root.canonicalize().map_err(StateError::at(root))?;
        let metadata = root.metadata().map_err(StateError::at(&root))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(StateError::Exposed { path: root, mode });
        }
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        let lock = lock.map_err(StateError::at(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked(root)),
            Err(TryLockError::Error(e)) => return Err(StateError::at(&path)(e)),
        }
        files::remove_staged(&root).map_err(StateError::at(&root))?;
        Ok(Self { root, _lock: lock })
    }

    /// Where a tenant's environment keeps its state: tenant first.
    pub fn environment(&self, identity: &Identity) -> PathBuf {
        self.root
            .join("t")
            .join(identity.tenant.as_str())
            .join(identity.environment.as_str())
    }

    /// Where what comes from a folder is kept: tenant first, and apart for each folder, so that state
    /// that was made from one is never served for another, nor for a control plane.
    pub fn standalone(&self, folder: &Folder) -> PathBuf {
        let path = std::path::absolute(&folder.path).unwrap_or_else(|_| folder.path.clone());
        let place = Digest::of(path.as_os_str().as_encoded_bytes()).to_string();
        self.root
            .join("standalone")
            .join(folder.tenant.as_str())
            .join(folder.environment.as_str())
            .join(&place[..FOLDER_NAME_CHARS])
    }

    /// The identifier that this gateway has had since its first start, made from the host's name.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn gateway_id(&self) -> Result<GatewayId, StateError> {
        let path = self.root.join("gateway-id");
        let known = files::read(&path, SMALL_BYTES_MAX).map_err(StateError::at(&path))?;
        if let Some(bytes) = known {
            let text = String::from_utf8_lossy(&bytes);
            return text.trim().parse().map_err(|e| corrupt(&path, &e));
        }
        let id = new_gateway_id().map_err(StateError::at(&path))?;
        files::replace(&path, format!("{id}\n").as_bytes()).map_err(StateError::at(&path))?;
        Ok(id)
    }

    /// Whom this token worked for when it last reached the control plane. None for another token:
    /// it gets at this state only when the control plane confirms the same tenant.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn identity(&self, token: &Token) -> Result<Option<Identity>, StateError> {
        let path = self.root.join("identity.json");
        let Some(bytes) = files::read(&path, SMALL_BYTES_MAX).map_err(StateError::at(&path))?
        else {
            return Ok(None);
        };
        let file: IdentityFile = serde_json::from_slice(&bytes).map_err(|e| corrupt(&path, &e))?;
        let known: Digest = file.token_sha256.parse().map_err(|e| corrupt(&path, &e))?;
        if known != token.digest() || file.token_id != token.id().as_str() {
            return Ok(None);
        }
        Ok(Some(Identity {
            tenant: file.tenant.parse().map_err(|e| corrupt(&path, &e))?,
            environment: file.environment.parse().map_err(|e| corrupt(&path, &e))?,
            key_pepper: Secret::new(file.key_pepper),
        }))
    }

    /// Remembers whom a token works for.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remember(&self, token: &Token, identity: &Identity) -> Result<(), StateError> {
        let path = self.root.join("identity.json");
        let file = IdentityFile {
            token_id: token.id().to_string(),
            token_sha256: token.digest().to_string(),
            tenant: identity.tenant.to_string(),
            environment: identity.environment.to_string(),
            key_pepper: identity.key_pepper.expose().clone(),
        };
        let content = serde_json::to_vec(&file).map_err(|e| corrupt(&path, &e))?;
        files::replace(&path, &content).map_err(StateError::at(&path))
    }
}

/// A damaged file, named.
pub(super) fn corrupt(path: &Path, message: &dyn Display) -> StateError {
    StateError::Corrupt {
        path: path.to_owned(),
        message: message.to_string(),
    }
}

/// The host's name, made to fit, and six random characters: two gateways on one host, or two hosts
/// of one name, are still two gateways.
fn new_gateway_id() -> io::Result<GatewayId> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let host: String = host.trim().chars().take(48).map(fit).collect();
    let host = host.trim_matches('-');
    let host = if host.is_empty() { "gateway" } else { host };
    let mut random = [0; 3];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let [a, b, c] = random;
    format!("{host}-{a:02x}{b:02x}{c:02x}")
        .parse()
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn token(text: &str) -> Token {
        text.parse().unwrap()
    }

    fn identity() -> Identity {
        Identity {
            tenant: "acme".parse().unwrap(),
            environment: "production".parse().unwrap(),
            key_pepper: Secret::new(vec![7; 32]),
        }
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        (folder, root)
    }

    #[test]
    fn second_process_is_kept_out_until_the_first_is_gone() {
        let (_folder, root) = folder();
        let first = StateDir::open(&root).unwrap();
        assert!(matches!(StateDir::open(&root), Err(StateError::Locked(_))));
        drop(first);
        StateDir::open(&root).unwrap();
    }

    #[test]
    fn directory_that_others_can_reach_is_refused() {
        let (_folder, root) = folder();
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(
            StateDir::open(&root),
            Err(StateError::Exposed { mode: 0o755, .. })
        ));
    }

    #[test]
    fn gateway_id_is_made_once_and_kept() {
        let (_folder, root) = folder();
        let id = StateDir::open(&root).unwrap().gateway_id().unwrap();
        assert_eq!(StateDir::open(&root).unwrap().gateway_id().unwrap(), id);
        let (_other, root) = folder();
        assert_ne!(StateDir::open(&root).unwrap().gateway_id().unwrap(), id);
    }

    #[test]
    fn identity_is_given_to_the_same_token_only() {
        let (_folder, root) = folder();
        let state = StateDir::open(&root).unwrap();
        let mine = token("gantry_a_secret");
        assert_eq!(state.identity(&mine).unwrap(), None);
        state.remember(&mine, &identity()).unwrap();
        assert_eq!(state.identity(&mine).unwrap(), Some(identity()));
        for other in ["gantry_a_other", "gantry_b_secret"] {
            assert_eq!(state.identity(&token(other)).unwrap(), None, "{other}");
        }
        let mode = fs::metadata(root.join("identity.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs::read_to_string(root.join("identity.json")).unwrap();
        assert!(!text.contains("secret"), "the token itself is not stored");
    }

    #[test]
    fn environment_path_begins_with_the_tenant() {
        let (_folder, root) = folder();
        let state = StateDir::open(&root).unwrap();
        let path = state.environment(&identity());
        assert!(
            path.ends_with("state/t/acme/production"),
            "{}",
            path.display()
        );
    }
}
