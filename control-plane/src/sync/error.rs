//! Everything that a gateway can be told.

use gantry_domain::{Digest, EnvironmentName, FieldError, GatewayId};
use thiserror::Error;

use crate::blob::BlobError;
use crate::metadata::MetadataError;
use crate::refusal::{Kind, Refuse, Violation};

/// Why a gateway is not served (any longer).
#[derive(Debug, Error)]
pub enum SyncError {
    /// Change the message.
    #[error("the message is refused: {}", .0[0])]
    Refused([Violation; 1]),
    /// Begin the stream with `hello`, once.
    #[error("expected {expected}, found {found}")]
    Protocol {
        /// What must come now.
        expected: &'static str,
        /// What came.
        found: &'static str,
    },
    /// Give this process another id, or end the other one.
    #[error("another process is connected as gateway {0}")]
    InUse(GatewayId),
    /// Disconnect some.
    #[error("the environment has {0} connected gateways; that is as many as it may have")]
    TooMany(usize),
    /// Use a token of an environment that exists.
    #[error("environment {0} does not exist")]
    NoEnvironment(EnvironmentName),
    /// Ask for what a revision names.
    #[error("document {0} does not exist")]
    NoDocument(Digest),
    /// Ask for what a release names.
    #[error("artifact {0} does not exist")]
    NoArtifact(Digest),
    /// Go on within the file.
    #[error("expected an offset of at most {size}, found {offset}")]
    Offset {
        /// Bytes of the file.
        size: u64,
        /// What came.
        offset: u64,
    },
    /// Nothing: this process has a newer stream.
    #[error("the gateway has connected anew")]
    Replaced,
    /// Connect again and read faster.
    #[error("the gateway took no message for {0} s")]
    Stalled(u64),
    /// Present a valid token.
    #[error("the token has ended")]
    TokenEnded,
    /// Connect again.
    #[error("the control plane is shutting down")]
    ShuttingDown,
    /// See the store.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// See the store.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl From<FieldError> for SyncError {
    fn from(error: FieldError) -> Self {
        Self::Refused([error.into()])
    }
}

impl Refuse for SyncError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(_) | Self::Protocol { .. } | Self::Offset { .. } => Kind::Invalid,
            Self::InUse(_) => Kind::Exists,
            Self::TooMany(_) => Kind::Exhausted,
            Self::NoEnvironment(_) | Self::NoDocument(_) | Self::NoArtifact(_) => Kind::NotFound,
            Self::Replaced => Kind::Conflict,
            Self::Stalled(_) | Self::ShuttingDown => Kind::Unavailable,
            Self::TokenEnded => Kind::Unauthenticated,
            Self::Metadata(error) => error.kind(),
            Self::Blob(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused([violation]) => violation.code,
            Self::Protocol { .. } => "SYNC_PROTOCOL",
            Self::InUse(_) => "GATEWAY_ID_IN_USE",
            Self::TooMany(_) => "GATEWAYS_TOO_MANY",
            Self::NoEnvironment(_) => "ENVIRONMENT_NOT_FOUND",
            Self::NoDocument(_) => "DOCUMENT_NOT_FOUND",
            Self::NoArtifact(_) => "ARTIFACT_NOT_FOUND",
            Self::Offset { .. } => "OFFSET_INVALID",
            Self::Replaced => "STREAM_REPLACED",
            Self::Stalled(_) => "STREAM_STALLED",
            Self::TokenEnded => "TOKEN_REVOKED",
            Self::ShuttingDown => "SHUTTING_DOWN",
            Self::Metadata(error) => error.code(),
            Self::Blob(error) => error.code(),
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Refused(violations) => violations,
            _ => &[],
        }
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::InUse(_) => Some("give each gateway process an id of its own"),
            _ => None,
        }
    }
}
