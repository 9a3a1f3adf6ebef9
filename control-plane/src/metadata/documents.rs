//! Documents by their digests: what gateways may ask for.

use gantry_domain::{Digest, TenantId};

use super::{Metadata, MetadataError, failed};

impl Metadata {
    /// A definition's canonical text by its digest.
    pub async fn definition(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Option<String>, MetadataError> {
        let sql = "SELECT document FROM definitions WHERE tenant = ? AND digest = ?";
        self.by_digest(sql, "read a definition", tenant, digest)
            .await
    }

    pub(super) async fn release_document(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Option<String>, MetadataError> {
        let sql = "SELECT document FROM releases WHERE tenant = ? AND digest = ?";
        self.by_digest(sql, "read a release document", tenant, digest)
            .await
    }

    /// A definition, a release document or an `OpenAPI` document of a tenant by its digest.
    pub async fn document(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Option<String>, MetadataError> {
        const SQL: &str = "SELECT document FROM definitions WHERE tenant = ?1 AND digest = ?2
             UNION ALL SELECT document FROM releases WHERE tenant = ?1 AND digest = ?2
             UNION ALL SELECT document FROM openapi WHERE tenant = ?1 AND digest = ?2
             LIMIT 1";
        self.by_digest(SQL, "read a document", tenant, digest).await
    }

    async fn by_digest(
        &self,
        sql: &'static str,
        action: &'static str,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Option<String>, MetadataError> {
        let row: Option<(String,)> = sqlx::query_as(sql)
            .bind(tenant.as_str())
            .bind(digest.as_bytes().as_slice())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(action))?;
        Ok(row.map(|(document,)| document))
    }
}
