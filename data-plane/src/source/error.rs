//! Why a conversation with the control plane ended, and how much haste there is to begin another.

use gantry_client::Kind;
use thiserror::Error;

use super::keys::KeysError;
use super::link::LinkError;
use crate::supervisor::state::StateError;

/// Why a session ended.
#[derive(Debug, Error)]
pub(super) enum SessionError {
    /// Try again soon.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The control plane ended the stream: try again soon.
    #[error("the control plane ended the stream (STREAM_ENDED)")]
    Ended,
    /// It says things that make no sense: try again, which begins afresh.
    #[error("the control plane sent {0} (PROTOCOL_VIOLATION)")]
    Protocol(String),
    /// Keys cannot be taken over: try again, which asks for all of them.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The state directory refuses: try again later.
    #[error(transparent)]
    State(#[from] StateError),
    /// The token belongs to another tenant or environment than this state: somebody must look.
    #[error(
        "the control plane says tenant {found}; this gateway serves {expected} until it is restarted \
         with another state directory (IDENTITY_CHANGED)"
    )]
    IdentityChanged {
        /// Whom this gateway works for.
        expected: String,
        /// What the control plane says.
        found: String,
    },
}

impl SessionError {
    /// The code for status.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Link(LinkError::Refused(refusal)) => match refusal.kind {
                Kind::Unauthenticated | Kind::Denied => "CREDENTIAL_REFUSED",
                Kind::Unavailable | Kind::Timeout => "CONTROL_PLANE_UNREACHABLE",
                // An earlier process of this gateway may not be noticed to be gone yet.
                Kind::Exists => "GATEWAY_ID_IN_USE",
                _ => "CONTROL_PLANE_REFUSED",
            },
            Self::Link(LinkError::Missing(_)) => "DOCUMENT_MISSING",
            Self::Link(LinkError::Foreign { .. }) => "DOCUMENT_DIGEST",
            Self::Link(_) | Self::Ended => "CONTROL_PLANE_UNREACHABLE",
            Self::Protocol(_) => "PROTOCOL_VIOLATION",
            Self::Keys(_) => "KEYS_REFUSED",
            Self::State(_) => "STATE_UNUSABLE",
            Self::IdentityChanged { .. } => "IDENTITY_CHANGED",
        }
    }

    /// Whether trying again soon would only make noise.
    pub(super) fn is_lasting(&self) -> bool {
        matches!(
            self.code(),
            "CREDENTIAL_REFUSED" | "CONTROL_PLANE_REFUSED" | "IDENTITY_CHANGED"
        )
    }

    /// Whether the control plane is merely away, which a gateway is built to bear.
    pub(super) fn is_absence(&self) -> bool {
        self.code() == "CONTROL_PLANE_UNREACHABLE"
    }
}
