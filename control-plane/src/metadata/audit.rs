//! Who changed what, written in the transaction that changed it.

use gantry_domain::{TenantId, Timestamp, TokenId};
use sqlx::{Sqlite, Transaction};

use super::row::count;
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
