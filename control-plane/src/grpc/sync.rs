//! `SyncService`: what gateways speak. One task per stream owns its session; the stream ends when
//! the task does, and the other way round.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt as _, stream};
use gantry_domain::{Digest, EnvironmentName, FieldError};
use gantry_proto::convert::{delta_to_wire, field, optional, profile_from_wire};
use gantry_proto::v1::sync_request::Message as FromGateway;
use gantry_proto::v1::sync_response::Message as ToGateway;
use gantry_proto::v1::sync_service_server::SyncService;
use gantry_proto::v1::{
    ArtifactChunk, Document, FetchArtifactRequest, GetDocumentsRequest, HashedKey,
    Hello as WireHello, KeyDelta, LocateArtifactRequest, LocateArtifactResponse, RefusedSession,
    StoreSessionsRequest, StoreSessionsResponse, SyncRequest, SyncResponse, Welcome as WireWelcome,
};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::status::{invalid, status};
use super::{caller, refuse};
use crate::principal::Principal;
use crate::sync::{Gateways, Hello, KeyPart, Session, SessionSent, SyncError, Welcome, Woken};

/// Messages on their way to a gateway, at most: each is up to 1 MiB.
const OUTBOUND_MAX: usize = 4;
/// How long a gateway may leave a message lying.
const SEND_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a gateway may take to say who it is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of an instance nonce, at most.
const NONCE_CHARS_MAX: usize = 64;
/// Documents that may be asked for at once.
const DOCUMENTS_MAX: usize = 256;
/// Bytes of a document in one message. Gateways that know only whole documents ask for none that is
/// larger.
const DOCUMENT_PART_BYTES: usize = 1 << 20;
/// Bytes of one chunk of a library.
const CHUNK_BYTES: usize = 256 << 10;

/// A document in messages of the size that the wire allows.
fn parts(digest: &Digest, mut body: Bytes) -> Vec<Result<Document, Status>> {
    let mut parts = Vec::new();
    loop {
        let part = body.split_to(body.len().min(DOCUMENT_PART_BYTES));
        let more = !body.is_empty();
        parts.push(Ok(Document {
            digest: digest.to_string(),
            body: part,
            more,
        }));
        if !more {
            return parts;
        }
    }
}

