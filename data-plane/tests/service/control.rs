//! The control plane's side of the sync service, with every message in the test's hands: what the real
//! one would never send is what a gateway must survive.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use gantry_domain::json::canonical;
use gantry_domain::{Digest, Pin, Platform, Revision};
use gantry_proto::v1::sync_service_server::{SyncService, SyncServiceServer};
use gantry_proto::{convert, v1};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream, UnboundedReceiverStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::gateway::{TOKEN, eventually};

pub(crate) const PEPPER: [u8; 32] = [7; 32];

type Messages = mpsc::UnboundedSender<Result<v1::SyncResponse, Status>>;

/// What the gateway said, and what it is given.
#[derive(Default)]
struct Said {
    hellos: Vec<v1::Hello>,
    reports: Vec<v1::GatewayReport>,
    resyncs: usize,
    documents: BTreeMap<Digest, Vec<u8>>,
    artifacts: BTreeMap<String, Vec<u8>>,
    /// Bytes after which a library's stream ends, whatever is left.
    stream_bytes_max: Option<usize>,
    /// Where libraries can be had without the control plane; nowhere when it is empty.
    url: String,
    /// Where streams of libraries began.
    offsets: Vec<u64>,
    connection: Option<Messages>,
}

#[derive(Clone, Default)]
struct Service(Arc<Mutex<Said>>);

/// A running one.
pub(crate) struct Control {
    address: SocketAddr,
    service: Service,
    runtime: Option<Runtime>,
}

