//! A staged object that is being written: one `PUT` when it is smaller than a part, else a multipart
//! upload, a part at a time.
//!
//! Invariants: at most one part is in memory; a part is named in [`Committed`] only once the server
//! has acknowledged it with its checksum; the object exists only once it was sealed.

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};

use super::super::{Append, BlobError, BlobKey, Committed, Part, Parts};
use super::failure::Failure;
use super::{S3Store, checksum};

/// The writer of one staged object.
pub(super) struct S3Append {
    store: S3Store,
    key: BlobKey,
    parts: Option<Parts>,
    buffer: BytesMut,
    /// Bytes from the beginning that were written, stored or not.
    position: u64,
    /// Set when an earlier process sealed the object and died before that was noted: what comes is
    /// what is there already.
    sealed_bytes: Option<u64>,
}

impl S3Append {
    pub(super) async fn open(
        store: S3Store,
        key: &BlobKey,
        offset: u64,
        parts: Option<Parts>,
    ) -> Result<Self, BlobError> {
        let mut append = Self {
            store,
            key: key.clone(),
            parts: parts.filter(|_| offset > 0),
            buffer: BytesMut::new(),
            position: offset,
            sealed_bytes: None,
        };
        let known = append.parts.as_ref().map_or(0, Parts::size_bytes);
        let part_bytes = append.part_bytes();
        if offset > known || !offset.is_multiple_of(part_bytes) {
            return Err(append.truncated(offset, known));
        }
        if let Some(parts) = &mut append.parts {
            parts
                .parts
                .truncate(usize::try_from(offset / part_bytes).unwrap_or(usize::MAX));
            if !append.parts_are_there().await? {
                append.sealed_bytes = Some(append.find_sealed(offset).await?);
            }
        }
        Ok(append)
    }

    fn truncated(&self, offset: u64, size: u64) -> BlobError {
        let key = Box::new(self.key.clone());
        BlobError::Truncated { key, offset, size }
    }

    fn committed(&self) -> u64 {
        self.parts.as_ref().map_or(0, Parts::size_bytes)
    }

    /// Whether the upload still goes on: some servers answer about one that has ended with an empty
    /// list, so the last part must be in it.
    async fn parts_are_there(&self) -> Result<bool, BlobError> {
        let Some(parts) = &self.parts else {
            return Ok(true);
        };
        let last = number(parts.parts.len());
        let listed = self
            .store
            .client
            .list_parts()
            .bucket(&self.store.options.bucket)
            .key(self.store.name(&self.key.path()))
            .upload_id(&parts.upload)
            .part_number_marker((last - 1).to_string())
            .send();
        match listed.await.map_err(Failure::from) {
            Ok(listed) => Ok(listed
                .parts()
                .iter()
                .any(|part| part.part_number() == Some(last))),
            Err(Failure::Missing) => Ok(false),
            Err(other) => Err(other.of("find the parts of", &self.key)),
        }
    }

    async fn find_sealed(&self, offset: u64) -> Result<u64, BlobError> {
        match self.store.head(&self.key).await {
            Ok(size_bytes) => Ok(size_bytes),
            Err(Failure::Missing) => Err(self.truncated(offset, 0)),
            Err(other) => Err(other.of("find", &self.key)),
        }
    }

    async fn begin(&self) -> Result<String, BlobError> {
        let created = self
            .store
            .client
            .create_multipart_upload()
            .bucket(&self.store.options.bucket)
            .key(self.store.name(&self.key.path()))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .send();
        let created = created.await.map_err(Failure::from);
        let created = created.map_err(|f| f.of("begin", &self.key))?;
        let upload = created.upload_id.filter(|upload| !upload.is_empty());
        upload.ok_or_else(|| Failure::Other("no upload id came".into()).of("begin", &self.key))
    }

