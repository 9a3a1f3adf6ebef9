//! A call as an asynchronous function sees it: owned, with the getters and setters of [`Call`](crate::Call).
//!
//! Invariant: what is read here is as it will be once the changes of this call are applied; the gateway
//! sees them all at once, at the end, and none of a call that failed. No `unsafe` here.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;

use gantry_abi::constants::{level, op, part, verdict};

use super::copy::{Copy, Header};
use super::pending::{Conclusion, Shared};
use crate::outcome::Answering;
use crate::{Failure, Hook, Level, Outcome, Refusal};

/// What every asynchronous function can read, and its log. It lives as long as the function runs, on any
/// thread.
pub struct AsyncCall {
    pub(super) copy: Copy,
    shared: Arc<Shared>,
}

impl AsyncCall {
    pub(crate) const fn new(copy: Copy, shared: Arc<Shared>) -> Self {
        Self { copy, shared }
    }

    /// The hook that runs.
    pub const fn hook(&self) -> Hook {
        self.copy.hook
    }

    /// Request method.
    pub fn method(&self) -> &str {
        &self.copy.method
    }

    /// Request path: with the listen path in request hooks, without it in response hooks if the API
    /// definition strips it.
    pub fn path(&self) -> &str {
        &self.copy.path
    }

    /// Query without `?`.
    pub fn query(&self) -> Option<&str> {
        self.copy.query.as_deref()
    }

    /// Host that the client asked for, without port.
    pub fn host(&self) -> &str {
        &self.copy.host
    }

    /// The client's address and port: `192.0.2.1:4711` or `[2001:db8::1]:4711`.
    pub fn remote_addr(&self) -> &str {
        &self.copy.remote_addr
    }

    /// First value of a request header, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.header_bytes(name)?).ok()
    }

    /// First value of a request header.
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        named(&self.copy.headers, name).next()
    }

    /// All values of one request header.
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        named(&self.copy.headers, name)
    }

    /// All request headers: name in lower case, and value.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        all(&self.copy.headers)
    }

    /// First value of a response header, if it is UTF-8. In request hooks these are the headers that
    /// plugins already put on the response to come.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        let value = named(&self.copy.response_headers, name).next()?;
        std::str::from_utf8(value).ok()
    }

    /// All response headers: name in lower case, and value.
    pub fn response_headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        all(&self.copy.response_headers)
    }

    /// The session, a JSON object; `None` before authentication.
    pub fn session(&self) -> Option<&str> {
        self.copy.session.as_deref()
    }

    /// The consumer key that the session belongs to; `None` before authentication.
    pub fn auth_token(&self) -> Option<&str> {
        self.copy.auth_token.as_deref()
    }

    /// Identifier of the API definition.
    pub fn api_id(&self) -> &str {
        &self.copy.api_id
    }

    /// The API definition, JSON.
    pub fn api_definition(&self) -> &str {
        &self.copy.documents.definition
    }

    /// Its `config_data`, JSON. Parse it in `start`, where it is parsed once.
    pub fn config_data(&self) -> &str {
        &self.copy.documents.config
    }

    /// The `OpenAPI` document that the API definition was made from, JSON.
    pub fn openapi(&self) -> Option<&str> {
        self.copy.documents.openapi.as_deref()
    }

    /// Trace id of the request: 32 hexadecimal characters.
    pub fn trace_id(&self) -> &str {
        &self.copy.trace_id
    }

    /// W3C `traceparent`, for requests that the plugin makes itself.
    pub fn traceparent(&self) -> &str {
        &self.copy.traceparent
    }

    /// Writes a log line with API, function, hook and trace of the request. What is beyond 8 KiB is
    /// cut off.
    pub fn log(&self, level: Level, message: &str) {
        self.shared.log(level as u32, message);
    }

    /// Tells work that was given away (to a thread, to another runtime) that nobody waits for it.
    pub fn cancellation(&self) -> Cancellation {
        Cancellation(Arc::clone(&self.shared))
    }

    async fn body_of(&mut self, part: u32) -> Result<&[u8], Refusal> {
        if self.copy.body.is_none() {
            let asked = poll_fn(|context| self.shared.poll_body(part, context)).await;
            let body = asked.map_err(|fault| Refusal::new("ask for the body".to_owned(), fault))?;
            self.copy.body = Some(body);
        }
        Ok(self.copy.body.as_deref().unwrap_or_default())
    }

    fn set_body(&mut self, op: u32, body: &[u8]) -> Result<(), Refusal> {
        self.copy.mutate(op, "", body, || {
            format!("set the body to {} bytes", body.len())
        })
    }

    fn change_header(&mut self, op: u32, name: &str, value: &[u8]) -> Result<(), Refusal> {
        let verb = crate::call::header_verb(op);
        self.copy
            .mutate(op, name, value, || format!("{verb} header {name:?}"))
    }

    /// How the call ends.
    pub(crate) fn conclude(mut self, result: Result<Outcome, Failure>) -> Conclusion {
        let verdict = result.and_then(|outcome| match outcome {
            Outcome::Continue => Ok(verdict::CONTINUE),
            Outcome::Answer(answer) => Ok(answer.send(&mut self).map(|()| verdict::RESPOND)?),
        });
        match verdict {
            Ok(verdict) => Conclusion {
                verdict,
                mutations: self.copy.into_mutations(),
            },
            Err(failure) => {
                self.shared.log(level::ERROR, failure.message());
                Conclusion::bare(verdict::FAILED)
            }
        }
    }
}

