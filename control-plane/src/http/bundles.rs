//! `PUT /v1/bundles`: a zip in, a release out.
//!
//! The archive is spooled as it comes, unpacked under limits, and then takes the way of every other
//! upload: begin, receive, publish. What has come whole is published whole, also when its sender goes
//! away meanwhile.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry_bundle::{BundleFile, BundleSource};
use gantry_domain::{FieldWarning, UploadId};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tracing::{Instrument as _, Span};

use super::Parts;
use super::respond::{Body, HttpError, answer, refusal};
use crate::grpc::AuthError;
use crate::metadata::ReleaseRow;
use crate::principal::Principal;
use crate::publish::{Begun, Declaration, Published};

/// The method whose right this needs: the same deed through another door.
const METHOD: &str = "/gantry.v1.PublishService/Publish";
/// How long a sender may pause.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// What is read of a refused body, so that its sender reads the answer and not a reset connection.
const DRAIN_BYTES_MAX: u64 = 4 << 20;
/// How long that may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes handed to the publisher at once.
const CHUNK_BYTES: usize = 256 << 10;

pub(super) async fn put(parts: &Arc<Parts>, request: Request<Incoming>) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    match take(parts, &head.headers, &mut body).await {
        Ok((published, warnings)) => {
            let status = if published.before {
                StatusCode::OK
            } else {
                StatusCode::CREATED
            };
            answer(status, &described(&published, &warnings))
        }
        Err(error) => {
            // Asking for the rest would invite a sender that waits for leave to send.
            if !head.headers.contains_key(header::EXPECT) {
                let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain(&mut body)).await;
            }
            refusal(&error)
        }
    }
}

