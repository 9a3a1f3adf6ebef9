//! Consumer keys of environments. Plaintext is never here: a row holds the key's HMAC under the
//! environment's pepper. Each change takes the environment's next epoch, which is how gateways are
//! told about it by difference.

use gantry_domain::{EnvironmentName, KeyId, TenantId, Timestamp};
use sqlx::{Sqlite, Transaction};

use super::row::{Column, count, signed};
use super::{Deed, Metadata, MetadataError, audit, changed, failed};

/// A consumer key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The public half.
    pub key: KeyId,
    /// HMAC-SHA256 of the secret under the environment's pepper.
    pub hmac: [u8; 32],
    /// The session document, canonical.
    pub session: String,
    /// For people.
    pub description: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// What became of a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCreated {
    /// It is there now.
    Now,
    /// The environment has a key with this secret.
    Before,
    /// The environment has as many keys as it may have.
    TooMany,
}

/// One change of an environment's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// Its number.
    pub epoch: u64,
    /// Which key.
    pub hmac: [u8; 32],
    /// The key's id and session; none when the key is gone.
    pub live: Option<(KeyId, String)>,
}

/// What became of a session that a gateway stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStored {
    /// It is there now, or was before.
    Now,
    /// It would have been a new key, and the environment has as many as it may have.
    TooMany,
    /// Its key was revoked after it had been stored.
    Revoked,
}

type KeyTuple = (String, Vec<u8>, String, String, i64);
type ChangeTuple = (i64, Vec<u8>, String, String, Option<i64>);

