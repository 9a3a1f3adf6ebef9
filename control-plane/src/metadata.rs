//! The metadata store: every row and every SQL statement of the control plane, on SQLite.
//!
//! Responsible for keeping rows true to each other: each method is one short transaction at most,
//! checks how many rows it changed, writes its audit entry with it and commits last. Not responsible
//! for what is allowed: callers decide and say which [`Deed`] it was. Invariant: every statement is
//! bound to one tenant, except the look-up of a token by its id, which is what names the tenant.

mod audit;
mod catalog;
mod documents;
mod dump;
mod environments;
mod gateways;
mod keys;
mod openapi;
mod releases;
mod revisions;
mod row;
mod tenant_walk;
mod tokens;
mod uploads;
mod writing;
mod yanks;

use std::path::Path;
use std::time::Duration;

use sqlx::SqlSafeStr;
use sqlx::SqlitePool;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use thiserror::Error;

use crate::metrics::Metrics;
use crate::refusal::{Kind, Refuse};

pub use audit::{AuditEntry, Deed};
pub use catalog::{BundleRow, ReleaseFilter, VersionPlace, VersionRow};
pub use environments::{EnvironmentCreated, EnvironmentRow, TenantRow};
pub use gateways::GatewayRow;
pub use keys::{KeyChange, KeyCreated, KeyRow, SessionStored};
pub use openapi::OpenApiKept;
pub use releases::{ArtifactRow, ReleaseRow};
pub use revisions::NotCommitted;
pub use tenant_walk::TenantWalk;
pub use tokens::TokenRow;
pub use uploads::{UploadFileRow, UploadRow};

use writing::{Timed, Writing};

/// The migrations, oldest first. A released one never changes.
const MIGRATIONS: [(i64, &str, &str); 6] = [
    (
        1,
        "first",
        include_str!("metadata/migrations/0001_first.sql"),
    ),
    (
        2,
        "parts",
        include_str!("metadata/migrations/0002_parts.sql"),
    ),
    (
        3,
        "yanks",
        include_str!("metadata/migrations/0003_yanks.sql"),
    ),
    (
        4,
        "openapi",
        include_str!("metadata/migrations/0004_openapi.sql"),
    ),
    (5, "kept", include_str!("metadata/migrations/0005_kept.sql")),
    (
        6,
        "definitions",
        include_str!("metadata/migrations/0006_definitions.sql"),
    ),
];

/// How long a writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// Readers at once; SQLite has one writer whatever this says.
const CONNECTIONS_MAX: u32 = 8;

/// Another writer is at it (<https://www.sqlite.org/rescode.html>).
const SQLITE_BUSY: u32 = 5;
/// The disk is full.
const SQLITE_FULL: u32 = 13;

/// Why the store did not answer.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// The database refused or could not be reached.
    #[error("{action}")]
    Database {
        /// What was being done.
        action: &'static str,
        /// Its answer.
        source: sqlx::Error,
    },
    /// The schema cannot be brought to this program's version.
    #[error("migrate the metadata store")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A row holds what this program never wrote.
    #[error("row of {table} holds a malformed {column}: {cause}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// A statement changed another number of rows than it must.
    #[error("{action} changed {found} rows, not {expected}")]
    Rows {
        /// What was being done.
        action: &'static str,
        /// Rows that it must change.
        expected: u64,
        /// Rows that it changed.
        found: u64,
    },
}

impl MetadataError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        let Self::Database { source, .. } = self else {
            return false;
        };
        matches!(source, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_))
            || self.is_result(SQLITE_BUSY)
    }

    /// Whether the database's disk is full.
    fn is_full(&self) -> bool {
        self.is_result(SQLITE_FULL)
    }

    /// Whether it is a result of SQLite's in any of its extended forms, which all end in the same byte.
    fn is_result(&self, primary: u32) -> bool {
        let Self::Database {
            source: sqlx::Error::Database(error),
            ..
        } = self
        else {
            return false;
        };
        let code = error.code().and_then(|code| code.parse::<u32>().ok());
        code.is_some_and(|code| code & 0xff == primary)
    }
}

/// The store. Clones share one pool.
#[derive(Debug, Clone)]
pub struct Metadata {
    pool: SqlitePool,
    metrics: Metrics,
}

impl Metadata {
    /// Opens a database file, makes it if need be, and brings its schema up to date.
    ///
    /// # Errors
    /// The file cannot be opened, or its schema is of a newer program.
    pub async fn open(file: &Path) -> Result<Self, MetadataError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With WAL, NORMAL would lose the last transactions in a power cut: an answered publish
            // must not be forgotten.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(failed("open the metadata store"))?;
        let migrations = MIGRATIONS.map(|(version, name, sql)| {
            let sql = sql.into_sql_str();
            Migration::new(version, name.into(), MigrationType::Simple, sql, false)
        });
        let migrator = Migrator::with_migrations(migrations.into());
        migrator.run(&pool).await.map_err(MetadataError::Migrate)?;
        Ok(Self {
            pool,
            metrics: Metrics::default(),
        })
    }

    /// The same store, with its transactions timed there.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Closes every connection, so that the write-ahead log is folded into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that may write: it takes the write lock at once, since one that reads first
    /// and writes later would fail instead of waiting.
    async fn write(&self, action: &'static str) -> Result<Writing<'_>, MetadataError> {
        let timed = Timed::begin(action, &self.metrics);
        let begun = self.pool.begin_with("BEGIN IMMEDIATE").await;
        Ok(Writing::new(begun.map_err(failed(action))?, timed))
    }
}

/// Names what was being done when the database refused.
fn failed(action: &'static str) -> impl FnOnce(sqlx::Error) -> MetadataError {
    move |source| MetadataError::Database { action, source }
}

/// Checks how many rows a statement changed.
fn changed(
    action: &'static str,
    expected: u64,
    result: &sqlx::sqlite::SqliteQueryResult,
) -> Result<(), MetadataError> {
    match result.rows_affected() {
        found if found == expected => Ok(()),
        found => Err(MetadataError::Rows {
            action,
            expected,
            found,
        }),
    }
}

impl Refuse for MetadataError {
    fn kind(&self) -> Kind {
        if self.is_transient() {
            Kind::Unavailable
        } else if self.is_full() {
            Kind::Full
        } else {
            Kind::Internal
        }
    }

    fn code(&self) -> &'static str {
        if self.is_transient() {
            "STORE_UNAVAILABLE"
        } else if self.is_full() {
            "STORE_FULL"
        } else {
            "INTERNAL"
        }
    }
}
