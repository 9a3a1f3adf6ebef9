//! The door for Prometheus: `GET /metrics`, and nothing else.
//!
//! Not here: what is counted. Invariant: connections and the time for a request's head are bounded.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use gantry_telemetry::metrics::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::incoming::incoming;
use crate::links::Links;
use crate::metrics::Metrics;

/// Scrapers at once.
const CONNECTIONS_MAX: usize = 32;
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head, at most.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Shows metrics. Clones share everything.
#[derive(Clone)]
pub(crate) struct Scrape {
    pub(crate) metrics: Metrics,
    pub(crate) links: Links,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl Scrape {
    /// Serves connections until shutdown.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let mut connections = std::pin::pin!(incoming(listener, CONNECTIONS_MAX));
        loop {
            let connection = tokio::select! {
                () = self.shutdown.cancelled() => return,
                connection = connections.next() => connection,
            };
            let Some(Ok(connection)) = connection else {
                return;
            };
            let (scrape, shutdown) = (self.clone(), self.shutdown.clone());
            let service = service_fn(move |request| {
                let answer = scrape.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            self.tasks.spawn(async move {
                let conversation = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .max_buf_size(HEAD_BYTES_MAX)
                    .serve_connection(TokioIo::new(connection), service);
                tokio::select! {
                    _ = conversation => {}
                    // An answer takes no time; nobody loses one.
                    () = shutdown.cancelled() => {}
                }
            });
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, kind, body) = match (request.uri().path(), request.method()) {
            ("/metrics", &Method::GET | &Method::HEAD) => {
                match self.metrics.text(self.links.count()) {
                    Ok(text) => (StatusCode::OK, CONTENT_TYPE, text),
                    Err(error) => {
                        tracing::error!(%error, "could not write the metrics down: {error}");
                        plain(StatusCode::INTERNAL_SERVER_ERROR)
                    }
                }
            }
            ("/metrics", _) => plain(StatusCode::METHOD_NOT_ALLOWED),
            _ => plain(StatusCode::NOT_FOUND),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn plain(status: StatusCode) -> (StatusCode, &'static str, String) {
    let words = status.canonical_reason().unwrap_or_default();
    (status, "text/plain; charset=utf-8", format!("{words}\n"))
}
