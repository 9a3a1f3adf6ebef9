//! Revisions of environments, with the API definitions that they bring.

use gantry_domain::{Digest, EnvironmentName, OpenApi, Revision, TenantId};
use sqlx::{Sqlite, Transaction};

use super::openapi::use_openapi;
use super::row::{Column, count, signed};
use super::{Deed, Metadata, MetadataError, audit, changed, failed};

/// Why a revision was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCommitted {
    /// Another writer made one since the caller read the head: read again and repeat.
    HeadMoved,
    /// The `OpenAPI` document that the definition names is not here any more.
    OpenApiGone(Digest),
}

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
    ) -> Result<Result<(), NotCommitted>, MetadataError> {
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
            return Ok(Err(NotCommitted::HeadMoved));
        }
        if let Some((digest, document)) = definition {
            // From here on the revision says that it is used; until then the sweeper might have dropped it.
            if let Some(openapi) = OpenApi::named_by(document.as_bytes())
                && !use_openapi(&mut tx, &deed.tenant, &openapi, deed.at).await?
            {
                return Ok(Err(NotCommitted::OpenApiGone(openapi)));
            }
            sqlx::query(
                "INSERT INTO definitions (tenant, digest, document, used_at_ms) VALUES (?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET used_at_ms = max(used_at_ms + 1, excluded.used_at_ms)",
            )
            .bind(deed.tenant.as_str())
            .bind(digest.as_bytes().as_slice())
            .bind(document)
            .bind(deed.at.as_millis())
            .execute(&mut **tx)
            .await
            .map_err(failed("store a definition"))?;
        }
        insert(&mut tx, environment, next, deed).await?;
        audit::record(&mut tx, deed).await?;
        tx.commit().await.map_err(failed("commit a revision"))?;
        Ok(Ok(()))
    }

    /// Forgets revisions of an environment but the newest `kept`, at most `entries_max` of them. Gives how
    /// many. A gateway that has one of them is sent the head whole.
    pub async fn prune_revisions(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        kept: u64,
        entries_max: usize,
    ) -> Result<u64, MetadataError> {
        let mut tx = self.write("prune revisions").await?;
        let pruned = sqlx::query(
            "DELETE FROM revisions WHERE tenant = ?1 AND environment = ?2 AND number IN (
               SELECT r.number FROM revisions r
               JOIN environments e ON e.tenant = r.tenant AND e.environment = r.environment
               WHERE r.tenant = ?1 AND r.environment = ?2 AND r.number <= e.head - ?3
               ORDER BY r.number LIMIT ?4)",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(signed(kept.max(1)))
        .bind(count(entries_max))
        .execute(&mut **tx)
        .await
        .map_err(failed("prune revisions"))?;
        tx.commit().await.map_err(failed("prune revisions"))?;
        Ok(pruned.rows_affected())
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
