//! One upload, top to bottom: begin, receive, publish.
//!
//! Responsible for what a version may hold and for the order in which it becomes real: bytes first,
//! then the release document in object storage (the commit), the row last. Not responsible for what
//! runs where. Invariants: bytes count as received only once they are durable, and a file counts as
//! complete only once its digest has been verified; a published version never changes; a refused
//! upload leaves nothing behind.

mod admission;
mod commit;
mod error;
mod holds;
mod receive;
mod repair;

use std::sync::Arc;
use std::time::Duration;

use gantry_domain::{Clock, Digest, FileName, Limits, Manifest, UploadId};
use tokio::sync::RwLock;

use crate::blob::{BlobKey, BlobStore};
use crate::metadata::{Metadata, ReleaseRow, UploadFileRow, UploadRow};
use crate::metrics::{Metrics, UploadResult};
use crate::principal::Principal;
use crate::random;
use crate::refusal::{Violation, violations};

pub use commit::Published;
pub use error::PublishError;
pub use receive::Receiver;

use holds::Holds;

/// Takes bundles in. Clones share everything.
#[derive(Clone)]
pub struct Publisher {
    metadata: Metadata,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    limits: Arc<Limits>,
    idle_max: Duration,
    holds: Holds,
    metrics: Metrics,
    /// Held for reading by who brings bytes to their keys and commits them, for writing by who takes
    /// bytes away that no release names.
    commits: Arc<RwLock<()>>,
}

/// A file as its sender declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Its name.
    pub file: FileName,
    /// Of its bytes.
    pub digest: Digest,
    /// How many there are.
    pub size_bytes: u64,
}

/// What an upload starts with.
#[derive(Debug)]
pub enum Begun {
    /// Send what is missing.
    Open(UploadRow),
    /// The version is published already, with this very manifest.
    Published(ReleaseRow),
}

/// A manifest and declarations that agree with each other and with the limits. Made by [`admit`]
/// alone, so that nothing can be stored of a bundle that is too large.
struct Admitted {
    manifest: Manifest,
    declarations: Vec<Declaration>,
}

impl Publisher {
    /// A publisher on these stores. Uploads that rest for longer than `idle_max` are dropped.
    pub fn new(
        metadata: Metadata,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        limits: Arc<Limits>,
        idle_max: Duration,
        metrics: Metrics,
    ) -> Self {
        Self {
            metadata,
            blobs,
            clock,
            limits,
            idle_max,
            holds: Holds::default(),
            metrics,
            commits: Arc::default(),
        }
    }

    /// Opens the upload of a version, or finds it again.
    ///
    /// # Errors
    /// A manifest or declarations that are refused; a version that is published with other content;
    /// too many open uploads.
    pub async fn begin(
        &self,
        who: &Principal,
        manifest: &[u8],
        declarations: Vec<Declaration>,
    ) -> Result<Begun, PublishError> {
        let admitted = admit(manifest, &declarations, &self.limits)?;
        let manifest = &admitted.manifest;
        if let Some(row) = self
            .published(who, &manifest.name, &manifest.version)
            .await?
        {
            if row.release.manifest == *manifest {
                self.metrics.upload(&who.tenant, UploadResult::Unchanged);
                return Ok(Begun::Published(row));
            }
            return Err(PublishError::Immutable {
                bundle: manifest.name.clone(),
                version: manifest.version.clone(),
            });
        }
        let row = UploadRow {
            upload: random::id(),
            bundle: manifest.name.clone(),
            version: manifest.version.clone(),
            manifest: manifest.canonical(),
            files: self.files(who, admitted.declarations).await?,
        };
        let subject = format!("{}@{}", row.bundle, row.version);
        let deed = who.deed("upload.begin", subject, self.clock.now());
        let uploads_max = self.limits.uploads_open_max;
        let opened = self.metadata.open_upload(&row, uploads_max, &deed).await?;
        let row = opened.ok_or(PublishError::TooManyUploads(uploads_max))?;
        self.make_sure_of_room(who, &row).await?;
        Ok(Begun::Open(row))
    }

    /// Refuses an upload whose bytes have no room, before they come. One that has begun stays, to be gone on with.
    async fn make_sure_of_room(
        &self,
        who: &Principal,
        row: &UploadRow,
    ) -> Result<(), PublishError> {
        let missing = row.files.iter().filter(|file| file.stored.is_none());
        let missing = missing.map(|file| file.size_bytes - file.committed_bytes);
        let Err(full) = self.blobs.room_for(missing.sum()).await else {
            return Ok(());
        };
        // Somebody else may be sending it.
        let hold = self.holds.take(&who.tenant, &row.upload, None);
        if hold.is_some() && row.files.iter().all(|file| file.committed_bytes == 0) {
            self.metrics.upload(&who.tenant, UploadResult::Refused);
            self.discard(who, row, "upload.refuse").await?;
        }
        Err(full.into())
    }

    /// How far an upload is.
    ///
    /// # Errors
    /// There is no such upload of this tenant.
    pub async fn progress(
        &self,
        who: &Principal,
        upload: &UploadId,
    ) -> Result<UploadRow, PublishError> {
        let row = self.metadata.upload(&who.tenant, upload).await?;
        row.ok_or_else(|| PublishError::NoUpload(upload.clone()))
    }

