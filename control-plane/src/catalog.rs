//! What environments say, read back: revisions with their definitions and releases.
//!
//! Definitions and release documents are found by digest and never change, so parsed ones are kept.
//! Invariant: the tenant is part of every key, kept or stored.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use gantry_domain::plan::Releases;
use gantry_domain::{
    ApiDefinition, ApiId, Digest, EnvironmentName, Limits, Release, Revision, TenantId,
};

use crate::metadata::{Metadata, MetadataError};
use crate::refusal::summary;

/// Parsed documents that are kept, of each kind.
const KEPT_MAX: usize = 20_000;

/// Reads what environments say. Clones share what is kept.
#[derive(Debug, Clone)]
pub struct Catalog {
    metadata: Metadata,
    limits: Arc<Limits>,
    definitions: Kept<ApiDefinition>,
    releases: Kept<Release>,
}

/// Everything that an environment says at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its newest revision.
    pub revision: Revision,
    /// The definitions of the revision.
    pub apis: BTreeMap<ApiId, Arc<ApiDefinition>>,
    /// The releases that the revision pins.
    pub releases: Releases,
}

impl Catalog {
    /// A catalog of a store.
    pub fn new(metadata: Metadata, limits: Arc<Limits>) -> Self {
        Self {
            metadata,
            limits,
            definitions: Kept::default(),
            releases: Kept::default(),
        }
    }

    /// The head of an environment with everything it names; `None` without the environment.
    ///
    /// # Errors
    /// The store fails, or holds a document that this program cannot read.
    pub async fn snapshot(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
    ) -> Result<Option<Snapshot>, MetadataError> {
        let Some(revision) = self.metadata.head(tenant, environment).await? else {
            return Ok(None);
        };
        let mut apis = BTreeMap::new();
        for (api, digest) in &revision.apis {
            apis.insert(api.clone(), self.definition(tenant, digest).await?);
        }
        let mut releases = Releases::new();
        for (bundle, pins) in &revision.pins {
            // Without rollouts a bundle has one pin.
            for pin in pins.iter().take(1) {
                let release = self.release(tenant, &pin.release).await?;
                releases.insert(bundle.clone(), Release::clone(&release));
            }
        }
        Ok(Some(Snapshot {
            revision,
            apis,
            releases,
        }))
    }

    /// A definition that a revision names.
    ///
    /// # Errors
    /// As for [`Catalog::snapshot`].
    pub async fn definition(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Arc<ApiDefinition>, MetadataError> {
        if let Some(kept) = self.definitions.get(tenant, digest) {
            return Ok(kept);
        }
        let document = self.metadata.definition(tenant, digest).await?;
        let document =
            document.ok_or_else(|| corrupt("definitions", format!("{digest} is missing")))?;
        let (definition, _) = ApiDefinition::parse(document.as_bytes(), &self.limits)
            .map_err(|errors| corrupt("definitions", summary(&errors)))?;
        Ok(self.definitions.keep(tenant, digest, definition))
    }

    async fn release(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Arc<Release>, MetadataError> {
        if let Some(kept) = self.releases.get(tenant, digest) {
            return Ok(kept);
        }
        let release = self.metadata.release_by_digest(tenant, digest).await?;
        let release = release.ok_or_else(|| corrupt("releases", format!("{digest} is missing")))?;
        Ok(self.releases.keep(tenant, digest, release))
    }
}

fn corrupt(table: &'static str, cause: String) -> MetadataError {
    MetadataError::Corrupt {
        table,
        column: "document",
        cause,
    }
}

/// Parsed documents by owner and digest.
#[derive(Debug)]
struct Kept<T>(Arc<Mutex<ByDigest<T>>>);

type ByDigest<T> = HashMap<(TenantId, Digest), Arc<T>>;

impl<T> Kept<T> {
    fn get(&self, tenant: &TenantId, digest: &Digest) -> Option<Arc<T>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&(tenant.clone(), *digest)).cloned()
    }

    fn keep(&self, tenant: &TenantId, digest: &Digest, document: T) -> Arc<T> {
        let document = Arc::new(document);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Starting over is cheap and needs no account of what was used when.
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert((tenant.clone(), *digest), document.clone());
        document
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
