//! The one table from what went wrong to the exit code that scripts see.
//!
//! The matches have no wildcard: a new kind of error does not compile until it has its code.

use std::process::ExitCode;

use gantry_bundle::BundleError;
use gantry_client::Kind;

use crate::error::{CliError, Operation};

/// What scripts can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was done.
    Success = 0,
    /// It failed.
    Failed = 1,
    /// It was done, and the result differs from what was given where that matters.
    Differs = 2,
    /// Content is not what it claims to be, or not what a gateway may load.
    Unverified = 3,
    /// Something named does not exist, or nothing fits.
    NotFound = 4,
    /// The token is not valid, or lacks the right.
    Denied = 5,
    /// A quota or a limit.
    Exhausted = 6,
    /// A deployment was refused because a gateway could not run it, or a gateway does not.
    Rejected = 7,
    /// No answer in time, or not done in time: it may or may not have happened, or may yet.
    Unknown = 8,
    /// The command line or the configuration is wrong.
    Usage = 64,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The code of an error.
    pub(crate) const fn of(error: &CliError) -> Self {
        match error {
            CliError::Usage { .. } | CliError::Settings(_) | CliError::Connect(_) => Self::Usage,
            CliError::Refused { operation, error } => Self::of_refusal(*operation, error.kind),
            CliError::Bundle(error) => Self::of_bundle(error),
            CliError::Build(error) => error.exit(),
            CliError::LibrariesRefused { .. }
            | CliError::ManifestRefused { .. }
            | CliError::ImportRefused { .. }
            | CliError::Damaged(_) => Self::Unverified,
            CliError::ImportDropped { .. } => Self::Differs,
            CliError::Unresolved { .. } | CliError::NothingFits { .. } => Self::NotFound,
            CliError::NotServing { .. } => Self::Rejected,
            CliError::NotYetServing { .. } => Self::Unknown,
            CliError::File { .. }
            | CliError::Written { .. }
            | CliError::Answer { .. }
            | CliError::Output(_) => Self::Failed,
        }
    }

    const fn of_refusal(operation: Operation, kind: Kind) -> Self {
        match kind {
            // In a push the request is the bundle itself.
            Kind::Invalid => match operation {
                Operation::Push => Self::Unverified,
                Operation::Deploy | Operation::Other => Self::Failed,
            },
            Kind::Precondition => match operation {
                Operation::Deploy => Self::Rejected,
                Operation::Push | Operation::Other => Self::Failed,
            },
            Kind::Unauthenticated | Kind::Denied => Self::Denied,
            Kind::NotFound => Self::NotFound,
            Kind::Exhausted => Self::Exhausted,
            Kind::Damaged => Self::Unverified,
            Kind::Timeout => Self::Unknown,
            Kind::Exists | Kind::Conflict | Kind::Unavailable | Kind::Internal => Self::Failed,
        }
    }

    const fn of_bundle(error: &BundleError) -> Self {
        match error {
            BundleError::Unreadable { .. } | BundleError::Unwritable(_) => Self::Failed,
            BundleError::NotAnArchive { .. }
            | BundleError::Entry { .. }
            | BundleError::ManifestMissing
            | BundleError::Manifest(_) => Self::Unverified,
            BundleError::Headers | BundleError::TooLarge { .. } => Self::Exhausted,
        }
    }
}
