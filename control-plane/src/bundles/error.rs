//! Everything that someone who reads or withdraws what is published can be told.

use gantry_domain::yank::REASON_BYTES_MAX;
use gantry_domain::{BundleName, BundleVersion, Digest, FileName};
use thiserror::Error;

use crate::blob::BlobError;
use crate::metadata::MetadataError;
use crate::refusal::{Kind, Refuse};

/// Why something was not shown or withdrawn.
#[derive(Debug, Error)]
pub enum BundlesError {
    /// Name a bundle with a published version.
    #[error("bundle {0} has no published version")]
    NoBundle(BundleName),
    /// Name a published version.
    #[error("{bundle}@{version} is not published")]
    NoRelease {
        /// The bundle.
        bundle: BundleName,
        /// The version.
        version: BundleVersion,
    },
    /// Name a file of the version.
    #[error("{bundle}@{version} has no file {file}")]
    NoFile {
        /// The bundle.
        bundle: BundleName,
        /// The version.
        version: BundleVersion,
        /// The name given.
        file: FileName,
    },
    /// Go on within the file.
    #[error("{file}: expected an offset of at most {size_bytes}, found {offset}")]
    Offset {
        /// The file.
        file: FileName,
        /// Its size.
        size_bytes: u64,
        /// The offset given.
        offset: u64,
    },
    /// Give a shorter reason.
    #[error("reason: expected at most {REASON_BYTES_MAX} bytes, found {0}")]
    Reason(usize),
    /// Read the version again and decide anew.
    #[error("expected the version to have etag {expected}, found {found}")]
    Etag {
        /// What the caller knows.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// Nothing; the operators must look.
    #[error("no row says where {0} lies")]
    Lost(String),
    /// See the store.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// See the store.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl Refuse for BundlesError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoBundle(_) | Self::NoRelease { .. } | Self::NoFile { .. } => Kind::NotFound,
            Self::Offset { .. } | Self::Reason(_) => Kind::Invalid,
            Self::Etag { .. } => Kind::Conflict,
            Self::Lost(_) => Kind::Internal,
            Self::Metadata(error) => error.kind(),
            Self::Blob(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoBundle(_) => "BUNDLE_NOT_FOUND",
            Self::NoRelease { .. } => "RELEASE_NOT_FOUND",
            Self::NoFile { .. } => "FILE_NOT_FOUND",
            Self::Offset { .. } => "OFFSET_INVALID",
            Self::Reason(_) => "REASON_TOO_LONG",
            Self::Etag { .. } => "ETAG_MISMATCH",
            Self::Lost(_) => "INTERNAL",
            Self::Metadata(error) => error.code(),
            Self::Blob(error) => error.code(),
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Etag { .. } => Some("get the version again, and decide on what it is now"),
            Self::NoBundle(_) | Self::NoRelease { .. } => Some("list what is published"),
            _ => None,
        }
    }
}
