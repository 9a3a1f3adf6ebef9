//! Object storage: what a backend must do, and the keys of everything in it.
//!
//! Responsible for bytes by key and for nothing else: what they mean, who may have them and whether
//! they are complete is decided above. Invariants that every backend keeps, and that the conformance
//! suite checks: an object that exists is complete (except staged ones), is never replaced, and
//! survives a crash from the moment in which the call that made it returned.

mod key;
mod local;
mod observed;
mod parts;
mod presigned;
mod s3;

#[cfg(test)]
mod conformance;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use gantry_domain::Timestamp;
use thiserror::Error;

use crate::refusal::{Kind, Refuse, is_full};

pub use key::{BlobKey, BlobPrefix, KeyError};
pub use local::LocalStore;
pub use observed::Observed;
pub use parts::{Part, Parts, PartsError};
pub use presigned::{PRESIGNED_FOR_MAX, Presigned};
pub use s3::{
    Patience, PresignOptions, S3_FILE_BYTES_MAX, S3_PART_BYTES_MIN, S3_PARTS_MAX, S3Options,
    S3Store,
};

/// What local objects leave free of their file system, unless configuration says otherwise: metadata
/// usually lies there too, and without room for it nothing can be changed any more.
pub const RESERVED_BYTES: u64 = 64 << 20;

/// Bytes of a part, unless configuration says otherwise. S3 takes parts of 5 MiB and more, and a part
/// is in memory until it is stored; 10,000 of these are more than a file may have.
pub const PART_BYTES: u64 = 8 << 20;

/// Whether an object was made or had been there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// This call made it.
    Now,
    /// It was there and was left as it is.
    Before,
}

/// Why storage did not do what was asked.
#[derive(Debug, Error)]
pub enum BlobError {
    /// There is no such object.
    #[error("object {key} does not exist")]
    NotFound {
        /// The object.
        key: Box<BlobKey>,
    },
    /// Fewer bytes are stored than the caller believes.
    #[error("object {key} has {size} bytes; cannot go on at {offset}")]
    Truncated {
        /// The object.
        key: Box<BlobKey>,
        /// Where the caller wanted to go on.
        offset: u64,
        /// What is stored.
        size: u64,
    },
    /// Repeat later: the object store does not answer, or answers that it cannot now.
    #[error("{action} {key}: the object store is not available")]
    Unavailable {
        /// What was being done.
        action: &'static str,
        /// The object.
        key: String,
        /// What came instead of an answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Look at the object store: it refused, or does not do what is needed of it.
    #[error("{action} {key}: {cause}")]
    Refused {
        /// What was being done.
        action: &'static str,
        /// The object.
        key: String,
        /// What it said, or what it lacks.
        cause: String,
    },
    /// The medium refused.
    #[error("{action} {key}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// The object or folder.
        key: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// A store of objects.
#[async_trait]
pub trait BlobStore: Send + Sync + fmt::Debug {
    /// Makes an object unless it exists; an existing one is never replaced.
    async fn create(&self, key: &BlobKey, body: Bytes) -> Result<Created, BlobError>;

    /// Gives staged bytes their final key unless that exists. The staged object stays.
    async fn promote(&self, staged: &BlobKey, key: &BlobKey) -> Result<Created, BlobError>;

    /// Goes on writing a staged object at an offset that an earlier commit gave, with the parts that
    /// it gave; what lies behind it is dropped.
    ///
    /// # Errors
    /// [`BlobError::Truncated`] when the bytes before the offset are not there any more.
    async fn append(
        &self,
        key: &BlobKey,
        offset: u64,
        parts: Option<Parts>,
    ) -> Result<Box<dyn Append>, BlobError>;

    /// Whether so many more bytes can be stored, as far as the backend can tell.
    ///
    /// # Errors
    /// [`BlobError::Io`] of a full disk when they cannot.
    async fn room_for(&self, bytes: u64) -> Result<(), BlobError>;

    /// Drops the parts of a staged object that was never sealed. Parts that are gone are dropped.
    async fn abandon(&self, key: &BlobKey, upload: &str) -> Result<(), BlobError>;

    /// Staged objects under a prefix that have parts and were never sealed, as far as the backend
    /// can tell.
    async fn unsealed(&self, prefix: &BlobPrefix) -> Result<Vec<Unsealed>, BlobError>;

    /// A URL from which the object can be fetched for a while without credentials; none where
    /// the store is not reached by URL, or shall not be.
    async fn presigned(&self, key: &BlobKey) -> Result<Option<Presigned>, BlobError>;

    /// The object as a file that can be read at any place. A remote backend spools it.
    async fn open(&self, key: &BlobKey) -> Result<std::fs::File, BlobError>;

    /// Up to `length_max` bytes from an offset on; empty at the end.
    async fn read(&self, key: &BlobKey, offset: u64, length_max: usize)
    -> Result<Bytes, BlobError>;

    /// Its size in bytes.
    async fn size(&self, key: &BlobKey) -> Result<u64, BlobError>;

    /// The objects under a prefix, from a cursor on: about `entries_max` of them, each once, in the
    /// backend's order. Objects that no key spells are not ours and are passed over.
    async fn list(
        &self,
        prefix: &BlobPrefix,
        from: Option<Cursor>,
        entries_max: usize,
    ) -> Result<Page, BlobError>;

    /// Removes an object. One that is not there is removed already.
    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError>;
}

/// A staged object that is being written.
#[async_trait]
pub trait Append: Send + Sync {
    /// Bytes of this object that the backend can make durable by themselves: a caller that wants its
    /// progress kept commits at multiples of it.
    fn part_bytes(&self) -> u64;

    /// Adds bytes. They may be lost until [`Append::commit`].
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError>;

    /// Makes as much durable as the backend can and says how much that is: everything so far, or
    /// what lies before the last multiple of [`Append::part_bytes`].
    async fn commit(&mut self) -> Result<Committed, BlobError>;

    /// Makes everything durable; nothing is written after it. From now on the object can be read.
    async fn seal(&mut self) -> Result<(), BlobError>;
}

/// What is safe of a staged object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Bytes from its beginning.
    pub size_bytes: u64,
    /// What the backend needs to go on there.
    pub parts: Option<Parts>,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its objects.
    pub entries: Vec<Entry>,
    /// Where the next page begins; none at the end.
    pub next: Option<Cursor>,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: BlobKey,
    /// When it was last written, by the store's clock.
    pub modified: Timestamp,
}

/// A place in a listing, in the backend's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(String);

/// A staged object with parts and no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsealed {
    /// Its key.
    pub key: BlobKey,
    /// What the backend calls it, as in [`Parts::upload`].
    pub upload: String,
    /// When its writing began, by the store's clock.
    pub begun: Timestamp,
}

impl Refuse for BlobError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unavailable { .. } => Kind::Unavailable,
            Self::Io { source, .. } if is_full(source) => Kind::Full,
            _ => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "STORAGE_UNAVAILABLE",
            Self::Refused { .. } => "STORAGE_REFUSED",
            Self::Io { source, .. } if is_full(source) => "STORAGE_FULL",
            Self::Io { .. } => "STORAGE_FAILED",
            Self::NotFound { .. } | Self::Truncated { .. } => "INTERNAL",
        }
    }
}
