//! Brings a published version back: every file into a folder, verified, from where it stopped.
//!
//! A file is written beside its name with `.partial` behind it, and gets its name once all of it is
//! there and has the digest that the release gives. What an earlier attempt left is hashed again, so
//! that bytes which rotted meanwhile are found and not gone on from.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gantry_bundle::StreamHasher;
use gantry_domain::{BundleName, BundleVersion, Digest, FileName};
use gantry_proto::v1;
use thiserror::Error;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tonic::Status;

use crate::client::{Client, Repeat};
use crate::error::{ClientError, Kind};
use crate::stall::Stall;

/// Files that are received at once.
const FILES_AT_ONCE: usize = 4;
/// How long the control plane may pause within a file.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Bytes read at once of what an earlier attempt left.
const READ_BYTES: usize = 256 << 10;

/// Why a download failed.
#[derive(Debug, Error)]
pub enum PullError {
    /// The control plane refused, or could not be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What came is not what the release says. It was deleted: another pull begins anew.
    #[error("{file}: expected sha256 {expected}, as the release says, found {found}")]
    Digest {
        /// The file.
        file: FileName,
        /// The digest of the release.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// A file cannot be written or read.
    #[error("write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
}

/// A file that is to be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub file: FileName,
    /// What its bytes must be.
    pub digest: Digest,
    /// How many there are.
    pub size_bytes: u64,
}

/// Asks for a version.
///
/// # Errors
/// It is not published, or the control plane cannot be reached.
pub async fn release(
    client: &Client,
    bundle: &BundleName,
    version: &BundleVersion,
) -> Result<v1::GetReleaseResponse, ClientError> {
    let request = v1::GetReleaseRequest {
        bundle: bundle.to_string(),
        version: version.to_string(),
    };
    client
        .call(Repeat::Safe, request, |client, request| async move {
            client.catalog().get_release(request).await
        })
        .await
}

/// Brings files of a version into a folder, several at a time. `progress` gets how far each is. Returns
/// how many bytes had to be sent.
///
/// # Errors
/// The first refusal. What came so far stays, so that another attempt goes on from there.
pub async fn files(
    client: &Client,
    release: (&BundleName, &BundleVersion),
    wanted: &[Wanted],
    folder: &Path,
    progress: impl Fn(&FileName, u64) + Sync,
) -> Result<u64, PullError> {
    let progress = &progress;
    let received = wanted.iter().map(|wanted| {
        file(client, release, wanted, folder, move |at| {
            progress(&wanted.file, at);
        })
    });
    stream::iter(received)
        .buffer_unordered(FILES_AT_ONCE)
        .try_fold(0, |sum, sent| async move { Ok(sum + sent) })
        .await
}

/// Brings one file of a version into a folder. `progress` gets how far it is. Returns how many bytes
/// had to be sent; none when the file is there already.
///
/// # Errors
/// The first refusal. What came so far stays, so that another attempt goes on from there.
pub async fn file(
    client: &Client,
    (bundle, version): (&BundleName, &BundleVersion),
    wanted: &Wanted,
    folder: &Path,
    progress: impl Fn(u64),
) -> Result<u64, PullError> {
    let path = folder.join(wanted.file.as_str());
    if is_there(&path, wanted).await.map_err(failed(&path))? {
        progress(wanted.size_bytes);
        return Ok(0);
    }
    let partial = folder.join(format!("{}.partial", wanted.file));
    let mut target = Target::open(partial, wanted).await?;
    let begun = target.position();
    let mut stall = Stall::new(client.patience());
    while target.position() < wanted.size_bytes {
        progress(target.position());
        let before = target.position();
        let attempt = attempt(client, (bundle, version), wanted, &mut target, &progress).await;
        let error = match attempt {
            Ok(()) if target.position() == wanted.size_bytes => break,
            Ok(()) => ClientError::local(Kind::Unavailable, "the download ended early"),
            Err(PullError::Client(error)) if error.is_transient() => error,
            Err(error) => {
                target.keep().await?;
                return Err(error);
            }
        };
        if target.position() > before {
            stall.over();
        }
        tracing::debug!(file = %wanted.file, error = %error, "going on");
        if let Err(error) = stall.wait(error).await {
            target.keep().await?;
            return Err(error.into());
        }
    }
    let sent = target.position() - begun;
    target.finish(wanted, &path).await?;
    Ok(sent)
}