    async fn put_part(&mut self, body: Bytes) -> Result<(), BlobError> {
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None => Parts {
                upload: self.begin().await?,
                part_bytes: self.part_bytes(),
                parts: Vec::new(),
            },
        };
        let sha256 = checksum(&body);
        let put = self
            .store
            .client
            .upload_part()
            .bucket(&self.store.options.bucket)
            .key(self.store.name(&self.key.path()))
            .upload_id(&parts.upload)
            .part_number(number(parts.parts.len() + 1))
            .checksum_sha256(&sha256)
            .body(ByteStream::from(body))
            .send();
        let put = put.await.map_err(Failure::from);
        let offset = parts.size_bytes();
        let done = match put {
            Ok(put) => put,
            // The upload has ended: aborted as too old, or by somebody who tidied the bucket.
            Err(Failure::Missing) => return Err(self.truncated(offset, 0)),
            // Some servers say of such an upload that it is none of the caller's. Where the caller has no
            // right at all, beginning anew shows it.
            Err(Failure::Denied(_)) if offset > 0 => return Err(self.truncated(offset, 0)),
            Err(other) => {
                self.parts = Some(parts);
                return Err(other.of("write", &self.key));
            }
        };
        parts.parts.push(Part {
            etag: done.e_tag.unwrap_or_default(),
            sha256,
        });
        self.parts = Some(parts);
        Ok(())
    }

    /// The whole object at once. Only this upload has the key, so there is nothing to replace but
    /// the same bytes of an earlier attempt.
    async fn put_whole(&mut self) -> Result<(), BlobError> {
        let body = self.buffer.split().freeze();
        let put = self
            .store
            .client
            .put_object()
            .bucket(&self.store.options.bucket)
            .key(self.store.name(&self.key.path()))
            .checksum_sha256(checksum(&body))
            .body(ByteStream::from(body))
            .send();
        let put = put.await.map_err(Failure::from);
        put.map(drop).map_err(|f| f.of("write", &self.key))
    }

    async fn complete(&self, parts: &Parts, size_bytes: u64) -> Result<(), BlobError> {
        let named = parts.parts.iter().zip(1..).map(|(part, number)| {
            CompletedPart::builder()
                .part_number(number)
                .e_tag(&part.etag)
                .checksum_sha256(&part.sha256)
                .build()
        });
        let completed = self
            .store
            .client
            .complete_multipart_upload()
            .bucket(&self.store.options.bucket)
            .key(self.store.name(&self.key.path()))
            .upload_id(&parts.upload)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(named.collect()))
                    .build(),
            )
            .send();
        let Err(refusal) = completed.await.map_err(Failure::from) else {
            return Ok(());
        };
        // The answer to an earlier attempt may have been lost: then the object is there.
        match self.store.head(&self.key).await {
            Ok(found) if found == size_bytes => Ok(()),
            // It has ended without an object: a server that died while it put the parts together.
            Ok(_) | Err(Failure::Missing)
                if matches!(refusal, Failure::Missing | Failure::Denied(_)) =>
            {
                Err(self.truncated(size_bytes, 0))
            }
            _ => Err(refusal.of("seal", &self.key)),
        }
    }
}

#[async_trait]
impl Append for S3Append {
    /// What was begun with one size goes on with it.
    fn part_bytes(&self) -> u64 {
        let begun = self.parts.as_ref();
        begun.map_or(self.store.options.part_bytes, |parts| parts.part_bytes)
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<(), BlobError> {
        self.position += bytes.len() as u64;
        if self.sealed_bytes.is_some() {
            return Ok(());
        }
        let part = usize::try_from(self.part_bytes()).expect("a part's size fits");
        while !bytes.is_empty() {
            let room = part - self.buffer.len();
            let taken = bytes.split_to(room.min(bytes.len()));
            self.buffer.extend_from_slice(&taken);
            if self.buffer.len() == part {
                let full = self.buffer.split().freeze();
                self.put_part(full).await?;
            }
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<Committed, BlobError> {
        Ok(Committed {
            size_bytes: self.committed(),
            parts: self.parts.clone(),
        })
    }

    async fn seal(&mut self) -> Result<(), BlobError> {
        let size_bytes = match self.sealed_bytes {
            Some(size_bytes) => size_bytes,
            None => self.committed() + self.buffer.len() as u64,
        };
        // A part that the server did not take, or an object that is not the one being sent.
        if size_bytes != self.position {
            return Err(self.truncated(self.position, 0));
        }
        if self.sealed_bytes.is_some() {
            return Ok(());
        }
        if self.parts.is_none() {
            return self.put_whole().await;
        }
        if !self.buffer.is_empty() {
            let last = self.buffer.split().freeze();
            self.put_part(last).await?;
        }
        match &self.parts {
            Some(parts) => self.complete(parts, size_bytes).await,
            None => Err(self.truncated(size_bytes, 0)),
        }
    }
}

/// A part's number on the wire: they begin at 1.
fn number(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
