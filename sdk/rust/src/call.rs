//! A call as a function sees it that runs at once: getters that borrow it.
//!
//! Invariant: a value from the host lives as long as the borrow it came from, and a change needs the call
//! mutably, so the compiler enforces what the contract asks of C by words. No `unsafe` here.

use gantry_abi::constants::part;
use gantry_abi::{Fault, Host, rules};

use crate::passing::sealed::Change;
use crate::raw::Gate;
use crate::{Hook, Level, Refusal};

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

    /// Path and query as the client sent them, whatever functions have changed.
    pub fn target(&self) -> &str {
        self.text(part::TARGET).unwrap_or_default()
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

    pub(crate) fn body_of(&self, part: u32) -> Result<&[u8], Refusal> {
        self.gate
            .get(part, b"")
            .map_err(|fault| Refusal::of_body(part, fault))
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
}

impl Change for Call<'_> {
    #[inline]
    fn try_change(&mut self, op: u32, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.gate.mutate(op, key, value)
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