async fn take(
    parts: &Arc<Parts>,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<(Published, Vec<FieldWarning>), HttpError> {
    let (who, revoked) = parts.authority.admit(headers, METHOD).await?;
    let bytes_max = BundleSource::archive_bytes_max(&parts.limits);
    if body.size_hint().lower() > bytes_max {
        return Err(HttpError::TooLarge { bytes_max });
    }
    let permit = parts.uploads.clone().try_acquire_owned();
    let permit = permit.map_err(|_| HttpError::Busy(parts.config.uploads_max))?;
    let timeout = parts.config.upload_timeout;
    let spooled = tokio::select! {
        () = revoked.wait(who.token.clone()) => return Err(AuthError::Revoked.into()),
        () = parts.shutdown.cancelled() => return Err(HttpError::ShuttingDown),
        spooled = tokio::time::timeout(timeout, spool(parts, body, bytes_max)) => spooled,
    };
    let archive = spooled.map_err(|_| HttpError::Slow(timeout.as_secs()))??;
    let at_work = parts.clone();
    Span::current().record("tenant.id", who.tenant.as_str());
    let working = async move {
        let _permit = permit;
        publish(&at_work, &who, archive).await
    };
    let task = parts.tasks.spawn(working.in_current_span());
    task.await.map_err(HttpError::Panicked)?
}

/// The body as a file without a name: it goes with its last handle.
async fn spool(parts: &Parts, body: &mut Incoming, bytes_max: u64) -> Result<File, HttpError> {
    let folder = parts.config.spool_directory.clone();
    let mut file = blocking(move || tempfile::tempfile_in(folder)).await?;
    let mut received = 0;
    loop {
        let frame = tokio::time::timeout(PAUSE_MAX, body.frame()).await;
        let frame = frame.map_err(|_| HttpError::Slow(PAUSE_MAX.as_secs()))?;
        let Some(frame) = frame else {
            return Ok(file);
        };
        let frame = frame.map_err(|e| HttpError::Interrupted(e.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        received += data.len() as u64;
        if received > bytes_max {
            return Err(HttpError::TooLarge { bytes_max });
        }
        file = blocking(move || file.write_all(&data).map(|()| file)).await?;
    }
}

async fn publish(
    parts: &Parts,
    who: &Principal,
    archive: File,
) -> Result<(Published, Vec<FieldWarning>), HttpError> {
    let (folder, limits) = (parts.config.spool_directory.clone(), parts.limits.clone());
    let unpacked = tokio::task::spawn_blocking(move || {
        BundleSource::unpack(archive, Path::new("the body"), &folder, &limits)
    });
    let source = unpacked.await.map_err(HttpError::Panicked)??;
    let declarations = source.files().iter().map(declaration).collect();
    let manifest = source.manifest().canonical();
    let begun = parts
        .publisher
        .begin(who, manifest.as_bytes(), declarations)
        .await?;
    let warnings = source.warnings().to_vec();
    let upload = match begun {
        Begun::Open(upload) => upload,
        Begun::Published(row) => {
            let published = Published {
                row,
                warnings: Vec::new(),
                before: true,
            };
            return Ok((published, warnings));
        }
    };
    for file in upload.files.iter().filter(|file| !file.is_complete()) {
        let path = source.path_of(&file.file);
        let opened = tokio::fs::File::open(path).await;
        let place = (&upload.upload, file.committed_bytes);
        send(
            parts,
            who,
            place,
            &file.file,
            opened.map_err(HttpError::Spool)?,
        )
        .await?;
    }
    let published = parts.publisher.publish(who, &upload.upload).await?;
    Ok((published, warnings))
}

/// Hands one unpacked file to the publisher, which verifies it once more.
async fn send(
    parts: &Parts,
    who: &Principal,
    (upload, offset): (&UploadId, u64),
    name: &gantry_domain::FileName,
    mut file: tokio::fs::File,
) -> Result<(), HttpError> {
    let sought = file.seek(std::io::SeekFrom::Start(offset)).await;
    sought.map_err(HttpError::Spool)?;
    let mut receiver = parts.publisher.receive(who, upload, name, offset).await?;
    let written = async {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let mut part = (&mut file).take(CHUNK_BYTES as u64);
            let read = part.read_to_end(&mut chunk).await;
            if read.map_err(HttpError::Spool)? == 0 {
                return Ok(());
            }
            receiver.write(Bytes::from(chunk)).await?;
        }
    }
    .await;
    // What is wrong with the bytes is worth more to the sender than what came of reading them.
    receiver.finish().await?;
    written
}

async fn drain(body: &mut Incoming) {
    let mut left = DRAIN_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let count = frame.data_ref().map_or(0, Bytes::len) as u64;
        left = left.saturating_sub(count);
        if left == 0 {
            return;
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, HttpError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(HttpError::Panicked)?.map_err(HttpError::Spool)
}

fn declaration(file: &BundleFile) -> Declaration {
    Declaration {
        file: file.name.clone(),
        digest: file.digest,
        size_bytes: file.size_bytes,
    }
}

fn described(published: &Published, warnings: &[FieldWarning]) -> Value {
    let all = warnings.iter().chain(&published.warnings);
    let warnings: Vec<_> = all
        .map(|warning| {
            json!({"path": warning.path, "code": warning.code, "message": warning.message})
        })
        .collect();
    json!({
        "release": release(&published.row), "warnings": warnings,
        "already_published": published.before,
    })
}

fn release(row: &ReleaseRow) -> Value {
    let release = &row.release;
    let file = |artifact: &gantry_domain::Artifact| {
        let target = &artifact.target;
        let functions = artifact.note.functions.iter();
        let functions: Vec<_> = functions.map(|function| function.name.as_str()).collect();
        json!({
            "name": artifact.file.as_str(), "sha256": artifact.digest.to_string(),
            "size_bytes": artifact.size_bytes, "platform": target.platform.to_string(),
            "gateway_version": target.gateway_version.map(|version| version.to_string()),
            "libc": target.libc.map(|libc| libc.to_string()), "abi": target.abi.to_string(),
            "functions": functions, "key": artifact.key,
        })
    };
    let files: Vec<_> = release.artifacts.iter().map(file).collect();
    json!({
        "bundle": release.bundle().as_str(), "version": release.version().to_string(),
        "digest": release.digest().to_string(), "published_at_ms": row.published_at.as_millis(),
        "files": files,
    })
}
