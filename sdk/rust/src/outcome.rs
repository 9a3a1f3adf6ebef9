//! How a function ends: go on, answer, or fail.

use std::error::Error;
use std::fmt;

use gantry_abi::op;

use crate::Refusal;
use crate::passing::sealed::Change;

/// What the gateway does after a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Go on with the request, or with the upstream's response.
    Continue,
    /// Send this answer; no later function runs. From a request function, no upstream sees the request;
    /// from a response function, nothing of the upstream's body leaves.
    Answer(Answer),
}

/// An answer that a plugin gives instead of the upstream. In a response hook the headers that describe
/// the upstream's body (type, encoding, length, validators, digests) are dropped for it; others stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Answer {
    /// An empty answer. The gateway accepts statuses from 200 to 599.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// An answer whose body is JSON text.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status)
            .header("content-type", "application/json")
            .body(body)
    }

    /// Sets a header. Length and connection headers belong to the gateway and fail the call; but an answer to
    /// `HEAD` may have the `content-length` of the body that it would have otherwise.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body, at most 1 MiB.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Hands the answer to the gateway, the status first: headers are the answer's only after it.
    pub(crate) fn send(&self, call: &mut impl Change) -> Result<(), Refusal> {
        let status = self.status.to_string();
        call.change(op::ANSWER_STATUS, "", status.as_bytes())?;
        for (name, value) in &self.headers {
            call.change(op::SET_RESPONSE_HEADER, name, value)?;
        }
        call.change(op::ANSWER_BODY, "", &self.body)
    }
}

/// Why a function failed. Everything that is an error turns into it with `?`.
pub struct Failure {
    message: String,
}

impl Failure {
    /// A failure with a message for the log.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }

    /// The message for the log.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self { message }
    }
}

/// What a plain function may return: nothing, an [`Outcome`], or a `Result` of either.
pub trait IntoOutcome {
    /// The outcome, or why there is none.
    ///
    /// # Errors
    /// The failure that the function returned.
    fn into_outcome(self) -> Result<Outcome, Failure>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, Failure> {
        Ok(Outcome::Continue)
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, Failure> {
        Ok(self)
    }
}

impl<T: IntoOutcome, E: Into<Failure>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<Outcome, Failure> {
        self.map_err(Into::into).and_then(T::into_outcome)
    }
}