    /// Drops an upload and the bytes that only it brought.
    ///
    /// # Errors
    /// There is no such upload of this tenant, or a call is writing to it.
    pub async fn abort(&self, who: &Principal, upload: &UploadId) -> Result<(), PublishError> {
        let hold = self.holds.take(&who.tenant, upload, None);
        let _hold = hold.ok_or_else(|| PublishError::Busy(upload.clone()))?;
        let row = self.progress(who, upload).await?;
        self.metrics.upload(&who.tenant, UploadResult::Dropped);
        self.discard(who, &row, "upload.abort").await
    }

    /// Row first: without it nobody can go on, and staged bytes without a row are swept anyway.
    async fn discard(
        &self,
        who: &Principal,
        row: &UploadRow,
        action: &'static str,
    ) -> Result<(), PublishError> {
        let subject = format!("{}@{}", row.bundle, row.version);
        let deed = who.deed(action, subject, self.clock.now());
        self.metadata.drop_upload(&row.upload, &deed).await?;
        self.delete_staged(&deed.tenant, row).await
    }

    async fn delete_staged(
        &self,
        tenant: &gantry_domain::TenantId,
        row: &UploadRow,
    ) -> Result<(), PublishError> {
        for file in &row.files {
            let key = staged_key(tenant, &row.upload, &file.file);
            if let Some(parts) = &file.parts {
                self.blobs.abandon(&key, &parts.upload).await?;
            }
            self.blobs.delete(&key).await?;
        }
        Ok(())
    }

    /// The files of a new upload: those whose bytes the tenant has are complete from the start.
    async fn files(
        &self,
        who: &Principal,
        declarations: Vec<Declaration>,
    ) -> Result<Vec<UploadFileRow>, PublishError> {
        let mut files = Vec::with_capacity(declarations.len());
        for declared in declarations {
            let known = self
                .metadata
                .artifact(&who.tenant, &declared.digest)
                .await?;
            let stored = known.filter(|known| known.size_bytes == declared.size_bytes);
            files.push(UploadFileRow {
                committed_bytes: stored.as_ref().map_or(0, |stored| stored.size_bytes),
                file: declared.file,
                digest: declared.digest,
                size_bytes: declared.size_bytes,
                hash_state: None,
                parts: None,
                stored: stored.map(|stored| stored.key),
            });
        }
        Ok(files)
    }
}

fn staged_key(tenant: &gantry_domain::TenantId, upload: &UploadId, file: &FileName) -> BlobKey {
    BlobKey::Staged {
        tenant: tenant.clone(),
        upload: upload.clone(),
        file: file.clone(),
    }
}

fn admit(
    manifest: &[u8],
    declarations: &[Declaration],
    limits: &Limits,
) -> Result<Admitted, PublishError> {
    let refused = |errors| PublishError::Refused(violations(errors));
    let manifest = Manifest::parse(manifest, limits).map_err(refused)?;
    let mut wrong = Vec::new();
    let mut ordered = Vec::with_capacity(manifest.files.len());
    for (file, digest) in &manifest.files {
        let declared = declarations.iter().find(|declared| declared.file == *file);
        match check_declaration(file, digest, declared, limits) {
            Ok(declared) => ordered.push(declared.clone()),
            Err(violation) => wrong.push(violation),
        }
    }
    let known = manifest.files.len();
    if declarations.len() > known {
        wrong.push(Violation {
            subject: "files".into(),
            code: "FILE_UNKNOWN",
            message: format!(
                "expected the {known} files of the manifest, each once, found {}",
                declarations.len()
            ),
        });
    }
    // Each is within its bound and there are few, so the sum cannot overflow.
    let total: u64 = ordered.iter().map(|declared| declared.size_bytes).sum();
    if total > limits.bundle_bytes_max {
        wrong.push(Violation {
            subject: "files".into(),
            code: "BUNDLE_TOO_LARGE",
            message: format!(
                "expected at most {} bytes in all, found {total}",
                limits.bundle_bytes_max
            ),
        });
    }
    if !wrong.is_empty() {
        return Err(PublishError::Refused(wrong));
    }
    Ok(Admitted {
        manifest,
        declarations: ordered,
    })
}

fn check_declaration<'d>(
    file: &FileName,
    digest: &Digest,
    declared: Option<&'d Declaration>,
    limits: &Limits,
) -> Result<&'d Declaration, Violation> {
    let violation = |code, message| Violation {
        subject: format!("files.{file}"),
        code,
        message,
    };
    let Some(declared) = declared else {
        let message = "expected the size of a file of the manifest, found no declaration";
        return Err(violation("FILE_MISSING", message.into()));
    };
    if declared.digest != *digest {
        let found = declared.digest;
        let message = format!("expected {digest}, as the manifest says, found {found}");
        return Err(violation("DIGEST_MISMATCH", message));
    }
    let (size, max) = (declared.size_bytes, limits.file_bytes_max);
    if !(1..=max).contains(&size) {
        let message = format!("expected 1 to {max} bytes, found {size}");
        return Err(violation("FILE_SIZE", message));
    }
    Ok(declared)
}
