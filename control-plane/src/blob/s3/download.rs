//! Reading: ranges into memory, whole objects into a file. The SDK repeats calls; a body that breaks
//! off is gone on with here.

use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::super::{BlobError, BlobKey, PART_BYTES};
use super::S3Store;
use super::failure::Failure;

impl S3Store {
    pub(super) async fn range(
        &self,
        key: &BlobKey,
        offset: u64,
        length_max: usize,
    ) -> Result<Bytes, BlobError> {
        let wanted = offset..offset.saturating_add(length_max as u64);
        let patience = &self.options.patience;
        let mut bytes = BytesMut::new();
        let mut attempt = 1;
        while !wanted.is_empty() {
            let from = offset + bytes.len() as u64;
            match self.get(key, from..wanted.end).await {
                Ok(body) => match collect(body, &mut bytes, patience.attempt_timeout).await {
                    Ok(()) => break,
                    Err(broken) if attempt >= patience.attempts_max => {
                        return Err(broken.of("read", key));
                    }
                    Err(_) => pause(patience.backoff_first, &mut attempt).await,
                },
                Err(Failure::Beyond) => break,
                Err(other) => return Err(other.of("read", key)),
            }
        }
        Ok(bytes.freeze())
    }

    /// A file without a name, so that it is gone when it is closed, however that happens.
    pub(super) async fn spool(&self, key: &BlobKey) -> Result<std::fs::File, BlobError> {
        let failed = |source| BlobError::Io {
            action: "spool",
            key: key.path(),
            source,
        };
        let size_bytes = self.head(key).await.map_err(|f| f.of("open", key))?;
        let mut file = tempfile::tempfile_in(&self.options.spool_directory).map_err(failed)?;
        let mut offset = 0;
        while offset < size_bytes {
            let length = PART_BYTES.min(size_bytes - offset);
            let length = usize::try_from(length).expect("a part's size fits");
            let bytes = self.range(key, offset, length).await?;
            if bytes.is_empty() {
                let key = Box::new(key.clone());
                let size = offset;
                return Err(BlobError::Truncated {
                    key,
                    offset: size_bytes,
                    size,
                });
            }
            offset += bytes.len() as u64;
            file = tokio::task::spawn_blocking(move || file.write_all(&bytes).map(|()| file))
                .await
                .unwrap_or_else(|e| Err(std::io::Error::other(e)))
                .map_err(failed)?;
        }
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(file)
    }

    async fn get(&self, key: &BlobKey, range: Range<u64>) -> Result<ByteStream, Failure> {
        let get = self
            .client
            .get_object()
            .bucket(&self.options.bucket)
            .key(self.name(&key.path()))
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .send();
        Ok(get.await?.body)
    }
}

/// Takes a body as far as it comes in time: what dribbles is no better than what breaks off.
async fn collect(
    mut body: ByteStream,
    bytes: &mut BytesMut,
    patience: Duration,
) -> Result<(), Failure> {
    let whole = async {
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(broken) => return Err(Failure::Unavailable(broken.into())),
            }
        }
        Ok(())
    };
    let slow = |_| Failure::Unavailable(format!("not there within {patience:?}").into());
    timeout(patience, whole).await.map_err(slow)?
}

async fn pause(first: Duration, attempt: &mut u32) {
    tokio::time::sleep(first * *attempt).await;
    *attempt += 1;
}
