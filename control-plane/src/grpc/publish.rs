//! `PublishService`: decode, call, encode.

use std::time::Duration;

use gantry_domain::FieldError;
use gantry_proto::convert::{field, release_to_wire};
use gantry_proto::v1::publish_service_server::PublishService;
use gantry_proto::v1::{
    AbortUploadRequest, AbortUploadResponse, BeginUploadRequest, BeginUploadResponse,
    FileDeclaration, FileProgress, GetUploadRequest, GetUploadResponse, PublishRequest,
    PublishResponse, Release, UploadFileRequest, UploadFileResponse,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::status::{invalid, status, warnings};
use super::{caller, refuse};
use crate::metadata::{ReleaseRow, UploadFileRow};
use crate::publish::{Begun, Declaration, PublishError, Publisher, Receiver};

/// How long a sender may pause within a file.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// The service.
pub(super) struct PublishApi {
    pub(super) publisher: Publisher,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

#[tonic::async_trait]
impl PublishService for PublishApi {
    async fn begin_upload(
        &self,
        request: Request<BeginUploadRequest>,
    ) -> Result<Response<BeginUploadResponse>, Status> {
        let who = caller(&request)?;
        let request = request.into_inner();
        let declarations: Result<Vec<_>, _> = request.files.iter().map(declaration).collect();
        let declarations = declarations.map_err(invalid)?;
        let begun = self
            .publisher
            .begin(&who, &request.manifest, declarations)
            .await;
        Ok(Response::new(match begun.map_err(refuse)? {
            Begun::Open(upload) => BeginUploadResponse {
                upload_id: upload.upload.to_string(),
                files: upload.files.iter().map(progress).collect(),
                published: None,
            },
            Begun::Published(row) => BeginUploadResponse {
                upload_id: String::new(),
                files: Vec::new(),
                published: Some(release(&row)),
            },
        }))
    }

    async fn upload_file(
        &self,
        request: Request<Streaming<UploadFileRequest>>,
    ) -> Result<Response<UploadFileResponse>, Status> {
        let who = caller(&request)?;
        let mut stream = request.into_inner();
        let first = next(&mut stream).await.map_err(refuse)?;
        let first = first.ok_or_else(|| {
            invalid(FieldError {
                path: "upload_id".into(),
                code: "FIELD_MISSING",
                expected: "a first message with upload and file".into(),
                found: "an empty stream".into(),
            })
        })?;
        let upload = field("upload_id", &first.upload_id).map_err(invalid)?;
        let file = field("file", &first.file).map_err(invalid)?;
        let receiver = self
            .publisher
            .receive(&who, &upload, &file, first.offset)
            .await;
        let receiver = receiver.map_err(refuse)?;
        // A task of its own: what came is made durable even when the caller goes away and this
        // future is dropped. The guard tells it so.
        let stop = self.shutdown.child_token();
        let _guard = stop.clone().drop_guard();
        let span = tracing::info_span!("receive_file", file.name = %receiver.file());
        let receiving = receive(receiver, first, stream, stop).instrument(span);
        let task = self.tasks.spawn(receiving);
        let row = task.await.map_err(|e| {
            tracing::error!(error = %e, "receiving a file ended abnormally");
            Status::internal("the control plane failed; its log says why")
        })?;
        Ok(Response::new(UploadFileResponse {
            file: Some(progress(&row.map_err(|error| status(&error))?)),
        }))
    }

    async fn get_upload(
        &self,
        request: Request<GetUploadRequest>,
    ) -> Result<Response<GetUploadResponse>, Status> {
        let who = caller(&request)?;
        let upload = field("upload_id", &request.get_ref().upload_id).map_err(invalid)?;
        let row = self
            .publisher
            .progress(&who, &upload)
            .await
            .map_err(refuse)?;
        Ok(Response::new(GetUploadResponse {
            files: row.files.iter().map(progress).collect(),
        }))
    }

    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let who = caller(&request)?;
        let upload = field("upload_id", &request.get_ref().upload_id).map_err(invalid)?;
        // A task of its own: a version whose commit has begun becomes whole, whether or not its
        // publisher waits for it.
        let publisher = self.publisher.clone();
        let publishing = async move { publisher.publish(&who, &upload).await };
        let task = self.tasks.spawn(publishing.in_current_span());
        let published = task.await.map_err(|e| {
            tracing::error!(error = %e, "publishing ended abnormally");
            Status::internal("the control plane failed; its log says why")
        })?;
        let published = published.map_err(refuse)?;
        Ok(Response::new(PublishResponse {
            release: Some(release(&published.row)),
            warnings: warnings(published.warnings),
            already_published: published.before,
        }))
    }

    async fn abort_upload(
        &self,
        request: Request<AbortUploadRequest>,
    ) -> Result<Response<AbortUploadResponse>, Status> {
        let who = caller(&request)?;
        let upload = field("upload_id", &request.get_ref().upload_id).map_err(invalid)?;
        self.publisher.abort(&who, &upload).await.map_err(refuse)?;
        Ok(Response::new(AbortUploadResponse {}))
    }
}

/// Takes a file's bytes until the stream ends, however it ends, and keeps what came.
async fn receive(
    mut receiver: Receiver,
    first: UploadFileRequest,
    mut stream: Streaming<UploadFileRequest>,
    stop: CancellationToken,
) -> Result<UploadFileRow, PublishError> {
    let received = tokio::select! {
        () = stop.cancelled() => Err(PublishError::Interrupted("the call was ended".into())),
        received = receive_all(&mut receiver, first, &mut stream) => received,
    };
    let finished = receiver.finish().await;
    // What is wrong with the bytes is worth more to the sender than how the stream ended.
    let row = finished?;
    received.map(|()| row)
}

async fn receive_all(
    receiver: &mut Receiver,
    first: UploadFileRequest,
    stream: &mut Streaming<UploadFileRequest>,
) -> Result<(), PublishError> {
    let mut message = first;
    loop {
        if message.offset != receiver.position() {
            return Err(PublishError::Offset {
                file: receiver.file().clone(),
                expected: receiver.position(),
                found: message.offset,
            });
        }
        receiver.write(message.chunk).await?;
        match next(stream).await? {
            Some(following) => message = following,
            None => return Ok(()),
        }
    }
}

async fn next(
    stream: &mut Streaming<UploadFileRequest>,
) -> Result<Option<UploadFileRequest>, PublishError> {
    match tokio::time::timeout(PAUSE_MAX, stream.message()).await {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(error)) => Err(PublishError::Interrupted(error.message().to_owned())),
        Err(_) => {
            let pause = format!("no message for {} s", PAUSE_MAX.as_secs());
            Err(PublishError::Interrupted(pause))
        }
    }
}

fn declaration(file: &FileDeclaration) -> Result<Declaration, FieldError> {
    Ok(Declaration {
        file: field("files.name", &file.name)?,
        digest: field("files.sha256", &file.sha256)?,
        size_bytes: file.size_bytes,
    })
}

fn progress(row: &UploadFileRow) -> FileProgress {
    FileProgress {
        name: row.file.to_string(),
        sha256: row.digest.to_string(),
        size_bytes: row.size_bytes,
        committed_bytes: row.committed_bytes,
    }
}

fn release(row: &ReleaseRow) -> Release {
    release_to_wire(&row.release, row.published_at.as_millis())
}
