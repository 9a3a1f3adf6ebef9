//! Documents by their digests: what gateways may ask for.

use gantry_domain::{Digest, TenantId, Timestamp};

use super::row::{Column, count};
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

    /// Definitions of a tenant that were last used before a time, with when, in the order of their digests.
    pub async fn unused_definitions(
        &self,
        tenant: &TenantId,
        after: Option<&Digest>,
        before: Timestamp,
        entries_max: usize,
    ) -> Result<Vec<(Digest, Timestamp)>, MetadataError> {
        let sql = "SELECT digest, used_at_ms FROM definitions
             WHERE tenant = ? AND digest > ? AND used_at_ms < ? ORDER BY digest LIMIT ?";
        self.unused(sql, "definitions", tenant, after, before, entries_max)
            .await
    }

    /// Notes that definitions are used.
    pub async fn use_definitions(
        &self,
        tenant: &TenantId,
        digests: &[Digest],
        at: Timestamp,
    ) -> Result<(), MetadataError> {
        let mut tx = self.write("use definitions").await?;
        for digest in digests {
            sqlx::query(
                "UPDATE definitions SET used_at_ms = max(used_at_ms + 1, ?)
                 WHERE tenant = ? AND digest = ?",
            )
            .bind(at.as_millis())
            .bind(tenant.as_str())
            .bind(digest.as_bytes().as_slice())
            .execute(&mut **tx)
            .await
            .map_err(failed("use a definition"))?;
        }
        tx.commit().await.map_err(failed("use definitions"))
    }

    /// Drops definitions that were not used since they were last used at that time. Gives how many.
    pub async fn drop_definitions(
        &self,
        tenant: &TenantId,
        unused: &[(Digest, Timestamp)],
    ) -> Result<u64, MetadataError> {
        let mut tx = self.write("drop definitions").await?;
        let mut all = 0;
        for (digest, used_at) in unused {
            let dropped = sqlx::query(
                "DELETE FROM definitions WHERE tenant = ? AND digest = ? AND used_at_ms = ?",
            )
            .bind(tenant.as_str())
            .bind(digest.as_bytes().as_slice())
            .bind(used_at.as_millis())
            .execute(&mut **tx)
            .await
            .map_err(failed("drop a definition"))?;
            all += dropped.rows_affected();
        }
        tx.commit().await.map_err(failed("drop definitions"))?;
        Ok(all)
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

    /// What a query finds of a table's unused documents.
    pub(super) async fn unused(
        &self,
        sql: &'static str,
        table: &'static str,
        tenant: &TenantId,
        after: Option<&Digest>,
        before: Timestamp,
        entries_max: usize,
    ) -> Result<Vec<(Digest, Timestamp)>, MetadataError> {
        let rows: Vec<(Vec<u8>, i64)> = sqlx::query_as(sql)
            .bind(tenant.as_str())
            .bind(after.map_or(&[][..], |digest| digest.as_bytes().as_slice()))
            .bind(before.as_millis())
            .bind(count(entries_max))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list unused documents"))?;
        let digests = rows.into_iter();
        digests
            .map(|(digest, used_at)| {
                let digest = Column(table, "digest").digest(&digest)?;
                Ok((digest, Timestamp::from_millis(used_at)))
            })
            .collect()
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
