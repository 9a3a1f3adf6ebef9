//! What crashes and absent-minded uploaders leave: releases without a row are rolled forward, uploads
//! that nobody goes on with are dropped, staged bytes without an upload are deleted.

use std::time::Duration;

use gantry_domain::{TenantId, Timestamp, UploadId};

use super::{PublishError, Publisher};
use crate::blob::{BlobKey, BlobPrefix, Entry, Unsealed};
use crate::metadata::Deed;
use crate::refusal::chain;

/// How often is looked for such uploads.
pub const SWEEP_INTERVAL: Duration = Duration::from_hours(1);
/// Entries of a store that are looked at in one go.
const PAGE_ENTRIES: usize = 500;

impl Publisher {
    /// Makes rows and objects agree again. Meant for the start, before anything is served. What
    /// cannot be repaired is said and left: one tenant's damage must not keep all others waiting.
    ///
    /// # Errors
    /// The store does not say which tenants there are.
    pub async fn repair(&self) -> Result<(), PublishError> {
        let mut after: Option<TenantId> = None;
        loop {
            let tenants = self.metadata.tenants(after.as_ref(), PAGE_ENTRIES).await?;
            let Some(last) = tenants.last() else {
                return Ok(());
            };
            after = Some(last.tenant.clone());
            for row in &tenants {
                let forward = self.roll_all_forward(&row.tenant).await;
                let orphans = self.delete_orphans(&row.tenant).await;
                for error in [forward.err(), orphans.err()].into_iter().flatten() {
                    tracing::error!(
                        tenant.id = %row.tenant, error = %chain(&error),
                        "could not repair what tenant {} has stored", row.tenant
                    );
                }
            }
        }
    }

    /// Drops uploads that have rested too long, and staged bytes that belong to none.
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
        let mut after: Option<TenantId> = None;
        loop {
            let tenants = self.metadata.tenants(after.as_ref(), PAGE_ENTRIES).await?;
            let Some(last) = tenants.last() else {
                return Ok(());
            };
            after = Some(last.tenant.clone());
            for row in &tenants {
                self.delete_orphans(&row.tenant).await?;
            }
        }
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
        self.delete_staged(&deed.tenant, &row).await
    }

    async fn roll_all_forward(&self, tenant: &TenantId) -> Result<(), PublishError> {
        let prefix = BlobPrefix::Published(tenant.clone());
        let mut from = None;
        loop {
            let page = self.blobs.list(&prefix, from, PAGE_ENTRIES).await?;
            for Entry { key, .. } in &page.entries {
                if let BlobKey::Published {
                    bundle, version, ..
                } = key
                    && self
                        .metadata
                        .release(tenant, bundle, version)
                        .await?
                        .is_none()
                    && let Err(error) = self.roll_forward(key, None).await
                {
                    tracing::error!(
                        object.key = %key, error = %chain(&error), "could not roll {key} forward"
                    );
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Staged bytes that no upload here knows. Another control plane on the same bucket may know
    /// them, so only old ones go.
    async fn delete_orphans(&self, tenant: &TenantId) -> Result<(), PublishError> {
        let prefix = BlobPrefix::Staging(tenant.clone());
        let before = self.resting_since();
        let mut from = None;
        loop {
            let page = self.blobs.list(&prefix, from, PAGE_ENTRIES).await?;
            for Entry { key, modified } in &page.entries {
                if let BlobKey::Staged { upload, .. } = key
                    && *modified < before
                    && self.metadata.upload(tenant, upload).await?.is_none()
                {
                    self.blobs.delete(key).await?;
                }
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        for unsealed in self.blobs.unsealed(&prefix).await? {
            if unsealed.begun < before && !self.goes_on(tenant, &unsealed).await? {
                self.blobs.abandon(&unsealed.key, &unsealed.upload).await?;
            }
        }
        Ok(())
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
