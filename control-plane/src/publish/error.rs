//! Everything that an uploader can be told.

use gantry_domain::{BundleName, BundleVersion, Digest, FileName, UploadId};
use thiserror::Error;

use crate::blob::BlobError;
use crate::metadata::MetadataError;
use crate::refusal::{Kind, Refuse, Violation, first_code, summary};

/// Why an upload did not go on.
#[derive(Debug, Error)]
pub enum PublishError {
    /// Change the manifest, the declarations or the files.
    #[error("the bundle is refused: {}", summary(.0))]
    Refused(Vec<Violation>),
    /// Begin again: the upload was published, aborted, or refused as a whole.
    #[error("upload {0} does not exist; it may have been published, aborted or dropped")]
    NoUpload(UploadId),
    /// Name a file of the manifest.
    #[error("upload {upload} has no file {file}")]
    NoFile {
        /// The upload.
        upload: UploadId,
        /// The name given.
        file: FileName,
    },
    /// Go on where the committed bytes end.
    #[error("{file}: expected bytes from offset {expected}, found bytes from offset {found}")]
    Offset {
        /// The file.
        file: FileName,
        /// How many bytes are safe.
        expected: u64,
        /// Where the sender wanted to go on.
        found: u64,
    },
    /// Send chunks within the bound.
    #[error("{file}: expected chunks of at most {bytes_max} bytes, found {found}")]
    Chunk {
        /// The file.
        file: FileName,
        /// The bound.
        bytes_max: usize,
        /// What came.
        found: usize,
    },
    /// Declare the right size: the upload was dropped.
    #[error("{file}: expected {expected} bytes, as declared, found more; the upload was dropped")]
    TooLong {
        /// The file.
        file: FileName,
        /// The size declared.
        expected: u64,
    },
    /// Send the bytes that were declared: the upload was dropped.
    #[error(
        "{file}: expected sha256 {expected}, as declared, found {found}; the upload was dropped"
    )]
    Digest {
        /// The file.
        file: FileName,
        /// The digest declared.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// Wait for the other call that holds the upload or the file.
    #[error("upload {0} is being written to or published by another call")]
    Busy(UploadId),
    /// Send the rest first.
    #[error("upload {upload} is not complete: {}", summary(.missing))]
    Incomplete {
        /// The upload.
        upload: UploadId,
        /// The files that lack bytes.
        missing: Vec<Violation>,
    },
    /// Publish under another version.
    #[error("{bundle}@{version} is published already, with other content; a version never changes")]
    Immutable {
        /// The bundle.
        bundle: BundleName,
        /// The version.
        version: BundleVersion,
    },
    /// Publish or abort open uploads first.
    #[error("the tenant has {0} open uploads; that is as many as it may have")]
    TooManyUploads(usize),
    /// The sender went away; what came before is kept.
    #[error("the stream ended: {0}")]
    Interrupted(String),
    /// See the store.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// See the store.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl Refuse for PublishError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(_) | Self::Chunk { .. } | Self::TooLong { .. } => Kind::Invalid,
            Self::NoUpload(_) | Self::NoFile { .. } => Kind::NotFound,
            Self::Offset { .. } => Kind::Conflict,
            // A broken connection's call may hold the file a moment longer than its sender thinks.
            Self::Busy(_) | Self::Interrupted(_) => Kind::Unavailable,
            Self::Digest { .. } => Kind::Damaged,
            Self::Incomplete { .. } => Kind::Precondition,
            Self::Immutable { .. } => Kind::Exists,
            Self::TooManyUploads(_) => Kind::Exhausted,
            Self::Metadata(error) => error.kind(),
            Self::Blob(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused(violations) => first_code(violations),
            Self::NoUpload(_) => "UPLOAD_NOT_FOUND",
            Self::NoFile { .. } => "FILE_NOT_FOUND",
            Self::Offset { .. } => "OFFSET_MISMATCH",
            Self::Chunk { .. } => "CHUNK_TOO_LARGE",
            Self::TooLong { .. } => "SIZE_MISMATCH",
            Self::Digest { .. } => "DIGEST_MISMATCH",
            Self::Busy(_) => "UPLOAD_BUSY",
            Self::Incomplete { .. } => "UPLOAD_INCOMPLETE",
            Self::Immutable { .. } => "VERSION_IMMUTABLE",
            Self::TooManyUploads(_) => "UPLOADS_TOO_MANY",
            Self::Interrupted(_) => "STREAM_INTERRUPTED",
            Self::Metadata(error) => error.code(),
            Self::Blob(error) => error.code(),
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Refused(violations)
            | Self::Incomplete {
                missing: violations,
                ..
            } => violations,
            _ => &[],
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Offset { .. } => {
                Some("ask for the committed offset with GetUpload and go on there")
            }
            Self::Immutable { .. } => Some("give the bundle a new version"),
            Self::Digest { .. } => Some("build and push the bundle again"),
            Self::TooManyUploads(_) => Some("publish or abort an open upload"),
            _ => None,
        }
    }
}
