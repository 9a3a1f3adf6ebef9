//! What can go wrong, and what to do then.

use std::path::PathBuf;

use gantry_bundle::BundleError;
use gantry_client::download::PullError;
use gantry_client::upload::PushError;
use gantry_client::{ClientError, ConnectError, Kind, Violation};
use thiserror::Error;

use crate::build::BuildError;
use crate::settings::SettingsError;
use crate::view::coded;

/// What was asked of the control plane, where that changes what a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Push,
    Deploy,
    Other,
}

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// Arguments that do not go together.
    #[error("{message}")]
    Usage { message: String, hint: &'static str },
    /// Configuration that cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The control plane cannot be called like that.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The control plane refused, or did not answer.
    #[error("{}", headline(error))]
    Refused {
        operation: Operation,
        error: ClientError,
    },
    /// The bundle cannot be read or written.
    #[error("{}", bundle_message(.0))]
    Bundle(#[from] BundleError),
    /// A plugin could not be built; what its compiler said has been shown.
    #[error("{}", coded(&.0.to_string(), .0.code()))]
    Build(#[source] BuildError),
    /// Inspection refused libraries; each has been shown with its reason.
    #[error("{refused} of {total} libraries would be refused")]
    LibrariesRefused { refused: usize, total: usize },
    /// A manifest has fields that cannot be mapped; each has been shown with its reason.
    #[error("{}: expected a manifest for native functions (MANIFEST_REFUSED)", path.display())]
    ManifestRefused { path: PathBuf },
    /// Definitions have fields that cannot be imported; each has been shown with its reason.
    #[error("{refused} of {total} API definitions cannot be imported (IMPORT_REFUSED)")]
    ImportRefused { refused: usize, total: usize },
    /// It was done, without fields that may have protected APIs; each has been shown.
    #[error(
        "{dropped} API definitions were imported without fields that protected them (PROTECTION_DROPPED)"
    )]
    ImportDropped { dropped: usize },
    /// Nothing would run; what and why has been shown.
    #[error("{api} would not run on this gateway")]
    Unresolved { api: String },
    /// Gateways say that they cannot serve a deployment; each has been shown with its reason.
    #[error("{failed} of {total} gateways cannot serve it")]
    NotServing { failed: usize, total: usize },
    /// Time was up before all gateways served a deployment; each has been shown.
    #[error("{behind} of {total} gateways do not serve it after {limit_s} s")]
    NotYetServing {
        behind: usize,
        total: usize,
        limit_s: u64,
    },
    /// A file or standard input cannot be read, or is not what it should be.
    #[error("read {} (FILE_UNREADABLE)", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A file or folder cannot be written.
    #[error("write {} (FILE_UNWRITABLE)", path.display())]
    Written {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A release has no file that was asked for.
    #[error("{release}: expected {expected}, found {found} (FILE_NOT_FOUND)")]
    NothingFits {
        release: String,
        expected: String,
        found: String,
    },
    /// What was downloaded is not what was published.
    #[error("{0}")]
    Damaged(PullError),
    /// The control plane's answer makes no sense to this version of the command line.
    #[error("the control plane's answer has no {missing}")]
    Answer { missing: &'static str },
    /// Standard output cannot be written.
    #[error("write to standard output")]
    Output(#[source] std::io::Error),
}

impl From<PushError> for CliError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Client(error) => Self::Refused {
                operation: Operation::Push,
                error,
            },
            PushError::Unreadable { path, source } => Self::File { path, source },
        }
    }
}

impl From<PullError> for CliError {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Client(error) => Self::Refused {
                operation: Operation::Other,
                error,
            },
            PullError::File { path, source } => Self::Written { path, source },
            damaged @ PullError::Digest { .. } => Self::Damaged(damaged),
        }
    }
}

impl CliError {
    /// What to do next; the control plane knows best where it said something.
    pub(crate) fn hints(&self) -> Vec<String> {
        match self {
            Self::Usage { hint, .. } => vec![(*hint).to_owned()],
            Self::Settings(error) => error.hint().into_iter().map(str::to_owned).collect(),
            Self::Connect(error) => vec![connect_hint(error).to_owned()],
            Self::Refused { operation, error } if error.advice.is_empty() => {
                refusal_hint(*operation, error.kind)
                    .into_iter()
                    .map(str::to_owned)
                    .collect()
            }
            Self::Refused { error, .. } => error.advice.clone(),
            Self::Build(error) => error.hints(),
            Self::Bundle(BundleError::ManifestMissing) => {
                vec!["a bundle is a folder or a zip with manifest.json at its top".to_owned()]
            }
            Self::Answer { .. } => {
                vec!["use the command line that was released with the control plane".to_owned()]
            }
            Self::NotServing { .. } => {
                vec!["the version stays deployed; deploy an earlier one to go back".to_owned()]
            }
            Self::NotYetServing { .. } => vec![
                "it goes on without us: `gantry gateways` shows how far they are, and the same \
                 command waits again"
                    .to_owned(),
            ],
            Self::Bundle(_)
            | Self::LibrariesRefused { .. }
            | Self::ManifestRefused { .. }
            | Self::ImportRefused { .. }
            | Self::ImportDropped { .. }
            | Self::Unresolved { .. }
            | Self::File { .. }
            | Self::Written { .. }
            | Self::Damaged(_)
            | Self::NothingFits { .. }
            | Self::Output(_) => Vec::new(),
        }
    }
}

