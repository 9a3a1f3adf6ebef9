//! What an S3 server's answers mean. One table for all calls.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::super::{BlobError, BlobKey};

/// Why a call did not succeed, after its retries.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such object or upload.
    Missing,
    /// `If-None-Match: *`: the object exists.
    Exists,
    /// Another writer was at the same object at the same time.
    Collision,
    /// The range begins behind the object's end.
    Beyond,
    /// The server does not know the call.
    Unsupported,
    /// The server lets nobody do that with these credentials.
    Denied(String),
    /// No answer, or the server cannot now.
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
    /// Anything else.
    Other(String),
}

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        let said = DisplayErrorContext(&error).to_string();
        match status {
            Some(404) if error.code() == Some("NoSuchBucket") => Self::Other(said),
            Some(404) => Self::Missing,
            Some(412) => Self::Exists,
            Some(409) => Self::Collision,
            Some(416) => Self::Beyond,
            Some(501 | 405) => Self::Unsupported,
            Some(401 | 403) => Self::Denied(said),
            Some(429 | 500..) => Self::Unavailable(said.into()),
            Some(_) => Self::Other(said),
            None if matches!(error, SdkError::ConstructionFailure(_)) => Self::Other(said),
            None => Self::Unavailable(said.into()),
        }
    }
}

impl Failure {
    /// As an error about an object.
    pub(super) fn of(self, action: &'static str, key: &BlobKey) -> BlobError {
        match self {
            Self::Missing => BlobError::NotFound {
                key: Box::new(key.clone()),
            },
            other => other.at(action, &key.path()),
        }
    }

    /// As an error about a name.
    pub(super) fn at(self, action: &'static str, name: &str) -> BlobError {
        let key = name.to_owned();
        let cause = match self {
            Self::Unavailable(source) => {
                return BlobError::Unavailable {
                    action,
                    key,
                    source,
                };
            }
            Self::Missing => "it does not exist".to_owned(),
            Self::Exists => "it exists already".to_owned(),
            Self::Collision => "others keep writing to it".to_owned(),
            Self::Beyond => "the range lies behind its end".to_owned(),
            Self::Unsupported => "the server does not know the call".to_owned(),
            Self::Denied(said) | Self::Other(said) => said,
        };
        BlobError::Refused { action, key, cause }
    }
}
