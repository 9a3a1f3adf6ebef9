//! The one table from refusals to gRPC. Details follow google.rpc: `ErrorInfo` with the stable code,
//! `BadRequest` or `PreconditionFailure` with what stands in the way, `Help` with what to do next.
//!
//! Invariant: the causes of an internal error are logged here and sent nowhere.

use gantry_domain::FieldError;
use gantry_proto::v1::Warning;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::refusal::{FULL, FULL_ADVICE, Kind, Refuse, Violation, chain};

/// The domain of the stable codes.
pub(crate) const ERROR_DOMAIN: &str = "gantry";

// Details travel in trailers, and HTTP/2 peers commonly take 16 KiB of those.
const VIOLATIONS_MAX: usize = 16;
const VIOLATION_BYTES_MAX: usize = 360;
const MESSAGE_BYTES_MAX: usize = 2 << 10;

/// A refusal as a gRPC status.
pub(crate) fn status(refusal: &(impl Refuse + ?Sized)) -> Status {
    let (kind, code) = (refusal.kind(), refusal.code());
    let mut details = ErrorDetails::new();
    details.set_error_info(code, ERROR_DOMAIN, []);
    for violation in refusal.violations().iter().take(VIOLATIONS_MAX) {
        add(&mut details, kind, violation);
    }
    if let Some(advice) = refusal.advice() {
        details.add_help_link(advice, "");
    }
    let message = match kind {
        Kind::Internal => {
            tracing::error!(error = %causes(refusal), "a call failed");
            "the control plane failed; its log says why".to_owned()
        }
        Kind::Full => {
            tracing::error!(error = %causes(refusal), "there is no room left");
            details.add_help_link(FULL_ADVICE, "");
            FULL.to_owned()
        }
        // Only a store that fails has a cause beneath; a busy upload is nobody's concern.
        Kind::Unavailable if refusal.source().is_some() => {
            tracing::warn!(error = %causes(refusal), "a call could not be served");
            "the control plane's store does not answer right now".to_owned()
        }
        _ => cut(&refusal.to_string(), MESSAGE_BYTES_MAX),
    };
    Status::with_error_details(grpc_code(kind), message, details)
}

/// A field that did not parse.
pub(crate) fn invalid(error: FieldError) -> Status {
    #[derive(Debug, thiserror::Error)]
    #[error("the request is refused: {}", .0[0])]
    struct Invalid([Violation; 1]);
    impl Refuse for Invalid {
        fn kind(&self) -> Kind {
            Kind::Invalid
        }
        fn code(&self) -> &'static str {
            self.0[0].code
        }
        fn violations(&self) -> &[Violation] {
            &self.0
        }
    }
    status(&Invalid([error.into()]))
}

/// The code of each kind. Without a wildcard: a new kind must be decided here.
const fn grpc_code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::Denied => Code::PermissionDenied,
        Kind::NoMethod => Code::Unimplemented,
        Kind::NotFound => Code::NotFound,
        Kind::Exists => Code::AlreadyExists,
        Kind::Conflict => Code::Aborted,
        Kind::Precondition => Code::FailedPrecondition,
        Kind::Exhausted | Kind::Full => Code::ResourceExhausted,
        Kind::Damaged => Code::DataLoss,
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Internal,
    }
}

fn add(details: &mut ErrorDetails, kind: Kind, violation: &Violation) {
    let Violation {
        subject,
        code,
        message,
    } = violation;
    let message = cut(message, VIOLATION_BYTES_MAX);
    if kind == Kind::Invalid {
        details.add_bad_request_violation(subject, format!("{message} ({code})"));
    } else {
        details.add_precondition_failure_violation(*code, subject, message);
    }
}

fn causes(refusal: &(impl Refuse + ?Sized)) -> String {
    let mut text = refusal.to_string();
    if let Some(cause) = refusal.source() {
        text.push_str(": ");
        text.push_str(&chain(cause));
    }
    text
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max);
    format!("{}…", &text[..end])
}

/// Warnings to the wire.
pub(crate) fn warnings(warnings: Vec<gantry_domain::FieldWarning>) -> Vec<Warning> {
    warnings.into_iter().map(Warning::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::MetadataError;

    #[test]
    fn cause_of_an_internal_error_is_not_sent() {
        let error = MetadataError::Corrupt {
            table: "secret_table",
            column: "secret_column",
            cause: "secret cause".into(),
        };
        let status = status(&error);
        assert_eq!(status.code(), Code::Internal);
        assert!(!format!("{status:?}").contains("secret"));
    }

    #[test]
    fn field_that_does_not_parse_is_named_with_what_was_expected_and_found() {
        let error =
            gantry_proto::convert::field::<gantry_domain::TenantId>("name", "No!").unwrap_err();
        let status = invalid(error);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("FIELD_INVALID", "gantry")
        );
        let field = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(field.field, "name");
        assert!(
            field.description.contains("found \"No!\" (FIELD_INVALID)"),
            "{field:?}"
        );
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(cut("äää", 3), "ä…");
    }
}
