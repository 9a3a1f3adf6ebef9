//! What gateways last said of themselves.

use gantry_domain::{EnvironmentName, GatewayId, TenantId, Timestamp};

use super::row::{Column, count};
use super::{Metadata, MetadataError, changed, failed};

/// A gateway that has connected at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRow {
    /// Its id.
    pub gateway: GatewayId,
    /// Its profile as it sent it, an encoded message that only the wire's edge reads.
    pub profile: Vec<u8>,
    /// Its last report, likewise; empty before the first one.
    pub report: Vec<u8>,
    /// When it was last heard.
    pub last_seen_at: Timestamp,
    /// Whether it has a stream; rows do not know, so it is false until someone who does says so.
    pub connected: bool,
}

type GatewayTuple = (String, Vec<u8>, Vec<u8>, i64);

impl Metadata {
    /// Notes a gateway that has said who it is. What an earlier process reported is no longer true
    /// of it; what this very process did still is. Gateways that have not been heard for longest
    /// are forgotten when there are more than `gateways_max`.
    pub async fn gateway_seen(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        (row, nonce): (&GatewayRow, &str),
        gateways_max: usize,
    ) -> Result<(), MetadataError> {
        let mut tx = self.write("note a gateway").await?;
        let stored = sqlx::query(
            "INSERT INTO gateways
             (tenant, environment, gateway, instance_nonce, profile, report, last_seen_at_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (tenant, environment, gateway) DO UPDATE SET
                report = iif(instance_nonce = excluded.instance_nonce, report, excluded.report),
                instance_nonce = excluded.instance_nonce, profile = excluded.profile,
                last_seen_at_ms = excluded.last_seen_at_ms",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(row.gateway.as_str())
        .bind(nonce)
        .bind(&row.profile)
        .bind(&row.report)
        .bind(row.last_seen_at.as_millis())
        .execute(&mut **tx)
        .await
        .map_err(failed("note a gateway"))?;
        changed("note a gateway", 1, &stored)?;
        sqlx::query(
            "DELETE FROM gateways WHERE tenant = ?1 AND environment = ?2 AND gateway IN
             (SELECT gateway FROM gateways WHERE tenant = ?1 AND environment = ?2
              ORDER BY last_seen_at_ms DESC LIMIT -1 OFFSET ?3)",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(count(gateways_max))
        .execute(&mut **tx)
        .await
        .map_err(failed("forget gateways"))?;
        tx.commit().await.map_err(failed("note a gateway"))
    }

    /// Notes when a gateway was last heard.
    pub async fn gateway_left(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        gateway: &GatewayId,
        at: Timestamp,
    ) -> Result<(), MetadataError> {
        sqlx::query(
            "UPDATE gateways SET last_seen_at_ms = ?
             WHERE tenant = ? AND environment = ? AND gateway = ?",
        )
        .bind(at.as_millis())
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(gateway.as_str())
        .execute(&self.pool)
        .await
        .map_err(failed("note that a gateway left"))?;
        Ok(())
    }

    /// Notes what a gateway reports.
    pub async fn gateway_reported(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        gateway: &GatewayId,
        report: &[u8],
        at: Timestamp,
    ) -> Result<(), MetadataError> {
        // No row changes when the gateway was forgotten in the meantime.
        sqlx::query(
            "UPDATE gateways SET report = ?, last_seen_at_ms = ?
             WHERE tenant = ? AND environment = ? AND gateway = ?",
        )
        .bind(report)
        .bind(at.as_millis())
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(gateway.as_str())
        .execute(&self.pool)
        .await
        .map_err(failed("note a gateway's report"))?;
        Ok(())
    }

    /// Gateways of an environment in the order of their ids.
    pub async fn gateways(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        after: Option<&GatewayId>,
        entries_max: usize,
    ) -> Result<Vec<GatewayRow>, MetadataError> {
        let rows: Vec<GatewayTuple> = sqlx::query_as(
            "SELECT gateway, profile, report, last_seen_at_ms FROM gateways
             WHERE tenant = ? AND environment = ? AND gateway > ? ORDER BY gateway LIMIT ?",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(after.map_or("", GatewayId::as_str))
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list gateways"))?;
        rows.into_iter().map(read).collect()
    }

    /// One gateway of an environment.
    pub async fn gateway(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        gateway: &GatewayId,
    ) -> Result<Option<GatewayRow>, MetadataError> {
        let row: Option<GatewayTuple> = sqlx::query_as(
            "SELECT gateway, profile, report, last_seen_at_ms FROM gateways
             WHERE tenant = ? AND environment = ? AND gateway = ?",
        )
        .bind(tenant.as_str())
        .bind(environment.as_str())
        .bind(gateway.as_str())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read a gateway"))?;
        row.map(read).transpose()
    }
}

fn read((gateway, profile, report, at): GatewayTuple) -> Result<GatewayRow, MetadataError> {
    Ok(GatewayRow {
        gateway: Column("gateways", "gateway").parse(&gateway)?,
        profile,
        report,
        last_seen_at: Timestamp::from_millis(at),
        connected: false,
    })
}
