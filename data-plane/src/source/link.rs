//! The connection to the control plane as this gateway uses it: the sync stream, documents, library
//! bytes or where they can be had without it. Retrying is the callers' business; proving that bytes are what was asked for is done here
//! for documents and in the library store for libraries.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gantry_client::{Client, ClientError, ClientOptions, ConnectError};
use gantry_domain::Digest;
use gantry_proto::v1;
use gantry_telemetry::Secret;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::direct::ObjectStorage;
use crate::config::ControlPlane;
use crate::supervisor::store::DOCUMENT_BYTES_MAX;

/// Documents asked for at once: the wire's bound.
const DOCUMENTS_AT_ONCE_MAX: usize = 256;
/// Time for the next message of a stream that owes one.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a file with certificates, at most.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Why an exchange with the control plane failed.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The configuration of the connection is no good.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The file with certificates cannot be read.
    #[error("read {path}: {source} (CA_UNREADABLE)")]
    Ca {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The control plane refused, or cannot be reached.
    #[error("{0}")]
    Refused(#[from] ClientError),
    /// Nothing came in time.
    #[error("nothing came for {} s (CONTROL_PLANE_SILENT)", MESSAGE_TIMEOUT.as_secs())]
    Silent,
    /// A document that was asked for did not come.
    #[error("the control plane does not have document {0} (DOCUMENT_MISSING)")]
    Missing(Digest),
    /// Other bytes came than were asked for.
    #[error("a document of digest {found} came that was not asked for (DOCUMENT_DIGEST)")]
    Foreign {
        /// What came.
        found: Digest,
    },
}

/// A connection; clones share it. It is made when it is first used, and made again when it broke.
#[derive(Debug, Clone)]
pub struct Link {
    client: Client,
    object_storage: Arc<ObjectStorage>,
}

impl Link {
    /// Prepares a connection.
    ///
    /// # Errors
    /// The configuration is no good.
    pub fn new(control_plane: &ControlPlane) -> Result<Self, LinkError> {
        let ca_pem = control_plane.ca_file.as_ref().map(|path| {
            let bytes = crate::supervisor::files::read(path, CA_BYTES_MAX);
            let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
            let bytes = bytes.and_then(|bytes| bytes.ok_or_else(missing));
            bytes.map_err(|source| LinkError::Ca {
                path: path.clone(),
                source,
            })
        });
        let ca_pem = ca_pem.transpose()?;
        let object_storage = ObjectStorage::new(ca_pem.as_deref(), control_plane.allow_plaintext);
        let options = ClientOptions {
            ca_pem,
            allow_plaintext_remote: control_plane.allow_plaintext,
            user_agent: concat!("gantry-gateway/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..ClientOptions::default()
        };
        let token = control_plane.token.expose().parse()?;
        Ok(Self {
            client: Client::connect(&control_plane.endpoint, token, options)?,
            object_storage: Arc::new(object_storage),
        })
    }

    /// Opens the sync stream.
    ///
    /// # Errors
    /// The control plane refuses, cannot be reached, or says nothing.
    pub async fn sync(
        &self,
        outbound: mpsc::Receiver<v1::SyncRequest>,
    ) -> Result<Streaming<v1::SyncResponse>, LinkError> {
        let mut service = self.client.sync();
        let call = service.sync(ReceiverStream::new(outbound));
        let response = timeout(MESSAGE_TIMEOUT, call)
            .await
            .map_err(|_| LinkError::Silent)?;
        Ok(response.map_err(ClientError::from)?.into_inner())
    }

    /// Fetches documents and proves each by its digest.
    ///
    /// # Errors
    /// One is missing or is not what was asked for, or the control plane refuses.
    pub async fn documents(
        &self,
        digests: &[Digest],
    ) -> Result<BTreeMap<Digest, Arc<[u8]>>, LinkError> {
        let mut documents = BTreeMap::new();
        for wanted in digests.chunks(DOCUMENTS_AT_ONCE_MAX) {
            let request = v1::GetDocumentsRequest {
                digests: wanted.iter().map(ToString::to_string).collect(),
            };
            let mut service = self.client.sync();
            let call = timeout(MESSAGE_TIMEOUT, service.get_documents(request)).await;
            let response = call.map_err(|_| LinkError::Silent)?;
            let mut stream = response.map_err(ClientError::from)?.into_inner();
            let mut body = Vec::new();
            while let Some(document) = next(&mut stream).await? {
                body.extend_from_slice(&document.body);
                if document.more && body.len() <= DOCUMENT_BYTES_MAX {
                    continue;
                }
                let found = Digest::of(&body);
                if body.len() > DOCUMENT_BYTES_MAX || !wanted.contains(&found) {
                    return Err(LinkError::Foreign { found });
                }
                documents.insert(found, std::mem::take(&mut body).into());
            }
        }
        match digests
            .iter()
            .find(|digest| !documents.contains_key(*digest))
        {
            Some(missing) => Err(LinkError::Missing(*missing)),
            None => Ok(documents),
        }
    }

    /// Has sessions kept that functions stored.
    ///
    /// # Errors
    /// The control plane refuses all of them, cannot be reached, or says nothing.
    pub async fn store_sessions(
        &self,
        sessions: Vec<v1::StoredSession>,
    ) -> Result<v1::StoreSessionsResponse, LinkError> {
        let request = v1::StoreSessionsRequest { sessions };
        let mut service = self.client.sync();
        let call = timeout(MESSAGE_TIMEOUT, service.store_sessions(request)).await;
        let response = call.map_err(|_| LinkError::Silent)?;
        Ok(response.map_err(ClientError::from)?.into_inner())
    }

    /// Where libraries lie that can be had without the control plane.
    pub fn object_storage(&self) -> &ObjectStorage {
        &self.object_storage
    }

    /// Asks for a URL of a library; none where there is no such way.
    ///
    /// # Errors
    /// The control plane refuses, cannot be reached, or says nothing.
    pub async fn locate(&self, digest: &Digest) -> Result<Option<Secret<String>>, LinkError> {
        let request = v1::LocateArtifactRequest {
            sha256: digest.to_string(),
        };
        let mut service = self.client.sync();
        let call = timeout(MESSAGE_TIMEOUT, service.locate_artifact(request)).await;
        match call.map_err(|_| LinkError::Silent)? {
            Ok(response) => {
                let url = response.into_inner().url;
                Ok((!url.is_empty()).then(|| Secret::new(url)))
            }
            // An older control plane does not know the call.
            Err(status) if status.code() == tonic::Code::Unimplemented => Ok(None),
            Err(status) => Err(ClientError::from(status).into()),
        }
    }

    /// Begins to fetch a library's bytes from an offset on.
    ///
    /// # Errors
    /// The control plane refuses, cannot be reached, or says nothing.
    pub async fn artifact(
        &self,
        digest: &Digest,
        offset: u64,
    ) -> Result<Streaming<v1::ArtifactChunk>, LinkError> {
        let request = v1::FetchArtifactRequest {
            sha256: digest.to_string(),
            offset,
        };
        let mut service = self.client.sync();
        let call = timeout(MESSAGE_TIMEOUT, service.fetch_artifact(request)).await;
        let response = call.map_err(|_| LinkError::Silent)?;
        Ok(response.map_err(ClientError::from)?.into_inner())
    }
}

/// The next message of a stream that must not fall silent.
///
/// # Errors
/// The stream broke or fell silent.
pub async fn next<T>(stream: &mut Streaming<T>) -> Result<Option<T>, LinkError> {
    let message = timeout(MESSAGE_TIMEOUT, stream.message())
        .await
        .map_err(|_| LinkError::Silent)?;
    Ok(message.map_err(ClientError::from)?)
}
