//! Makes rows follow tombstones again after a crash between the two.

use gantry_domain::yank::YANK_BYTES_MAX;
use gantry_domain::{BundleName, BundleVersion, TenantId, Yank};

use super::{Bundles, BundlesError};
use crate::blob::{BlobError, BlobKey, BlobPrefix};
use crate::metadata::{Deed, MetadataError};
use crate::refusal::{chain, summary};

/// Entries of a store that are looked at in one go.
const PAGE_ENTRIES: usize = 500;

impl Bundles {
    /// Notes tombstones without a row and removes rows without a tombstone. Meant for the start, after
    /// releases were repaired. What cannot be repaired is said and left.
    ///
    /// # Errors
    /// The store does not say which tenants there are.
    pub async fn repair(&self) -> Result<(), BundlesError> {
        let mut tenants = self.metadata.all_tenants();
        while let Some(tenant) = tenants.next().await? {
            let noted = self.note_tombstones(&tenant).await;
            let removed = self.remove_orphans(&tenant).await;
            for error in [noted.err(), removed.err()].into_iter().flatten() {
                tracing::error!(
                    tenant.id = %tenant, error = %chain(&error),
                    "could not repair what tenant {tenant} has yanked"
                );
            }
        }
        Ok(())
    }

    async fn note_tombstones(&self, tenant: &TenantId) -> Result<(), BundlesError> {
        let prefix = BlobPrefix::Yanked(tenant.clone());
        let mut from = None;
        loop {
            let page = self.blobs.list(&prefix, from, PAGE_ENTRIES).await?;
            for entry in &page.entries {
                self.note_tombstone(tenant, &entry.key).await?;
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn note_tombstone(&self, tenant: &TenantId, key: &BlobKey) -> Result<(), BundlesError> {
        let BlobKey::Yanked {
            bundle, version, ..
        } = key
        else {
            return Ok(());
        };
        let noted = self.metadata.yank_of(tenant, bundle, version).await?;
        if noted.is_none() {
            let yank = self.tombstone(key).await?;
            let deed = self.repaired("bundle.yank", tenant, bundle, version);
            self.metadata.yank(&yank, &deed).await?;
        }
        Ok(())
    }

    async fn remove_orphans(&self, tenant: &TenantId) -> Result<(), BundlesError> {
        let mut after: Option<(BundleName, BundleVersion)> = None;
        loop {
            let yanks = self
                .metadata
                .yanks(tenant, after.as_ref(), PAGE_ENTRIES)
                .await?;
            let Some(last) = yanks.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            for (bundle, version) in &yanks {
                let key = BlobKey::Yanked {
                    tenant: tenant.clone(),
                    bundle: bundle.clone(),
                    version: version.clone(),
                };
                match self.blobs.size(&key).await {
                    Ok(_) => {}
                    Err(BlobError::NotFound { .. }) => {
                        let deed = self.repaired("bundle.unyank", tenant, bundle, version);
                        self.metadata.unyank(bundle, version, &deed).await?;
                    }
                    Err(other) => return Err(other.into()),
                }
            }
        }
    }

    /// What a tombstone says.
    pub(super) async fn tombstone(&self, key: &BlobKey) -> Result<Yank, BundlesError> {
        let corrupt = |cause: String| MetadataError::Corrupt {
            table: "yanked objects",
            column: "document",
            cause: format!("{key}: {cause}"),
        };
        let document = self.blobs.read(key, 0, YANK_BYTES_MAX + 1).await?;
        let yank = Yank::parse(&document).map_err(|errors| corrupt(summary(&errors)))?;
        let own = BlobKey::Yanked {
            tenant: yank.tenant.clone(),
            bundle: yank.bundle.clone(),
            version: yank.version.clone(),
        };
        if own != *key {
            return Err(corrupt(format!("it is the tombstone of {own}")).into());
        }
        Ok(yank)
    }

    fn repaired(
        &self,
        action: &'static str,
        tenant: &TenantId,
        bundle: &BundleName,
        version: &BundleVersion,
    ) -> Deed {
        Deed {
            tenant: tenant.clone(),
            token: None,
            action,
            subject: format!("{bundle}@{version}"),
            at: self.clock.0.now(),
        }
    }
}
