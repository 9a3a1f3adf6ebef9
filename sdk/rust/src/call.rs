//! A call as an author sees it: getters that borrow it, setters that need it mutably.
//!
//! Invariant: a value from the host lives as long as the borrow it came from, and every setter
//! borrows mutably, so the compiler enforces what the contract asks of C by words. No `unsafe` here.

use std::fmt;
use std::ops::Deref;

use gantry_abi::constants::{level, op, part};
use gantry_abi::{Fault, Host, hook, rules};

use crate::outcome::Answering;
use crate::raw::Gate;

/// Where in a request a function runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Hook {
    /// Before everything else.
    Pre = hook::PRE,
    /// Custom authentication.
    Auth = hook::AUTH,
    /// After authentication.
    PostAuth = hook::POST_AUTH,
    /// Last before the upstream.
    Post = hook::POST,
    /// On the upstream's answer.
    Response = hook::RESPONSE,
}

impl Hook {
    /// The name in API definitions' terms: `pre`, `auth`, `post_auth`, `post`, `response`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Auth => "auth",
            Self::PostAuth => "post_auth",
            Self::Post => "post",
            Self::Response => "response",
        }
    }
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Level {
    /// A person must look.
    Error = level::ERROR,
    /// Something is wrong and was coped with.
    Warn = level::WARN,
    /// Worth knowing in production.
    Info = level::INFO,
    /// For those who debug the plugin.
    Debug = level::DEBUG,
    /// Everything.
    Trace = level::TRACE,
}

/// A change that the gateway refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    action: String,
    fault: Fault,
}

impl Refusal {
    pub(crate) const fn new(action: String, fault: Fault) -> Self {
        Self { action, fault }
    }

    /// Why.
    pub const fn fault(&self) -> Fault {
        self.fault
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} ({})",
            self.action,
            self.fault,
            self.fault.as_str()
        )
    }
}

impl std::error::Error for Refusal {}

/// What every function can read, and its log.
pub struct Call<'a> {
    gate: Gate<'a>,
    hook: Hook,
}

impl<'a> Call<'a> {
    pub(crate) const fn new(gate: Gate<'a>, hook: Hook) -> Self {
        Self { gate, hook }
    }

    /// The hook that runs.
    pub const fn hook(&self) -> Hook {
        self.hook
    }

    /// Request method.
    pub fn method(&self) -> &str {
        self.text(part::METHOD).unwrap_or_default()
    }

    /// Request path: with the listen path in request hooks, without it in response hooks if the API
    /// definition strips it.
    pub fn path(&self) -> &str {
        self.text(part::PATH).unwrap_or_default()
    }

    /// Query without `?`.
    pub fn query(&self) -> Option<&str> {
        self.text(part::QUERY)
    }

    /// Host that the client asked for, without port.
    pub fn host(&self) -> &str {
        self.text(part::HOST).unwrap_or_default()
    }

    /// The client's address and port: `192.0.2.1:4711` or `[2001:db8::1]:4711`.
    pub fn remote_addr(&self) -> &str {
        self.text(part::REMOTE_ADDR).unwrap_or_default()
    }