impl Answering for AsyncCall {
    fn answer(&mut self, op: u32, key: &str, value: &[u8], action: String) -> Result<(), Refusal> {
        self.copy.mutate(op, key, value, || action)
    }
}

fn named<'a>(headers: &'a [Header], name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |(each, _)| each.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_slice())
}

fn all(headers: &[Header]) -> impl Iterator<Item = (&str, &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
}

/// Whether somebody still waits for a call. It outlives the call.
#[derive(Clone)]
pub struct Cancellation(Arc<Shared>);

impl Cancellation {
    /// Whether nobody waits any more: the client left, the deadline passed, or the call has ended.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_over()
    }

    /// Waits until nobody waits any more.
    pub async fn cancelled(&self) {
        poll_fn(|context| self.0.poll_over(context)).await;
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancellation")
            .field(&self.is_cancelled())
            .finish()
    }
}

/// A request on its way to the upstream, for an asynchronous function.
pub struct AsyncRequestCall(pub(crate) AsyncCall);

impl AsyncRequestCall {
    /// Replaces the method.
    pub fn set_method(&mut self, method: &str) -> Result<(), Refusal> {
        let action = || format!("set method {method:?}");
        self.0
            .copy
            .mutate(op::SET_METHOD, "", method.as_bytes(), action)
    }

    /// Replaces the path. It never selects another API.
    pub fn set_path(&mut self, path: &str) -> Result<(), Refusal> {
        let action = || format!("set path {path:?}");
        self.0
            .copy
            .mutate(op::SET_PATH, "", path.as_bytes(), action)
    }

    /// Replaces the query; an empty one removes it.
    pub fn set_query(&mut self, query: &str) -> Result<(), Refusal> {
        let action = || format!("set query {query:?}");
        self.0
            .copy
            .mutate(op::SET_QUERY, "", query.as_bytes(), action)
    }

    /// Replaces all values of a request header.
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Refusal> {
        self.0
            .change_header(op::SET_REQUEST_HEADER, name, value.as_ref())
    }

    /// Adds a value to a request header.
    pub fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Refusal> {
        self.0
            .change_header(op::ADD_REQUEST_HEADER, name, value.as_ref())
    }

    /// Removes a request header; that it is absent is no error.
    pub fn remove_header(&mut self, name: &str) -> Result<(), Refusal> {
        self.0.change_header(op::REMOVE_REQUEST_HEADER, name, b"")
    }

