//! Rows as text, so that tests from outside can see that a refused call left nothing behind.

use super::{Metadata, MetadataError, failed};

impl Metadata {
    /// What uploads and environments have stored, a line per row: `table: tenant/…`.
    #[doc(hidden)]
    pub async fn dump(&self) -> Result<Vec<String>, MetadataError> {
        const TABLES: [(&str, &str); 10] = [
            (
                "uploads",
                "SELECT tenant || '/' || upload || '/' || bundle || '@' || version FROM uploads",
            ),
            (
                "upload_files",
                "SELECT tenant || '/' || upload || '/' || file || ' ' || committed_bytes FROM upload_files",
            ),
            (
                "releases",
                "SELECT tenant || '/' || bundle || '@' || version FROM releases",
            ),
            (
                "yanks",
                "SELECT tenant || '/' || bundle || '@' || version FROM yanks",
            ),
            (
                "artifacts",
                "SELECT tenant || '/' || stored_key FROM artifacts",
            ),
            (
                "definitions",
                "SELECT tenant || '/' || hex(digest) FROM definitions",
            ),
            (
                "openapi",
                "SELECT tenant || '/' || hex(digest) FROM openapi",
            ),
            (
                "revisions",
                "SELECT tenant || '/' || environment || '/' || number FROM revisions",
            ),
            (
                "keys",
                "SELECT tenant || '/' || environment || '/' || key || ' ' || hex(hmac) || ' ' || session FROM keys",
            ),
            (
                "tokens",
                "SELECT tenant || '/' || token || ' ' || hex(secret_sha256) FROM tokens",
            ),
        ];
        let mut lines = Vec::new();
        for (table, sql) in TABLES {
            let rows: Vec<(String,)> = sqlx::query_as(sql)
                .fetch_all(&self.pool)
                .await
                .map_err(failed("dump the store"))?;
            lines.extend(rows.into_iter().map(|(row,)| format!("{table}: {row}")));
        }
        Ok(lines)
    }
}
