//! Tenants and their environments.

use gantry_domain::resolution::Lookup;
use gantry_domain::{EnvironmentName, Revision, TenantId, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::row::{Column, count, signed};
use super::{Deed, Metadata, MetadataError, TokenRow, audit, changed, failed, tokens};

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRow {
    /// Its name.
    pub tenant: TenantId,
    /// When it was created.
    pub created_at: Timestamp,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRow {
    /// Its name.
    pub environment: EnvironmentName,
    /// The order in which file names are tried.
    pub lookup: Lookup,
    /// The number of its newest revision.
    pub head: u64,
    /// The number of the last change of its consumer keys.
    pub keys_epoch: u64,
    /// Tombstones of keys up to this epoch may be gone.
    pub keys_pruned: u64,
    /// Under which its consumer keys are hashed.
    pub key_pepper: [u8; 32],
    /// When it was created.
    pub created_at: Timestamp,
}

type EnvironmentTuple = (String, String, i64, i64, i64, Vec<u8>, i64);

impl Metadata {
    /// Creates a tenant with its first token. `false`: the name is taken.
    pub async fn create_tenant(
        &self,
        token: &TokenRow,
        deed: &Deed,
    ) -> Result<bool, MetadataError> {
        let mut tx = self.write("create a tenant").await?;
        if !insert_tenant(&mut tx, &token.tenant, deed.at).await? {
            return Ok(false);
        }
        tokens::insert(&mut tx, token).await?;
        audit::record(&mut tx, deed).await?;
        tx.commit().await.map_err(failed("create a tenant"))?;
        Ok(true)
    }

    /// Creates the operators' tenant where it does not exist, and a token of it. `false`: it has a
    /// valid admin token already, and `again` was not asked for.
    pub async fn bootstrap(
        &self,
        token: &TokenRow,
        again: bool,
        deed: &Deed,
    ) -> Result<bool, MetadataError> {
        let mut tx = self.write("bootstrap").await?;
        insert_tenant(&mut tx, &token.tenant, deed.at).await?;
        let live: (i64,) = sqlx::query_as(
            "SELECT count(*) FROM tokens
             WHERE tenant = ? AND revoked_at_ms IS NULL AND ',' || rights || ',' LIKE '%,admin,%'",
        )
        .bind(token.tenant.as_str())
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("count the operators' tokens"))?;
        if live.0 > 0 && !again {
            return Ok(false);
        }
        tokens::insert(&mut tx, token).await?;
        audit::record(&mut tx, deed).await?;
        tx.commit().await.map_err(failed("bootstrap"))?;
        Ok(true)
    }

    /// Tenants in the order of their names.
    pub async fn tenants(
        &self,
        after: Option<&TenantId>,
        entries_max: usize,
    ) -> Result<Vec<TenantRow>, MetadataError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT tenant, created_at_ms FROM tenants WHERE tenant > ? ORDER BY tenant LIMIT ?",
        )
        .bind(after.map_or("", TenantId::as_str))
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list tenants"))?;
        let tenant = |(tenant, created_at): (String, i64)| {
            Ok(TenantRow {
                tenant: Column("tenants", "tenant").parse(&tenant)?,
                created_at: Timestamp::from_millis(created_at),
            })
        };
        rows.into_iter().map(tenant).collect()
    }

    /// Creates an environment with its empty revision.
    pub async fn create_environment(
        &self,
        row: &EnvironmentRow,
        environments_max: usize,
        deed: &Deed,
    ) -> Result<EnvironmentCreated, MetadataError> {
        let mut tx = self.write("create an environment").await?;
        let existing: Vec<(String,)> =
            sqlx::query_as("SELECT environment FROM environments WHERE tenant = ?")
                .bind(deed.tenant.as_str())
                .fetch_all(&mut **tx)
                .await
                .map_err(failed("list environments"))?;
        if existing
            .iter()
            .any(|(name,)| name == row.environment.as_str())
        {
            return Ok(EnvironmentCreated::Before);
        }
        if existing.len() >= environments_max {
            return Ok(EnvironmentCreated::TooMany);
        }
        let inserted = sqlx::query(
            "INSERT INTO environments
             (tenant, environment, lookup, key_pepper, head, keys_epoch, created_at_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(deed.tenant.as_str())
        .bind(row.environment.as_str())
        .bind(row.lookup.as_str())
        .bind(row.key_pepper.as_slice())
        .bind(signed(row.head))
        .bind(signed(row.keys_epoch))
        .bind(row.created_at.as_millis())
        .execute(&mut **tx)
        .await
        .map_err(failed("create an environment"))?;
        changed("create an environment", 1, &inserted)?;
        let first = Revision {
            lookup: row.lookup,
            ..Revision::empty()
        };
        super::revisions::insert(&mut tx, &row.environment, &first, deed).await?;
        audit::record(&mut tx, deed).await?;
        tx.commit().await.map_err(failed("create an environment"))?;
        Ok(EnvironmentCreated::Now)
    }

    /// One environment.
    pub async fn environment(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
    ) -> Result<Option<EnvironmentRow>, MetadataError> {
        let row: Option<EnvironmentTuple> = sqlx::query_as(
            "SELECT environment, lookup, head, keys_epoch, keys_pruned, key_pepper, created_at_ms
             FROM environments WHERE tenant = ? AND environment = ?",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read an environment"))?;
        row.map(read).transpose()
    }

    /// Every environment of a tenant in the order of their names; their number is bounded.
    pub async fn environments(
        &self,
        tenant: &TenantId,
    ) -> Result<Vec<EnvironmentRow>, MetadataError> {
        let rows: Vec<EnvironmentTuple> = sqlx::query_as(
            "SELECT environment, lookup, head, keys_epoch, keys_pruned, key_pepper, created_at_ms
             FROM environments WHERE tenant = ? ORDER BY environment",
        )
        .bind(tenant.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list environments"))?;
        rows.into_iter().map(read).collect()
    }
}

/// What became of a new environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentCreated {
    /// It is there now.
    Now,
    /// One of this name was there before.
    Before,
    /// The tenant has as many as it may have.
    TooMany,
}

async fn insert_tenant(
    tx: &mut Transaction<'_, Sqlite>,
    tenant: &TenantId,
    at: Timestamp,
) -> Result<bool, MetadataError> {
    let inserted = sqlx::query(
        "INSERT INTO tenants (tenant, created_at_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(at.as_millis())
    .execute(&mut **tx)
    .await
    .map_err(failed("create a tenant"))?;
    Ok(inserted.rows_affected() == 1)
}

fn read(row: EnvironmentTuple) -> Result<EnvironmentRow, MetadataError> {
    let (environment, lookup, head, keys_epoch, keys_pruned, key_pepper, created_at) = row;
    let column = |name| Column("environments", name);
    Ok(EnvironmentRow {
        environment: column("environment").parse(&environment)?,
        lookup: column("lookup").parse(&lookup)?,
        head: column("head").unsigned(head)?,
        keys_epoch: column("keys_epoch").unsigned(keys_epoch)?,
        keys_pruned: column("keys_pruned").unsigned(keys_pruned)?,
        key_pepper: column("key_pepper").array(&key_pepper)?,
        created_at: Timestamp::from_millis(created_at),
    })
}
