//! `OpenAPI` documents by digest. A document is here before a definition that names it.

use gantry_domain::{Digest, TenantId};

use super::{Deed, Metadata, MetadataError, audit, failed};

impl Metadata {
    /// Keeps a document. `false`: it was here.
    pub async fn keep_openapi(
        &self,
        digest: &Digest,
        document: &str,
        deed: &Deed,
    ) -> Result<bool, MetadataError> {
        let mut tx = self.write("store an OpenAPI document").await?;
        let inserted = sqlx::query(
            "INSERT INTO openapi (tenant, digest, document) VALUES (?, ?, ?)
             ON CONFLICT DO NOTHING",
        )
        .bind(deed.tenant.as_str())
        .bind(digest.as_bytes().as_slice())
        .bind(document)
        .execute(&mut **tx)
        .await
        .map_err(failed("store an OpenAPI document"))?;
        let is_new = inserted.rows_affected() > 0;
        if is_new {
            audit::record(&mut tx, deed).await?;
        }
        let committed = tx.commit().await;
        committed.map_err(failed("store an OpenAPI document"))?;
        Ok(is_new)
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

    /// A tenant's document.
    pub async fn openapi(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Option<String>, MetadataError> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT document FROM openapi WHERE tenant = ? AND digest = ?")
                .bind(tenant.as_str())
                .bind(digest.as_bytes().as_slice())
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("read an OpenAPI document"))?;
        Ok(row.map(|(document,)| document))
    }
}
