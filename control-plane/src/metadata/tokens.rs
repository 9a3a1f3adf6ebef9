//! Access tokens: the digest of each secret, and what it allows.

use gantry_domain::{Digest, EnvironmentName, RightSet, TenantId, Timestamp, TokenId};
use sqlx::{Sqlite, Transaction};

use super::row::{Column, count};
use super::{Deed, Metadata, MetadataError, audit, changed, failed};

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Whose token it is.
    pub tenant: TenantId,
    /// The public half.
    pub token: TokenId,
    /// SHA-256 of the secret half.
    pub secret_sha256: Digest,
    /// What it allows.
    pub rights: RightSet,
    /// The environment of a gateway's token; others have none.
    pub environment: Option<EnvironmentName>,
    /// For people.
    pub description: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended.
    pub revoked_at: Option<Timestamp>,
}

type TokenTuple = (
    String,
    String,
    Vec<u8>,
    String,
    Option<String>,
    String,
    i64,
    Option<i64>,
);

impl Metadata {
    /// Finds a token by its public half alone: it is what says which tenant is calling.
    pub async fn token(&self, token: &TokenId) -> Result<Option<TokenRow>, MetadataError> {
        let row: Option<TokenTuple> = sqlx::query_as(
            "SELECT tenant, token, secret_sha256, rights, environment, description, created_at_ms,
                    revoked_at_ms FROM tokens WHERE token = ?",
        )
        .bind(token.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read a token"))?;
        row.map(read).transpose()
    }

    /// Stores a new token. `false`: the tenant has `tokens_max` valid ones already.
    pub async fn create_token(
        &self,
        row: &TokenRow,
        tokens_max: usize,
        deed: &Deed,
    ) -> Result<bool, MetadataError> {
        let mut tx = self.write("create a token").await?;
        let live: (i64,) = sqlx::query_as(
            "SELECT count(*) FROM tokens WHERE tenant = ? AND revoked_at_ms IS NULL",
        )
        .bind(row.tenant.as_str())
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("count tokens"))?;
        if live.0 >= count(tokens_max) {
            return Ok(false);
        }
        insert(&mut tx, row).await?;
        audit::record(&mut tx, deed).await?;
        tx.commit().await.map_err(failed("create a token"))?;
        Ok(true)
    }

    /// Tokens of a tenant in the order of their ids, revoked ones too.
    pub async fn tokens(
        &self,
        tenant: &TenantId,
        after: Option<&TokenId>,
        entries_max: usize,
    ) -> Result<Vec<TokenRow>, MetadataError> {
        let rows: Vec<TokenTuple> = sqlx::query_as(
            "SELECT tenant, token, secret_sha256, rights, environment, description, created_at_ms,
                    revoked_at_ms FROM tokens
             WHERE tenant = ? AND token > ? ORDER BY token LIMIT ?",
        )
        .bind(tenant.as_str())
        .bind(after.map_or("", TokenId::as_str))
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list tokens"))?;
        rows.into_iter().map(read).collect()
    }

    /// Ends a token; one that has ended stays as it is. `None`: there is none of this id.
    pub async fn revoke_token(
        &self,
        token: &TokenId,
        deed: &Deed,
    ) -> Result<Option<TokenRow>, MetadataError> {
        let mut tx = self.write("revoke a token").await?;
        let revoked = sqlx::query(
            "UPDATE tokens SET revoked_at_ms = ?
             WHERE tenant = ? AND token = ? AND revoked_at_ms IS NULL",
        )
        .bind(deed.at.as_millis())
        .bind(deed.tenant.as_str())
        .bind(token.as_str())
        .execute(&mut **tx)
        .await
        .map_err(failed("revoke a token"))?;
        if revoked.rows_affected() > 0 {
            audit::record(&mut tx, deed).await?;
        }
        let row: Option<TokenTuple> = sqlx::query_as(
            "SELECT tenant, token, secret_sha256, rights, environment, description, created_at_ms,
                    revoked_at_ms FROM tokens WHERE tenant = ? AND token = ?",
        )
        .bind(deed.tenant.as_str())
        .bind(token.as_str())
        .fetch_optional(&mut **tx)
        .await
        .map_err(failed("read a token"))?;
        tx.commit().await.map_err(failed("revoke a token"))?;
        row.map(read).transpose()
    }
}

pub(super) async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    row: &TokenRow,
) -> Result<(), MetadataError> {
    let inserted = sqlx::query(
        "INSERT INTO tokens
         (tenant, token, secret_sha256, rights, environment, description, created_at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.tenant.as_str())
    .bind(row.token.as_str())
    .bind(row.secret_sha256.as_bytes().as_slice())
    .bind(row.rights.to_string())
    .bind(row.environment.as_ref().map(EnvironmentName::as_str))
    .bind(&row.description)
    .bind(row.created_at.as_millis())
    .execute(&mut **tx)
    .await
    .map_err(failed("store a token"))?;
    changed("store a token", 1, &inserted)
}

fn read(row: TokenTuple) -> Result<TokenRow, MetadataError> {
    let (tenant, token, secret, rights, environment, description, created_at, revoked_at) = row;
    let column = |name| Column("tokens", name);
    let rights: Result<RightSet, _> = rights
        .split(',')
        .map(|right| column("rights").parse(right))
        .collect();
    let environment = environment.map(|name| column("environment").parse(&name));
    Ok(TokenRow {
        tenant: column("tenant").parse(&tenant)?,
        token: column("token").parse(&token)?,
        secret_sha256: column("secret_sha256").digest(&secret)?,
        rights: rights?,
        environment: environment.transpose()?,
        description,
        created_at: Timestamp::from_millis(created_at),
        revoked_at: revoked_at.map(Timestamp::from_millis),
    })
}
