//! The operators' door: `/livez`, `/readyz`, `/status`, `/metrics`. It answers GET and HEAD without a body to
//! read, to few connections at a time, and closes each after its answer.
//!
//! Invariant: no secret passes here, and readiness never turns off again: one bad library must not
//! take a fleet out of its load balancer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry_telemetry::metrics::CONTENT_TYPE as CONTENT_TYPE_METRICS;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::telemetry::Metrics;

/// Connections at once.
const CONNECTIONS_MAX: usize = 32;
/// Bytes of a request's head, at most.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Time for a connection from its first byte to its last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection, for want of descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until told to stop.
pub async fn run(listener: TcpListener, metrics: Metrics, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let metrics = Arc::new(metrics);
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let metrics = metrics.clone();
                connections.spawn(async move {
                    let _place = place;
                    serve(stream, metrics).await;
                });
            }
            Err(e) => {
                tracing::warn!(
                    code = "ADMIN_ACCEPT_FAILED",
                    "accept an operator's connection: {e}"
                );
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Each ends within its own time.
    connections.join_all().await;
}

async fn serve(stream: TcpStream, metrics: Arc<Metrics>) {
    let service = service_fn(move |request| {
        let response = answer(&request, &metrics);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::debug!("operator's connection: {e}"),
        Err(_) => tracing::debug!("operator's connection took too long"),
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let view = &metrics.view;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = document(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({"code": "METHOD_NOT_ALLOWED"}),
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/livez" => document(StatusCode::OK, &json!({"live": true})),
        "/readyz" => {
            let ready = view.is_ready();
            let status = if ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            document(
                status,
                &json!({"ready": ready, "state": view.report().state}),
            )
        }
        "/status" => document(StatusCode::OK, &view.status()),
        "/metrics" => exposition(metrics),
        _ => document(StatusCode::NOT_FOUND, &json!({"code": "NOT_FOUND"})),
    }
}

fn exposition(metrics: &Metrics) -> Response<Full<Bytes>> {
    let Ok(text) = metrics.encode() else {
        let code = json!({"code": "METRICS_UNAVAILABLE"});
        return document(StatusCode::INTERNAL_SERVER_ERROR, &code);
    };
    let mut response = Response::new(Full::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_METRICS));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn document(status: StatusCode, document: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{document}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
