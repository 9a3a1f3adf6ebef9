//! A control plane of one tenant in memory, which breaks connections where a test wants it to.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::{AccessToken, Client, ClientOptions};
use gantry_domain::Digest;
use gantry_proto::v1;
use gantry_proto::v1::publish_service_server::{PublishService, PublishServiceServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

pub(super) const TOKEN: &str = "gt_test";

/// What a call does instead of working.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Refuses at once.
    Refuse(Status),
    /// Takes this many bytes of a file, and then breaks off without an answer.
    BreakAfter(usize),
    /// Takes this many bytes of a file, and then answers early with what it has.
    StopAfter(usize),
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) declared: Vec<v1::FileDeclaration>,
    pub(super) stored: BTreeMap<String, Vec<u8>>,
    /// Bytes that came over the network.
    pub(super) received: usize,
    /// Offsets that streams began at.
    pub(super) offsets: Vec<u64>,
    /// One per call of `UploadFile`, then none.
    pub(super) faults: VecDeque<Fault>,
    /// One per other call, then none.
    pub(super) refusals: VecDeque<Status>,
    pub(super) calls: Vec<&'static str>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct ControlPlane(pub(super) Arc<Mutex<State>>);

impl ControlPlane {
    fn enter<T>(&self, request: &Request<T>, name: &'static str) -> Result<(), Status> {
        let expected = format!("Bearer {TOKEN}");
        if request
            .metadata()
            .get("authorization")
            .map(tonic::metadata::MetadataValue::as_bytes)
            != Some(expected.as_bytes())
        {
            return Err(Status::unauthenticated("who are you"));
        }
        let mut state = self.0.lock().unwrap();
        state.calls.push(name);
        match state.refusals.pop_front() {
            Some(status) if name != "UploadFile" => Err(status),
            _ => Ok(()),
        }
    }

    fn files(&self) -> Vec<v1::FileProgress> {
        let state = self.0.lock().unwrap();
        state
            .declared
            .iter()
            .map(|file| progress(&state, file))
            .collect()
    }

    pub(super) fn calls(&self, name: &str) -> usize {
        let state = self.0.lock().unwrap();
        state.calls.iter().filter(|call| **call == name).count()
    }
}

fn progress(state: &State, file: &v1::FileDeclaration) -> v1::FileProgress {
    v1::FileProgress {
        name: file.name.clone(),
        sha256: file.sha256.clone(),
        size_bytes: file.size_bytes,
        committed_bytes: state
            .stored
            .get(&file.name)
            .map_or(0, |bytes| bytes.len() as u64),
    }
}

#[tonic::async_trait]
impl PublishService for ControlPlane {
    async fn begin_upload(
        &self,
        request: Request<v1::BeginUploadRequest>,
    ) -> Result<Response<v1::BeginUploadResponse>, Status> {
        self.enter(&request, "BeginUpload")?;
        self.0.lock().unwrap().declared = request.into_inner().files;
        Ok(Response::new(v1::BeginUploadResponse {
            upload_id: "u1".into(),
            files: self.files(),
            published: None,
        }))
    }

    async fn upload_file(
        &self,
        request: Request<Streaming<v1::UploadFileRequest>>,
    ) -> Result<Response<v1::UploadFileResponse>, Status> {
        self.enter(&request, "UploadFile")?;
        let fault = self.0.lock().unwrap().faults.pop_front();
        let bound = match &fault {
            Some(Fault::Refuse(status)) => return Err(status.clone()),
            Some(Fault::BreakAfter(bytes) | Fault::StopAfter(bytes)) => *bytes,
            None => usize::MAX,
        };
        let mut stream = request.into_inner();
        let (mut name, mut taken) = (String::new(), 0);
        while taken < bound {
            let Some(message) = stream.message().await? else {
                break;
            };
            let mut state = self.0.lock().unwrap();
            if name.is_empty() {
                assert_eq!(message.upload_id, "u1");
                name = message.file;
                state.offsets.push(message.offset);
            }
            state.received += message.chunk.len();
            let stored = state.stored.entry(name.clone()).or_default();
            if stored.len() as u64 != message.offset {
                return Err(Status::out_of_range("not the committed offset"));
            }
            let part = &message.chunk[..message.chunk.len().min(bound - taken)];
            stored.extend_from_slice(part);
            taken += part.len();
        }
        if let Some(Fault::BreakAfter(_)) = fault {
            return Err(Status::unavailable("going down"));
        }
        let file = self.files().into_iter().find(|file| file.name == name);
        Ok(Response::new(v1::UploadFileResponse { file }))
    }

    async fn get_upload(
        &self,
        request: Request<v1::GetUploadRequest>,
    ) -> Result<Response<v1::GetUploadResponse>, Status> {
        self.enter(&request, "GetUpload")?;
        Ok(Response::new(v1::GetUploadResponse {
            files: self.files(),
        }))
    }

    async fn publish(
        &self,
        request: Request<v1::PublishRequest>,
    ) -> Result<Response<v1::PublishResponse>, Status> {
        self.enter(&request, "Publish")?;
        let state = self.0.lock().unwrap();
        for file in &state.declared {
            let stored = state.stored.get(&file.name);
            if stored.map(Digest::of).map(|d| d.to_string()).as_ref() != Some(&file.sha256) {
                return Err(Status::data_loss(format!("{} is damaged", file.name)));
            }
        }
        let release = v1::Release {
            bundle: "hooks".into(),
            ..v1::Release::default()
        };
        Ok(Response::new(v1::PublishResponse {
            release: Some(release),
            ..Default::default()
        }))
    }

    async fn abort_upload(
        &self,
        request: Request<v1::AbortUploadRequest>,
    ) -> Result<Response<v1::AbortUploadResponse>, Status> {
        self.enter(&request, "AbortUpload")?;
        Ok(Response::new(v1::AbortUploadResponse {}))
    }
}

/// Serves until the test ends.
pub(super) async fn serve(plane: &ControlPlane, identity: Option<Identity>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = Server::builder();
    if let Some(identity) = identity {
        server = server
            .tls_config(ServerTlsConfig::new().identity(identity))
            .unwrap();
    }
    let server = server.add_service(PublishServiceServer::new(plane.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

pub(super) fn client(address: SocketAddr, options: ClientOptions) -> Client {
    let token: AccessToken = TOKEN.parse().unwrap();
    Client::connect(&format!("http://{address}"), token, options).unwrap()
}
