//! Drops rows that have had their time: definitions that no environment has any more, `OpenAPI` documents
//! that no API names, revisions, tombstones of keys and audit entries beyond those that are kept. Bytes are
//! the publisher's to sweep.
//!
//! Invariant: nothing goes that an environment's head names, or that somebody may be about to name.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use gantry_domain::{Clock, Digest, OpenApi, TenantId, Timestamp};

use crate::metadata::{Deed, EnvironmentRow, Metadata, MetadataError};
use crate::refusal::chain;

/// Rows that are looked at, or dropped, in one go.
const PAGE_ENTRIES: usize = 500;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// How long a document stays that no API names. A definition that no environment has stays for half as long
    /// at least: a gateway may have been told of it and not have asked for it yet.
    pub idle_max: Duration,
    /// Revisions of an environment, the newest.
    pub revisions: u64,
    /// Tombstones of an environment's keys, the newest.
    pub revoked_keys: u64,
    /// Entries of a tenant's audit log, the newest.
    pub audit_entries: u64,
}

/// Sweeps a store.
#[derive(Clone)]
pub struct Housekeeping {
    metadata: Metadata,
    clock: Arc<dyn Clock>,
    kept: Kept,
}

impl Housekeeping {
    /// Of this store.
    pub fn new(metadata: Metadata, clock: Arc<dyn Clock>, kept: Kept) -> Self {
        Self {
            metadata,
            clock,
            kept,
        }
    }

    /// Drops what has had its time. One tenant's damage keeps no other waiting.
    ///
    /// # Errors
    /// The store does not say which tenants there are.
    pub async fn sweep(&self) -> Result<(), MetadataError> {
        let mut tenants = self.metadata.all_tenants();
        while let Some(tenant) = tenants.next().await? {
            if let Err(error) = self.sweep_tenant(&tenant).await {
                tracing::error!(
                    tenant.id = %tenant, error = %chain(&error),
                    "could not sweep what tenant {tenant} has stored"
                );
            }
        }
        Ok(())
    }

    async fn sweep_tenant(&self, tenant: &TenantId) -> Result<(), MetadataError> {
        let environments = self.metadata.environments(tenant).await?;
        for row in &environments {
            self.prune(tenant, row).await?;
        }
        let (kept, full) = (self.kept.audit_entries, PAGE_ENTRIES as u64);
        while self
            .metadata
            .prune_audit(tenant, kept, PAGE_ENTRIES)
            .await?
            == full
        {}
        self.drop_definitions(tenant, &environments).await?;
        self.drop_documents(tenant, &environments).await
    }

    async fn prune(&self, tenant: &TenantId, row: &EnvironmentRow) -> Result<(), MetadataError> {
        let (metadata, environment, kept) = (&self.metadata, &row.environment, self.kept);
        let full = PAGE_ENTRIES as u64;
        // In short transactions: others write meanwhile.
        while metadata
            .prune_revisions(tenant, environment, kept.revisions, PAGE_ENTRIES)
            .await?
            == full
        {}
        while metadata
            .prune_tombstones(tenant, environment, kept.revoked_keys, PAGE_ENTRIES)
            .await?
            == full
        {}
        Ok(())
    }

    /// Drops definitions that no head has and that nobody put for a while. One that is put while this looks is
    /// not dropped: to put it is to use it.
    async fn drop_definitions(
        &self,
        tenant: &TenantId,
        environments: &[EnvironmentRow],
    ) -> Result<(), MetadataError> {
        let (now, long, half) = (self.clock.now(), self.ago(1), self.ago(2));
        let mut after: Option<Digest> = None;
        loop {
            let unused = self
                .metadata
                .unused_definitions(tenant, after.as_ref(), half, PAGE_ENTRIES)
                .await?;
            let Some((last, _)) = unused.last() else {
                return Ok(());
            };
            after = Some(*last);
            // After the list: what is put meanwhile is not in it, or is had.
            let had = self.had(tenant, environments).await?;
            let (used, unused): (Vec<_>, Vec<_>) = unused
                .into_iter()
                .partition(|(digest, _)| had.contains(digest));
            let used: Vec<_> = used.into_iter().map(|(digest, _)| digest).collect();
            // What was had for long and is not had now was used half that time ago at the earliest.
            let unused: Vec<_> = unused.into_iter().filter(|(_, at)| *at < long).collect();
            if !used.is_empty() {
                self.metadata.use_definitions(tenant, &used, now).await?;
            }
            let dropped = match unused.as_slice() {
                [] => 0,
                unused => self.metadata.drop_definitions(tenant, unused).await?,
            };
            if dropped > 0 {
                tracing::info!(tenant.id = %tenant, "dropped {dropped} definitions that no environment has");
            }
        }
    }

    /// A part of the time for which what nobody uses stays, before now.
    fn ago(&self, parts: i64) -> Timestamp {
        let idle_ms = i64::try_from(self.kept.idle_max.as_millis()).unwrap_or(i64::MAX);
        let now = self.clock.now().as_millis();
        Timestamp::from_millis(now.saturating_sub(idle_ms / parts))
    }

    /// The definitions that heads have.
    async fn had(
        &self,
        tenant: &TenantId,
        environments: &[EnvironmentRow],
    ) -> Result<HashSet<Digest>, MetadataError> {
        let mut had = HashSet::new();
        for row in environments {
            let head = self.metadata.head(tenant, &row.environment).await?;
            had.extend(head.into_iter().flat_map(|head| head.apis.into_values()));
        }
        Ok(had)
    }

    /// Drops documents that no head names and that nobody put or named for a while. A document that is put or
    /// named while this looks is not dropped, and a definition comes with its document or not at all.
    async fn drop_documents(
        &self,
        tenant: &TenantId,
        environments: &[EnvironmentRow],
    ) -> Result<(), MetadataError> {
        let (now, before) = (self.clock.now(), self.ago(1));
        let mut after: Option<Digest> = None;
        loop {
            let unused = self
                .metadata
                .unused_openapi(tenant, after.as_ref(), before, PAGE_ENTRIES);
            let unused = unused.await?;
            let Some((last, _)) = unused.last() else {
                return Ok(());
            };
            after = Some(*last);
            // After the list: what is named meanwhile is not in it, or is named. Only where there is something to
            // decide: it reads every definition.
            let named = self.named(tenant, environments).await?;
            for (digest, used_at) in &unused {
                if named.contains(digest) {
                    self.metadata.use_openapi(tenant, digest, now).await?;
                } else {
                    self.drop_document(tenant, digest, *used_at, now).await?;
                }
            }
        }
    }

    async fn drop_document(
        &self,
        tenant: &TenantId,
        digest: &Digest,
        used_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), MetadataError> {
        let deed = Deed {
            tenant: tenant.clone(),
            token: None,
            action: "openapi.drop",
            subject: digest.to_string(),
            at: now,
        };
        if self.metadata.drop_openapi(digest, used_at, &deed).await? {
            tracing::info!(tenant.id = %tenant, "dropped OpenAPI document {digest}, which no API names");
        }
        Ok(())
    }

    /// The documents that definitions of heads name.
    async fn named(
        &self,
        tenant: &TenantId,
        environments: &[EnvironmentRow],
    ) -> Result<HashSet<Digest>, MetadataError> {
        let mut named = HashSet::new();
        for digest in self.had(tenant, environments).await? {
            let definition = self.metadata.definition(tenant, &digest).await?;
            named.extend(definition.and_then(|text| OpenApi::named_by(text.as_bytes())));
        }
        Ok(named)
    }
}
