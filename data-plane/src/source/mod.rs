//! Where revisions come from. A source yields whole, checked snapshots and an index of consumer keys;
//! what is made of them is the supervisor's business and the same for every source.
//!
//! Invariant: no answer is not an empty answer. A source that cannot reach its origin keeps the last
//! snapshot and says so beside it.

pub mod direct;
mod error;
pub mod folder;
pub mod keys;
pub mod link;
mod session;
pub mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use gantry_domain::{ApiId, Digest, OpenApi, Revision};

pub use folder::FolderFiles;
pub use link::Link;

use crate::supervisor::state::Identity;
use crate::supervisor::store::Store;

/// A revision with every document it names, each checked against its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The revision.
    pub revision: Revision,
    /// API definitions, releases and `OpenAPI` documents, as they were written.
    pub documents: BTreeMap<Digest, Arc<[u8]>>,
}

impl Snapshot {
    /// The documents that a revision names.
    pub fn documents_of(revision: &Revision) -> BTreeSet<Digest> {
        let releases = revision.pins.values().flatten().map(|pin| pin.release);
        revision.apis.values().copied().chain(releases).collect()
    }

    /// The `OpenAPI` documents that the definitions among documents name.
    pub fn openapi_of(documents: &BTreeMap<Digest, Arc<[u8]>>) -> BTreeSet<Digest> {
        let named = documents
            .values()
            .filter_map(|body| OpenApi::named_by(body));
        named.collect()
    }
}

/// An index of consumer keys on disk. The file never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyIndex {
    /// The file.
    pub path: PathBuf,
    /// How far it is.
    pub epoch: u64,
}

/// What is wrong with a source, for status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Stable code.
    pub code: &'static str,
    /// The text.
    pub message: String,
}

/// Something that a source was given and does not take. What it took before stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// The file, as the source calls it.
    pub file: String,
    /// Stable code.
    pub code: &'static str,
    /// Every reason.
    pub message: String,
    /// The APIs that do not run as they would without it.
    pub apis: BTreeSet<ApiId>,
}

/// Where libraries come from that the store lacks.
#[derive(Debug, Clone)]
pub enum Origin {
    /// From the control plane.
    ControlPlane(Link),
    /// From a folder.
    Folder(Arc<FolderFiles>),
}

/// Whom the gateway works for, with the directory that keeps their state.
#[derive(Debug, Clone)]
pub struct Tenancy {
    /// Tenant, environment and pepper.
    pub identity: Identity,
    /// Their state.
    pub store: Store,
}

/// Everything a source has yielded so far.
#[derive(Debug, Clone, Default)]
pub struct SourceState {
    /// Known once the origin has confirmed the token, now or at an earlier start.
    pub tenancy: Option<Arc<Tenancy>>,
    /// The newest snapshot.
    pub snapshot: Option<Arc<Snapshot>>,
    /// The newest index of consumer keys.
    pub keys: Option<KeyIndex>,
    /// Where missing libraries can be had, while they can.
    pub origin: Option<Origin>,
    /// What is wrong, if something is.
    pub trouble: Option<Trouble>,
    /// What was not taken.
    pub complaints: Arc<[Complaint]>,
}
