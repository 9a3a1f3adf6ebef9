//! The door for those who have `curl` and no gRPC: `PUT /v1/bundles` takes a zip, `/livez` and
//! `/readyz` tell balancers how things are.
//!
//! Responsible for HTTP alone: who may come in is decided by [`Authority`], what a bundle may hold by
//! [`Publisher`], as for every other caller. Invariants: connections, archives at once, their size and
//! their time are bounded; a refused archive leaves nothing behind.

mod bundles;
mod health;
mod metrics;
mod respond;
mod tls;

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gantry_bundle::source::UNPACKED_PREFIX;
use gantry_domain::Limits;
use gantry_telemetry::propagation::Remote;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, field};

use crate::config::HttpConfig;
use crate::grpc::Authority;
use crate::incoming::incoming;
use crate::metrics::Metrics;
use crate::publish::Publisher;

use health::Health;
use respond::{Body, HttpError, refusal};

pub(crate) use health::Health as HealthCheck;
pub(crate) use metrics::Scrape;
pub(crate) use tls::{Acceptor, TlsError, acceptor};

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head, at most.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// What the door needs. Clones share everything.
#[derive(Clone)]
pub(crate) struct Door(Arc<Parts>);

/// What a door is made of.
pub(crate) struct Parts {
    pub(crate) config: HttpConfig,
    pub(crate) limits: Arc<Limits>,
    pub(crate) publisher: Publisher,
    pub(crate) authority: Authority,
    pub(crate) health: Health,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
}

impl Door {
    /// A door of these parts.
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Serves connections until shutdown, and each of them to the end of its request.
    pub(crate) async fn serve(self, listener: TcpListener, acceptor: Option<Acceptor>) {
        let connections = incoming(listener, self.0.config.connections_max);
        let mut connections = std::pin::pin!(connections);
        loop {
            let connection = tokio::select! {
                () = self.0.shutdown.cancelled() => return,
                connection = connections.next() => connection,
            };
            let Some(Ok(connection)) = connection else {
                return;
            };
            let (door, acceptor) = (self.clone(), acceptor.clone());
            self.0.tasks.spawn(async move {
                let Some(acceptor) = acceptor else {
                    return door.converse(connection).await;
                };
                let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(connection));
                // Whoever does not finish the handshake is a scanner or gone.
                if let Ok(Ok(connection)) = shaken.await {
                    door.converse(connection).await;
                }
            });
        }
    }

    async fn converse<C: AsyncRead + AsyncWrite + Unpin>(self, connection: C) {
        let shutdown = self.0.shutdown.clone();
        let service = service_fn(move |request| {
            let door = self.clone();
            async move { Ok::<_, Infallible>(door.answer(request).await) }
        });
        let conversation = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(connection), service);
        let mut conversation = std::pin::pin!(conversation);
        let ended = tokio::select! {
            ended = conversation.as_mut() => ended,
            () = shutdown.cancelled() => {
                conversation.as_mut().graceful_shutdown();
                conversation.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = %error, "an HTTP connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        // Names of routes, not what strangers ask for.
        let route = match request.uri().path() {
            "/v1/bundles" => "/v1/bundles",
            "/livez" => "/livez",
            "/readyz" => "/readyz",
            _ => "unknown",
        };
        let answer = if route == "/v1/bundles" && request.method() == Method::PUT {
            let request_span = tracing::info_span!(
                parent: None, "request", otel.name = "PUT /v1/bundles", otel.kind = "server",
                http.request.method = "PUT", http.route = route, tenant.id = field::Empty,
                http.response.status_code = field::Empty, otel.status_code = field::Empty
            );
            if let Some(remote) = Remote::from_headers(request.headers()) {
                remote.adopt(&request_span);
            }
            let put = bundles::put(&self.0, request).instrument(request_span.clone());
            let answer = put.await;
            request_span.record(
                "http.response.status_code",
                i64::from(answer.status().as_u16()),
            );
            if answer.status().is_server_error() {
                request_span.record("otel.status_code", "ERROR");
            }
            answer
        } else {
            self.answer_other(&request).await
        };
        let status = answer.status().as_u16();
        self.0.metrics.http_request(route, status);
        answer
    }

    async fn answer_other(&self, request: &Request<Incoming>) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path());
        let answered = match (path, method) {
            ("/livez", Method::GET | Method::HEAD) => Ok(respond::text("ok\n")),
            ("/readyz", Method::GET | Method::HEAD) => self.0.ready().await,
            ("/v1/bundles", _) => Err(HttpError::Method("PUT")),
            ("/livez" | "/readyz", _) => Err(HttpError::Method("GET, HEAD")),
            _ => Err(HttpError::NoPath(path.chars().take(120).collect())),
        };
        answered.unwrap_or_else(|error| refusal(&error))
    }
}

impl Parts {
    async fn ready(&self) -> Result<Response<Body>, HttpError> {
        if self.shutdown.is_cancelled() {
            return Err(HttpError::ShuttingDown);
        }
        self.health.check().await?;
        Ok(respond::text("ok\n"))
    }
}

/// Makes the folder for archives, and removes what an earlier process left in it.
///
/// # Errors
/// The folder, for the message, and the system's answer.
pub(crate) fn clear_spool(config: &HttpConfig) -> Result<(), (PathBuf, io::Error)> {
    let folder = &config.spool_directory;
    let cleared = || {
        std::fs::create_dir_all(folder)?;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            // The folder is the operator's choice and may hold what is not ours.
            if name.to_string_lossy().starts_with(UNPACKED_PREFIX) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    };
    cleared().map_err(|e| (folder.clone(), e))
}