impl Control {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service::default();
        let serve = Server::builder()
            .add_service(SyncServiceServer::new(service.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(serve);
        Self {
            address,
            service,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn look<T>(&self, at: impl FnOnce(&mut Said) -> T) -> T {
        at(&mut self.service.0.lock().unwrap())
    }

    /// The gateway's first words on its newest connection, which is greeted as this tenant's.
    pub(crate) fn welcome(&self, tenant: &str) -> v1::Hello {
        let connection = eventually("a connection", || self.look(|said| said.connection.clone()));
        let welcome = v1::Welcome {
            tenant: tenant.into(),
            environment: "production".into(),
            key_pepper: PEPPER.to_vec(),
        };
        send(&connection, v1::sync_response::Message::Welcome(welcome));
        self.look(|said| said.hellos.last().cloned().unwrap())
    }

    /// Sends something on the connection that was welcomed.
    pub(crate) fn send(&self, message: v1::sync_response::Message) {
        let connection = self.look(|said| said.connection.clone()).unwrap();
        send(&connection, message);
    }

    /// Says from now on that libraries can be had there.
    pub(crate) fn locate(&self, url: &str) {
        self.look(|said| url.clone_into(&mut said.url));
    }

    /// Sends a revision of these definitions as everything there is, and offers its documents.
    pub(crate) fn publish(&self, number: u64, definitions: &[Value]) -> Revision {
        let revision = self.offer(number, definitions);
        self.send_delta(&revision, None);
        revision
    }

    /// Offers the documents of a revision.
    pub(crate) fn offer(&self, number: u64, definitions: &[Value]) -> Revision {
        let mut revision = Revision {
            number,
            ..Revision::empty()
        };
        for definition in definitions {
            let body = canonical(definition);
            let id = definition["api_id"].as_str().unwrap().parse().unwrap();
            revision.apis.insert(id, Digest::of(&body));
            self.look(|said| said.documents.insert(Digest::of(&body), body.into_bytes()));
        }
        revision
    }

    /// Adds a bundle of one library with one function at `pre` to a revision. Its bytes are `promised`
    /// by the release and `given` when they are fetched.
    pub(crate) fn offer_bundle(
        &self,
        revision: &mut Revision,
        promised: &[u8],
        given: &[u8],
    ) -> Digest {
        let digest = Digest::of(promised);
        let sha256 = digest.to_string();
        let note = json!({"abi": {"major": 0, "minor": 1}, "language": "c", "sdk": "", "name": "hooks",
            "version": "1.0.0", "functions": [{"name": "Pre", "hooks": ["pre"], "flags": []}]});
        let manifest = json!({"name": "hooks", "version": "1.0.0", "file_list": ["hooks.so"],
            "sha256": {"hooks.so": sha256},
            "custom_middleware": {"driver": "goplugin", "pre": [{"name": "Pre", "path": "hooks.so"}]}});
        let platform = Platform::current().to_string();
        let release = canonical(
            &json!({"tenant": "acme", "manifest": manifest, "artifacts": [
            {"file": "hooks.so", "sha256": sha256, "size_bytes": promised.len(), "platform": platform,
             "note": note, "key": "k"}]}),
        );
        let pin = Pin {
            version: "1.0.0".parse().unwrap(),
            release: Digest::of(&release),
            weight: 100,
        };
        revision.pins.insert("hooks".parse().unwrap(), vec![pin]);
        self.look(|said| {
            said.documents
                .insert(Digest::of(&release), release.into_bytes());
            said.artifacts.insert(sha256, given.to_vec());
        });
        digest
    }

    /// Ends streams of libraries early from now on.
    pub(crate) fn break_streams_after(&self, bytes: usize) {
        self.look(|said| said.stream_bytes_max = Some(bytes));
    }

    /// Where streams of libraries began.
    pub(crate) fn offsets(&self) -> Vec<u64> {
        self.look(|said| said.offsets.clone())
    }

    /// Sends the differences between two revisions.
    pub(crate) fn send_delta(&self, to: &Revision, from: Option<&Revision>) {
        for part in convert::delta_to_wire(&to.delta_from(from)) {
            self.send(v1::sync_response::Message::Revision(part));
        }
    }

    /// Gives other bytes than a document's from now on; all documents are whole again with `None`.
    pub(crate) fn spoil(&self, spoilt: Option<&[u8]>) {
        self.look(|said| {
            for (digest, body) in &mut said.documents {
                if let Some(spoilt) = spoilt {
                    assert_ne!(Digest::of(spoilt), *digest);
                    *body = spoilt.to_vec();
                }
            }
        });
    }

    pub(crate) fn resyncs(&self) -> usize {
        self.look(|said| said.resyncs)
    }

    /// Waits for a report.
    pub(crate) fn report(
        &self,
        what: &str,
        is_it: impl Fn(&v1::GatewayReport) -> bool,
    ) -> v1::GatewayReport {
        eventually(what, || {
            self.look(|said| {
                said.reports
                    .iter()
                    .rev()
                    .find(|report| is_it(report))
                    .cloned()
            })
        })
    }

    /// Ends the gateway's stream, as a restart does.
    pub(crate) fn hang_up(&self) {
        self.look(|said| said.connection = None);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn send(connection: &Messages, message: v1::sync_response::Message) {
    connection
        .send(Ok(v1::SyncResponse {
            message: Some(message),
        }))
        .unwrap();
}

#[tonic::async_trait]
impl SyncService for Service {
    type SyncStream = UnboundedReceiverStream<Result<v1::SyncResponse, Status>>;
    type GetDocumentsStream = ReceiverStream<Result<v1::Document, Status>>;
    type FetchArtifactStream = ReceiverStream<Result<v1::ArtifactChunk, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<v1::SyncRequest>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let presented = request
            .metadata()
            .get("authorization")
            .map(|value| value.as_bytes().to_vec());
        if presented != Some(format!("Bearer {TOKEN}").into_bytes()) {
            return Err(Status::unauthenticated("another token"));
        }
        let mut requests = request.into_inner();
        let (sender, receiver) = mpsc::unbounded_channel();
        let said = self.0.clone();
        let first = requests
            .message()
            .await?
            .and_then(|request| request.message);
        let Some(v1::sync_request::Message::Hello(hello)) = first else {
            return Err(Status::invalid_argument("no hello"));
        };
        {
            let mut said = said.lock().unwrap();
            said.hellos.push(hello);
            said.connection = Some(sender);
        }
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let mut said = said.lock().unwrap();
                match request.message {
                    Some(v1::sync_request::Message::Report(report)) => said.reports.push(report),
                    Some(v1::sync_request::Message::Resync(_)) => said.resyncs += 1,
                    _ => {}
                }
            }
        });
        Ok(Response::new(UnboundedReceiverStream::new(receiver)))
    }

    async fn get_documents(
        &self,
        request: Request<v1::GetDocumentsRequest>,
    ) -> Result<Response<Self::GetDocumentsStream>, Status> {
        let wanted = request.into_inner().digests;
        let (sender, receiver) = mpsc::channel(wanted.len().max(1));
        for digest in wanted {
            let key: Digest = digest
                .parse()
                .map_err(|_| Status::invalid_argument("digest"))?;
            let body = self.0.lock().unwrap().documents.get(&key).cloned();
            let body = body.ok_or_else(|| Status::not_found(digest.clone()))?;
            let document = v1::Document {
                digest,
                body: body.into(),
                more: false,
            };
            sender
                .try_send(Ok(document))
                .map_err(|_| Status::internal("full"))?;
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    /// As a control plane of an earlier version, which gateways have to get along with.
    async fn store_sessions(
        &self,
        _request: Request<v1::StoreSessionsRequest>,
    ) -> Result<Response<v1::StoreSessionsResponse>, Status> {
        Err(Status::unimplemented("store_sessions"))
    }

    async fn locate_artifact(
        &self,
        _request: Request<v1::LocateArtifactRequest>,
    ) -> Result<Response<v1::LocateArtifactResponse>, Status> {
        Ok(Response::new(v1::LocateArtifactResponse {
            url: self.0.lock().unwrap().url.clone(),
            valid_for_s: 60,
        }))
    }

    async fn fetch_artifact(
        &self,
        request: Request<v1::FetchArtifactRequest>,
    ) -> Result<Response<Self::FetchArtifactStream>, Status> {
        let request = request.into_inner();
        let mut said = self.0.lock().unwrap();
        said.offsets.push(request.offset);
        let bytes = said
            .artifacts
            .get(&request.sha256)
            .ok_or_else(|| Status::not_found("artifact"))?;
        let left = &bytes[usize::try_from(request.offset).unwrap()..];
        let left = &left[..left.len().min(said.stream_bytes_max.unwrap_or(usize::MAX))];
        let (sender, receiver) = mpsc::channel(left.len().max(1));
        let mut offset = request.offset;
        for data in left.chunks(4) {
            let size_bytes = bytes.len() as u64;
            let chunk = v1::ArtifactChunk {
                offset,
                size_bytes,
                data: data.to_vec().into(),
            };
            sender
                .try_send(Ok(chunk))
                .map_err(|_| Status::internal("full"))?;
            offset += data.len() as u64;
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
