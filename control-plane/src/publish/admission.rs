//! What a version may hold: every library is what its name says, and every function that a hook
//! names is offered there by every file that could answer.

use std::io::{self, Read};

use gantry_bundle::hash::Md5Sum;
use gantry_bundle::{Inspection, inspect_reader};
use gantry_domain::admission::{check_entries, shadowed};
use gantry_domain::{Artifact, FieldWarning, FileName, Manifest, TenantId};

use super::{PublishError, Publisher, staged_key};
use crate::blob::{BlobError, BlobKey};
use crate::metadata::{UploadFileRow, UploadRow};
use crate::refusal::Violation;

/// Bytes read at once for the MD5 sum.
const READ_BYTES: usize = 256 << 10;

/// What inspection found.
pub(super) struct Admission {
    /// In the order of the manifest. A key is that of bytes the tenant has already, or the one that
    /// these bytes will have.
    pub(super) artifacts: Vec<Artifact>,
    /// Final keys of the files whose bytes are staged.
    pub(super) moves: Vec<(BlobKey, BlobKey)>,
    pub(super) warnings: Vec<FieldWarning>,
}

impl Publisher {
    /// Inspects what is stored, without running it.
    pub(super) async fn inspect(
        &self,
        tenant: &TenantId,
        upload: &UploadRow,
        manifest: &Manifest,
    ) -> Result<Admission, PublishError> {
        let mut wrong = Vec::new();
        let mut admission = Admission {
            artifacts: Vec::new(),
            moves: Vec::new(),
            warnings: Vec::new(),
        };
        for file in &upload.files {
            let place = place_of(tenant, upload, file);
            let inspected = self.inspect_file(&place, &file.file).await?;
            self.metrics.verified("library", inspected.is_ok());
            let target = inspected.as_ref().ok().map(|found| found.target.platform);
            self.metrics
                .admitted(target.map(|platform| platform.to_string()));
            match inspected {
                Ok(inspection) => admission.add(tenant, upload, file, inspection),
                Err(violation) => wrong.push(violation),
            }
        }
        if wrong.is_empty() {
            let middleware = &manifest.middleware;
            let found = check_entries("custom_middleware", middleware, &&admission.artifacts);
            wrong.extend(found.into_iter().map(Violation::from));
            self.metrics.verified("functions", wrong.is_empty());
            let checksum = self.check_md5(tenant, upload, manifest).await?;
            if manifest.checksum.is_some() {
                self.metrics.verified("checksum", checksum.is_none());
            }
            wrong.extend(checksum);
        }
        if !wrong.is_empty() {
            return Err(PublishError::Refused(wrong));
        }
        admission.warnings.extend(shadowed(&admission.artifacts));
        Ok(admission)
    }

    async fn inspect_file(
        &self,
        place: &BlobKey,
        file: &FileName,
    ) -> Result<Result<Inspection, Violation>, PublishError> {
        let opened = self.blobs.open(place).await?;
        let name = file.clone();
        let inspected = blocking(place, move || Ok(inspect_reader(opened, &name))).await?;
        Ok(inspected.map_err(|e| {
            let advice = e
                .advice()
                .map(|advice| format!("; {advice}"))
                .unwrap_or_default();
            Violation {
                subject: format!("files.{file}"),
                code: e.code(),
                message: format!("{}{advice}", e.refusal),
            }
        }))
    }

    /// The checksum that older tools write: MD5 over all contents in the order of the manifest.
    async fn check_md5(
        &self,
        tenant: &TenantId,
        upload: &UploadRow,
        manifest: &Manifest,
    ) -> Result<Option<Violation>, PublishError> {
        let Some(expected) = &manifest.checksum else {
            return Ok(None);
        };
        let mut sum = Md5Sum::new();
        for file in &upload.files {
            let place = place_of(tenant, upload, file);
            let mut opened = self.blobs.open(&place).await?;
            sum = blocking(&place, move || {
                let mut buffer = vec![0; READ_BYTES];
                loop {
                    match opened.read(&mut buffer)? {
                        0 => return Ok(sum),
                        count => sum.update(&buffer[..count]),
                    }
                }
            })
            .await?;
        }
        let found = sum.finish();
        Ok((found != *expected).then(|| Violation {
            subject: "checksum".into(),
            code: "CHECKSUM_MISMATCH",
            message: format!("expected {expected}, as the manifest says, found {found}"),
        }))
    }
}

impl Admission {
    fn add(
        &mut self,
        tenant: &TenantId,
        upload: &UploadRow,
        file: &UploadFileRow,
        inspection: Inspection,
    ) {
        let key = file.stored.clone().unwrap_or_else(|| BlobKey::Artifact {
            tenant: tenant.clone(),
            gateway_version: inspection.target.gateway_version,
            platform: inspection.target.platform,
            bundle: upload.bundle.clone(),
            version: upload.version.clone(),
            digest: file.digest,
            file: file.file.clone(),
        });
        if file.stored.is_none() {
            let staged = staged_key(tenant, &upload.upload, &file.file);
            self.moves.push((staged, key.clone()));
        }
        self.warnings
            .extend(inspection.warnings.iter().map(|warning| FieldWarning {
                path: format!("files.{}", file.file),
                code: warning.code(),
                message: warning.message().to_owned(),
            }));
        self.artifacts.push(Artifact {
            file: file.file.clone(),
            digest: file.digest,
            size_bytes: file.size_bytes,
            target: inspection.target,
            note: inspection.note,
            key: key.path(),
        });
    }
}

fn place_of(tenant: &TenantId, upload: &UploadRow, file: &UploadFileRow) -> BlobKey {
    match &file.stored {
        Some(key) => key.clone(),
        None => staged_key(tenant, &upload.upload, &file.file),
    }
}

async fn blocking<T: Send + 'static>(
    place: &BlobKey,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BlobError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|e| Err(io::Error::other(e)));
    done.map_err(|source| BlobError::Io {
        action: "inspect",
        key: place.path(),
        source,
    })
}
