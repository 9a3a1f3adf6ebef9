//! The moment in which a version becomes real.

use bytes::Bytes;
use gantry_domain::release::RELEASE_BYTES_MAX;
use gantry_domain::{
    BundleName, BundleVersion, FieldWarning, Limits, Manifest, Release, TenantId, UploadId,
};
use tracing::Instrument as _;

use super::{PublishError, Publisher};
use crate::blob::{BlobError, BlobKey, Created};
use crate::metadata::{Deed, MetadataError, ReleaseRow, UploadRow};
use crate::metrics::UploadResult;
use crate::principal::Principal;
use crate::refusal::{Kind, Refuse as _, Violation, summary};

/// A published version.
#[derive(Debug)]
pub struct Published {
    /// Its row.
    pub row: ReleaseRow,
    /// What its author should know.
    pub warnings: Vec<FieldWarning>,
    /// It was published before, with the same content.
    pub before: bool,
}

impl Publisher {
    /// Makes a version immutable: bytes to their keys, then the release document, the row last. A
    /// crash after the document is rolled forward; one before it leaves orphans and no release.
    ///
    /// # Errors
    /// An incomplete upload, files or functions that are refused, or a version that is published with
    /// other content. Nothing of the upload becomes visible then.
    pub async fn publish(
        &self,
        who: &Principal,
        upload: &UploadId,
    ) -> Result<Published, PublishError> {
        let span = tracing::info_span!("publish", upload.id = %upload);
        let published = self.make_public(who, upload).instrument(span).await;
        let result = match &published {
            Ok(Published { before: true, .. }) => UploadResult::Unchanged,
            Ok(_) => UploadResult::Published,
            Err(error) => match error.kind() {
                Kind::Conflict | Kind::Unavailable | Kind::Internal => UploadResult::Failed,
                _ => UploadResult::Refused,
            },
        };
        self.metrics.upload(&who.tenant, result);
        published
    }

    async fn make_public(
        &self,
        who: &Principal,
        upload: &UploadId,
    ) -> Result<Published, PublishError> {
        let hold = self.holds.take(&who.tenant, upload, None);
        let _hold = hold.ok_or_else(|| PublishError::Busy(upload.clone()))?;
        let upload = self.progress(who, upload).await?;
        let manifest = stored_manifest(&upload, &self.limits)?;
        if let Some(row) = self
            .published(who, &manifest.name, &manifest.version)
            .await?
        {
            return self.published_before(who, &upload, &manifest, row).await;
        }
        check_complete(&upload)?;
        let inspecting = self.inspect(&who.tenant, &upload, &manifest);
        let admission = match inspecting.instrument(tracing::info_span!("inspect")).await {
            // What inspection refuses it will refuse again: these bytes have these digests.
            Err(PublishError::Refused(wrong)) => {
                self.discard(who, &upload, "upload.refuse").await?;
                return Err(PublishError::Refused(wrong));
            }
            admission => admission?,
        };
        let release = Release {
            tenant: who.tenant.clone(),
            manifest,
            artifacts: admission.artifacts,
        };
        let document = release.canonical();
        if let Err(refused) = check_size(&document) {
            self.discard(who, &upload, "upload.refuse").await?;
            return Err(refused);
        }
        let _committing = self.commits.read().await;
        for (staged, key) in &admission.moves {
            self.blobs.promote(staged, key).await?;
        }
        let key = published_key(&who.tenant, release.bundle(), release.version());
        if self.blobs.create(&key, Bytes::from(document)).await? == Created::Before {
            let manifest = release.manifest;
            let row = self.roll_forward(&key, Some(who)).await?;
            return self.published_before(who, &upload, &manifest, row).await;
        }
        let row = ReleaseRow {
            release,
            published_at: self.clock.now(),
        };
        let deed = deed(&row, Some(who));
        self.metadata
            .publish(&row, Some(&upload.upload), &deed)
            .await?;
        self.delete_staged(&who.tenant, &upload).await?;
        tracing::info!(
            tenant.id = %who.tenant, bundle.name = %row.release.bundle(),
            bundle.version = %row.release.version(), "published a bundle"
        );
        Ok(Published {
            row,
            warnings: admission.warnings,
            before: false,
        })
    }