/// The message up to where it begins to list what stands in the way: that is printed line by line.
fn headline(error: &ClientError) -> String {
    let message = match error.violations.first() {
        Some(first) => error.message.split(&violation_message(first)).next(),
        None => None,
    };
    let message = message.map(|head| head.trim_end_matches([':', ' ', '(']));
    let message = message
        .filter(|head| !head.is_empty())
        .unwrap_or(&error.message);
    coded(message, error.reason.as_deref().unwrap_or_default())
}

/// One thing that stands in the way.
pub(crate) fn violation_message(violation: &Violation) -> String {
    let Violation {
        subject,
        code,
        description,
    } = violation;
    about(subject, description, code)
}

/// What is said of a field or a file. Some words name it already; `name` is also a word.
pub(crate) fn about(subject: &str, words: &str, code: &str) -> String {
    let is_word = subject.chars().all(char::is_alphabetic);
    if words.starts_with(subject) || !is_word && words.contains(subject) {
        coded(words, code)
    } else {
        coded(&format!("{subject}: {words}"), code)
    }
}

/// Mistakes in the manifest carry their own codes.
fn bundle_message(error: &BundleError) -> String {
    match error.fields() {
        [] => format!("{error} ({})", error.code()),
        _ => error.to_string(),
    }
}

const fn connect_hint(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Endpoint { .. } => {
            "give the control plane's address with --endpoint or GANTRY_ENDPOINT"
        }
        ConnectError::Plaintext { .. } => {
            "use https://, or --allow-plaintext on a network where everybody may read the token"
        }
        ConnectError::Token { .. } => "give the token as `gantry token create` printed it",
        ConnectError::Authority | ConnectError::Tls(_) => {
            "give the CA's certificate (PEM) with --ca-file"
        }
    }
}

const fn refusal_hint(operation: Operation, kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Unauthenticated => Some("set GANTRY_TOKEN or GANTRY_TOKEN_FILE to a valid token"),
        Kind::Denied => Some(
            "`gantry whoami` shows what the token may do; an admin makes others with \
             `gantry token create`",
        ),
        Kind::NotFound => {
            Some("`gantry list`, `gantry env list` and `gantry api list` show what there is")
        }
        Kind::Exists => match operation {
            Operation::Push => {
                Some("a published version never changes: give this one a new version")
            }
            Operation::Deploy | Operation::Other => None,
        },
        Kind::Conflict => Some("read it again and repeat: somebody wrote in between"),
        Kind::Precondition => match operation {
            Operation::Deploy => Some(
                "publish a build that fits these gateways, or deploy anyway with `gantry deploy --force`",
            ),
            Operation::Push | Operation::Other => None,
        },
        Kind::Unavailable => {
            Some("is the control plane running, and is --endpoint (GANTRY_ENDPOINT) its address?")
        }
        Kind::Timeout => Some("it may have happened: look before you repeat it, or give --timeout"),
        Kind::Damaged => Some("push again; what did arrive intact is not sent twice"),
        Kind::Internal => Some("the control plane's log says more"),
        Kind::Invalid | Kind::Exhausted => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str, violations: Vec<Violation>) -> String {
        headline(&ClientError {
            kind: Kind::Invalid,
            reason: Some("FIELD_UNKNOWN".into()),
            message: message.into(),
            violations,
            advice: Vec::new(),
            retry_after: None,
        })
    }

    #[test]
    fn field_is_named_once() {
        let words = "proxy.listen_path: expected a path";
        assert_eq!(about("proxy.listen_path", words, ""), words);
        assert_eq!(
            about("name", "expected a name", "NAME_MISSING"),
            "name: expected a name (NAME_MISSING)"
        );
    }

    #[test]
    fn headline_leaves_out_what_is_listed_below_it() {
        let field = |subject: &str| Violation {
            subject: subject.into(),
            code: String::new(),
            description: "expected no such field".into(),
        };
        let message =
            "the definition is refused: a: expected no such field; b: expected no such field";
        assert_eq!(
            refused(message, vec![field("a"), field("b")]),
            "the definition is refused (FIELD_UNKNOWN)"
        );
        assert_eq!(
            refused("two fields are wrong", vec![field("a")]),
            "two fields are wrong (FIELD_UNKNOWN)"
        );
        assert_eq!(
            refused("a: expected no such field", vec![field("a")]),
            "a: expected no such field (FIELD_UNKNOWN)"
        );
    }
}
