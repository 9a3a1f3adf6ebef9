//! Objects in an S3 bucket, by AWS or anyone who speaks its protocol.
//!
//! An object is created with `If-None-Match: *`, so that of several processes on one bucket the first
//! wins and no other replaces what it wrote; a server that ignores the condition is refused when the
//! store is opened ([`probe`]). A staged file is a multipart upload ([`append`]); its final key holds
//! its digest, so a copy that is made twice is the same bytes twice.
//!
//! Only this module names the AWS SDK. Credentials come from its standard chain.

mod append;
mod client;
mod download;
mod failure;
mod presign;
mod probe;
mod uploads;

use std::fmt::Write as _;
use std::path::PathBuf;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_smithy_types::base64;
use bytes::Bytes;
use gantry_domain::{Digest, Timestamp};

use self::append::S3Append;
use self::client::client;
use self::failure::Failure;
use self::presign::Presigner;
use self::uploads::UPLOADS_PAGE;
use super::{
    Append, BlobError, BlobKey, BlobPrefix, BlobStore, Created, Cursor, Entry, Page, Parts,
    Presigned, Unsealed,
};

/// How often a condition is tried again that collided with another writer (409).
const COLLISIONS_MAX: usize = 8;
/// Parts that a file can have.
pub const S3_PARTS_MAX: u64 = 10_000;
/// The smallest part that AWS takes, bytes.
pub const S3_PART_BYTES_MIN: u64 = 5 << 20;
/// The largest file that one copy can bring to its key.
pub const S3_FILE_BYTES_MAX: u64 = 5 << 30;

pub use client::Patience;
pub use presign::PresignOptions;

/// Where a bucket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Options {
    /// Its name.
    pub bucket: String,
    /// What every key begins with: empty, or text that ends at a slash.
    pub prefix: String,
    /// The server; that of AWS's region unless set.
    pub endpoint: Option<String>,
    /// The region; from the environment unless set.
    pub region: Option<String>,
    /// Whether the bucket is in the path rather than in the host name.
    pub path_style: bool,
    /// Bytes of a part: what is in memory of a file that comes in, and what can be lost of it. AWS
    /// takes 5 MiB and more.
    pub part_bytes: u64,
    /// Where objects are spooled that are read at any place.
    pub spool_directory: PathBuf,
    /// How long and how often the server is asked.
    pub patience: Patience,
    /// How gateways fetch without us; they do not where it is unset.
    pub presign: Option<PresignOptions>,
}

/// A bucket of objects.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    presigner: Option<Presigner>,
    options: std::sync::Arc<S3Options>,
}

impl S3Store {
    /// Opens a bucket with the credentials of the environment, and makes sure that the server keeps
    /// the promises that everything here is built on.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or replaces objects that it was told not to replace.
    pub async fn open(options: S3Options) -> Result<Self, BlobError> {
        Self::open_with(options, aws_config::defaults(BehaviorVersion::latest())).await
    }

    async fn open_with(options: S3Options, loader: ConfigLoader) -> Result<Self, BlobError> {
        let spool = &options.spool_directory;
        std::fs::create_dir_all(spool).map_err(|source| BlobError::Io {
            action: "make",
            key: spool.display().to_string(),
            source,
        })?;
        let client = client(&options, loader).await;
        let presign = options.presign.as_ref();
        let store = Self {
            presigner: presign.map(|presign| Presigner::new(&client, presign)),
            client,
            options: std::sync::Arc::new(options),
        };
        store.probe().await?;
        Ok(store)
    }

    /// The name of an object in the bucket.
    fn name(&self, path: &str) -> String {
        format!("{}{path}", self.options.prefix)
    }

    /// The key that a name in the bucket stands for, if it is one of ours.
    fn key(&self, name: &str) -> Option<BlobKey> {
        name.strip_prefix(&self.options.prefix)?.parse().ok()
    }

    /// Puts an object of a known name unless it exists.
    async fn put_new(&self, name: &str, body: &Bytes) -> Result<Created, Failure> {
        let mut collisions = 0;
        loop {
            let put = self
                .client
                .put_object()
                .bucket(&self.options.bucket)
                .key(name)
                .if_none_match("*")
                .checksum_sha256(checksum(body))
                .body(ByteStream::from(body.clone()))
                .send();
            match put.await.map_err(Failure::from) {
                Ok(_) => return Ok(Created::Now),
                Err(Failure::Exists) => return Ok(Created::Before),
                Err(Failure::Collision) if collisions < COLLISIONS_MAX => collisions += 1,
                Err(other) => return Err(other),
            }
        }
    }

    async fn head(&self, key: &BlobKey) -> Result<u64, Failure> {
        let head = self
            .client
            .head_object()
            .bucket(&self.options.bucket)
            .key(self.name(&key.path()))
            .send();
        let head = head.await?;
        Ok(size(head.content_length()))
    }
}

#[async_trait]
impl BlobStore for S3Store {
    async fn create(&self, key: &BlobKey, body: Bytes) -> Result<Created, BlobError> {
        let created = self.put_new(&self.name(&key.path()), &body).await;
        created.map_err(|failure| failure.of("create", key))
    }

