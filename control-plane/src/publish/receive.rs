//! The bytes of one file, from where they stopped.

use std::time::Instant;

use bytes::Bytes;
use gantry_bundle::StreamHasher;
use gantry_domain::{FileName, UploadId};

use super::holds::Hold;
use super::{PublishError, Publisher, staged_key};
use crate::blob::{Append, BlobError, Parts};
use crate::metadata::{MetadataError, UploadFileRow, UploadRow};
use crate::metrics::UploadResult;
use crate::principal::Principal;

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
    /// Set when the store did not take bytes that the hash has seen: nothing after them is noted.
    broken: bool,
    begun: Instant,
    /// What came on this stream.
    received_bytes: u64,
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
        let append = self
            .blobs
            .append(&key, row.committed_bytes, row.parts.clone())
            .await;
        let append = match append {
            Err(BlobError::Truncated { .. }) => {
                return Err(self.start_over(who, &upload, row).await?);
            }
            append => append?,
        };
        Ok(Receiver {
            publisher: self.clone(),
            who: who.clone(),
            upload,
            file: row,
            hasher,
            append,
            too_long: false,
            broken: false,
            begun: Instant::now(),
            received_bytes: 0,
            _hold: hold,
        })
    }

    /// The store has lost what was noted as safe (a bucket that tidies unfinished uploads does that):
    /// the file begins again, and its sender is told so.
    async fn start_over(
        &self,
        who: &Principal,
        upload: &UploadRow,
        file: UploadFileRow,
    ) -> Result<PublishError, PublishError> {
        tracing::warn!(
            tenant.id = %who.tenant, upload.id = %upload.upload, file.name = %file.file,
            "the object store has lost {} bytes of {}", file.committed_bytes, file.file
        );
        let fresh = UploadFileRow {
            committed_bytes: 0,
            hash_state: None,
            parts: None,
            ..file
        };
        self.note(who, upload, &fresh).await?;
        Ok(PublishError::Offset {
            file: fresh.file,
            expected: 0,
            found: file.committed_bytes,
        })
    }

    /// Notes how far a file is. Without a row any more, its bytes go: another file of the upload was
    /// wrong and took the upload with it.
    async fn note(
        &self,
        who: &Principal,
        upload: &UploadRow,
        file: &UploadFileRow,
    ) -> Result<(), PublishError> {
        let (tenant, now) = (&who.tenant, self.clock.now());
        let noted = self
            .metadata
            .commit_bytes(tenant, &upload.upload, file, now);
        if noted.await? {
            return Ok(());
        }
        let key = staged_key(tenant, &upload.upload, &file.file);
        if let Some(parts) = &file.parts {
            self.blobs.abandon(&key, &parts.upload).await?;
        }
        self.blobs.delete(&key).await?;
        Err(PublishError::NoUpload(upload.upload.clone()))
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
        self.received_bytes += chunk.len() as u64;
        let mut rest = chunk;
        while !rest.is_empty() {
            let part_bytes = self.append.part_bytes();
            let to_boundary = part_bytes - self.position() % part_bytes;
            let next = rest.split_to(
                rest.len()
                    .min(usize::try_from(to_boundary).unwrap_or(usize::MAX)),
            );
            self.write_within_part(next).await?;
        }
        Ok(())
    }

    /// Takes bytes that end with the part at the latest. There they are made durable and noted, so that
    /// no more than a part is lost when this process dies.
    async fn write_within_part(&mut self, bytes: Bytes) -> Result<(), PublishError> {
        if self.hasher.update(&bytes).is_err() {
            self.too_long = true;
            return Err(PublishError::TooLong {
                file: self.file.file.clone(),
                expected: self.file.size_bytes,
            });
        }
        let written = self.append.write(bytes).await;
        self.broken = written.is_err();
        self.stored(written).await?;
        // The last byte is noted by `finish` alone, which knows whether the digest is right.
        let position = self.position();
        let ends = position.is_multiple_of(self.append.part_bytes());
        if ends && position < self.file.size_bytes {
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
        let (tenant, metrics) = (&self.who.tenant, &self.publisher.metrics);
        metrics.received(tenant, self.received_bytes, self.begun.elapsed());
        if self.too_long {
            metrics.verified("size", false);
            self.drop_upload().await?;
            return Err(PublishError::TooLong {
                file: self.file.file,
                expected: self.file.size_bytes,
            });
        }
        if self.broken {
            return Ok(self.file);
        }
        if self.position() < self.file.size_bytes {
            self.commit().await?;
            return Ok(self.file);
        }
        let found = self.hasher.clone().finish().digest;
        self.publisher
            .metrics
            .verified("digest", found == self.file.digest);
        if found != self.file.digest {
            self.drop_upload().await?;
            return Err(PublishError::Digest {
                file: self.file.file,
                expected: self.file.digest,
                found,
            });
        }
        let sealed = self.append.seal().await;
        self.stored(sealed).await?;
        self.note(self.file.size_bytes, None).await?;
        Ok(self.file)
    }

    /// Notes what is durable. A store that keeps only whole parts may keep less than came; then what
    /// was noted before stays true, since the state of the hash is that of the last byte.
    async fn commit(&mut self) -> Result<(), PublishError> {
        let committed = self.append.commit().await?;
        if committed.size_bytes != self.position() {
            return Ok(());
        }
        self.note(committed.size_bytes, committed.parts).await
    }

    async fn note(
        &mut self,
        committed_bytes: u64,
        parts: Option<Parts>,
    ) -> Result<(), PublishError> {
        self.file.committed_bytes = committed_bytes;
        self.file.hash_state = Some(self.hasher.save());
        self.file.parts = parts;
        self.publisher
            .note(&self.who, &self.upload, &self.file)
            .await
    }

    async fn stored(&self, result: Result<(), BlobError>) -> Result<(), PublishError> {
        match result {
            Err(BlobError::Truncated { .. }) => Err(self
                .publisher
                .start_over(&self.who, &self.upload, self.file.clone())
                .await?),
            other => Ok(other?),
        }
    }

    async fn drop_upload(&self) -> Result<(), PublishError> {
        let publisher = &self.publisher;
        publisher
            .metrics
            .upload(&self.who.tenant, UploadResult::Refused);
        publisher
            .discard(&self.who, &self.upload, "upload.refuse")
            .await
    }
}