    /// First value of a request header, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.header_bytes(name)?).ok()
    }

    /// First value of a request header.
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.gate.get(part::REQUEST_HEADER, name.as_bytes()).ok()
    }

    /// All values of one request header.
    pub fn header_values<'c>(&'c self, name: &'c str) -> Headers<'c> {
        Headers {
            gate: &self.gate,
            part: part::REQUEST_HEADER,
            name,
            cursor: 0,
        }
    }

    /// All request headers, names in lower case.
    pub fn headers(&self) -> Headers<'_> {
        self.header_values_of(part::REQUEST_HEADER)
    }

    /// First value of a response header, if it is UTF-8. In request hooks these are the headers that
    /// plugins already put on the response to come.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        let value = self.gate.get(part::RESPONSE_HEADER, name.as_bytes()).ok()?;
        std::str::from_utf8(value).ok()
    }

    /// All response headers, names in lower case.
    pub fn response_headers(&self) -> Headers<'_> {
        self.header_values_of(part::RESPONSE_HEADER)
    }

    /// The session, a JSON object; `None` before authentication.
    pub fn session(&self) -> Option<&str> {
        self.text(part::SESSION)
    }

    /// The consumer key that the session belongs to, as the client sent it or a function set it; `None`
    /// before authentication.
    pub fn auth_token(&self) -> Option<&str> {
        self.text(part::AUTH_TOKEN)
    }

    /// Identifier of the API definition.
    pub fn api_id(&self) -> &str {
        self.text(part::API_ID).unwrap_or_default()
    }

    /// The API definition, JSON.
    pub fn api_definition(&self) -> &str {
        self.text(part::API_DEFINITION).unwrap_or_default()
    }

    /// Its `config_data`, JSON. Parse it in `start`, where it is parsed once.
    pub fn config_data(&self) -> &str {
        self.text(part::CONFIG_DATA).unwrap_or_default()
    }

    /// The `OpenAPI` document that the API definition was made from, JSON; `None` without one.
    pub fn openapi(&self) -> Option<&str> {
        self.text(part::OPENAPI)
    }

    /// Trace id of the request: 32 hexadecimal characters.
    pub fn trace_id(&self) -> &str {
        self.text(part::TRACE_ID).unwrap_or_default()
    }

    /// W3C `traceparent`, for requests that the plugin makes itself.
    pub fn traceparent(&self) -> &str {
        self.text(part::TRACEPARENT).unwrap_or_default()
    }

    /// Writes a log line with API, function, hook and trace of the request. What is beyond 8 KiB is
    /// cut off.
    pub fn log(&self, level: Level, message: &str) {
        self.gate.log(level as u32, message);
    }

    /// Host and handle.
    pub(crate) const fn origin(&self) -> (&'static Host, gantry_abi::Call) {
        self.gate.origin()
    }

    /// Status of the upstream's answer, in response hooks.
    pub(crate) fn upstream_status(&self) -> Option<u16> {
        rules::status(self.gate.get(part::STATUS, b"").ok()?).ok()
    }

    fn body_of(&self, part: u32) -> Result<&[u8], Refusal> {
        self.gate.get(part, b"").map_err(|fault| {
            let side = Side::of(part);
            Refusal {
                action: format!("read the {} body (flag `{}`)", side.name, side.flag),
                fault,
            }
        })
    }

    fn set_body_of(&mut self, op: u32, part: u32, body: &[u8]) -> Result<(), Refusal> {
        let side = Side::of(part);
        self.mutate(op, "", body, || {
            format!(
                "set the {} body to {} bytes (flag `{}`)",
                side.name,
                body.len(),
                side.flag
            )
        })
    }

    fn text(&self, part: u32) -> Option<&str> {
        std::str::from_utf8(self.gate.get(part, b"").ok()?).ok()
    }

    fn header_values_of(&self, part: u32) -> Headers<'_> {
        Headers {
            gate: &self.gate,
            part,
            name: "",
            cursor: 0,
        }
    }

    fn mutate(
        &mut self,
        op: u32,
        key: &str,
        value: &[u8],
        action: impl FnOnce() -> String,
    ) -> Result<(), Refusal> {
        self.gate
            .mutate(op, key.as_bytes(), value)
            .map_err(|fault| Refusal {
                action: action(),
                fault,
            })
    }

    fn change_header(&mut self, op: u32, name: &str, value: &[u8]) -> Result<(), Refusal> {
        let verb = header_verb(op);
        self.mutate(op, name, value, || format!("{verb} header {name:?}"))
    }
}

impl Answering for Call<'_> {
    fn answer(&mut self, op: u32, key: &str, value: &[u8], action: String) -> Result<(), Refusal> {
        self.mutate(op, key, value, || action)
    }
}

/// The word for a change of a header, in messages.
pub(crate) const fn header_verb(op: u32) -> &'static str {
    match op {
        op::SET_REQUEST_HEADER | op::SET_RESPONSE_HEADER => "set",
        op::ADD_REQUEST_HEADER | op::ADD_RESPONSE_HEADER => "add",
        _ => "remove",
    }
}

/// The words for a body, in messages.
struct Side {
    name: &'static str,
    flag: &'static str,
}

impl Side {
    const fn of(part: u32) -> Self {
        match part {
            part::RESPONSE_BODY => Self {
                name: "response",
                flag: "wants_response_body",
            },
            _ => Self {
                name: "request",
                flag: "wants_request_body",
            },
        }
    }
}

/// Headers, one by one: name in lower case, and value.
pub struct Headers<'a> {
    gate: &'a Gate<'a>,
    part: u32,
    name: &'a str,
    cursor: u64,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self
            .gate
            .next(self.part, self.name.as_bytes(), &mut self.cursor)?;
        Some((std::str::from_utf8(name).ok()?, value))
    }
}

/// A request on its way to the upstream.
pub struct RequestCall<'a>(Call<'a>);

impl<'a> RequestCall<'a> {
    pub(crate) const fn new(call: Call<'a>) -> Self {
        Self(call)
    }