impl Metadata {
    /// Stores a new key.
    pub async fn create_key(
        &self,
        environment: &EnvironmentName,
        row: &KeyRow,
        keys_max: usize,
        deed: &Deed,
    ) -> Result<KeyCreated, MetadataError> {
        let mut tx = self.write("create a key").await?;
        let live: (i64, i64) = sqlx::query_as(
            "SELECT count(*), coalesce(sum(hmac = ?), 0) FROM keys
             WHERE tenant = ? AND environment = ? AND revoked_at_ms IS NULL",
        )
        .bind(row.hmac.as_slice())
        .bind(deed.tenant.as_str())
        .bind(environment.as_str())
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("count keys"))?;
        if live.1 > 0 {
            return Ok(KeyCreated::Before);
        }
        if live.0 >= count(keys_max) {
            return Ok(KeyCreated::TooMany);
        }
        insert(&mut tx, environment, row, deed).await?;
        audit::record(&mut tx, deed).await?;
        tx.commit().await.map_err(failed("create a key"))?;
        Ok(KeyCreated::Now)
    }

    /// Stores sessions under their keys: in place of the one that a live key has, or as new keys, unless
    /// the key was revoked after the row had been created. One deed for all of them. Gives what became of each, and the environment's epoch afterwards.
    pub async fn store_sessions(
        &self,
        environment: &EnvironmentName,
        rows: &[KeyRow],
        keys_max: usize,
        deed: &Deed,
    ) -> Result<(Vec<SessionStored>, u64), MetadataError> {
        let mut tx = self.write("store sessions").await?;
        let (mut live, mut epoch): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM keys k WHERE k.tenant = e.tenant
                       AND k.environment = e.environment AND k.revoked_at_ms IS NULL), e.keys_epoch
             FROM environments e WHERE e.tenant = ? AND e.environment = ?",
        )
        .bind(deed.tenant.as_str())
        .bind(environment.as_str())
        .fetch_one(&mut **tx)
        .await
        .map_err(failed("count keys"))?;
        let (before, mut stored) = (epoch, Vec::with_capacity(rows.len()));
        for row in rows {
            let found: Option<(String, Option<i64>)> = sqlx::query_as(
                "SELECT session, revoked_at_ms FROM keys
                 WHERE tenant = ? AND environment = ? AND hmac = ?",
            )
            .bind(deed.tenant.as_str())
            .bind(environment.as_str())
            .bind(row.hmac.as_slice())
            .fetch_optional(&mut **tx)
            .await
            .map_err(failed("find a key"))?;
            match found {
                // No change is no epoch: gateways would fetch what they have.
                Some((session, None)) if session == row.session => {}
                Some((_, None)) => epoch = replace_session(&mut tx, environment, row, deed).await?,
                Some((_, Some(revoked))) if revoked > row.created_at.as_millis() => {
                    stored.push(SessionStored::Revoked);
                    continue;
                }
                _ if live >= count(keys_max) => {
                    stored.push(SessionStored::TooMany);
                    continue;
                }
                _ => {
                    epoch = insert(&mut tx, environment, row, deed).await?;
                    live += 1;
                }
            }
            stored.push(SessionStored::Now);
        }
        if epoch != before {
            audit::record(&mut tx, deed).await?;
        }
        tx.commit().await.map_err(failed("store sessions"))?;
        Ok((
            stored,
            Column("environments", "keys_epoch").unsigned(epoch)?,
        ))
    }

    /// One key of an environment.
    pub async fn key(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        key: &KeyId,
    ) -> Result<Option<KeyRow>, MetadataError> {
        let row: Option<KeyTuple> = sqlx::query_as(
            "SELECT key, hmac, session, description, created_at_ms FROM keys
             WHERE tenant = ? AND environment = ? AND key = ? AND revoked_at_ms IS NULL",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(key.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read a key"))?;
        row.map(read).transpose()
    }

    /// Keys of an environment in the order of their ids.
    pub async fn keys(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        after: Option<&KeyId>,
        entries_max: usize,
    ) -> Result<Vec<KeyRow>, MetadataError> {
        let rows: Vec<KeyTuple> = sqlx::query_as(
            "SELECT key, hmac, session, description, created_at_ms FROM keys
             WHERE tenant = ? AND environment = ? AND key > ? AND revoked_at_ms IS NULL
             ORDER BY key LIMIT ?",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(after.map_or("", KeyId::as_str))
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list keys"))?;
        rows.into_iter().map(read).collect()
    }

    /// Ends a key and forgets its session. `false`: there is none of this id.
    pub async fn revoke_key(
        &self,
        environment: &EnvironmentName,
        key: &KeyId,
        deed: &Deed,
    ) -> Result<bool, MetadataError> {
        let mut tx = self.write("revoke a key").await?;
        let epoch = next_epoch(&mut tx, &deed.tenant, environment).await?;
        let revoked = sqlx::query(
            "UPDATE keys SET revoked_at_ms = ?, epoch = ?, session = '{}', description = ''
             WHERE tenant = ? AND environment = ? AND key = ? AND revoked_at_ms IS NULL",
        )
        .bind(deed.at.as_millis())
        .bind(epoch)
        .bind(deed.tenant.as_str())
        .bind(environment.as_str())
        .bind(key.as_str())
        .execute(&mut **tx)
        .await
        .map_err(failed("revoke a key"))?;
        if revoked.rows_affected() == 0 {
            return Ok(false);
        }
        audit::record(&mut tx, deed).await?;
        tx.commit().await.map_err(failed("revoke a key"))?;
        Ok(true)
    }

    /// Forgets tombstones of an environment but the newest `kept`, at most `entries_max` of them. Gives how
    /// many. A gateway that is behind one of them gets its keys anew.
    pub async fn prune_tombstones(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        kept: u64,
        entries_max: usize,
    ) -> Result<u64, MetadataError> {
        // Without the write lock, since it looks at every key: what is a tombstone stays one, or goes.
        let oldest: Vec<(i64,)> = sqlx::query_as(
            "SELECT epoch FROM keys
             WHERE tenant = ?1 AND environment = ?2 AND revoked_at_ms IS NOT NULL
             ORDER BY epoch LIMIT min(?4, max(0, (SELECT count(*) FROM keys
               WHERE tenant = ?1 AND environment = ?2 AND revoked_at_ms IS NOT NULL) - ?3))",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(signed(kept))
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("find old tombstones"))?;
        let Some((until,)) = oldest.last() else {
            return Ok(0);
        };
        let mut tx = self.write("prune tombstones of keys").await?;
        let pruned = sqlx::query(
            "DELETE FROM keys WHERE tenant = ? AND environment = ? AND epoch <= ?
               AND revoked_at_ms IS NOT NULL",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(until)
        .execute(&mut **tx)
        .await
        .map_err(failed("prune tombstones of keys"))?;
        let noted = sqlx::query(
            "UPDATE environments SET keys_pruned = max(keys_pruned, ?)
             WHERE tenant = ? AND environment = ?",
        )
        .bind(until)
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .execute(&mut **tx)
        .await
        .map_err(failed("note what was pruned"))?;
        changed("note what was pruned", 1, &noted)?;
        let committed = tx.commit().await;
        committed.map_err(failed("prune tombstones of keys"))?;
        Ok(pruned.rows_affected())
    }

    /// Changes of an environment's keys after an epoch up to another, in order. Without tombstones
    /// where everything is sent anew.
    pub async fn key_changes(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        (after, until): (u64, u64),
        tombstones: bool,
        entries_max: usize,
    ) -> Result<Vec<KeyChange>, MetadataError> {
        let rows: Vec<ChangeTuple> = sqlx::query_as(
            "SELECT epoch, hmac, key, session, revoked_at_ms FROM keys
             WHERE tenant = ? AND environment = ? AND epoch > ? AND epoch <= ?
               AND (? OR revoked_at_ms IS NULL)
             ORDER BY epoch LIMIT ?",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(signed(after))
        .bind(signed(until))
        .bind(tombstones)
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read changes of keys"))?;
        let change = |(epoch, hmac, key, session, revoked): ChangeTuple| {
            let key = Column("keys", "key").parse(&key)?;
            Ok(KeyChange {
                epoch: Column("keys", "epoch").unsigned(epoch)?,
                hmac: Column("keys", "hmac").array(&hmac)?,
                live: revoked.is_none().then_some((key, session)),
            })
        };
        rows.into_iter().map(change).collect()
    }
}

/// Adds a key; gives its epoch.
async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    environment: &EnvironmentName,
    row: &KeyRow,
    deed: &Deed,
) -> Result<i64, MetadataError> {
    forget_tombstone(tx, environment, row, deed).await?;
    let epoch = next_epoch(tx, &deed.tenant, environment).await?;
    let inserted = sqlx::query(
        "INSERT INTO keys
         (tenant, environment, key, hmac, session, description, epoch, created_at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(deed.tenant.as_str())
    .bind(environment.as_str())
    .bind(row.key.as_str())
    .bind(row.hmac.as_slice())
    .bind(&row.session)
    .bind(&row.description)
    .bind(epoch)
    .bind(row.created_at.as_millis())
    .execute(&mut **tx)
    .await
    .map_err(failed("create a key"))?;
    changed("create a key", 1, &inserted)?;
    Ok(epoch)
}

/// Gives a live key another session; gives its epoch.
async fn replace_session(
    tx: &mut Transaction<'_, Sqlite>,
    environment: &EnvironmentName,
    row: &KeyRow,
    deed: &Deed,
) -> Result<i64, MetadataError> {
    let epoch = next_epoch(tx, &deed.tenant, environment).await?;
    let replaced = sqlx::query(
        "UPDATE keys SET session = ?, epoch = ?
         WHERE tenant = ? AND environment = ? AND hmac = ? AND revoked_at_ms IS NULL",
    )
    .bind(&row.session)
    .bind(epoch)
    .bind(deed.tenant.as_str())
    .bind(environment.as_str())
    .bind(row.hmac.as_slice())
    .execute(&mut **tx)
    .await
    .map_err(failed("replace a session"))?;
    changed("replace a session", 1, &replaced)?;
    Ok(epoch)
}

/// A secret that was revoked and comes back takes its tombstone's place: gateways then learn of one
/// change of this HMAC, and not of two whose order they would have to keep.
async fn forget_tombstone(
    tx: &mut Transaction<'_, Sqlite>,
    environment: &EnvironmentName,
    row: &KeyRow,
    deed: &Deed,
) -> Result<(), MetadataError> {
    sqlx::query(
        "DELETE FROM keys
         WHERE tenant = ? AND environment = ? AND hmac = ? AND revoked_at_ms IS NOT NULL",
    )
    .bind(deed.tenant.as_str())
    .bind(environment.as_str())
    .bind(row.hmac.as_slice())
    .execute(&mut **tx)
    .await
    .map_err(failed("forget a tombstone"))?;
    Ok(())
}

async fn next_epoch(
    tx: &mut Transaction<'_, Sqlite>,
    tenant: &TenantId,
    environment: &EnvironmentName,
) -> Result<i64, MetadataError> {
    let row: (i64,) = sqlx::query_as(
        "UPDATE environments SET keys_epoch = keys_epoch + 1
         WHERE tenant = ? AND environment = ? RETURNING keys_epoch",
    )
    .bind(tenant.as_str())
    .bind(environment.as_str())
    .fetch_one(&mut **tx)
    .await
    .map_err(failed("take the next epoch"))?;
    Ok(row.0)
}

fn read(row: KeyTuple) -> Result<KeyRow, MetadataError> {
    let (key, hmac, session, description, created_at) = row;
    Ok(KeyRow {
        key: Column("keys", "key").parse(&key)?,
        hmac: Column("keys", "hmac").array(&hmac)?,
        session,
        description,
        created_at: Timestamp::from_millis(created_at),
    })
}
