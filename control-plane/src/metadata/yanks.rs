//! Withdrawn versions. The tombstone in object storage decides; these rows follow it.

use gantry_domain::{BundleName, BundleVersion, TenantId, Timestamp, Yank};

use super::row::{Column, count};
use super::{Deed, Metadata, MetadataError, audit, failed};

impl Metadata {
    /// Notes a yank, unless it is noted already.
    pub async fn yank(&self, yank: &Yank, deed: &Deed) -> Result<(), MetadataError> {
        let mut tx = self.write("yank").await?;
        let inserted = sqlx::query(
            "INSERT INTO yanks (tenant, bundle, version, reason, yanked_at_ms)
             VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(deed.tenant.as_str())
        .bind(yank.bundle.as_str())
        .bind(yank.version.to_string())
        .bind(&yank.reason)
        .bind(yank.at.as_millis())
        .execute(&mut **tx)
        .await
        .map_err(failed("note a yank"))?;
        if inserted.rows_affected() == 1 {
            audit::record(&mut tx, deed).await?;
        }
        tx.commit().await.map_err(failed("yank"))
    }

    /// Removes a yank, if there is one.
    pub async fn unyank(
        &self,
        bundle: &BundleName,
        version: &BundleVersion,
        deed: &Deed,
    ) -> Result<(), MetadataError> {
        let mut tx = self.write("unyank").await?;
        let deleted =
            sqlx::query("DELETE FROM yanks WHERE tenant = ? AND bundle = ? AND version = ?")
                .bind(deed.tenant.as_str())
                .bind(bundle.as_str())
                .bind(version.to_string())
                .execute(&mut **tx)
                .await
                .map_err(failed("remove a yank"))?;
        if deleted.rows_affected() == 1 {
            audit::record(&mut tx, deed).await?;
        }
        tx.commit().await.map_err(failed("unyank"))
    }

    /// The yank of a version; `None` when it is not yanked.
    pub async fn yank_of(
        &self,
        tenant: &TenantId,
        bundle: &BundleName,
        version: &BundleVersion,
    ) -> Result<Option<Yank>, MetadataError> {
        let row: Option<(String, i64)> = sqlx::query_as(
            "SELECT reason, yanked_at_ms FROM yanks
             WHERE tenant = ? AND bundle = ? AND version = ?",
        )
        .bind(tenant.as_str())
        .bind(bundle.as_str())
        .bind(version.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read a yank"))?;
        Ok(row.map(|(reason, at)| Yank {
            tenant: tenant.clone(),
            bundle: bundle.clone(),
            version: version.clone(),
            reason,
            at: Timestamp::from_millis(at),
        }))
    }

    /// Yanked versions of a tenant in the order of their names, after one where one is given.
    pub async fn yanks(
        &self,
        tenant: &TenantId,
        after: Option<&(BundleName, BundleVersion)>,
        entries_max: usize,
    ) -> Result<Vec<(BundleName, BundleVersion)>, MetadataError> {
        let (bundle, version) = after
            .map(|(bundle, version)| (bundle.to_string(), version.to_string()))
            .unwrap_or_default();
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT bundle, version FROM yanks
             WHERE tenant = ? AND (bundle, version) > (?, ?) ORDER BY bundle, version LIMIT ?",
        )
        .bind(tenant.as_str())
        .bind(bundle)
        .bind(version)
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list yanks"))?;
        rows.into_iter()
            .map(|(bundle, version)| {
                Ok((
                    Column("yanks", "bundle").parse(&bundle)?,
                    Column("yanks", "version").parse(&version)?,
                ))
            })
            .collect()
    }
}