    pub(crate) fn into_inner(self) -> Call<'a> {
        self.0
    }

    /// Sets the method. `CONNECT` is refused.
    pub fn set_method(&mut self, method: &str) -> Result<(), Refusal> {
        self.0.mutate(op::SET_METHOD, "", method.as_bytes(), || {
            format!("set method {method:?}")
        })
    }

    /// Sets the path. It never selects another API.
    pub fn set_path(&mut self, path: &str) -> Result<(), Refusal> {
        self.0.mutate(op::SET_PATH, "", path.as_bytes(), || {
            format!("set path {path:?}")
        })
    }

    /// Sets the query, without `?`; an empty one removes it.
    pub fn set_query(&mut self, query: &str) -> Result<(), Refusal> {
        self.0.mutate(op::SET_QUERY, "", query.as_bytes(), || {
            format!("set query {query:?}")
        })
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

    /// The whole body, as the client sent it: if it is compressed, `Content-Encoding` says so. It can
    /// be read any number of times, and is empty where the request has none.
    ///
    /// # Errors
    /// [`Fault::Refused`], unless the function declares `[wants_request_body]` in
    /// [`plugin!`](crate::plugin!).
    pub fn body(&self) -> Result<&[u8], Refusal> {
        self.0.body_of(part::REQUEST_BODY)
    }

    /// Replaces the body, at most 16 MiB; the gateway makes the length right. The first time in a call
    /// it drops the headers that held for the old bytes only (`Content-Encoding`, digests, …), so set
    /// headers of the new body after it. `Content-Type` stays.
    ///
    /// # Errors
    /// [`Fault::Refused`] as for [`body`](Self::body), [`Fault::TooLarge`].
    pub fn set_body(&mut self, body: impl AsRef<[u8]>) -> Result<(), Refusal> {
        self.0
            .set_body_of(op::SET_REQUEST_BODY, part::REQUEST_BODY, body.as_ref())
    }

    /// Sets the session for this request: a JSON object of at most 16 KiB. Not in `pre`, where it could
    /// stand in for authentication.
    pub fn set_session(&mut self, session: &str) -> Result<(), Refusal> {
        self.set_session_of("", session)
    }

    /// Sets the session for this request and names the consumer key that it belongs to: 1 to 256
    /// printable ASCII characters.
    pub fn set_session_of(&mut self, key: &str, session: &str) -> Result<(), Refusal> {
        self.0.mutate(op::SET_SESSION, key, session.as_bytes(), || {
            "set session".to_owned()
        })
    }

    /// Sets the session, and keeps it under its consumer key for all gateways of the environment.
    pub fn store_session(&mut self, key: &str, session: &str) -> Result<(), Refusal> {
        self.0
            .mutate(op::STORE_SESSION, key, session.as_bytes(), || {
                "store session".to_owned()
            })
    }
}

impl<'a> Deref for RequestCall<'a> {
    type Target = Call<'a>;

    fn deref(&self) -> &Call<'a> {
        &self.0
    }
}

/// The upstream's answer on its way to the client.
pub struct ResponseCall<'a>(Call<'a>);

impl<'a> ResponseCall<'a> {
    pub(crate) const fn new(call: Call<'a>) -> Self {
        Self(call)
    }

    pub(crate) fn into_inner(self) -> Call<'a> {
        self.0
    }

    /// Status of the answer.
    pub fn status(&self) -> u16 {
        self.0.upstream_status().unwrap_or(0)
    }

    /// The whole body, as the upstream sent it: if it is compressed, `Content-Encoding` says so. It can
    /// be read any number of times, and is empty where the response has none (to `HEAD`, 204, 304).
    ///
    /// # Errors
    /// [`Fault::Refused`], unless the function declares `[wants_response_body]` in
    /// [`plugin!`](crate::plugin!).
    pub fn body(&self) -> Result<&[u8], Refusal> {
        self.0.body_of(part::RESPONSE_BODY)
    }

    /// Replaces the body, at most 16 MiB; the gateway makes the length right. The first time in a call
    /// it drops the headers that held for the old bytes only (`Content-Encoding`, `ETag`, digests, …),
    /// so set headers of the new body after it. `Content-Type` stays. What may not have a body (the
    /// answer to `HEAD`, 204, 205, 304) goes out without one.
    ///
    /// # Errors
    /// [`Fault::Refused`] as for [`body`](Self::body), [`Fault::TooLarge`].
    pub fn set_body(&mut self, body: impl AsRef<[u8]>) -> Result<(), Refusal> {
        self.0
            .set_body_of(op::SET_RESPONSE_BODY, part::RESPONSE_BODY, body.as_ref())
    }

    /// Sets the status, 200 to 599.
    pub fn set_status(&mut self, status: u16) -> Result<(), Refusal> {
        let digits = status.to_string();
        self.0.mutate(op::SET_STATUS, "", digits.as_bytes(), || {
            format!("set status {status}")
        })
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

impl<'a> Deref for ResponseCall<'a> {
    type Target = Call<'a>;

    fn deref(&self) -> &Call<'a> {
        &self.0
    }
}