    /// A release by name, by its row or, when a crash took the row, by its document.
    pub(super) async fn published(
        &self,
        who: &Principal,
        bundle: &BundleName,
        version: &BundleVersion,
    ) -> Result<Option<ReleaseRow>, PublishError> {
        if let Some(row) = self.metadata.release(&who.tenant, bundle, version).await? {
            return Ok(Some(row));
        }
        let key = published_key(&who.tenant, bundle, version);
        match self.roll_forward(&key, Some(who)).await {
            Ok(row) => Ok(Some(row)),
            Err(PublishError::Blob(BlobError::NotFound { .. })) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Writes the row that belongs to a release document.
    pub(super) async fn roll_forward(
        &self,
        key: &BlobKey,
        who: Option<&Principal>,
    ) -> Result<ReleaseRow, PublishError> {
        let document = self.blobs.read(key, 0, RELEASE_BYTES_MAX + 1).await?;
        let corrupt = |cause: String| MetadataError::Corrupt {
            table: "published objects",
            column: "document",
            cause: format!("{key}: {cause}"),
        };
        let release = Release::parse(&document).map_err(|errors| corrupt(summary(&errors)))?;
        let own = published_key(&release.tenant, release.bundle(), release.version());
        if own != *key {
            return Err(corrupt(format!("it is the document of {own}")).into());
        }
        let row = ReleaseRow {
            release,
            published_at: self.clock.now(),
        };
        self.metadata.publish(&row, None, &deed(&row, who)).await?;
        tracing::info!(object.key = %key, "rolled a published release forward");
        Ok(row)
    }

    /// The same content again gets the same answer; other content goes.
    async fn published_before(
        &self,
        who: &Principal,
        upload: &UploadRow,
        manifest: &Manifest,
        row: ReleaseRow,
    ) -> Result<Published, PublishError> {
        if row.release.manifest != *manifest {
            self.discard(who, upload, "upload.refuse").await?;
            return Err(PublishError::Immutable {
                bundle: upload.bundle.clone(),
                version: upload.version.clone(),
            });
        }
        let deed = deed(&row, Some(who));
        self.metadata
            .publish(&row, Some(&upload.upload), &deed)
            .await?;
        self.delete_staged(&who.tenant, upload).await?;
        Ok(Published {
            row,
            warnings: Vec::new(),
            before: true,
        })
    }
}

pub(super) fn published_key(
    tenant: &TenantId,
    bundle: &BundleName,
    version: &BundleVersion,
) -> BlobKey {
    BlobKey::Published {
        tenant: tenant.clone(),
        bundle: bundle.clone(),
        version: version.clone(),
    }
}

fn deed(row: &ReleaseRow, who: Option<&Principal>) -> Deed {
    let release = &row.release;
    Deed {
        tenant: release.tenant.clone(),
        token: who.map(|who| who.token.clone()),
        action: "bundle.publish",
        subject: format!("{}@{}", release.bundle(), release.version()),
        at: row.published_at,
    }
}

fn stored_manifest(upload: &UploadRow, limits: &Limits) -> Result<Manifest, PublishError> {
    Manifest::parse(upload.manifest.as_bytes(), limits).map_err(|errors| {
        PublishError::Metadata(MetadataError::Corrupt {
            table: "uploads",
            column: "manifest",
            cause: summary(&errors),
        })
    })
}

fn check_complete(upload: &UploadRow) -> Result<(), PublishError> {
    let open = upload.files.iter().filter(|file| !file.is_complete());
    let missing: Vec<_> = open
        .map(|file| Violation {
            subject: format!("files.{}", file.file),
            code: "FILE_INCOMPLETE",
            message: format!(
                "expected {} bytes, found {}",
                file.size_bytes, file.committed_bytes
            ),
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(PublishError::Incomplete {
        upload: upload.upload.clone(),
        missing,
    })
}

fn check_size(document: &str) -> Result<(), PublishError> {
    if document.len() <= RELEASE_BYTES_MAX {
        return Ok(());
    }
    Err(PublishError::Refused(vec![Violation {
        subject: "files".into(),
        code: "RELEASE_TOO_LARGE",
        message: format!(
            "expected notes and hooks that fit a release document of {RELEASE_BYTES_MAX} bytes, \
             found {} bytes",
            document.len()
        ),
    }]))
}