/// The service.
pub(super) struct SyncApi {
    pub(super) gateways: Gateways,
    pub(super) tasks: TaskTracker,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SyncService for SyncApi {
    type SyncStream = ReceiverStream<Result<SyncResponse, Status>>;
    type GetDocumentsStream = Answers<Document>;
    type FetchArtifactStream = Answers<ArtifactChunk>;

    async fn sync(
        &self,
        request: Request<Streaming<SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (who, environment) = gateway(&request)?;
        let (sender, receiver) = mpsc::channel(OUTBOUND_MAX);
        let conversation = Conversation {
            gateways: self.gateways.clone(),
            who,
            environment,
            inbound: request.into_inner(),
            outbound: sender,
        };
        // For its log lines. Not a span of the call's trace: a stream lives for days.
        let about = tracing::info_span!(
            target: "session", parent: None, "sync",
            tenant.id = %conversation.who.tenant, environment = %conversation.environment
        );
        self.tasks.spawn(conversation.run().instrument(about));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get_documents(
        &self,
        request: Request<GetDocumentsRequest>,
    ) -> Result<Response<Self::GetDocumentsStream>, Status> {
        let (who, _) = gateway(&request)?;
        let digests = request.into_inner().digests;
        if digests.len() > DOCUMENTS_MAX {
            return Err(invalid(FieldError {
                path: "digests".into(),
                code: "TOO_MANY",
                expected: format!("at most {DOCUMENTS_MAX}"),
                found: digests.len().to_string(),
            }));
        }
        let digests: Result<Vec<Digest>, _> = digests
            .iter()
            .map(|digest| field("digests", digest))
            .collect();
        let gateways = self.gateways.clone();
        let documents = stream::iter(digests.map_err(invalid)?).then(move |digest| {
            let (gateways, who) = (gateways.clone(), who.clone());
            async move {
                let body = gateways.document(&who, &digest).await.map_err(refuse)?;
                Ok::<_, Status>(parts(&digest, body))
            }
        });
        Ok(Response::new(Box::pin(
            documents.map_ok(stream::iter).try_flatten(),
        )))
    }

    async fn store_sessions(
        &self,
        request: Request<StoreSessionsRequest>,
    ) -> Result<Response<StoreSessionsResponse>, Status> {
        let (who, environment) = gateway(&request)?;
        let sent = request.into_inner().sessions.into_iter();
        let sent: Vec<_> = sent
            .map(|stored| SessionSent {
                hmac: stored.hmac,
                session: stored.session,
                age_ms: stored.age_ms,
            })
            .collect();
        let kept = self.gateways.store_sessions(&who, &environment, &sent);
        let (keys_epoch, refused) = kept.await.map_err(refuse)?;
        let refused = refused.into_iter().map(|refused| RefusedSession {
            index: u32::try_from(refused.index).unwrap_or(u32::MAX),
            code: refused.code.to_owned(),
            message: refused.message,
        });
        Ok(Response::new(StoreSessionsResponse {
            keys_epoch,
            refused: refused.collect(),
        }))
    }

    async fn locate_artifact(
        &self,
        request: Request<LocateArtifactRequest>,
    ) -> Result<Response<LocateArtifactResponse>, Status> {
        let (who, _) = gateway(&request)?;
        let digest = field("sha256", &request.into_inner().sha256).map_err(invalid)?;
        let presigned = self.gateways.locate(&who, &digest).await.map_err(refuse)?;
        let response = presigned.map(|presigned| LocateArtifactResponse {
            url: presigned.url.into_exposed(),
            valid_for_s: u32::try_from(presigned.valid_for.as_secs()).unwrap_or(u32::MAX),
        });
        Ok(Response::new(response.unwrap_or_default()))
    }

    async fn fetch_artifact(
        &self,
        request: Request<FetchArtifactRequest>,
    ) -> Result<Response<Self::FetchArtifactStream>, Status> {
        let (who, _) = gateway(&request)?;
        let request = request.into_inner();
        let digest = field("sha256", &request.sha256).map_err(invalid)?;
        let found = self.gateways.artifact(&who, &digest, request.offset).await;
        let (key, size_bytes) = found.map_err(refuse)?;
        let gateways = self.gateways.clone();
        let chunks = stream::try_unfold(request.offset, move |offset| {
            let (gateways, key) = (gateways.clone(), key.clone());
            async move {
                if offset >= size_bytes {
                    return Ok(None);
                }
                let data = gateways
                    .read(&key, offset, CHUNK_BYTES)
                    .await
                    .map_err(refuse)?;
                let next = offset + data.len() as u64;
                if data.is_empty() {
                    tracing::error!(object.key = %key, offset, size_bytes, "an object is cut off");
                    return Err(Status::data_loss("the stored library is cut off"));
                }
                let chunk = ArtifactChunk {
                    offset,
                    size_bytes,
                    data,
                };
                Ok(Some((chunk, next)))
            }
        });
        Ok(Response::new(Box::pin(chunks)))
    }
}

/// The caller with its environment. The access table lets gateways' tokens in alone, and those have
/// one; a token without is refused all the same.
fn gateway<T>(request: &Request<T>) -> Result<(Principal, EnvironmentName), Status> {
    let who = caller(request)?;
    match who.environment.clone() {
        Some(environment) => Ok((who, environment)),
        None => Err(Status::permission_denied(
            "the token belongs to no environment",
        )),
    }
}

/// One sync stream.
struct Conversation {
    gateways: Gateways,
    who: Principal,
    environment: EnvironmentName,
    inbound: Streaming<SyncRequest>,
    outbound: mpsc::Sender<Result<SyncResponse, Status>>,
}

/// How a conversation ended when nothing was refused.
struct Gone;

/// What ends a conversation.
enum End {
    Gone(Gone),
    Refused(SyncError),
}

impl<E: Into<SyncError>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl Conversation {
    async fn run(mut self) {
        let (welcome, mut session) = match self.open().await {
            Ok(opened) => opened,
            Err(end) => return self.finish(end).await,
        };
        let end = match self.send(ToGateway::Welcome(wire_welcome(&welcome))).await {
            Ok(()) => self.converse(&mut session).await,
            Err(end) => end,
        };
        session.close().await;
        self.finish(end).await;
    }

    async fn finish(self, end: End) {
        if let End::Refused(error) = end {
            let _ = self.outbound.send(Err(status(&error))).await;
        }
    }

    async fn open(&mut self) -> Result<(Welcome, Session), End> {
        let first = tokio::time::timeout(HELLO_TIMEOUT, receive(&mut self.inbound)).await;
        let hello = match first {
            Ok(Ok(FromGateway::Hello(hello))) => hello,
            Ok(Ok(_)) => return Err(protocol("hello first", "another message")),
            Ok(Err(Gone)) => return Err(End::Gone(Gone)),
            Err(_) => return Err(protocol("hello first", "nothing")),
        };
        let hello = read_hello(hello)?;
        let opened = self
            .gateways
            .connect(&self.who, &self.environment, hello)
            .await;
        Ok(opened?)
    }

    /// Sends what is missing, waits until that may be something again, and takes what comes.
    async fn converse(&mut self, session: &mut Session) -> End {
        loop {
            if let Err(end) = self.send_missing(session).await {
                return end;
            }
            if let Err(end) = self.wait(session).await {
                return end;
            }
        }
    }

    async fn send_missing(&mut self, session: &mut Session) -> Result<(), End> {
        if let Some(delta) = session.revision().await? {
            for part in delta_to_wire(&delta) {
                self.send(ToGateway::Revision(part)).await?;
            }
        }
        while let Some(part) = session.keys().await? {
            self.send(ToGateway::Keys(wire_keys(part))).await?;
        }
        Ok(())
    }

    async fn wait(&mut self, session: &mut Session) -> Result<(), End> {
        loop {
            tokio::select! {
                message = receive(&mut self.inbound) => match message.map_err(End::Gone)? {
                    FromGateway::Report(report) => session.report(report.encode_to_vec())?,
                    FromGateway::Resync(resync) => {
                        let reason: String = resync.reason.chars().take(200).collect();
                        tracing::info!(tenant.id = %self.who.tenant, reason, "a gateway wants everything");
                        session.resync();
                        return Ok(());
                    }
                    FromGateway::Hello(_) => return Err(protocol("hello once", "a second one")),
                },
                woken = session.woken() => match woken {
                    Woken::Look => return Ok(()),
                    Woken::Round => {
                        session.check_token().await?;
                        session.save_report().await?;
                        return Ok(());
                    }
                    Woken::Replaced => return Err(SyncError::Replaced.into()),
                    Woken::ShuttingDown => return Err(SyncError::ShuttingDown.into()),
                },
                () = self.outbound.closed() => return Err(End::Gone(Gone)),
            }
        }
    }

    async fn send(&self, message: ToGateway) -> Result<(), End> {
        let response = SyncResponse {
            message: Some(message),
        };
        match tokio::time::timeout(SEND_TIMEOUT, self.outbound.send(Ok(response))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone(Gone)),
            Err(_) => Err(SyncError::Stalled(SEND_TIMEOUT.as_secs()).into()),
        }
    }
}

/// The next message; empty ones are of a newer gateway and nothing to us.
async fn receive(inbound: &mut Streaming<SyncRequest>) -> Result<FromGateway, Gone> {
    loop {
        match inbound.message().await {
            Ok(Some(SyncRequest {
                message: Some(message),
            })) => return Ok(message),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err(Gone),
        }
    }
}

fn protocol(expected: &'static str, found: &'static str) -> End {
    SyncError::Protocol { expected, found }.into()
}

fn read_hello(hello: WireHello) -> Result<Hello, FieldError> {
    let message = hello.profile.unwrap_or_default();
    let (gateway, profile) = profile_from_wire(&message)?;
    let nonce = &message.instance_nonce;
    if nonce.is_empty()
        || nonce.len() > NONCE_CHARS_MAX
        || !nonce.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(FieldError {
            path: "profile.instance_nonce".into(),
            code: "FIELD_INVALID",
            expected: format!("1 to {NONCE_CHARS_MAX} visible ASCII characters"),
            found: format!("{} bytes", nonce.len()),
        });
    }
    let root = optional("applied_root", &hello.applied_root)?;
    Ok(Hello {
        gateway,
        instance_nonce: nonce.clone(),
        profile,
        applied: root
            .filter(|_| hello.applied_revision > 0)
            .map(|root| (hello.applied_revision, root)),
        keys_epoch: hello.keys_epoch,
        profile_encoded: message.encode_to_vec(),
    })
}

fn wire_welcome(welcome: &Welcome) -> WireWelcome {
    WireWelcome {
        tenant: welcome.tenant.to_string(),
        environment: welcome.environment.to_string(),
        key_pepper: welcome.key_pepper.to_vec(),
    }
}

fn wire_keys(part: KeyPart) -> KeyDelta {
    let key = |(hmac, key, session): ([u8; 32], gantry_domain::KeyId, String)| HashedKey {
        hmac: hmac.to_vec(),
        key_id: key.to_string(),
        session: session.into_bytes(),
    };
    KeyDelta {
        replace: part.replace,
        epoch: part.epoch,
        changed: part.changed.into_iter().map(key).collect(),
        removed: part.removed.into_iter().map(|hmac| hmac.to_vec()).collect(),
        last: part.last,
    }
}