    /// Puts a header on the response to come, whoever gives it.
    pub fn set_response_header(
        &mut self,
        name: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<(), Refusal> {
        self.0
            .change_header(op::SET_RESPONSE_HEADER, name, value.as_ref())
    }

    /// Adds a value to a header of the response to come.
    pub fn add_response_header(
        &mut self,
        name: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<(), Refusal> {
        self.0
            .change_header(op::ADD_RESPONSE_HEADER, name, value.as_ref())
    }

    /// Takes back a header that a plugin put on the response to come.
    pub fn remove_response_header(&mut self, name: &str) -> Result<(), Refusal> {
        self.0.change_header(op::REMOVE_RESPONSE_HEADER, name, b"")
    }

    /// The whole body, as the client sent it, or as it was set. The first time it is asked for, and comes
    /// when the gateway has it; what no function asks for streams past. It is empty where the request
    /// has none. A body beyond the gateway's limit ends the request, and this future is dropped.
    ///
    /// # Errors
    /// The gateway does not give it.
    pub async fn body(&mut self) -> Result<&[u8], Refusal> {
        self.0.body_of(part::REQUEST_BODY).await
    }

    /// Replaces the body, at most 16 MiB; the gateway makes the length right. The first time in a call
    /// it drops the headers that held for the old bytes only, so set headers of the new body after it.
    pub fn set_body(&mut self, body: impl AsRef<[u8]>) -> Result<(), Refusal> {
        self.0.set_body(op::SET_REQUEST_BODY, body.as_ref())
    }

    /// Sets the session for this request: a JSON object of at most 16 KiB. Not in `pre`. That it is one is
    /// looked at when the call ends.
    pub fn set_session(&mut self, session: &str) -> Result<(), Refusal> {
        self.set_session_of("", session)
    }

    /// Sets the session for this request and names the consumer key that it belongs to: 1 to 256 printable
    /// ASCII characters.
    pub fn set_session_of(&mut self, key: &str, session: &str) -> Result<(), Refusal> {
        let action = || "set session".to_owned();
        self.0
            .copy
            .mutate(op::SET_SESSION, key, session.as_bytes(), action)
    }

    /// Sets the session, and keeps it under its consumer key for all gateways of the environment.
    pub fn store_session(&mut self, key: &str, session: &str) -> Result<(), Refusal> {
        let action = || "store session".to_owned();
        self.0
            .copy
            .mutate(op::STORE_SESSION, key, session.as_bytes(), action)
    }
}

impl Deref for AsyncRequestCall {
    type Target = AsyncCall;

    fn deref(&self) -> &AsyncCall {
        &self.0
    }
}

/// The upstream's answer on its way to the client, for an asynchronous function.
pub struct AsyncResponseCall(pub(crate) AsyncCall);

impl AsyncResponseCall {
    /// Status of the answer.
    pub fn status(&self) -> u16 {
        self.0.copy.status.unwrap_or(0)
    }

    /// Sets the status, 200 to 599.
    pub fn set_status(&mut self, status: u16) -> Result<(), Refusal> {
        let digits = status.to_string();
        let action = || format!("set status {status}");
        self.0
            .copy
            .mutate(op::SET_STATUS, "", digits.as_bytes(), action)
    }

    /// The whole body, as the upstream sent it, or as it was set; as [`AsyncRequestCall::body`].
    ///
    /// # Errors
    /// The gateway does not give it.
    pub async fn body(&mut self) -> Result<&[u8], Refusal> {
        self.0.body_of(part::RESPONSE_BODY).await
    }

    /// Replaces the body, at most 16 MiB; as [`AsyncRequestCall::set_body`].
    pub fn set_body(&mut self, body: impl AsRef<[u8]>) -> Result<(), Refusal> {
        self.0.set_body(op::SET_RESPONSE_BODY, body.as_ref())
    }

    /// Replaces all values of a response header.
    pub fn set_response_header(
        &mut self,
        name: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<(), Refusal> {
        self.0
            .change_header(op::SET_RESPONSE_HEADER, name, value.as_ref())
    }

    /// Adds a value to a response header.
    pub fn add_response_header(
        &mut self,
        name: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<(), Refusal> {
        self.0
            .change_header(op::ADD_RESPONSE_HEADER, name, value.as_ref())
    }

    /// Removes a response header; that it is absent is no error.
    pub fn remove_response_header(&mut self, name: &str) -> Result<(), Refusal> {
        self.0.change_header(op::REMOVE_RESPONSE_HEADER, name, b"")
    }
}

impl Deref for AsyncResponseCall {
    type Target = AsyncCall;

    fn deref(&self) -> &AsyncCall {
        &self.0
    }
}
