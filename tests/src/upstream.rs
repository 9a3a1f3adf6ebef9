//! An upstream: a small HTTP server that answers with what it received, as JSON, so that a test sees
//! exactly what a gateway sent on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::{Map, Value, json};

use crate::server::Server;

/// A running upstream.
#[derive(Debug)]
pub struct Upstream {
    server: Server,
    requests: Arc<AtomicU64>,
}

impl Upstream {
    /// Starts one on a free port of the loopback interface.
    ///
    /// # Errors
    /// No port or thread is to be had.
    pub fn start() -> Result<Self> {
        let requests = Arc::new(AtomicU64::new(0));
        let counter = requests.clone();
        let server = Server::start("upstream", move |request| {
            counter.fetch_add(1, Ordering::SeqCst);
            answer(request)
        })?;
        Ok(Self { server, requests })
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Requests that reached it so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// `GET …/status/NNN` answers with that status; everything else with 200.
async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let mut headers = Map::new();
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        let joined = match headers.get(name.as_str()) {
            Some(Value::String(before)) => format!("{before}, {value}"),
            _ => value.into_owned(),
        };
        headers.insert(name.to_string(), Value::String(joined));
    }
    let seen = json!({
        "method": head.method.as_str(), "path": head.uri.path(), "query": head.uri.query(),
        "headers": headers, "body": String::from_utf8_lossy(&body), "body_bytes": body.len(),
    });
    let status = head
        .uri
        .path()
        .rsplit_once("/status/")
        .and_then(|(_, status)| status.parse().ok())
        .unwrap_or(200);
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("x-upstream", "echo")
        .body(Full::new(Bytes::from(seen.to_string())));
    response.unwrap_or_default()
}
