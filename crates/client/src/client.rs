//! The connection: one channel that is shared by all services and comes back by itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gantry_proto::MESSAGE_BYTES_MAX;
use gantry_proto::v1::admin_service_client::AdminServiceClient;
use gantry_proto::v1::api_service_client::ApiServiceClient;
use gantry_proto::v1::catalog_service_client::CatalogServiceClient;
use gantry_proto::v1::deploy_service_client::DeployServiceClient;
use gantry_proto::v1::key_service_client::KeyServiceClient;
use gantry_proto::v1::publish_service_client::PublishServiceClient;
use gantry_proto::v1::sync_service_client::SyncServiceClient;
use tokio::time::Instant;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};

use crate::backoff::Backoff;
use crate::error::ClientError;
use crate::options::{AccessToken, ClientOptions, ConnectError, endpoint};
use crate::traced::Traced;

/// What generated clients speak through: the channel, with the token and the trace on every request.
pub type Service = Traced;

/// Puts the token on a request.
#[derive(Debug, Clone)]
pub struct Authorize(AccessToken);

impl Interceptor for Authorize {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.0.header());
        Ok(request)
    }
}

/// Whether a call may be sent again when it is not known what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It reads, or doing it twice is the same as doing it once.
    Safe,
    /// Doing it twice would do two things.
    Never,
}

/// A control plane and who is asking. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    service: Service,
    options: Arc<ClientOptions>,
    endpoint: Arc<str>,
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $client:ident;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> $client<Service> {
                    $client::new(self.service.clone())
                        .max_decoding_message_size(MESSAGE_BYTES_MAX)
                        .max_encoding_message_size(MESSAGE_BYTES_MAX)
                }
            )*
        }
    };
}

services! {
    /// Tenants, environments, tokens.
    admin: AdminServiceClient;
    /// API definitions.
    apis: ApiServiceClient;
    /// What is published; see [`download`](crate::download) for a whole version.
    catalog: CatalogServiceClient;
    /// Pins, gateways, explanations.
    deploy: DeployServiceClient;
    /// Consumer keys.
    keys: KeyServiceClient;
    /// Uploads; see [`upload`](crate::upload) for a whole bundle.
    publish: PublishServiceClient;
    /// What gateways speak. Streams have no deadline; keepalive ends those whose peer is gone.
    sync: SyncServiceClient;
}

impl Client {
    /// A client of the control plane at `endpoint` (`https://host:port`). Checks its arguments and
    /// sends nothing: the connection is made by the first call, and made again when it was lost.
    /// Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The endpoint or the CA certificates are no such thing, or the token would travel in plain text.
    pub fn connect(
        endpoint_given: &str,
        token: AccessToken,
        options: ClientOptions,
    ) -> Result<Self, ConnectError> {
        let channel = endpoint(endpoint_given, &options)?.connect_lazy();
        Ok(Self {
            service: Traced::new(InterceptedService::new(channel, Authorize(token))),
            options: Arc::new(options),
            endpoint: endpoint_given.into(),
        })
    }

    /// Where the control plane is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How long an upload or a download is tried again that gets no further.
    pub(crate) fn patience(&self) -> Duration {
        self.options.patience
    }

    /// Makes a unary call within the deadline of the options. A call that may be repeated is, as long
    /// as the control plane cannot be reached and time and attempts are left.
    ///
    /// ```no_run
    /// # use gantry_client::{Client, ClientError, Repeat};
    /// # use gantry_proto::v1::{ListPinsRequest, ListPinsResponse};
    /// # async fn pins(client: Client) -> Result<ListPinsResponse, ClientError> {
    /// let request = ListPinsRequest { environment: "staging".into() };
    /// client
    ///     .call(Repeat::Safe, request, |client, request| async move {
    ///         client.deploy().list_pins(request).await
    ///     })
    ///     .await
    /// # }
    /// ```
    ///
    /// # Errors
    /// The last refusal, or [`Kind::Timeout`](crate::Kind::Timeout).
    pub async fn call<Q, A, F>(
        &self,
        repeat: Repeat,
        message: Q,
        send: impl Fn(Self, Request<Q>) -> F,
    ) -> Result<A, ClientError>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let deadline = Instant::now() + self.options.call_timeout;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut request = Request::new(message.clone());
            request.set_timeout(left);
            let answer = tokio::time::timeout_at(deadline, send(self.clone(), request)).await;
            let error = match answer {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => ClientError::from(status).at(&self.endpoint),
                Err(_) => return Err(ClientError::timeout(self.options.call_timeout)),
            };
            let wait = error.retry_after.unwrap_or_else(|| backoff.next_wait());
            let again = repeat == Repeat::Safe
                && error.kind == crate::Kind::Unavailable
                && backoff.failures() < self.options.attempts_max
                && wait < deadline.saturating_duration_since(Instant::now());
            if !again {
                return Err(error);
            }
            tracing::debug!(error = %error, wait_ms = wait.as_millis(), "calling again");
            tokio::time::sleep(wait).await;
        }
    }
}
