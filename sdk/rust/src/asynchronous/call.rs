//! A call as an asynchronous function sees it: owned, with the getters of [`Call`](crate::Call).
//!
//! Invariant: what is read here is as it will be once the changes of this call are applied; the gateway
//! sees them all at once, at the end, and none of a call that failed. No `unsafe` here.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use gantry_abi::{Fault, level, verdict};

use super::copy::{Copy, Header};
use super::pending::{Conclusion, Shared};
use crate::passing::sealed::Change;
use crate::{Failure, Hook, Level, Outcome, Refusal};

/// What every asynchronous function can read, and its log. It lives as long as the function runs, on any
/// thread.
pub struct AsyncCall {
    pub(crate) copy: Copy,
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

    /// Path and query as the client sent them, whatever functions have changed.
    pub fn target(&self) -> &str {
        &self.copy.target
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

    pub(crate) async fn body_of(&mut self, part: u32) -> Result<&[u8], Refusal> {
        if self.copy.body.is_none() {
            let asked = poll_fn(|context| self.shared.poll_body(part, context)).await;
            let body = asked.map_err(|fault| Refusal::new("ask for the body".to_owned(), fault))?;
            self.copy.body = Some(body);
        }
        Ok(self.copy.body.as_deref().unwrap_or_default())
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

impl Change for AsyncCall {
    fn try_change(&mut self, op: u32, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.copy.mutate(op, key, value)
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
