//! Upload sessions: which files a draft needs, and how many bytes of each are safe.

use gantry_domain::{BundleName, BundleVersion, Digest, FileName, TenantId, Timestamp, UploadId};
use sqlx::{Sqlite, Transaction};

use super::row::{Column, count, signed};
use super::{Deed, Metadata, MetadataError, audit, changed, failed};
use crate::blob::{BlobKey, Parts};

/// An upload session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRow {
    /// Its id.
    pub upload: UploadId,
    /// The bundle it is for.
    pub bundle: BundleName,
    /// The version it is for.
    pub version: BundleVersion,
    /// The canonical manifest.
    pub manifest: String,
    /// Its files in the order of the manifest.
    pub files: Vec<UploadFileRow>,
}

/// One file of an upload session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadFileRow {
    /// Its name.
    pub file: FileName,
    /// What its bytes must be.
    pub digest: Digest,
    /// How many there are.
    pub size_bytes: u64,
    /// How many are safe; all of them only once the digest has been verified.
    pub committed_bytes: u64,
    /// The state of the hash after the committed bytes; none at the beginning.
    pub hash_state: Option<Vec<u8>>,
    /// What the object store needs to go on after the committed bytes, if anything.
    pub parts: Option<Parts>,
    /// Where the tenant has these bytes already.
    pub stored: Option<BlobKey>,
}

impl UploadFileRow {
    /// Whether all its bytes are there and are the declared ones.
    pub fn is_complete(&self) -> bool {
        self.committed_bytes == self.size_bytes
    }
}

type UploadTuple = (String, String, String, String);
type FileTuple = (
    String,
    Vec<u8>,
    i64,
    i64,
    Option<Vec<u8>>,
    Option<String>,
    Option<String>,
);

impl Metadata {
    /// Opens a session, or finds the open one with this very manifest. `None`: the tenant has
    /// `uploads_max` open already.
    pub async fn open_upload(
        &self,
        row: &UploadRow,
        uploads_max: usize,
        deed: &Deed,
    ) -> Result<Option<UploadRow>, MetadataError> {
        let mut tx = self.write("open an upload").await?;
        let manifest_digest = Digest::of(&row.manifest);
        let open: Option<UploadTuple> = sqlx::query_as(
            "SELECT upload, bundle, version, manifest FROM uploads
             WHERE tenant = ? AND bundle = ? AND version = ? AND manifest_sha256 = ?",
        )
        .bind(deed.tenant.as_str())
        .bind(row.bundle.as_str())
        .bind(row.version.to_string())
        .bind(manifest_digest.as_bytes().as_slice())
        .fetch_optional(&mut **tx)
        .await
        .map_err(failed("find an upload"))?;
        if let Some(open) = open {
            return read(&mut tx, &deed.tenant, open).await.map(Some);
        }
        let open: (i64,) =
            sqlx::query_as("SELECT count(*) FROM uploads WHERE tenant = ? AND published = 0")
                .bind(deed.tenant.as_str())
                .fetch_one(&mut **tx)
                .await
                .map_err(failed("count uploads"))?;
        if open.0 >= count(uploads_max) {
            return Ok(None);
        }
        insert(&mut tx, row, &manifest_digest, deed).await?;
        audit::record(&mut tx, deed).await?;
        tx.commit().await.map_err(failed("open an upload"))?;
        Ok(Some(row.clone()))
    }

