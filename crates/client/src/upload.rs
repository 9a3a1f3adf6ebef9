//! Brings a bundle in: begin, send what the tenant does not have, publish.
//!
//! The control plane says of each file how much of it is safe. What is sent begins there; when a
//! connection breaks, the question is asked again and sending goes on. An upload that was abandoned is
//! found again by the next push of the same version, so nothing is ever sent twice for long.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gantry_bundle::BundleSource;
use gantry_domain::FileName;
use gantry_proto::v1;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tracing::Instrument as _;

use crate::client::{Client, Repeat};
use crate::error::{ClientError, Kind};
use crate::stall::Stall;

/// Bytes of one message's payload: large enough to be efficient, small enough to share a connection.
const CHUNK_BYTES: usize = 256 << 10;
/// Files that are sent at once.
const FILES_AT_ONCE: usize = 4;
/// Chunks that are read ahead of the network, per file.
const CHUNKS_AHEAD: usize = 4;
/// How long a control plane may take to publish: to read every file again, and to copy it.
const PUBLISH_MAX: Duration = Duration::from_mins(30);
/// The slowest line that is worth waiting for, bytes per second.
const RATE_MIN: u64 = 64 << 10;
/// What a file gets beside the time for its bytes: to connect, to be verified and stored.
const FILE_GRACE: Duration = Duration::from_mins(2);

/// How far a push is.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress<'a> {
    /// The control plane has said how much of each file it has.
    Begun {
        /// Every file of the bundle.
        files: &'a [v1::FileProgress],
    },
    /// Bytes of a file have been handed to the network. After an interruption the offset may fall
    /// back to what is safe.
    Sent {
        /// The file.
        file: &'a FileName,
        /// Where in the file sending is.
        offset_bytes: u64,
    },
    /// Everything is there; the control plane inspects it.
    Publishing,
}

/// What came of a push.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// The published version.
    pub release: v1::Release,
    /// What its author should know.
    pub warnings: Vec<v1::Warning>,
    /// It was published before, with the same digests.
    pub already_published: bool,
    /// Bytes that had to be sent in this push.
    pub sent_bytes: u64,
}

/// Why a push failed.
#[derive(Debug, Error)]
pub enum PushError {
    /// The control plane refused, or could not be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file of the bundle changed or vanished while it was sent.
    #[error("read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
}

/// Pushes a bundle: uploads and publishes it.
///
/// # Errors
/// The first refusal. What was uploaded stays, so that another push goes on from there.
pub async fn push(
    client: &Client,
    bundle: &BundleSource,
    progress: impl Fn(Progress<'_>) + Sync,
) -> Result<Pushed, PushError> {
    let begun = begin(client, bundle).await?;
    progress(Progress::Begun {
        files: &begun.files,
    });
    let left = begun.files.iter().map(missing_bytes).sum();
    if let Some(release) = begun.published {
        return Ok(Pushed {
            release,
            warnings: Vec::new(),
            already_published: true,
            sent_bytes: 0,
        });
    }
    let upload = Upload {
        client,
        bundle,
        id: &begun.upload_id,
        progress: &progress,
    };
    let incomplete = begun.files.iter().filter(|file| missing_bytes(file) > 0);
    let sending = |file| {
        let file: &v1::FileProgress = file;
        let span = tracing::info_span!("send_file", file.name = %file.name);
        upload.send(file).instrument(span)
    };
    stream::iter(incomplete.map(sending))
        .buffer_unordered(FILES_AT_ONCE)
        .try_collect::<()>()
        .await?;

    progress(Progress::Publishing);
    let (published, repeated) = publish(client, begun.upload_id).await?;
    Ok(Pushed {
        release: published.release.unwrap_or_default(),
        warnings: published.warnings,
        // An answer that was lost had made it so.
        already_published: published.already_published && !repeated,
        sent_bytes: left,
    })
}

/// Publishing is the same however often it is asked for. The control plane goes on with it when the
/// connection breaks or time is up, and says that it is busy until it is done. Returns whether it had
/// to be asked again.
async fn publish(
    client: &Client,
    upload_id: String,
) -> Result<(v1::PublishResponse, bool), ClientError> {
    let begun = Instant::now();
    let mut stall = Stall::new(client.patience());
    let mut repeated = false;
    loop {
        let request = v1::PublishRequest {
            upload_id: upload_id.clone(),
        };
        let answer = client
            .call(Repeat::Safe, request, |client, request| async move {
                client.publish().publish(request).await
            })
            .await;
        let error = match answer {
            Ok(published) => return Ok((published, repeated)),
            Err(error) if error.is_transient() && begun.elapsed() < PUBLISH_MAX => error,
            Err(error) => return Err(error),
        };
        // It is at work as long as it says that it is.
        if error.reason.is_some() || error.kind == Kind::Timeout {
            stall.over();
        }
        repeated = true;
        stall.wait(error).await?;
    }
}

/// Beginning an upload that was begun before finds it again, so it is safe to repeat.
async fn begin(
    client: &Client,
    bundle: &BundleSource,
) -> Result<v1::BeginUploadResponse, PushError> {
    let files = bundle.files().iter().map(|file| v1::FileDeclaration {
        name: file.name.to_string(),
        sha256: file.digest.to_string(),
        size_bytes: file.size_bytes,
    });
    let request = v1::BeginUploadRequest {
        manifest: bundle.manifest().canonical().into_bytes(),
        files: files.collect(),
    };
    let begun = client
        .call(Repeat::Safe, request, |client, request| async move {
            client.publish().begin_upload(request).await
        })
        .await?;
    Ok(begun)
}

const fn missing_bytes(file: &v1::FileProgress) -> u64 {
    file.size_bytes.saturating_sub(file.committed_bytes)
}

/// An upload in progress.
struct Upload<'a, P> {
    client: &'a Client,
    bundle: &'a BundleSource,
    id: &'a str,
    progress: &'a P,
}

