//! What crashes and absent-minded uploaders leave: releases without a row are rolled forward, uploads
//! that nobody goes on with are dropped, bytes that no upload and no release names are deleted.

use gantry_domain::{Digest, TenantId, Timestamp, UploadId};

use super::commit::published_key;
use super::{PublishError, Publisher};
use crate::blob::{BlobError, BlobKey, BlobPrefix, Entry, Unsealed};
use crate::metadata::Deed;
use crate::metrics::UploadResult;
use crate::refusal::chain;

/// Entries of a store that are looked at in one go.
const PAGE_ENTRIES: usize = 500;

impl Publisher {
    /// Makes rows and objects agree again. Meant for the start, before anything is served. What
    /// cannot be repaired is said and left: one tenant's damage must not keep all others waiting.
    ///
    /// # Errors
    /// The store does not say which tenants there are.
    pub async fn repair(&self) -> Result<(), PublishError> {
        let mut tenants = self.metadata.all_tenants();
        while let Some(tenant) = tenants.next().await? {
            if let Err(error) = self.repair_tenant(&tenant).await {
                tracing::error!(
                    tenant.id = %tenant, error = %chain(&error),
                    "could not repair what tenant {tenant} has stored"
                );
            }
        }
        Ok(())
    }

    /// What must not wait, and takes no longer than there are releases.
    async fn repair_tenant(&self, tenant: &TenantId) -> Result<(), PublishError> {
        self.tidy(&BlobPrefix::Published(tenant.clone())).await?;
        self.tidy(&BlobPrefix::Staging(tenant.clone())).await?;
        self.abandon_parts(tenant).await
    }

    /// Drops uploads that have rested too long, and bytes that nothing names; does what [`Publisher::repair`] does.
    ///
    /// # Errors
    /// A store that fails.
    pub async fn sweep(&self) -> Result<(), PublishError> {
        let before = self.resting_since();
        for (tenant, upload) in self.metadata.stale_uploads(before, PAGE_ENTRIES).await? {
            let Some(_hold) = self.holds.take(&tenant, &upload, None) else {
                continue;
            };
            self.drop_stale(tenant, &upload).await?;
        }
        let mut tenants = self.metadata.all_tenants();
        while let Some(tenant) = tenants.next().await? {
            self.tidy(&BlobPrefix::Tenant(tenant.clone())).await?;
            self.abandon_parts(&tenant).await?;
        }
        Ok(())
    }

    async fn drop_stale(&self, tenant: TenantId, upload: &UploadId) -> Result<(), PublishError> {
        let Some(row) = self.metadata.upload(&tenant, upload).await? else {
            return Ok(());
        };
        let deed = Deed {
            tenant,
            token: None,
            action: "upload.expire",
            subject: format!("{}@{}", row.bundle, row.version),
            at: self.clock.now(),
        };
        self.metadata.drop_upload(upload, &deed).await?;
        self.metrics.upload(&deed.tenant, UploadResult::Dropped);
        self.delete_staged(&deed.tenant, &row).await
    }