    /// A session of a tenant.
    pub async fn upload(
        &self,
        tenant: &TenantId,
        upload: &UploadId,
    ) -> Result<Option<UploadRow>, MetadataError> {
        let mut tx = self.pool.begin().await.map_err(failed("read an upload"))?;
        let row: Option<UploadTuple> = sqlx::query_as(
            "SELECT upload, bundle, version, manifest FROM uploads WHERE tenant = ? AND upload = ?",
        )
        .bind(tenant.as_str())
        .bind(upload.as_str())
        .fetch_optional(&mut *tx)
        .await
        .map_err(failed("read an upload"))?;
        match row {
            Some(row) => read(&mut tx, tenant, row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Notes how far a file is: its safe bytes, and what is needed to go on after them. `false`: the
    /// session is gone.
    pub async fn commit_bytes(
        &self,
        tenant: &TenantId,
        upload: &UploadId,
        file: &UploadFileRow,
        at: Timestamp,
    ) -> Result<bool, MetadataError> {
        let mut tx = self.write("commit bytes").await?;
        let noted = sqlx::query(
            "UPDATE upload_files SET committed_bytes = ?, hash_state = ?, parts = ?
             WHERE tenant = ? AND upload = ? AND file = ? AND stored_key IS NULL",
        )
        .bind(signed(file.committed_bytes))
        .bind(file.hash_state.as_deref())
        .bind(file.parts.as_ref().map(Parts::encode))
        .bind(tenant.as_str())
        .bind(upload.as_str())
        .bind(file.file.as_str())
        .execute(&mut **tx)
        .await
        .map_err(failed("commit bytes"))?;
        if noted.rows_affected() == 0 {
            return Ok(false);
        }
        let touched =
            sqlx::query("UPDATE uploads SET updated_at_ms = ? WHERE tenant = ? AND upload = ?")
                .bind(at.as_millis())
                .bind(tenant.as_str())
                .bind(upload.as_str())
                .execute(&mut **tx)
                .await
                .map_err(failed("commit bytes"))?;
        changed("commit bytes", 1, &touched)?;
        tx.commit().await.map_err(failed("commit bytes"))?;
        Ok(true)
    }

    /// Drops a session. `false`: it is gone already.
    pub async fn drop_upload(&self, upload: &UploadId, deed: &Deed) -> Result<bool, MetadataError> {
        let mut tx = self.write("drop an upload").await?;
        if !delete(&mut tx, &deed.tenant, upload).await? {
            return Ok(false);
        }
        audit::record(&mut tx, deed).await?;
        tx.commit().await.map_err(failed("drop an upload"))?;
        Ok(true)
    }

    /// Sessions of every tenant that nothing happened to since a time, oldest first.
    pub async fn stale_uploads(
        &self,
        before: Timestamp,
        entries_max: usize,
    ) -> Result<Vec<(TenantId, UploadId)>, MetadataError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT tenant, upload FROM uploads WHERE updated_at_ms < ?
             ORDER BY updated_at_ms LIMIT ?",
        )
        .bind(before.as_millis())
        .bind(count(entries_max))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list stale uploads"))?;
        let id = |(tenant, upload): (String, String)| {
            let column = |name| Column("uploads", name);
            Ok((
                column("tenant").parse(&tenant)?,
                column("upload").parse(&upload)?,
            ))
        };
        rows.into_iter().map(id).collect()
    }
}

/// Notes that a session has ended well.
pub(super) async fn mark_published(
    tx: &mut Transaction<'_, Sqlite>,
    upload: &UploadId,
    deed: &Deed,
) -> Result<(), MetadataError> {
    let marked = sqlx::query(
        "UPDATE uploads SET published = 1, updated_at_ms = ? WHERE tenant = ? AND upload = ?",
    )
    .bind(deed.at.as_millis())
    .bind(deed.tenant.as_str())
    .bind(upload.as_str())
    .execute(&mut **tx)
    .await
    .map_err(failed("end an upload"))?;
    changed("end an upload", 1, &marked)
}

/// Deletes a session and, by cascade, its files.
async fn delete(
    tx: &mut Transaction<'_, Sqlite>,
    tenant: &TenantId,
    upload: &UploadId,
) -> Result<bool, MetadataError> {
    let deleted = sqlx::query("DELETE FROM uploads WHERE tenant = ? AND upload = ?")
        .bind(tenant.as_str())
        .bind(upload.as_str())
        .execute(&mut **tx)
        .await
        .map_err(failed("delete an upload"))?;
    Ok(deleted.rows_affected() == 1)
}

async fn insert(
    tx: &mut Transaction<'_, Sqlite>,
    row: &UploadRow,
    manifest_digest: &Digest,
    deed: &Deed,
) -> Result<(), MetadataError> {
    let inserted = sqlx::query(
        "INSERT INTO uploads
         (tenant, upload, bundle, version, manifest, manifest_sha256, updated_at_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(deed.tenant.as_str())
    .bind(row.upload.as_str())
    .bind(row.bundle.as_str())
    .bind(row.version.to_string())
    .bind(&row.manifest)
    .bind(manifest_digest.as_bytes().as_slice())
    .bind(deed.at.as_millis())
    .execute(&mut **tx)
    .await
    .map_err(failed("open an upload"))?;
    changed("open an upload", 1, &inserted)?;
    for (position, file) in (0i64..).zip(&row.files) {
        let inserted = sqlx::query(
            "INSERT INTO upload_files
             (tenant, upload, position, file, sha256, size_bytes, committed_bytes, stored_key)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(deed.tenant.as_str())
        .bind(row.upload.as_str())
        .bind(position)
        .bind(file.file.as_str())
        .bind(file.digest.as_bytes().as_slice())
        .bind(signed(file.size_bytes))
        .bind(signed(file.committed_bytes))
        .bind(file.stored.as_ref().map(BlobKey::path))
        .execute(&mut **tx)
        .await
        .map_err(failed("open an upload"))?;
        changed("open an upload", 1, &inserted)?;
    }
    Ok(())
}

async fn read(
    tx: &mut Transaction<'_, Sqlite>,
    tenant: &TenantId,
    row: UploadTuple,
) -> Result<UploadRow, MetadataError> {
    let (upload, bundle, version, manifest) = row;
    let files: Vec<FileTuple> = sqlx::query_as(
        "SELECT file, sha256, size_bytes, committed_bytes, hash_state, parts, stored_key
         FROM upload_files
         WHERE tenant = ? AND upload = ? ORDER BY position",
    )
    .bind(tenant.as_str())
    .bind(&upload)
    .fetch_all(&mut **tx)
    .await
    .map_err(failed("read an upload's files"))?;
    let files: Result<Vec<_>, _> = files.into_iter().map(read_file).collect();
    let column = |name| Column("uploads", name);
    Ok(UploadRow {
        upload: column("upload").parse(&upload)?,
        bundle: column("bundle").parse(&bundle)?,
        version: column("version").parse(&version)?,
        manifest,
        files: files?,
    })
}

fn read_file(row: FileTuple) -> Result<UploadFileRow, MetadataError> {
    let (file, sha256, size_bytes, committed_bytes, hash_state, parts, stored) = row;
    let column = |name| Column("upload_files", name);
    let stored = stored.map(|key| column("stored_key").parse(&key));
    let parts = parts.map(|parts| {
        Parts::decode(&parts).map_err(|error| MetadataError::Corrupt {
            table: "upload_files",
            column: "parts",
            cause: error.to_string(),
        })
    });
    Ok(UploadFileRow {
        file: column("file").parse(&file)?,
        digest: column("sha256").digest(&sha256)?,
        size_bytes: column("size_bytes").unsigned(size_bytes)?,
        committed_bytes: column("committed_bytes").unsigned(committed_bytes)?,
        hash_state,
        parts: parts.transpose()?,
        stored: stored.transpose()?,
    })
}
