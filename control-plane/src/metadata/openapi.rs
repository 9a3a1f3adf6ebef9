//! `OpenAPI` documents by digest. A document is here before a definition that names it, and stays for as
//! long as one does.

use gantry_domain::{Digest, TenantId, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::row::count;
use super::{Deed, Metadata, MetadataError, audit, failed};

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenApiKept {
    /// It is here, now or since before.
    Kept,
    /// The tenant has as many as it may have.
    TooMany,
}

impl Metadata {
    /// Keeps a document, and notes that it is used.
    pub async fn keep_openapi(
        &self,
        digest: &Digest,
        document: &str,
        documents_max: usize,
        deed: &Deed,
    ) -> Result<OpenApiKept, MetadataError> {
        let mut tx = self.write("store an OpenAPI document").await?;
        if !use_openapi(&mut tx, &deed.tenant, digest, deed.at).await? {
            let kept: (i64,) = sqlx::query_as("SELECT count(*) FROM openapi WHERE tenant = ?")
                .bind(deed.tenant.as_str())
                .fetch_one(&mut **tx)
                .await
                .map_err(failed("count OpenAPI documents"))?;
            if kept.0 >= count(documents_max) {
                return Ok(OpenApiKept::TooMany);
            }
            sqlx::query(
                "INSERT INTO openapi (tenant, digest, document, used_at_ms) VALUES (?, ?, ?, ?)",
            )
            .bind(deed.tenant.as_str())
            .bind(digest.as_bytes().as_slice())
            .bind(document)
            .bind(deed.at.as_millis())
            .execute(&mut **tx)
            .await
            .map_err(failed("store an OpenAPI document"))?;
            audit::record(&mut tx, deed).await?;
        }
        let committed = tx.commit().await;
        committed.map_err(failed("store an OpenAPI document"))?;
        Ok(OpenApiKept::Kept)
    }

    /// Notes that a document is used. `false`: the tenant has none of this digest.
    pub async fn use_openapi(
        &self,
        tenant: &TenantId,
        digest: &Digest,
        at: Timestamp,
    ) -> Result<bool, MetadataError> {
        let mut tx = self.write("use an OpenAPI document").await?;
        let is_here = use_openapi(&mut tx, tenant, digest, at).await?;
        let committed = tx.commit().await;
        committed.map_err(failed("use an OpenAPI document"))?;
        Ok(is_here)
    }

    /// Whether a tenant has a document.
    pub async fn has_openapi(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<bool, MetadataError> {
        let row: Option<(i64,)> =
            sqlx::query_as("SELECT 1 FROM openapi WHERE tenant = ? AND digest = ?")
                .bind(tenant.as_str())
                .bind(digest.as_bytes().as_slice())
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("find an OpenAPI document"))?;
        Ok(row.is_some())
    }

    /// Documents of a tenant that were last used before a time, with when, in the order of their digests.
    pub async fn unused_openapi(
        &self,
        tenant: &TenantId,
        after: Option<&Digest>,
        before: Timestamp,
        entries_max: usize,
    ) -> Result<Vec<(Digest, Timestamp)>, MetadataError> {
        let sql = "SELECT digest, used_at_ms FROM openapi
             WHERE tenant = ? AND digest > ? AND used_at_ms < ? ORDER BY digest LIMIT ?";
        self.unused(sql, "openapi", tenant, after, before, entries_max)
            .await
    }

    /// Drops a document if it was not used since it was last used at that time. `false`: it was, or is gone.
    pub async fn drop_openapi(
        &self,
        digest: &Digest,
        used_at: Timestamp,
        deed: &Deed,
    ) -> Result<bool, MetadataError> {
        let mut tx = self.write("drop an OpenAPI document").await?;
        let dropped =
            sqlx::query("DELETE FROM openapi WHERE tenant = ? AND digest = ? AND used_at_ms = ?")
                .bind(deed.tenant.as_str())
                .bind(digest.as_bytes().as_slice())
                .bind(used_at.as_millis())
                .execute(&mut **tx)
                .await
                .map_err(failed("drop an OpenAPI document"))?;
        if dropped.rows_affected() == 0 {
            return Ok(false);
        }
        audit::record(&mut tx, deed).await?;
        let committed = tx.commit().await;
        committed.map_err(failed("drop an OpenAPI document"))?;
        Ok(true)
    }
}

/// Notes in a transaction that a document is used. `false`: the tenant has none of this digest. Every use
/// changes the row, whatever the clock does, so that who saw it unused sees that it is not any more.
pub(super) async fn use_openapi(
    tx: &mut Transaction<'_, Sqlite>,
    tenant: &TenantId,
    digest: &Digest,
    at: Timestamp,
) -> Result<bool, MetadataError> {
    let used = sqlx::query(
        "UPDATE openapi SET used_at_ms = max(used_at_ms + 1, ?) WHERE tenant = ? AND digest = ?",
    )
    .bind(at.as_millis())
    .bind(tenant.as_str())
    .bind(digest.as_bytes().as_slice())
    .execute(&mut **tx)
    .await
    .map_err(failed("use an OpenAPI document"))?;
    Ok(used.rows_affected() > 0)
}
