//! What a tenant has published: listed, shown, read back, and withdrawn by a yank.
//!
//! Not responsible for how versions come in. Invariants: a published version is never changed or
//! removed here; a version is yanked exactly as long as its tombstone exists, and the row follows the
//! tombstone, at the latest when the control plane starts again.

mod error;
mod repair;

use std::sync::Arc;

use bytes::Bytes;
use gantry_domain::yank::REASON_BYTES_MAX;
use gantry_domain::{BundleName, BundleVersion, Clock, Digest, FileName, Yank};
use tokio::sync::Mutex;

use crate::blob::{BlobKey, BlobStore, Created};
use crate::metadata::{BundleRow, Metadata, ReleaseFilter, ReleaseRow, VersionPlace, VersionRow};
use crate::principal::Principal;

pub use error::BundlesError;

/// Reads and withdraws what is published. Clones share everything.
#[derive(Debug, Clone)]
pub struct Bundles {
    metadata: Metadata,
    blobs: Arc<dyn BlobStore>,
    clock: ClockHandle,
    /// One yank or unyank at a time: tombstone and row must change in one order.
    yanking: Arc<Mutex<()>>,
}

#[derive(Clone)]
struct ClockHandle(Arc<dyn Clock>);

impl std::fmt::Debug for ClockHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// A version, as a listing and a request see it.
#[derive(Debug)]
pub struct Version {
    /// The release.
    pub row: ReleaseRow,
    /// Its yank, if there is one.
    pub yank: Option<Yank>,
}

impl Version {
    /// Stands for the version as it is: changes with its yank.
    pub fn etag(&self) -> Digest {
        let yanked_at = self.yank.as_ref().map(|yank| yank.at.as_millis());
        let state = yanked_at.map_or_else(String::new, |at| format!(" yanked {at}"));
        Digest::of(format!("{}{state}", self.row.release.digest()))
    }
}

impl From<VersionRow> for Version {
    fn from(found: VersionRow) -> Self {
        Self {
            row: found.row,
            yank: found.yank,
        }
    }
}

