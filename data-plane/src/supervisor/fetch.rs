//! Brings missing libraries into the store: from the control plane, proven while they arrive, taken
//! up again where a broken stream stopped.

use std::path::PathBuf;
use std::time::Duration;

use gantry_client::Backoff;
use gantry_domain::{Artifact, Limits};
use thiserror::Error;
use tokio::time::sleep;

use super::library::{Incoming, Libraries, LibraryError};
use super::plan::Failure;
use crate::source::Link;
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

/// Fetches a library and gives its place in the store.
///
/// # Errors
/// See [`FetchError`]; nothing is kept then.
pub async fn fetch(
    link: Option<&Link>,
    libraries: &Libraries,
    artifact: &Artifact,
) -> Result<PathBuf, FetchError> {
    let digest = artifact.digest.to_string();
    let link = link.ok_or_else(|| FetchError::Unavailable(digest.clone()))?;
    let max = Limits::default().file_bytes_max;
    if artifact.size_bytes > max {
        return Err(FetchError::TooLarge {
            file: artifact.file.to_string(),
            found: artifact.size_bytes,
            max,
        });
    }
    let mut incoming = libraries
        .receive(artifact.digest, artifact.size_bytes)
        .map_err(LibraryError::from)?;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
    while !incoming.is_complete() {
        let before = incoming.written();
        let stopped = match transfer(link, artifact, &mut incoming).await {
            Ok(()) if incoming.is_complete() => break,
            Ok(()) => FetchError::Short {
                digest: digest.clone(),
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
    // Flushing to disk may take long; other work of this thread must not wait for it.
    match tokio::task::spawn_blocking(move || incoming.finish()).await {
        Ok(finished) => Ok(finished?),
        Err(_) => Err(FetchError::Unavailable(digest)),
    }
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