    /// Looks at objects of a tenant, each once: releases without a row get one, bytes that nothing
    /// names go.
    async fn tidy(&self, prefix: &BlobPrefix) -> Result<(), PublishError> {
        let mut from = None;
        loop {
            let page = self.blobs.list(prefix, from, PAGE_ENTRIES).await?;
            for entry in &page.entries {
                if let Err(error) = self.tidy_object(entry).await {
                    let key = &entry.key;
                    tracing::error!(
                        object.key = %key, error = %chain(&error), "could not tidy {key}"
                    );
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Drops parts that no row goes on with.
    async fn abandon_parts(&self, tenant: &TenantId) -> Result<(), PublishError> {
        let prefix = BlobPrefix::Staging(tenant.clone());
        for unsealed in self.blobs.unsealed(&prefix).await? {
            if unsealed.begun < self.resting_since() && !self.goes_on(tenant, &unsealed).await? {
                self.blobs.abandon(&unsealed.key, &unsealed.upload).await?;
            }
        }
        Ok(())
    }

    /// Another control plane on the same bucket may know staged bytes and artifacts that this one does
    /// not, so only old ones go.
    async fn tidy_object(&self, Entry { key, modified }: &Entry) -> Result<(), PublishError> {
        let old = *modified < self.resting_since();
        match key {
            BlobKey::Published { .. } => self.give_row(key).await,
            BlobKey::Staged { tenant, upload, .. } if old => {
                if self.metadata.upload(tenant, upload).await?.is_none() {
                    self.blobs.delete(key).await?;
                }
                Ok(())
            }
            BlobKey::Artifact { .. } if old => self.delete_unless_named(key).await,
            BlobKey::Staged { .. } | BlobKey::Artifact { .. } | BlobKey::Yanked { .. } => Ok(()),
        }
    }

    /// Rolls a release forward that has no row: its publisher died, or lost the database for a moment.
    /// While one is being committed that would take the words out of its mouth; there is a next time.
    async fn give_row(&self, key: &BlobKey) -> Result<(), PublishError> {
        let BlobKey::Published {
            tenant,
            bundle,
            version,
        } = key
        else {
            return Ok(());
        };
        let release = self.metadata.release(tenant, bundle, version).await?;
        let Ok(_alone) = self.commits.try_write() else {
            return Ok(());
        };
        if release.is_none() {
            self.roll_forward(key, None).await?;
        }
        Ok(())
    }

    /// Deletes bytes at a final key that were to become part of a release and did not. Nothing is
    /// committed meanwhile, since a publisher that finds such bytes uses them.
    async fn delete_unless_named(&self, key: &BlobKey) -> Result<(), PublishError> {
        let BlobKey::Artifact {
            tenant,
            bundle,
            version,
            digest,
            ..
        } = key
        else {
            return Ok(());
        };
        if self.names(tenant, digest, key).await? {
            return Ok(());
        }
        let Ok(_alone) = self.commits.try_write() else {
            return Ok(());
        };
        // Named by a release whose row is not there: that is rolled forward, and nothing is taken away.
        let document = published_key(tenant, bundle, version);
        let committed = match self.metadata.release(tenant, bundle, version).await? {
            Some(row) => {
                let path = key.path();
                row.release.artifacts.iter().any(|file| file.key == path)
            }
            None => match self.blobs.size(&document).await {
                Ok(_) => true,
                Err(BlobError::NotFound { .. }) => false,
                Err(other) => return Err(other.into()),
            },
        };
        if committed || self.names(tenant, digest, key).await? {
            return Ok(());
        }
        tracing::info!(tenant.id = %tenant, object.key = %key, "deleting {key}, which no release names");
        Ok(self.blobs.delete(key).await?)
    }

    async fn names(
        &self,
        tenant: &TenantId,
        digest: &Digest,
        key: &BlobKey,
    ) -> Result<bool, PublishError> {
        let known = self.metadata.artifact(tenant, digest).await?;
        Ok(known.is_some_and(|known| known.key == *key))
    }

    /// Whether a row still wants these parts. One that was begun for a file whose row names other
    /// parts, or none, is what a crash left between the store and the row.
    async fn goes_on(&self, tenant: &TenantId, unsealed: &Unsealed) -> Result<bool, PublishError> {
        let BlobKey::Staged { upload, file, .. } = &unsealed.key else {
            return Ok(true);
        };
        let row = self.metadata.upload(tenant, upload).await?;
        let files = row.map(|row| row.files).unwrap_or_default();
        Ok(files.iter().any(|row| {
            let parts = row.parts.as_ref();
            row.file == *file && parts.is_some_and(|parts| parts.upload == unsealed.upload)
        }))
    }

    /// What was not touched since then has rested too long.
    fn resting_since(&self) -> Timestamp {
        let idle_ms = i64::try_from(self.idle_max.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.clock.now().as_millis().saturating_sub(idle_ms))
    }
}
