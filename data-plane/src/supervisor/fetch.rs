//! Brings missing libraries into the store, proven while they arrive: straight from object storage,
//! or through the control plane, where a broken stream is taken up again.
//!
//! Invariant: which way bytes came makes no difference to what is kept: those of the digest, or none.

use std::io;
use std::path::Path;
use std::time::Duration;

use gantry_client::Backoff;
use gantry_domain::{Artifact, Limits};
use gantry_telemetry::Secret;
use thiserror::Error;
use tokio::time::sleep;

use super::library::{Incoming, Libraries, LibraryError};
use super::plan::Failure;
use super::progress::FetchedFrom;
use super::state::StateError;
use crate::source::Link;
use crate::source::direct::DirectError;
use crate::source::link::{LinkError, next};

/// Attempts that bring nothing, one after the other, at most. What comes after that is for the
/// conductor to decide.
const ATTEMPTS_MAX: u32 = 3;

/// Why a library could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// There is no control plane to ask: wait for one.
    #[error("library {digest} is not here and the control plane cannot be reached (FETCH_UNAVAILABLE)", digest = .0)]
    Unavailable(String),
    /// It is larger than any library may be.
    #[error("library {file} has {found} bytes; expected at most {max} (LIBRARY_SIZE)")]
    TooLarge {
        /// Its file.
        file: String,
        /// Its size by the release.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The transfer failed: try again later.
    #[error("fetch library {digest}: {source} (FETCH_FAILED)")]
    Transfer {
        /// The library.
        digest: String,
        /// What happened.
        source: LinkError,
    },
    /// The transfer ended before the last byte: try again later.
    #[error("fetch library {digest}: the control plane stopped at byte {at} (FETCH_FAILED)")]
    Short {
        /// The library.
        digest: String,
        /// Where.
        at: u64,
    },
    /// What came is not the library.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// Why the direct way was left.
#[derive(Debug, Error)]
enum DetourError {
    #[error(transparent)]
    Direct(#[from] DirectError),
    #[error(transparent)]
    Library(#[from] LibraryError),
}

impl DetourError {
    const fn code(&self) -> &'static str {
        match self {
            Self::Direct(e) => e.code(),
            Self::Library(e) => e.code(),
        }
    }
}

impl FetchError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "FETCH_UNAVAILABLE",
            Self::TooLarge { .. } => "LIBRARY_SIZE",
            Self::Transfer { .. } | Self::Short { .. } => "FETCH_FAILED",
            Self::Library(e) => e.code(),
        }
    }

    /// For status.
    pub fn failure(&self) -> Failure {
        Failure::new(self.code(), self.to_string())
    }
}

/// Fetches a library into the store: straight from object storage where the control plane knows a
/// way, else through it. Says which way it came.
///
/// # Errors
/// See [`FetchError`]; nothing is kept then.
pub async fn fetch(
    link: Option<&Link>,
    libraries: &Libraries,
    artifact: &Artifact,
) -> Result<FetchedFrom, FetchError> {
    let digest = artifact.digest.to_string();
    let link = link.ok_or(FetchError::Unavailable(digest))?;
    let max = Limits::default().file_bytes_max;
    if artifact.size_bytes > max {
        return Err(FetchError::TooLarge {
            file: artifact.file.to_string(),
            found: artifact.size_bytes,
            max,
        });
    }
    let from = if directly(link, libraries, artifact).await {
        FetchedFrom::ObjectStorage
    } else {
        relayed(link, libraries, artifact).await?;
        FetchedFrom::ControlPlane
    };
    tracing::info!(
        plugin.digest = %artifact.digest, size_bytes = artifact.size_bytes, from = from.as_str(),
        "fetched library {} ({})", artifact.digest.short(), from.as_str()
    );
    Ok(from)
}

/// Tries the direct way once. What came by it and is not the whole library is dropped: the control
/// plane is asked for all of it.
async fn directly(link: &Link, libraries: &Libraries, artifact: &Artifact) -> bool {
    if link.object_storage().is_away() {
        return false;
    }
    let url = match link.locate(&artifact.digest).await {
        Ok(Some(url)) => url,
        Ok(None) => return false,
        Err(e) => {
            // Whatever it is, the control plane says it again when it is asked for the bytes.
            tracing::debug!(plugin.digest = %artifact.digest, "ask for a URL: {e}");
            return false;
        }
    };
    match direct(link, &url, libraries, artifact).await {
        Ok(()) => true,
        Err(e) => {
            tracing::warn!(
                code = e.code(), plugin.digest = %artifact.digest,
                "library {} does not come straight from object storage, going through the control \
                 plane: {e}", artifact.digest.short()
            );
            false
        }
    }
}

async fn direct(
    link: &Link,
    url: &Secret<String>,
    libraries: &Libraries,
    artifact: &Artifact,
) -> Result<(), DetourError> {
    let storage = link.object_storage();
    let mut download = storage.get(url, artifact.size_bytes).await?;
    let mut incoming = libraries
        .receive(artifact.digest, artifact.size_bytes)
        .map_err(LibraryError::from)?;
    while let Some(bytes) = download.next().await? {
        incoming.write(&bytes)?;
    }
    Ok(finish(incoming).await?)
}

async fn relayed(
    link: &Link,
    libraries: &Libraries,
    artifact: &Artifact,
) -> Result<(), FetchError> {
    let mut incoming = libraries
        .receive(artifact.digest, artifact.size_bytes)
        .map_err(LibraryError::from)?;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
    while !incoming.is_complete() {
        let before = incoming.written();
        let stopped = match transfer(link, artifact, &mut incoming).await {
            Ok(()) if incoming.is_complete() => break,
            Ok(()) => FetchError::Short {
                digest: artifact.digest.to_string(),
                at: incoming.written(),
            },
            Err(e) => e,
        };
        if incoming.written() > before {
            backoff.reset();
        }
        let hopeless = matches!(stopped, FetchError::Library(_));
        let wait = backoff.next_wait();
        if hopeless || backoff.failures() >= ATTEMPTS_MAX {
            return Err(stopped);
        }
        sleep(wait).await;
    }
    Ok(finish(incoming).await?)
}

/// Flushing to disk may take long; other work of this thread must not wait for it.
async fn finish(incoming: Incoming) -> Result<(), LibraryError> {
    let finished = tokio::task::spawn_blocking(move || incoming.finish()).await;
    let lost = |e| StateError::at(Path::new("libraries"))(io::Error::other(e));
    finished.map_err(lost)?.map(drop)
}

async fn transfer(
    link: &Link,
    artifact: &Artifact,
    incoming: &mut Incoming,
) -> Result<(), FetchError> {
    let failed = |source| FetchError::Transfer {
        digest: artifact.digest.to_string(),
        source,
    };
    let mut stream = link
        .artifact(&artifact.digest, incoming.written())
        .await
        .map_err(failed)?;
    while let Some(chunk) = next(&mut stream).await.map_err(failed)? {
        if chunk.offset != incoming.written() {
            return Err(FetchError::Short {
                digest: artifact.digest.to_string(),
                at: incoming.written(),
            });
        }
        incoming.write(&chunk.data)?;
    }
    Ok(())
}
