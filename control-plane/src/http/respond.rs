//! The one table from refusals to HTTP, and what answers look like.
//!
//! Invariant: the causes of an internal error are logged here and sent nowhere.

use bytes::Bytes;
use gantry_bundle::BundleError;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use thiserror::Error;

use crate::grpc::AuthError;
use crate::publish::PublishError;
use crate::refusal::{FULL, FULL_ADVICE, Kind, Refuse, Violation, chain, is_full};

/// The body of every answer.
pub(super) type Body = Full<Bytes>;

/// Why a request was refused.
#[derive(Debug, Error)]
pub(super) enum HttpError {
    /// Call a path that exists.
    #[error("path {0} does not exist")]
    NoPath(String),
    /// Use a method that the path has.
    #[error("expected one of these methods: {0}")]
    Method(&'static str),
    /// Send a smaller archive.
    #[error("body: expected at most {bytes_max} bytes, found more")]
    TooLarge {
        /// The bound.
        bytes_max: u64,
    },
    /// Send all of it.
    #[error("the body ended early: {0}")]
    Interrupted(String),
    /// Send it faster.
    #[error("expected the whole body within {0} s")]
    Slow(u64),
    /// Repeat when other archives are through.
    #[error("{0} archives are being taken in; that is as many as there may be at once")]
    Busy(usize),
    /// Ask another control plane, or later.
    #[error("the control plane is shutting down")]
    ShuttingDown,
    /// Ask again later.
    #[error("a store does not answer")]
    NotReady,
    /// Present another token.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Change the archive.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Change the bundle, or see the store.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Nothing; the operators must look.
    #[error("spool an archive")]
    Spool(#[source] std::io::Error),
    /// Nothing; the operators must look.
    #[error("taking an archive in ended abnormally")]
    Panicked(#[source] tokio::task::JoinError),
}

impl HttpError {
    /// Whether there was no room for an archive.
    fn is_full(&self) -> bool {
        match self {
            Self::Spool(error) | Self::Bundle(BundleError::Unwritable(error)) => is_full(error),
            Self::Publish(error) => error.kind() == Kind::Full,
            _ => false,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            full if full.is_full() => of_kind(Kind::Full),
            Self::NoPath(_) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Interrupted(_) => StatusCode::BAD_REQUEST,
            Self::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy(_) | Self::ShuttingDown | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::Auth(error) => of_kind(error.kind()),
            Self::Bundle(error) => of_bundle(error),
            Self::Publish(error) => of_kind(error.kind()),
            Self::Spool(_) | Self::Panicked(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Spool(_) | Self::Bundle(_) if self.is_full() => "STORAGE_FULL",
            Self::NoPath(_) => "PATH_NOT_FOUND",
            Self::Method(_) => "METHOD_NOT_ALLOWED",
            Self::TooLarge { .. } => "TOO_LARGE",
            Self::Interrupted(_) => "STREAM_INTERRUPTED",
            Self::Slow(_) => "UPLOAD_TIMEOUT",
            Self::Busy(_) => "UPLOADS_BUSY",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::NotReady => "NOT_READY",
            Self::Auth(error) => error.code(),
            Self::Bundle(error) => match error.fields() {
                [first, ..] => first.code,
                [] => error.code(),
            },
            Self::Publish(error) => error.code(),
            Self::Spool(_) | Self::Panicked(_) => "INTERNAL",
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Bundle(error) => error
                .fields()
                .iter()
                .cloned()
                .map(Violation::from)
                .collect(),
            Self::Publish(error) => error.violations().to_vec(),
            _ => Vec::new(),
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            full if full.is_full() => Some(FULL_ADVICE),
            Self::Publish(error) => error.advice(),
            Self::Bundle(BundleError::ManifestMissing) => {
                Some("put manifest.json at the top of the archive")
            }
            _ => None,
        }
    }
}

/// The status of each kind. Without a wildcard: a new kind must be decided here.
const fn of_kind(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid | Kind::Damaged => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::NoMethod | Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Exists | Kind::Conflict | Kind::Precondition => StatusCode::CONFLICT,
        Kind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        Kind::Full => StatusCode::INSUFFICIENT_STORAGE,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn of_bundle(error: &BundleError) -> StatusCode {
    match error {
        BundleError::NotAnArchive { .. } => StatusCode::BAD_REQUEST,
        BundleError::Entry { .. } | BundleError::ManifestMissing | BundleError::Manifest(_) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        BundleError::Headers | BundleError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BundleError::Unreadable { .. } | BundleError::Unwritable(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// A refusal as an answer.
pub(super) fn refusal(error: &HttpError) -> Response<Body> {
    let status = error.status();
    let message = if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(error = %chain(error), "a request failed");
        "the control plane failed; its log says why".to_owned()
    } else if error.is_full() {
        tracing::error!(error = %chain(error), "there is no room left");
        FULL.to_owned()
    } else if status == StatusCode::SERVICE_UNAVAILABLE
        && std::error::Error::source(error).is_some()
    {
        tracing::warn!(error = %chain(error), "a request could not be served");
        "the control plane's store does not answer right now".to_owned()
    } else {
        error.to_string()
    };
    let violations: Vec<_> = error.violations().iter().map(violation).collect();
    let body = json!({"error": {
        "code": error.code(), "message": message, "violations": violations,
        "advice": error.advice(),
    }});
    let mut response = answer(status, &body);
    let headers = response.headers_mut();
    match error {
        HttpError::Method(allowed) => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        _ if status == StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ if status == StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

fn violation(violation: &Violation) -> Value {
    json!({"subject": violation.subject, "code": violation.code, "message": violation.message})
}

/// A JSON answer.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    with_type(status, format!("{body}\n"), "application/json")
}

/// An answer in words.
pub(super) fn text(words: &'static str) -> Response<Body> {
    with_type(
        StatusCode::OK,
        words.to_owned(),
        "text/plain; charset=utf-8",
    )
}

fn with_type(status: StatusCode, body: String, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