async fn attempt(
    client: &Client,
    (bundle, version): (&BundleName, &BundleVersion),
    wanted: &Wanted,
    target: &mut Target,
    progress: &impl Fn(u64),
) -> Result<(), PullError> {
    let request = v1::DownloadFileRequest {
        bundle: bundle.to_string(),
        version: version.to_string(),
        file: wanted.file.to_string(),
        offset: target.position(),
    };
    let mut catalog = client.catalog();
    let mut chunks = in_time(catalog.download_file(request)).await?.into_inner();
    while let Some(chunk) = in_time(chunks.message()).await? {
        if chunk.offset != target.position() {
            let message = format!(
                "expected bytes of {} from offset {}, found bytes from offset {}",
                wanted.file,
                target.position(),
                chunk.offset
            );
            return Err(ClientError::local(Kind::Internal, message).into());
        }
        target.write(&chunk.data, wanted).await?;
        progress(target.position());
    }
    Ok(())
}

/// What the control plane says next, if it says something.
async fn in_time<T>(next: impl Future<Output = Result<T, Status>>) -> Result<T, ClientError> {
    match tokio::time::timeout(PAUSE_MAX, next).await {
        Ok(said) => Ok(said?),
        Err(_) => Err(ClientError::timeout(PAUSE_MAX)),
    }
}

/// The file so far.
struct Target {
    path: PathBuf,
    file: File,
    hasher: StreamHasher,
}

impl Target {
    /// Takes up what is there. More than there can be is not ours.
    async fn open(path: PathBuf, wanted: &Wanted) -> Result<Self, PullError> {
        let opened = async {
            let mut options = File::options();
            let mut file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .await?;
            let hashed = hash(&mut file, wanted.size_bytes).await?;
            let hasher = if let Some(hasher) = hashed {
                hasher
            } else {
                file.set_len(0).await?;
                file.seek(SeekFrom::Start(0)).await?;
                StreamHasher::new(wanted.size_bytes)
            };
            Ok((file, hasher))
        };
        let (file, hasher) = opened.await.map_err(failed(&path))?;
        Ok(Self { path, file, hasher })
    }

    fn position(&self) -> u64 {
        self.hasher.size_bytes()
    }

    async fn write(&mut self, data: &[u8], wanted: &Wanted) -> Result<(), PullError> {
        self.hasher.update(data).map_err(|_| {
            let message = format!(
                "expected {} bytes of {}, found more",
                wanted.size_bytes, wanted.file
            );
            ClientError::local(Kind::Damaged, message)
        })?;
        let written = self.file.write_all(data).await;
        written.map_err(failed(&self.path))
    }

    /// Leaves what came for another attempt.
    async fn keep(&mut self) -> Result<(), PullError> {
        self.file.flush().await.map_err(failed(&self.path))
    }

    /// Verifies the whole and gives it its name.
    async fn finish(mut self, wanted: &Wanted, path: &Path) -> Result<(), PullError> {
        let found = self.hasher.finish().digest;
        if found != wanted.digest {
            fs::remove_file(&self.path)
                .await
                .map_err(failed(&self.path))?;
            return Err(PullError::Digest {
                file: wanted.file.clone(),
                expected: wanted.digest,
                found,
            });
        }
        let named = async {
            self.file.flush().await?;
            self.file.sync_all().await?;
            fs::rename(&self.path, path).await
        };
        named.await.map_err(failed(path))
    }
}

/// Whether the file is there and is the one that is wanted. Another one is not overwritten.
async fn is_there(path: &Path, wanted: &Wanted) -> io::Result<bool> {
    let mut file = match File::open(path).await {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    let hashed = hash(&mut file, wanted.size_bytes).await?;
    match hashed.map(StreamHasher::finish) {
        Some(hashed) if hashed.digest == wanted.digest => Ok(true),
        _ => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "another file of this name is there",
        )),
    }
}

/// Hashes a file to its end, where it is left; `None` when it has more bytes than it may.
async fn hash(file: &mut File, bytes_max: u64) -> io::Result<Option<StreamHasher>> {
    let mut hasher = StreamHasher::new(bytes_max);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer).await? {
            0 => return Ok(Some(hasher)),
            count if hasher.update(&buffer[..count]).is_err() => return Ok(None),
            _ => {}
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PullError {
    let path = path.to_owned();
    move |source| PullError::File { path, source }
}
