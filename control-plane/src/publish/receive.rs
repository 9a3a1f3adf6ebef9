//! The bytes of one file, from where they stopped.

use bytes::Bytes;
use gantry_bundle::StreamHasher;
use gantry_domain::{FileName, TenantId, UploadId};

use super::holds::Hold;
use super::{PublishError, Publisher, staged_key};
use crate::blob::Append;
use crate::metadata::{MetadataError, UploadFileRow, UploadRow};
use crate::principal::Principal;

/// Bytes that may be lost when this process dies: beyond it they are made durable and noted.
const COMMIT_EVERY_BYTES: u64 = 16 << 20;

/// A file that is being received. [`Receiver::finish`] must be called however the stream ended, so
/// that what came is kept or, when it is wrong, removed.
pub struct Receiver {
    publisher: Publisher,
    who: Principal,
    upload: UploadRow,
    file: UploadFileRow,
    hasher: StreamHasher,
    append: Box<dyn Append>,
    too_long: bool,
    _hold: Hold,
}

impl Publisher {
    /// Goes on with a file at an offset, which must be where its safe bytes end.
    ///
    /// # Errors
    /// No such upload or file, another offset, or another call that writes to it.
    pub async fn receive(
        &self,
        who: &Principal,
        upload: &UploadId,
        file: &FileName,
        offset: u64,
    ) -> Result<Receiver, PublishError> {
        let hold = self.holds.take(&who.tenant, upload, Some(file));
        let hold = hold.ok_or_else(|| PublishError::Busy(upload.clone()))?;
        let upload = self.progress(who, upload).await?;
        let row = upload.files.iter().find(|row| row.file == *file).cloned();
        let row = row.ok_or_else(|| PublishError::NoFile {
            upload: upload.upload.clone(),
            file: file.clone(),
        })?;
        if row.is_complete() || offset != row.committed_bytes {
            return Err(PublishError::Offset {
                file: file.clone(),
                expected: row.committed_bytes,
                found: offset,
            });
        }
        let hasher = resume(&row).ok_or_else(|| MetadataError::Corrupt {
            table: "upload_files",
            column: "hash_state",
            cause: format!("not a state after {} bytes", row.committed_bytes),
        })?;
        let key = staged_key(&who.tenant, &upload.upload, file);
        let append = self.blobs.append(&key, row.committed_bytes).await?;
        Ok(Receiver {
            publisher: self.clone(),
            who: who.clone(),
            upload,
            file: row,
            hasher,
            append,
            too_long: false,
            _hold: hold,
        })
    }
}

/// The hash as it was after the committed bytes; `None` when the state is not of those bytes.
fn resume(row: &UploadFileRow) -> Option<StreamHasher> {
    let hasher = match &row.hash_state {
        None => StreamHasher::new(row.size_bytes),
        Some(state) => StreamHasher::restore(state, row.size_bytes).ok()?,
    };
    (hasher.size_bytes() == row.committed_bytes).then_some(hasher)
}

impl Receiver {
    /// How far the file is, counting bytes that are not durable yet.
    pub fn position(&self) -> u64 {
        self.hasher.size_bytes()
    }

    /// The file.
    pub fn file(&self) -> &FileName {
        &self.file.file
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// A chunk beyond the bound, more bytes than were declared, or a store that fails.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), PublishError> {
        let bytes_max = self.publisher.limits.chunk_bytes_max;
        if chunk.len() > bytes_max {
            return Err(PublishError::Chunk {
                file: self.file.file.clone(),
                bytes_max,
                found: chunk.len(),
            });
        }
        if self.hasher.update(&chunk).is_err() {
            self.too_long = true;
            return Err(PublishError::TooLong {
                file: self.file.file.clone(),
                expected: self.file.size_bytes,
            });
        }
        self.append.write(chunk).await?;
        // The last byte is noted by `finish` alone, which knows whether the digest is right.
        let open = self.position() - self.file.committed_bytes;
        if open >= COMMIT_EVERY_BYTES && self.position() < self.file.size_bytes {
            self.commit().await?;
        }
        Ok(())
    }

    /// Makes what came durable and notes it. A complete file is verified first; when it is not what
    /// was declared, the upload is dropped, since its manifest can never be satisfied.
    ///
    /// # Errors
    /// `SIZE_MISMATCH` or `DIGEST_MISMATCH`, or a store that fails.
    pub async fn finish(mut self) -> Result<UploadFileRow, PublishError> {
        if self.too_long {
            self.drop_upload().await?;
            return Err(PublishError::TooLong {
                file: self.file.file,
                expected: self.file.size_bytes,
            });
        }
        if self.position() == self.file.size_bytes {
            let found = self.hasher.clone().finish().digest;
            if found != self.file.digest {
                self.drop_upload().await?;
                return Err(PublishError::Digest {
                    file: self.file.file,
                    expected: self.file.digest,
                    found,
                });
            }
        }
        self.commit().await?;
        Ok(self.file)
    }

    async fn commit(&mut self) -> Result<(), PublishError> {
        let committed = self.append.commit().await?;
        let state = self.hasher.save();
        let (publisher, tenant) = (&self.publisher, &self.who.tenant);
        let now = publisher.clock.now();
        let noted = publisher
            .metadata
            .commit_bytes(
                tenant,
                &self.upload.upload,
                &self.file.file,
                (committed, &state),
                now,
            )
            .await?;
        if !noted {
            self.remove_own(tenant.clone()).await?;
            return Err(PublishError::NoUpload(self.upload.upload.clone()));
        }
        self.file.committed_bytes = committed;
        Ok(())
    }

    /// Another file of the upload was wrong and took the upload with it.
    async fn remove_own(&self, tenant: TenantId) -> Result<(), PublishError> {
        let key = staged_key(&tenant, &self.upload.upload, &self.file.file);
        Ok(self.publisher.blobs.delete(&key).await?)
    }

    async fn drop_upload(&self) -> Result<(), PublishError> {
        let publisher = &self.publisher;
        publisher
            .discard(&self.who, &self.upload, "upload.refuse")
            .await
    }
}
