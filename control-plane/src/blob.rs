//! Object storage: what a backend must do, and the keys of everything in it.
//!
//! Responsible for bytes by key and for nothing else: what they mean, who may have them and whether
//! they are complete is decided above. Invariants that every backend keeps, and that the conformance
//! suite checks: an object that exists is complete (except staged ones), is never replaced, and
//! survives a crash from the moment in which the call that made it returned.

mod key;
mod local;

#[cfg(test)]
mod conformance;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::refusal::{Kind, Refuse};

pub use key::{BlobKey, BlobPrefix, KeyError};
pub use local::LocalStore;

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

    /// Goes on writing a staged object at an offset; what lies behind it is dropped.
    async fn append(&self, key: &BlobKey, offset: u64) -> Result<Box<dyn Append>, BlobError>;

    /// The object as a file that can be read at any place. A remote backend spools it.
    async fn open(&self, key: &BlobKey) -> Result<std::fs::File, BlobError>;

    /// Up to `length_max` bytes from an offset on; empty at the end.
    async fn read(&self, key: &BlobKey, offset: u64, length_max: usize)
    -> Result<Bytes, BlobError>;

    /// Its size in bytes.
    async fn size(&self, key: &BlobKey) -> Result<u64, BlobError>;

    /// Up to `entries_max` keys in the order of their paths, after a key where one is given.
    /// Objects that no key spells are not ours and are passed over.
    async fn list(
        &self,
        prefix: &BlobPrefix,
        after: Option<&BlobKey>,
        entries_max: usize,
    ) -> Result<Vec<BlobKey>, BlobError>;

    /// Removes an object. One that is not there is removed already.
    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError>;
}

/// A staged object that is being written.
#[async_trait]
pub trait Append: Send + Sync {
    /// Adds bytes. They may be lost until [`Append::commit`].
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError>;

    /// Makes everything written so far durable and says how many bytes that is in all.
    async fn commit(&mut self) -> Result<u64, BlobError>;
}

impl Refuse for BlobError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn code(&self) -> &'static str {
        "INTERNAL"
    }
}
