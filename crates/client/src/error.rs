//! What went wrong, as a caller needs it: what to do, a stable reason, the fields, the advice.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What the caller can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Change the request: it can never succeed as it is.
    Invalid,
    /// Present a valid token.
    Unauthenticated,
    /// Use a token that has the right.
    Denied,
    /// Name something that exists.
    NotFound,
    /// Leave what is there, or choose another name.
    Exists,
    /// Read again and repeat: somebody wrote in between.
    Conflict,
    /// Change the state that the request depends on.
    Precondition,
    /// Free something, or ask for more.
    Exhausted,
    /// Send the right bytes: what arrived is not what was announced.
    Damaged,
    /// Try later.
    Unavailable,
    /// Find out what became of it: no answer came in time.
    Timeout,
    /// Tell the operators.
    Internal,
}

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What it is about: a field of the request, a gateway, an API.
    pub subject: String,
    /// Stable code; empty where the message holds it.
    pub code: String,
    /// What is wrong there.
    pub description: String,
}

/// A refusal of the control plane, or what kept it from answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError {
    /// What the caller can do.
    pub kind: Kind,
    /// Stable reason, such as `RIGHT_MISSING`; none if the control plane did not answer itself.
    pub reason: Option<String>,
    /// For people.
    pub message: String,
    /// Everything that stands in the way, where there are several things.
    pub violations: Vec<Violation>,
    /// What to do next.
    pub advice: Vec<String>,
    /// How long to wait before trying again, if the control plane said so.
    pub retry_after: Option<Duration>,
}

impl ClientError {
    pub(crate) fn timeout(after: Duration) -> Self {
        Self::local(
            Kind::Timeout,
            format!("no answer within {} s", after.as_secs_f32()),
        )
    }

    pub(crate) fn local(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason: None,
            message: message.into(),
            violations: Vec::new(),
            advice: Vec::new(),
            retry_after: None,
        }
    }

    /// Names the control plane where it did not answer itself: it may be the wrong one.
    pub(crate) fn at(mut self, endpoint: &str) -> Self {
        if self.kind == Kind::Unavailable && self.reason.is_none() {
            self.message = format!("control plane at {endpoint}: {}", self.message);
        }
        self
    }

    /// Whether the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::Timeout)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ClientError {}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let advice = details
            .help()
            .map(|help| &help.links[..])
            .unwrap_or_default();
        let advice = advice.iter().map(|link| {
            let words = link.description.clone();
            if link.url.is_empty() {
                words
            } else {
                format!("{words}: {}", link.url)
            }
        });
        Self {
            kind: kind_of(&status),
            advice: advice.filter(|words| !words.is_empty()).collect(),
            violations: violations(&details),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            message: message(&status),
            reason: reason.filter(|reason| !reason.is_empty()),
        }
    }
}

/// A status that a server sent has no source. One that has was made here, because time was up or the
/// connection broke, whatever code it carries.
fn kind_of(status: &Status) -> Kind {
    let timed_out = sources(status).any(<dyn std::error::Error>::is::<tonic::TimeoutExpired>);
    match kind(status.code()) {
        _ if timed_out => Kind::Timeout,
        Kind::Internal if status.source().is_some() => Kind::Unavailable,
        kind => kind,
    }
}

fn sources(status: &Status) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(status.source(), |error| (*error).source())
}

/// The one table from status codes. What HTTP/2 itself reports counts as unavailable.
const fn kind(code: Code) -> Kind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => Kind::Invalid,
        Code::Unauthenticated => Kind::Unauthenticated,
        Code::PermissionDenied => Kind::Denied,
        Code::NotFound => Kind::NotFound,
        Code::AlreadyExists => Kind::Exists,
        Code::Aborted => Kind::Conflict,
        Code::FailedPrecondition => Kind::Precondition,
        Code::ResourceExhausted => Kind::Exhausted,
        Code::DataLoss => Kind::Damaged,
        Code::Unavailable | Code::Cancelled => Kind::Unavailable,
        Code::DeadlineExceeded => Kind::Timeout,
        Code::Ok | Code::Unknown | Code::Internal | Code::Unimplemented => Kind::Internal,
    }
}

fn violations(details: &tonic_types::ErrorDetails) -> Vec<Violation> {
    let fields = details.bad_request().map(|bad| &bad.field_violations[..]);
    let fields = fields.unwrap_or_default().iter().map(|field| Violation {
        subject: field.field.clone(),
        code: field.reason.clone(),
        description: field.description.clone(),
    });
    let states = details
        .precondition_failure()
        .map(|bad| &bad.violations[..]);
    let states = states.unwrap_or_default().iter().map(|state| Violation {
        subject: state.subject.clone(),
        code: state.r#type.clone(),
        description: state.description.clone(),
    });
    let quotas = details.quota_failure().map(|bad| &bad.violations[..]);
    let quotas = quotas.unwrap_or_default().iter().map(|quota| Violation {
        subject: quota.subject.clone(),
        code: String::new(),
        description: quota.description.clone(),
    });
    fields.chain(states).chain(quotas).collect()
}

/// The transport hides what happened ("transport error") in a chain of sources; the innermost one
/// ("connection refused", "certificate has expired") is what helps.
fn message(status: &Status) -> String {
    let innermost = sources(status).last().map(ToString::to_string);
    match innermost {
        Some(cause) if !status.message().contains(&cause) => {
            format!("{}: {cause}", status.message())
        }
        _ => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn details_of_a_refusal_are_kept_apart() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("FIELD_INVALID", "gantry", [])
            .add_bad_request_violation("auth", "expected an object, found true")
            .add_precondition_failure_violation("GATEWAY_UNFIT", "gateways/g1", "no file fits")
            .add_help_link("create the environment first", "")
            .set_retry_info(Some(Duration::from_secs(3)));
        let status = Status::with_error_details(Code::InvalidArgument, "no", details);
        let error = ClientError::from(status);
        assert_eq!(error.kind, Kind::Invalid);
        assert_eq!(error.to_string(), "no (FIELD_INVALID)");
        assert_eq!(error.violations[0].subject, "auth");
        assert_eq!(error.violations[1].code, "GATEWAY_UNFIT");
        assert_eq!(error.advice, ["create the environment first"]);
        assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
    }

    #[test]
    fn refusal_without_details_has_its_message_only() {
        let error = ClientError::from(Status::not_found("no such environment"));
        assert_eq!(
            error,
            ClientError::local(Kind::NotFound, "no such environment")
        );
    }
}