impl Bundles {
    /// The bundles of these stores.
    pub fn new(metadata: Metadata, blobs: Arc<dyn BlobStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            metadata,
            blobs,
            clock: ClockHandle(clock),
            yanking: Arc::default(),
        }
    }

    /// Bundles by name, after one where one is given.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(
        &self,
        who: &Principal,
        (prefix, filter): (&str, &ReleaseFilter),
        after: Option<&BundleName>,
        entries_max: usize,
    ) -> Result<Vec<BundleRow>, BundlesError> {
        let metadata = &self.metadata;
        let rows = metadata.bundles(&who.tenant, prefix, filter, after, entries_max);
        Ok(rows.await?)
    }

    /// Versions of a bundle, the one published last first.
    ///
    /// # Errors
    /// The tenant has no such bundle.
    pub async fn versions(
        &self,
        who: &Principal,
        (bundle, filter): (&BundleName, &ReleaseFilter),
        after: Option<&VersionPlace>,
        entries_max: usize,
    ) -> Result<Vec<Version>, BundlesError> {
        let metadata = &self.metadata;
        let rows = metadata
            .versions(&who.tenant, bundle, filter, after, entries_max)
            .await?;
        if rows.is_empty() && after.is_none() {
            let any = ReleaseFilter::default();
            let all = metadata
                .versions(&who.tenant, bundle, &any, None, 1)
                .await?;
            if all.is_empty() {
                return Err(BundlesError::NoBundle(bundle.clone()));
            }
        }
        Ok(rows.into_iter().map(Version::from).collect())
    }

    /// One version.
    ///
    /// # Errors
    /// It is not published.
    pub async fn get(
        &self,
        who: &Principal,
        bundle: &BundleName,
        version: &BundleVersion,
    ) -> Result<Version, BundlesError> {
        let row = self.metadata.release(&who.tenant, bundle, version).await?;
        let row = row.ok_or_else(|| BundlesError::NoRelease {
            bundle: bundle.clone(),
            version: version.clone(),
        })?;
        let yank = self.metadata.yank_of(&who.tenant, bundle, version).await?;
        Ok(Version { row, yank })
    }

    /// Where the bytes of a file lie, and how many there are.
    ///
    /// # Errors
    /// No such version or file, or an offset beyond its end.
    pub async fn file(
        &self,
        who: &Principal,
        (bundle, version): (&BundleName, &BundleVersion),
        file: &FileName,
        offset: u64,
    ) -> Result<(BlobKey, u64), BundlesError> {
        let found = self.get(who, bundle, version).await?;
        let mut artifacts = found.row.release.artifacts.iter();
        let artifact = artifacts.find(|artifact| artifact.file == *file);
        let artifact = artifact.ok_or_else(|| BundlesError::NoFile {
            bundle: bundle.clone(),
            version: version.clone(),
            file: file.clone(),
        })?;
        if offset > artifact.size_bytes {
            return Err(BundlesError::Offset {
                file: file.clone(),
                size_bytes: artifact.size_bytes,
                offset,
            });
        }
        let stored = self
            .metadata
            .artifact(&who.tenant, &artifact.digest)
            .await?;
        let stored = stored.ok_or_else(|| BundlesError::Lost(artifact.key.clone()))?;
        Ok((stored.key, artifact.size_bytes))
    }

    /// Bytes of a file.
    ///
    /// # Errors
    /// The store fails.
    pub async fn read(
        &self,
        key: &BlobKey,
        offset: u64,
        length_max: usize,
    ) -> Result<Bytes, BundlesError> {
        Ok(self.blobs.read(key, offset, length_max).await?)
    }

    /// Withdraws a version: tombstone first, the row follows. A version that is yanked stays as it is.
    ///
    /// # Errors
    /// It is not published, is not what `etag` says, or the reason is too long.
    pub async fn yank(
        &self,
        who: &Principal,
        (bundle, version): (&BundleName, &BundleVersion),
        reason: String,
        etag: Option<&Digest>,
    ) -> Result<Version, BundlesError> {
        if reason.len() > REASON_BYTES_MAX {
            return Err(BundlesError::Reason(reason.len()));
        }
        let _turn = self.yanking.lock().await;
        let mut found = self.get(who, bundle, version).await?;
        check_etag(&found, etag)?;
        if found.yank.is_some() {
            return Ok(found);
        }
        let yank = Yank {
            tenant: who.tenant.clone(),
            bundle: bundle.clone(),
            version: version.clone(),
            reason,
            at: self.clock.0.now(),
        };
        let key = yanked_key(who, bundle, version);
        let body = Bytes::from(yank.canonical());
        let yank = match self.blobs.create(&key, body).await? {
            Created::Now => yank,
            // A crash took the row of an earlier yank: that one counts.
            Created::Before => self.tombstone(&key).await?,
        };
        let deed = who.deed("bundle.yank", format!("{bundle}@{version}"), yank.at);
        self.metadata.yank(&yank, &deed).await?;
        tracing::info!(
            tenant.id = %who.tenant, bundle.name = %bundle, bundle.version = %version,
            "yanked {bundle}@{version}"
        );
        found.yank = Some(yank);
        Ok(found)
    }

    /// Takes a yank back: tombstone first, the row follows.
    ///
    /// # Errors
    /// It is not published, or is not what `etag` says.
    pub async fn unyank(
        &self,
        who: &Principal,
        (bundle, version): (&BundleName, &BundleVersion),
        etag: Option<&Digest>,
    ) -> Result<Version, BundlesError> {
        let _turn = self.yanking.lock().await;
        let mut found = self.get(who, bundle, version).await?;
        check_etag(&found, etag)?;
        // Also without a row: a crash may have left the tombstone alone.
        self.blobs.delete(&yanked_key(who, bundle, version)).await?;
        let subject = format!("{bundle}@{version}");
        let deed = who.deed("bundle.unyank", subject, self.clock.0.now());
        self.metadata.unyank(bundle, version, &deed).await?;
        if found.yank.take().is_some() {
            tracing::info!(
                tenant.id = %who.tenant, bundle.name = %bundle, bundle.version = %version,
                "unyanked {bundle}@{version}"
            );
        }
        Ok(found)
    }
}

fn yanked_key(who: &Principal, bundle: &BundleName, version: &BundleVersion) -> BlobKey {
    BlobKey::Yanked {
        tenant: who.tenant.clone(),
        bundle: bundle.clone(),
        version: version.clone(),
    }
}

fn check_etag(found: &Version, etag: Option<&Digest>) -> Result<(), BundlesError> {
    match etag {
        Some(expected) if *expected != found.etag() => Err(BundlesError::Etag {
            expected: *expected,
            found: found.etag(),
        }),
        _ => Ok(()),
    }
}