impl<P: Fn(Progress<'_>) + Sync> Upload<'_, P> {
    /// Sends a file to its end, over as many connections as it takes.
    async fn send(&self, file: &v1::FileProgress) -> Result<(), PushError> {
        let name: FileName = file.name.parse().map_err(|_| foreign(&file.name))?;
        let mut committed = file.committed_bytes;
        let mut furthest = committed;
        let mut stall = Stall::new(self.client.patience());
        loop {
            let error = match self.attempt(&name, committed, file.size_bytes).await? {
                Ok(reached) if reached >= file.size_bytes => return Ok(()),
                // The stream ended early and the control plane kept what it had.
                Ok(_) => {
                    ClientError::local(Kind::Unavailable, format!("upload of {name} ended early"))
                }
                // Another offset is meant: the object store may have lost what it had.
                Err(error) if error.is_transient() || error.kind == Kind::Conflict => error,
                Err(error) => return Err(error.into()),
            };
            tracing::debug!(file = %name, committed_bytes = committed, error = %error, "going on");
            match self.committed(&name).await {
                Ok(reached) => committed = reached,
                // Nobody is there to ask. What is sent at a wrong offset is refused.
                Err(PushError::Client(error)) if error.is_transient() => {}
                Err(other) => return Err(other),
            }
            if committed >= file.size_bytes {
                return Ok(());
            }
            if committed > furthest {
                furthest = committed;
                stall.over();
            }
            stall.wait(error).await?;
        }
    }

    /// One stream, from `offset` on. The outer error is ours, the inner one the control plane's.
    async fn attempt(
        &self,
        name: &FileName,
        offset: u64,
        size_bytes: u64,
    ) -> Result<Result<u64, ClientError>, PushError> {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let mut publish = self.client.publish();
        let time =
            FILE_GRACE + Duration::from_secs((size_bytes - offset.min(size_bytes)) / RATE_MIN);
        let call = publish.upload_file(ReceiverStream::new(receiver));
        let call = tokio::time::timeout(time, call);
        // Both end when either does: the reader because nobody receives, the call at the stream's end.
        let (answer, read) = tokio::join!(call, self.read(name, offset, sender));
        let path = self.bundle.path_of(name);
        read.map_err(|source| PushError::Unreadable { path, source })?;
        Ok(match answer {
            Ok(Ok(response)) => {
                let file = response.into_inner().file;
                Ok(file.map_or(0, |file| file.committed_bytes))
            }
            Ok(Err(status)) => Err(ClientError::from(status)),
            Err(_) => Err(ClientError::timeout(time)),
        })
    }

    async fn read(
        &self,
        name: &FileName,
        mut offset: u64,
        sender: mpsc::Sender<v1::UploadFileRequest>,
    ) -> std::io::Result<()> {
        let mut file = tokio::fs::File::open(self.bundle.path_of(name)).await?;
        file.seek(SeekFrom::Start(offset)).await?;
        let mut first = Some((self.id.to_owned(), name.to_string()));
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            (&mut file)
                .take(CHUNK_BYTES as u64)
                .read_to_end(&mut chunk)
                .await?;
            if chunk.is_empty() {
                return Ok(());
            }
            let length = chunk.len() as u64;
            let (upload_id, file_name) = first.take().unwrap_or_default();
            let message = v1::UploadFileRequest {
                upload_id,
                file: file_name,
                offset,
                chunk: Bytes::from(chunk),
            };
            if sender.send(message).await.is_err() {
                return Ok(());
            }
            offset += length;
            (self.progress)(Progress::Sent {
                file: name,
                offset_bytes: offset,
            });
        }
    }

    /// How much of a file is safe.
    async fn committed(&self, name: &FileName) -> Result<u64, PushError> {
        let request = v1::GetUploadRequest {
            upload_id: self.id.to_owned(),
        };
        let upload = self
            .client
            .call(Repeat::Safe, request, |client, request| async move {
                client.publish().get_upload(request).await
            })
            .await?;
        let files = upload.files.iter();
        files
            .filter(|file| file.name == name.as_str())
            .map(|file| file.committed_bytes)
            .next()
            .ok_or_else(|| foreign(name.as_str()).into())
    }
}

/// The control plane speaks of other files than the bundle has.
fn foreign(name: &str) -> ClientError {
    let message =
        format!("the control plane's answer names {name:?}, which the bundle does not have");
    ClientError::local(Kind::Internal, message)
}
