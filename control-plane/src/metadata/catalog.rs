//! Listings of what is published.
//!
//! Filters look into the release documents, so that no column repeats what a document says.

use std::fmt;
use std::str::FromStr;

use gantry_domain::{
    BundleName, BundleVersion, GatewayVersion, Platform, TenantId, Timestamp, Yank,
};

use super::row::{Column, count};
use super::{Metadata, MetadataError, ReleaseRow, failed, releases};

/// Which versions a listing shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseFilter {
    /// With a file for this platform.
    pub platform: Option<Platform>,
    /// With a file for this gateway version or for any; the same file as for the platform.
    pub gateway_version: Option<GatewayVersion>,
    /// Only yanked ones, or only others.
    pub yanked: Option<bool>,
}

/// A bundle in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleRow {
    /// Its name.
    pub bundle: BundleName,
    /// Versions that the filter lets through.
    pub versions: u64,
    /// How many of them are yanked.
    pub yanked_versions: u64,
    /// The one published last that is not yanked.
    pub latest: Option<BundleVersion>,
    /// When the last version of the bundle was published, whatever the filter.
    pub published_at: Timestamp,
}

/// A version in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The release.
    pub row: ReleaseRow,
    /// Its yank, if there is one.
    pub yank: Option<Yank>,
}

/// Where a page of versions begins: at the one published before this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionPlace {
    /// When the last version of the page before was published.
    pub published_at: Timestamp,
    /// Its version.
    pub version: BundleVersion,
}

impl fmt::Display for VersionPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.published_at.as_millis(), self.version)
    }
}

impl FromStr for VersionPlace {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected a token that a listing gave";
        let (at, version) = s.split_once('.').ok_or(EXPECTED)?;
        Ok(Self {
            published_at: Timestamp::from_millis(at.parse().map_err(|_| EXPECTED)?),
            version: version.parse().map_err(|_| EXPECTED)?,
        })
    }
}

/// The part of both statements that filters: `?2`, `?3` and `?4` are the filter's fields or null.
macro_rules! matching {
    ($head:literal, $tail:literal) => {
        concat!(
            $head,
            " FROM releases r LEFT JOIN yanks y USING (tenant, bundle, version)
              WHERE r.tenant = ?1 AND (?4 IS NULL OR (y.version IS NOT NULL) = ?4)
              AND ((?2 IS NULL AND ?3 IS NULL) OR EXISTS (
                  SELECT 1 FROM json_each(r.document, '$.artifacts') a
                  WHERE (?2 IS NULL OR json_extract(a.value, '$.platform') = ?2)
                  AND (?3 IS NULL OR coalesce(json_extract(a.value, '$.gateway_version'), ?3) = ?3)
              ))",
            $tail
        )
    };
}

type BundleTuple = (String, i64, i64, i64, Option<i64>, String);
type VersionTuple = (String, i64, Option<String>, Option<i64>);

impl Metadata {
    /// Bundles by name, after one where one is given.
    pub async fn bundles(
        &self,
        tenant: &TenantId,
        prefix: &str,
        filter: &ReleaseFilter,
        after: Option<&BundleName>,
        entries_max: usize,
    ) -> Result<Vec<BundleRow>, MetadataError> {
        // SQLite takes `r.version` from the row that has the maximum, which is the only `max` here:
        // the other one would make that ambiguous, so it is a subquery's.
        let rows: Vec<BundleTuple> = sqlx::query_as(matching!(
            "SELECT r.bundle, count(*), count(y.version),
             (SELECT max(l.published_at_ms) FROM releases l
              WHERE l.tenant = ?1 AND l.bundle = r.bundle),
             max(CASE WHEN y.version IS NULL THEN r.published_at_ms END), r.version",
            " AND r.bundle > ?5 AND substr(r.bundle, 1, length(?6)) = ?6
              GROUP BY r.bundle ORDER BY r.bundle LIMIT ?7"
        ))
        .bind(tenant.as_str())
        .bind(filter.platform.map(|platform| platform.to_string()))
        .bind(filter.gateway_version.map(|version| version.to_string()))
        .bind(filter.yanked)
        .bind(after.map_or("", BundleName::as_str))
        .bind(prefix)
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list bundles"))?;
        rows.into_iter().map(bundle).collect()
    }

    /// Versions of a bundle, the one published last first.
    pub async fn versions(
        &self,
        tenant: &TenantId,
        bundle: &BundleName,
        filter: &ReleaseFilter,
        after: Option<&VersionPlace>,
        entries_max: usize,
    ) -> Result<Vec<VersionRow>, MetadataError> {
        let (at, version) = after.map_or((i64::MAX, String::new()), |place| {
            (place.published_at.as_millis(), place.version.to_string())
        });
        let rows: Vec<VersionTuple> = sqlx::query_as(matching!(
            "SELECT r.document, r.published_at_ms, y.reason, y.yanked_at_ms",
            " AND r.bundle = ?5 AND (r.published_at_ms, r.version) < (?6, ?7)
              ORDER BY r.published_at_ms DESC, r.version DESC LIMIT ?8"
        ))
        .bind(tenant.as_str())
        .bind(filter.platform.map(|platform| platform.to_string()))
        .bind(filter.gateway_version.map(|version| version.to_string()))
        .bind(filter.yanked)
        .bind(bundle.as_str())
        .bind(at)
        .bind(version)
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list versions"))?;
        rows.into_iter().map(version_row).collect()
    }
}

fn bundle(row: BundleTuple) -> Result<BundleRow, MetadataError> {
    let (bundle, versions, yanked, published_at, unyanked_at, version) = row;
    let column = |name| Column("releases", name);
    Ok(BundleRow {
        bundle: column("bundle").parse(&bundle)?,
        versions: column("count").unsigned(versions)?,
        yanked_versions: column("count").unsigned(yanked)?,
        latest: unyanked_at
            .map(|_| column("version").parse(&version))
            .transpose()?,
        published_at: Timestamp::from_millis(published_at),
    })
}

fn version_row(row: VersionTuple) -> Result<VersionRow, MetadataError> {
    let (document, published_at, reason, yanked_at) = row;
    let release = releases::parse(&document)?;
    let yank = yanked_at.map(|at| Yank {
        tenant: release.tenant.clone(),
        bundle: release.bundle().clone(),
        version: release.version().clone(),
        reason: reason.unwrap_or_default(),
        at: Timestamp::from_millis(at),
    });
    let row = ReleaseRow {
        release,
        published_at: Timestamp::from_millis(published_at),
    };
    Ok(VersionRow { row, yank })
}
