//! Who changed what, written in the transaction that changed it.

use gantry_domain::{TenantId, Timestamp, TokenId};
use sqlx::{Sqlite, Transaction};

use super::row::{count, signed};
use super::{Metadata, MetadataError, failed};

/// A change that is about to be made.
#[derive(Debug, Clone)]
pub struct Deed {
    /// Whose things change.
    pub tenant: TenantId,
    /// With which token; none for the operators' command line and the control plane itself.
    pub token: Option<TokenId>,
    /// What is done, such as `bundle.publish`.
    pub action: &'static str,
    /// To what, such as `hooks@1.2.0`. Never a secret.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// With which token; empty for the operators' command line and the control plane itself.
    pub token: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

pub(super) async fn record(
    tx: &mut Transaction<'_, Sqlite>,
    deed: &Deed,
) -> Result<(), MetadataError> {
    sqlx::query(
        "INSERT INTO audit (tenant, seq, token, action, subject, at_ms)
         SELECT ?1, coalesce(max(seq), 0) + 1, ?2, ?3, ?4, ?5 FROM audit WHERE tenant = ?1",
    )
    .bind(deed.tenant.as_str())
    .bind(deed.token.as_ref().map_or("", TokenId::as_str))
    .bind(deed.action)
    .bind(&deed.subject)
    .bind(deed.at.as_millis())
    .execute(&mut **tx)
    .await
    .map_err(failed("record an audit entry"))?;
    Ok(())
}

impl Metadata {
    /// Forgets changes of a tenant but the newest `kept`, at most `entries_max` of them. Gives how many. The
    /// newest stays always: the next one is numbered by it.
    pub async fn prune_audit(
        &self,
        tenant: &TenantId,
        kept: u64,
        entries_max: usize,
    ) -> Result<u64, MetadataError> {
        let mut tx = self.write("prune the audit log").await?;
        let pruned = sqlx::query(
            "DELETE FROM audit WHERE tenant = ?1 AND seq IN (
               SELECT seq FROM audit
               WHERE tenant = ?1 AND seq <= (SELECT max(seq) FROM audit WHERE tenant = ?1) - ?2
               ORDER BY seq LIMIT ?3)",
        )
        .bind(tenant.as_str())
        .bind(signed(kept.max(1)))
        .bind(count(entries_max))
        .execute(&mut **tx)
        .await
        .map_err(failed("prune the audit log"))?;
        tx.commit().await.map_err(failed("prune the audit log"))?;
        Ok(pruned.rows_affected())
    }

    /// The newest changes of a tenant, newest first.
    pub async fn audit(
        &self,
        tenant: &TenantId,
        entries_max: usize,
    ) -> Result<Vec<AuditEntry>, MetadataError> {
        let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
            "SELECT token, action, subject, at_ms FROM audit
             WHERE tenant = ? ORDER BY seq DESC LIMIT ?",
        )
        .bind(tenant.as_str())
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the audit log"))?;
        let entry = |(token, action, subject, at)| AuditEntry {
            token,
            action,
            subject,
            at: Timestamp::from_millis(at),
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}
