//! Revisions of environments, and API definitions by digest.

use gantry_domain::{Digest, EnvironmentName, Revision, TenantId};
use sqlx::{Sqlite, Transaction};

use super::row::{Column, signed};
use super::{Deed, Metadata, MetadataError, audit, changed, failed};

/// Another writer made a revision since the caller read the head: read again and repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadMoved;

impl Metadata {
    /// The newest revision of an environment; `None` without the environment.
    pub async fn head(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
    ) -> Result<Option<Revision>, MetadataError> {
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT r.document FROM environments e
             JOIN revisions r ON r.tenant = e.tenant AND r.environment = e.environment
                             AND r.number = e.head
             WHERE e.tenant = ? AND e.environment = ?",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read the head revision"))?;
        row.map(|(document,)| parse(&document)).transpose()
    }

    /// The revision of a number, if it has this root.
    pub async fn revision(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        number: u64,
        root: &Digest,
    ) -> Result<Option<Revision>, MetadataError> {
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT document FROM revisions
             WHERE tenant = ? AND environment = ? AND number = ? AND root = ?",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(signed(number))
        .bind(root.as_bytes().as_slice())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read a revision"))?;
        row.map(|(document,)| parse(&document)).transpose()
    }

    /// Makes `next` the head where its number follows the head's, with the definition it brings.
    pub async fn commit_revision(
        &self,
        environment: &EnvironmentName,
        next: &Revision,
        definition: Option<(Digest, String)>,
        deed: &Deed,
    ) -> Result<Result<(), HeadMoved>, MetadataError> {
        let mut tx = self.write("commit a revision").await?;
        let moved = sqlx::query(
            "UPDATE environments SET head = ?3
             WHERE tenant = ?1 AND environment = ?2 AND head = ?3 - 1",
        )
        .bind(deed.tenant.as_str())
        .bind(environment.as_str())
        .bind(signed(next.number))
        .execute(&mut **tx)
        .await
        .map_err(failed("move the head"))?;
        if moved.rows_affected() == 0 {
            return Ok(Err(HeadMoved));
        }
        if let Some((digest, document)) = definition {
            sqlx::query(
                "INSERT INTO definitions (tenant, digest, document) VALUES (?, ?, ?)
                 ON CONFLICT DO NOTHING",
            )
            .bind(deed.tenant.as_str())
            .bind(digest.as_bytes().as_slice())
            .bind(document)
            .execute(&mut **tx)
            .await
            .map_err(failed("store a definition"))?;
        }
        insert(&mut tx, environment, next, deed).await?;
        audit::record(&mut tx, deed).await?;
        tx.commit().await.map_err(failed("commit a revision"))?;
        Ok(Ok(()))
    }

    /// A definition's canonical text by its digest.
    pub async fn definition(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Option<String>, MetadataError> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT document FROM definitions WHERE tenant = ? AND digest = ?")
                .bind(tenant.as_str())
                .bind(digest.as_bytes().as_slice())
                .fetch_optional(&self.pool)
                .await
                .map_err(failed("read a definition"))?;
        Ok(row.map(|(document,)| document))
    }

    /// A definition, a release document or an `OpenAPI` document of a tenant by its digest: what gateways
    /// may ask for.
    pub async fn document(
        &self,
        tenant: &TenantId,
        digest: &Digest,
    ) -> Result<Option<String>, MetadataError> {
        if let Some(document) = self.definition(tenant, digest).await? {
            return Ok(Some(document));
        }
        match self.release_document(tenant, digest).await? {
            Some(document) => Ok(Some(document)),
            None => self.openapi(tenant, digest).await,
        }
    }
}

pub(super) async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    environment: &EnvironmentName,
    revision: &Revision,
    deed: &Deed,
) -> Result<(), MetadataError> {
    let inserted = sqlx::query(
        "INSERT INTO revisions (tenant, environment, number, root, document, created_at_ms)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(deed.tenant.as_str())
    .bind(environment.as_str())
    .bind(signed(revision.number))
    .bind(revision.root().as_bytes().as_slice())
    .bind(revision.canonical())
    .bind(deed.at.as_millis())
    .execute(&mut **tx)
    .await
    .map_err(failed("store a revision"))?;
    changed("store a revision", 1, &inserted)
}

fn parse(document: &str) -> Result<Revision, MetadataError> {
    Revision::parse(document.as_bytes()).map_err(|errors| {
        let cause = crate::refusal::summary(&errors);
        Column("revisions", "document").corrupt(cause)
    })
}
