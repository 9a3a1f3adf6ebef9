//! One request on its way through the hooks: what functions see and change. Plain data; the worker
//! owns it, and this crate touches it only during a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use gantry_domain::ApiId;
use http::{HeaderMap, Method, StatusCode};

use crate::added;
use crate::carry::Carries;
use crate::target::RequestTarget;

/// A request, and later its response.
#[derive(Debug)]
pub struct Exchange {
    /// Request method.
    pub method: Method,
    /// Request path, with the listen path until it is stripped.
    pub path: String,
    /// Query without `?`.
    pub query: Option<String>,
    /// Request headers.
    pub headers: HeaderMap,
    /// The client's address and port as text; one text for all requests of a connection.
    pub remote_addr: Arc<str>,
    /// Host that the client asked for, without port.
    pub host: String,
    /// Session, a JSON object; `None` before authentication.
    pub session: Option<Bytes>,
    /// The consumer key that the session belongs to; `None` before authentication.
    pub token: Option<String>,
    /// Sessions that functions want to be kept, in order. What becomes of them is the owner's to decide.
    pub stored_sessions: Vec<StoredSession>,
    /// The API definition that the request belongs to.
    pub api: Arc<ApiContext>,
    /// The request's trace.
    pub trace: Trace,
    /// The request's target, as the client sent it.
    pub target: RequestTarget,
    /// In request hooks the headers that functions put on the response to come; in response hooks
    /// those of the upstream.
    pub response_headers: HeaderMap,
    /// In response hooks the headers that functions add, as long as they are apart:
    /// [`join_added`](Self::join_added).
    pub added_headers: HeaderMap,
    /// The whole body of the message that functions work on: the request's in request hooks, the
    /// response's in response hooks. `None` while it is still with its sender; the owner puts it here
    /// before it calls a function that [wants](crate::Instance::wants_body) it.
    pub body: Option<Bytes>,
    /// Status of the upstream's answer; `Some` in response hooks only, and left alone by an answer.
    pub status: Option<StatusCode>,
    /// The answer that a function gave. `Some` exactly after a call that said
    /// [`Respond`](crate::Verdict::Respond); its headers are `response_headers`, which after a response
    /// hook no longer hold those that described the upstream's body.
    pub answer: Option<Answer>,
    /// What libraries carry from one of their calls to the next.
    pub carries: Carries,
}

impl Exchange {
    /// Brings what functions added together with the upstream's headers.
    pub fn join_added(&mut self) {
        if !self.added_headers.is_empty() {
            let added = std::mem::take(&mut self.added_headers);
            added::join(&mut self.response_headers, added);
        }
    }

    /// Bytes of path and query as a request line has them.
    pub(crate) fn target_len(&self) -> usize {
        self.path.len() + self.query.as_ref().map_or(0, |query| 1 + query.len())
    }
}

/// A session that is to be stored under its consumer key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// The consumer key, 1 to 256 printable characters.
    pub key: String,
    /// The session, a JSON object.
    pub document: Bytes,
}

/// What functions can read about an API definition; shared by all its requests.
#[derive(Debug)]
pub struct ApiContext {
    /// Identifier of the definition.
    pub api_id: ApiId,
    /// The definition, JSON.
    pub definition: Bytes,
    /// Its `config_data`, JSON; `{}` if it has none.
    pub config: Bytes,
    /// The `OpenAPI` document that it was made from, JSON.
    pub openapi: Option<Bytes>,
    /// What the contract calls `definition`: never the same for two of these in a process.
    pub serial: Serial,
}

/// A number that no other value of this process has.
#[derive(Debug)]
pub struct Serial(u64);

impl Default for Serial {
    fn default() -> Self {
        static LATEST: AtomicU64 = AtomicU64::new(0);
        Self(LATEST.fetch_add(1, Relaxed) + 1)
    }
}

impl Serial {
    /// The number; never 0.
    pub const fn number(&self) -> u64 {
        self.0
    }
}

/// A request's place in a distributed trace (W3C Trace Context).
#[derive(Debug, Clone)]
pub struct Trace(Arc<str>);

impl Default for Trace {
    fn default() -> Self {
        Self::new("00-00000000000000000000000000000000-0000000000000000-00")
    }
}

impl Trace {
    /// The trace that a `traceparent` header names.
    pub fn new(traceparent: &str) -> Self {
        Self(traceparent.into())
    }

    /// 32 lower-case hexadecimal characters.
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }

    /// The `traceparent` header for requests made on behalf of this one.
    pub fn traceparent(&self) -> &str {
        &self.0
    }
}

/// An answer that a function gave instead of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status, 200 to 599.
    pub status: StatusCode,
    /// Body, at most 1 MiB.
    pub body: Bytes,
}
