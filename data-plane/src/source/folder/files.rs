//! Where in the folder the libraries of a revision lie, and how they get from there into the store.
//!
//! Invariant: what arrives in the store has the digest that was admitted; a file that changed since is
//! refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry_bundle::BundleSource;
use gantry_domain::{Artifact, Digest};

use crate::supervisor::library::{Libraries, LibraryError};
use crate::supervisor::plan::Failure;
use crate::supervisor::state::StateError;

/// Bytes copied at a time.
const COPY_BYTES: usize = 256 << 10;

/// Libraries by digest.
#[derive(Debug, Default)]
pub struct FolderFiles {
    paths: BTreeMap<Digest, PathBuf>,
    /// What was unpacked stays while it may be needed.
    _sources: Vec<Arc<BundleSource>>,
}

impl FolderFiles {
    pub(super) fn new(paths: BTreeMap<Digest, PathBuf>, sources: Vec<Arc<BundleSource>>) -> Self {
        Self {
            paths,
            _sources: sources,
        }
    }

    /// Copies a library into the store and gives its place there.
    ///
    /// # Errors
    /// It is gone or has changed, which another look will tell; or the store refuses.
    pub async fn copy(&self, libraries: Libraries, artifact: Artifact) -> Result<PathBuf, Failure> {
        let Some(path) = self.paths.get(&artifact.digest).cloned() else {
            let message = format!(
                "library {} is neither kept nor in the folder any more (FETCH_UNAVAILABLE)",
                artifact.file
            );
            return Err(Failure::new("FETCH_UNAVAILABLE", message));
        };
        let work = move || copy(&path, &libraries, &artifact);
        let copied = tokio::task::spawn_blocking(work).await;
        copied.unwrap_or_else(|e| Err(Failure::new("FETCH_FAILED", e.to_string())))
    }
}

fn copy(path: &Path, libraries: &Libraries, artifact: &Artifact) -> Result<PathBuf, Failure> {
    let unreadable = |e: io::Error| {
        let message = format!("copy {}: {e} (FETCH_FAILED)", path.display());
        Failure::new("FETCH_FAILED", message)
    };
    let refused = |e: LibraryError| Failure::new(e.code(), format!("copy {}: {e}", path.display()));
    let unusable = |e: StateError| refused(e.into());
    let mut file = File::open(path).map_err(unreadable)?;
    let mut incoming = libraries
        .receive(artifact.digest, artifact.size_bytes)
        .map_err(unusable)?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => return incoming.finish().map_err(refused),
            count => incoming.write(&buffer[..count]).map_err(refused)?,
        }
    }
}
