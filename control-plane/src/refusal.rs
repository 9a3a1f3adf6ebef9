//! What a caller can be told. Every module has its own error enum; all of them answer the same few
//! questions here, so that each surface needs one table to put them into its own words.
//!
//! Invariant: only the words that [`Refuse`] gives out leave the process. What an internal error is
//! caused by is logged and never sent.

use std::fmt;

use gantry_domain::FieldError;

/// What the caller must do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Change the request: it can never succeed as it is.
    Invalid,
    /// Present a valid token.
    Unauthenticated,
    /// Use a token that has the right.
    Denied,
    /// Call a method that exists.
    NoMethod,
    /// Name something that exists.
    NotFound,
    /// Choose another name or leave what is there.
    Exists,
    /// Read again and repeat: someone else wrote in between.
    Conflict,
    /// Change the state first that the request depends on.
    Precondition,
    /// Free something or ask for more.
    Exhausted,
    /// Repeat once the operators have made room.
    Full,
    /// Send the right bytes: what arrived is not what was announced.
    Damaged,
    /// Repeat later.
    Unavailable,
    /// Nothing; the operators must look.
    Internal,
}

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// A field of the request, such as `proxy.listen_path`, or a thing, such as
    /// `gateways/edge-1/apis/orders`.
    pub subject: String,
    /// Stable code.
    pub code: &'static str,
    /// What was expected there and what came.
    pub message: String,
}

impl From<FieldError> for Violation {
    fn from(error: FieldError) -> Self {
        Self {
            message: format!("expected {}, found {}", error.expected, error.found),
            subject: error.path,
            code: error.code,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = match self.subject.as_str() {
            "" => "the document",
            subject => subject,
        };
        write!(f, "{subject}: {} ({})", self.message, self.code)
    }
}

/// An error that can be put before a caller. Its `Display` is the message for people.
pub trait Refuse: std::error::Error {
    /// What the caller must do.
    fn kind(&self) -> Kind;

    /// The stable code.
    fn code(&self) -> &'static str;

    /// Everything that stands in the way, where there are several things.
    fn violations(&self) -> &[Violation] {
        &[]
    }

    /// What to do next, where it is not plain.
    fn advice(&self) -> Option<&'static str> {
        None
    }
}

/// Mistakes as what stands in the way.
pub(crate) fn violations(errors: Vec<FieldError>) -> Vec<Violation> {
    errors.into_iter().map(Violation::from).collect()
}

/// The code of several violations: that of the first, which the message begins with too.
pub(crate) fn first_code(violations: &[Violation]) -> &'static str {
    violations.first().map_or("INVALID", |first| first.code)
}

/// Several things in one sentence: the first few in full, the others counted.
pub(crate) fn summary<T: fmt::Display>(things: &[T]) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<_> = things.iter().take(SHOWN).map(ToString::to_string).collect();
    if things.len() > SHOWN {
        shown.push(format!("and {} more", things.len() - SHOWN));
    }
    shown.join("; ")
}

/// Whether the system has no room for what was to be written.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// What somebody without room is told.
pub(crate) const FULL: &str = "the control plane has no room for this; its log says where";
/// What to do about that.
pub(crate) const FULL_ADVICE: &str =
    "let its operators make room, then repeat: what is stored is not sent twice";

/// An error with everything that caused it, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
