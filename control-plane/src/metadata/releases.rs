//! Published releases, and where the bytes of their files lie.

use gantry_domain::{BundleName, BundleVersion, Digest, Release, TenantId, Timestamp, UploadId};

use super::row::{Column, signed};
use super::{Deed, Metadata, MetadataError, audit, failed, uploads};
use crate::blob::BlobKey;

/// A published release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRow {
    /// What its document says.
    pub release: Release,
    /// When it was published.
    pub published_at: Timestamp,
}

/// Bytes that a tenant has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRow {
    /// Where they lie.
    pub key: BlobKey,
    /// How many there are.
    pub size_bytes: u64,
}

impl Metadata {
    /// Stores the row of a release whose document exists, names the place of bytes that are new, and
    /// marks the upload that brought it. A release that is stored already stays as it is: then this
    /// is the second of two roll-forwards.
    pub async fn publish(
        &self,
        row: &ReleaseRow,
        upload: Option<&UploadId>,
        deed: &Deed,
    ) -> Result<(), MetadataError> {
        let release = &row.release;
        let mut tx = self.write("publish").await?;
        let inserted = sqlx::query(
            "INSERT INTO releases (tenant, bundle, version, digest, document, published_at_ms)
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(release.tenant.as_str())
        .bind(release.bundle().as_str())
        .bind(release.version().to_string())
        .bind(release.digest().as_bytes().as_slice())
        .bind(release.canonical())
        .bind(row.published_at.as_millis())
        .execute(&mut **tx)
        .await
        .map_err(failed("store a release"))?;
        for artifact in &release.artifacts {
            sqlx::query(
                "INSERT INTO artifacts (tenant, sha256, stored_key, size_bytes)
                 VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )
            .bind(release.tenant.as_str())
            .bind(artifact.digest.as_bytes().as_slice())
            .bind(&artifact.key)
            .bind(signed(artifact.size_bytes))
            .execute(&mut **tx)
            .await
            .map_err(failed("store an artifact's place"))?;
        }
        if let Some(upload) = upload {
            uploads::mark_published(&mut tx, upload, deed).await?;
        }
        if inserted.rows_affected() == 1 {
            audit::record(&mut tx, deed).await?;
        }
        tx.commit().await.map_err(failed("publish"))
    }

    /// A release by its name and version.
    pub async fn release(
        &self,
        tenant: &TenantId,
        bundle: &BundleName,
        version: &BundleVersion,
    ) -> Result<Option<ReleaseRow>, MetadataError> {
        let row: Option<(String, i64)> = sqlx::query_as(
            "SELECT document, published_at_ms FROM releases
             WHERE tenant = ? AND bundle = ? AND version = ?",
        )
        .bind(tenant.as_str())
        .bind(bundle.as_str())
        .bind(version.to_string())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read a release"))?;
        row.map(|(document, at)| {
            Ok(ReleaseRow {
                release: parse(&document)?,
                published_at: Timestamp::from_millis(at),
            })
        })
        .transpose()
    }

    /// A release by the digest of its document.
    pub async fn release_by_digest(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Option<Release>, MetadataError> {
        let document = self.release_document(tenant, digest).await?;
        document.map(|document| parse(&document)).transpose()
    }

    /// Where a tenant has the bytes of a digest.
    pub async fn artifact(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Option<ArtifactRow>, MetadataError> {
        let row: Option<(String, i64)> = sqlx::query_as(
            "SELECT stored_key, size_bytes FROM artifacts WHERE tenant = ? AND sha256 = ?",
        )
        .bind(tenant.as_str())
        .bind(digest.as_bytes().as_slice())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("find an artifact"))?;
        row.map(|(key, size_bytes)| {
            Ok(ArtifactRow {
                key: Column("artifacts", "stored_key").parse(&key)?,
                size_bytes: Column("artifacts", "size_bytes").unsigned(size_bytes)?,
            })
        })
        .transpose()
    }
}

pub(super) fn parse(document: &str) -> Result<Release, MetadataError> {
    Release::parse(document.as_bytes()).map_err(|errors| {
        let cause = crate::refusal::summary(&errors);
        Column("releases", "document").corrupt(cause)
    })
}