    /// Copies on the server. The key holds the digest and the bytes were verified, so whoever comes
    /// second writes what is there already; where the server knows the condition, not even that.
    async fn promote(&self, staged: &BlobKey, key: &BlobKey) -> Result<Created, BlobError> {
        let expected = self.head(staged).await.map_err(|f| f.of("find", staged))?;
        match self.head(key).await {
            Ok(found) if found == expected => return Ok(Created::Before),
            Ok(found) => return Err(wrong_size(key, expected, found)),
            Err(Failure::Missing) => {}
            Err(other) => return Err(other.of("find", key)),
        }
        let source = format!("{}/{}", self.options.bucket, self.name(&staged.path()));
        let copied = self
            .client
            .copy_object()
            .bucket(&self.options.bucket)
            .key(self.name(&key.path()))
            .copy_source(encode_path(&source))
            .if_none_match("*")
            .send();
        let created = match copied.await.map_err(Failure::from) {
            Ok(_) => Created::Now,
            Err(Failure::Exists | Failure::Collision) => Created::Before,
            Err(Failure::Missing) => return Err(Failure::Missing.of("copy", staged)),
            Err(other) => return Err(other.of("copy", key)),
        };
        match self.head(key).await.map_err(|f| f.of("find", key))? {
            found if found == expected => Ok(created),
            found => Err(wrong_size(key, expected, found)),
        }
    }

    async fn append(
        &self,
        key: &BlobKey,
        offset: u64,
        parts: Option<Parts>,
    ) -> Result<Box<dyn Append>, BlobError> {
        let append = S3Append::open(self.clone(), key, offset, parts).await?;
        Ok(Box::new(append))
    }

    async fn abandon(&self, key: &BlobKey, upload: &str) -> Result<(), BlobError> {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.options.bucket)
            .key(self.name(&key.path()))
            .upload_id(upload)
            .send();
        match aborted.await.map_err(Failure::from) {
            // Some servers say that an upload which has ended is none of the caller's.
            Ok(_) | Err(Failure::Missing | Failure::Denied(_)) => Ok(()),
            Err(other) => Err(other.of("abandon the parts of", key)),
        }
    }

    /// A bucket has no end.
    async fn room_for(&self, _bytes: u64) -> Result<(), BlobError> {
        Ok(())
    }

    async fn unsealed(&self, prefix: &BlobPrefix) -> Result<Vec<Unsealed>, BlobError> {
        self.uploads(prefix, UPLOADS_PAGE).await
    }

    async fn presigned(&self, key: &BlobKey) -> Result<Option<Presigned>, BlobError> {
        self.presign(key).await
    }

    async fn open(&self, key: &BlobKey) -> Result<std::fs::File, BlobError> {
        self.spool(key).await
    }

    async fn read(
        &self,
        key: &BlobKey,
        offset: u64,
        length_max: usize,
    ) -> Result<Bytes, BlobError> {
        self.range(key, offset, length_max).await
    }

    async fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        self.head(key).await.map_err(|f| f.of("measure", key))
    }

    async fn list(
        &self,
        prefix: &BlobPrefix,
        from: Option<Cursor>,
        entries_max: usize,
    ) -> Result<Page, BlobError> {
        let listed = self
            .client
            .list_objects_v2()
            .bucket(&self.options.bucket)
            .prefix(self.name(&prefix.path()))
            .max_keys(i32::try_from(entries_max).unwrap_or(i32::MAX))
            .set_continuation_token(from.map(|Cursor(token)| token))
            .send();
        let listed = listed.await.map_err(Failure::from);
        let listed = listed.map_err(|failure| failure.at("list", &prefix.path()))?;
        let entries = listed.contents().iter().filter_map(|object| {
            Some(Entry {
                key: self.key(object.key()?)?,
                modified: timestamp(object.last_modified()),
            })
        });
        let more = listed.is_truncated() == Some(true);
        Ok(Page {
            entries: entries.collect(),
            next: listed
                .next_continuation_token()
                .filter(|_| more)
                .map(|token| Cursor(token.to_owned())),
        })
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        let deleted = self
            .client
            .delete_object()
            .bucket(&self.options.bucket)
            .key(self.name(&key.path()))
            .send();
        match deleted.await.map_err(Failure::from) {
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(other) => Err(other.of("delete", key)),
        }
    }
}

/// The value of `x-amz-checksum-sha256`.
fn checksum(body: &Bytes) -> String {
    base64::encode(Digest::of(body).as_bytes())
}

fn size(length: Option<i64>) -> u64 {
    length
        .and_then(|length| u64::try_from(length).ok())
        .unwrap_or(0)
}

/// An unknown time is now: nothing is swept because its age is unknown.
fn timestamp(at: Option<&DateTime>) -> Timestamp {
    let millis = at.and_then(|at| at.to_millis().ok());
    Timestamp::from_millis(millis.unwrap_or(i64::MAX))
}

fn wrong_size(key: &BlobKey, expected: u64, found: u64) -> BlobError {
    BlobError::Refused {
        action: "copy to",
        key: key.path(),
        cause: format!("expected {expected} bytes, found {found}"),
    }
}

/// The source of a copy goes into a header, percent-encoded.
fn encode_path(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => {
                // Writing to text cannot fail.
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
