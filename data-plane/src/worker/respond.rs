//! The one table of answers that the gateway gives itself: every refusal with status, code and message.
//!
//! Messages say what the client can do and nothing about what is behind the gateway; the cause goes to
//! the log. Codes are stable.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::body::AnswerBody;

/// Why the gateway answers instead of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The host is missing, doubled or malformed.
    HostInvalid,
    /// Servers might read the path differently.
    PathAmbiguous,
    /// A tunnel was asked for.
    MethodUnsupported,
    /// Another protocol was asked for.
    UpgradeUnsupported,
    /// No API answers here.
    RouteNotFound,
    /// The API cannot run on this gateway.
    ApiUnavailable,
    /// A function of the endpoint cannot run on this gateway.
    EndpointUnavailable,
    /// The auth function let the request pass without a session.
    SessionMissing,
    /// The consumer key is missing.
    AuthFieldMissing,
    /// The consumer key is unknown.
    AccessDisallowed,
    /// The gateway has no consumer keys yet.
    KeysUnavailable,
    /// A function failed.
    PluginFailed,
    /// Too many calls of a function wait.
    PluginBusy,
    /// The client's body broke off or stalled.
    RequestBroken,
    /// A function wants the client's body, which is longer than functions may get.
    RequestBodyTooLarge,
    /// A function wants the upstream's body, which is.
    ResponseBodyTooLarge,
    /// The upstream cannot be connected to.
    UpstreamUnreachable,
    /// The upstream's certificate is not valid for it, or it speaks no TLS.
    UpstreamUntrusted,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The upstream answered nonsense or hung up.
    UpstreamBroken,
    /// A function did not end in time.
    PluginTimeout,
    /// The session has a field of a wrong type that is checked.
    SessionMalformed,
    /// The session names a policy.
    PolicyUnknown,
    /// The session is switched off.
    KeyInactive,
    /// The session's time is over.
    KeyExpired,
    /// The path with the upstream's own before it is longer than requests may be.
    TargetTooLong,
}

struct Row(StatusCode, &'static str, &'static str);

impl Refusal {
    /// All of them, by their numbers.
    pub const ALL: [Self; 26] = [
        Self::HostInvalid,
        Self::PathAmbiguous,
        Self::MethodUnsupported,
        Self::UpgradeUnsupported,
        Self::RouteNotFound,
        Self::ApiUnavailable,
        Self::EndpointUnavailable,
        Self::SessionMissing,
        Self::AuthFieldMissing,
        Self::AccessDisallowed,
        Self::KeysUnavailable,
        Self::PluginFailed,
        Self::PluginBusy,
        Self::RequestBroken,
        Self::RequestBodyTooLarge,
        Self::ResponseBodyTooLarge,
        Self::UpstreamUnreachable,
        Self::UpstreamUntrusted,
        Self::UpstreamTimeout,
        Self::UpstreamBroken,
        Self::PluginTimeout,
        Self::SessionMalformed,
        Self::PolicyUnknown,
        Self::KeyInactive,
        Self::KeyExpired,
        Self::TargetTooLong,
    ];

    /// Its number in records: its place in [`Refusal::ALL`].
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The refusal of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    const fn row(self) -> Row {
        use StatusCode as S;
        match self {
            Self::HostInvalid => Row(
                S::BAD_REQUEST,
                "HOST_INVALID",
                "The request must name one host",
            ),
            Self::PathAmbiguous => Row(
                S::BAD_REQUEST,
                "PATH_AMBIGUOUS",
                "The path has empty, dot or malformed segments, or an encoded separator",
            ),
            Self::TargetTooLong => Row(
                S::URI_TOO_LONG,
                "TARGET_TOO_LONG",
                "With the upstream's own path before it the path is too long",
            ),
            Self::MethodUnsupported => Row(
                S::NOT_IMPLEMENTED,
                "METHOD_UNSUPPORTED",
                "CONNECT is not supported",
            ),
            Self::UpgradeUnsupported => Row(
                S::NOT_IMPLEMENTED,
                "UPGRADE_UNSUPPORTED",
                "Switching to another protocol is not supported",
            ),
            Self::RouteNotFound => Row(
                S::NOT_FOUND,
                "ROUTE_NOT_FOUND",
                "No API answers at this address",
            ),
            Self::ApiUnavailable => Row(
                S::INTERNAL_SERVER_ERROR,
                "API_UNAVAILABLE",
                "This API cannot be served at the moment",
            ),
            Self::EndpointUnavailable => Row(
                S::INTERNAL_SERVER_ERROR,
                "ENDPOINT_UNAVAILABLE",
                "This endpoint cannot be served at the moment",
            ),
            Self::SessionMissing => Row(
                S::BAD_REQUEST,
                "SESSION_MISSING",
                "No session was set: check that the credentials are where this API expects them",
            ),
            Self::AuthFieldMissing => Row(
                S::UNAUTHORIZED,
                "AUTH_FIELD_MISSING",
                "Authorization field missing",
            ),
            Self::AccessDisallowed => Row(
                S::FORBIDDEN,
                "ACCESS_DISALLOWED",
                "Access to this API has been disallowed",
            ),
            Self::KeysUnavailable => Row(
                S::SERVICE_UNAVAILABLE,
                "KEYS_UNAVAILABLE",
                "Credentials cannot be checked at the moment",
            ),
            Self::PluginFailed => Row(
                S::INTERNAL_SERVER_ERROR,
                "PLUGIN_FAILED",
                "The request could not be processed",
            ),
            Self::PluginBusy => Row(
                S::SERVICE_UNAVAILABLE,
                "PLUGIN_BUSY",
                "Too many requests are being processed; try again later",
            ),
            Self::RequestBroken => Row(
                S::BAD_REQUEST,
                "REQUEST_BROKEN",
                "The request's body did not arrive whole",
            ),
            Self::RequestBodyTooLarge => Row(
                S::PAYLOAD_TOO_LARGE,
                "REQUEST_BODY_TOO_LARGE",
                "The request's body is larger than this API accepts",
            ),
            Self::ResponseBodyTooLarge => Row(
                S::BAD_GATEWAY,
                "RESPONSE_BODY_TOO_LARGE",
                "The service behind this API gave an answer that is too large",
            ),
            Self::UpstreamUnreachable => Row(
                S::BAD_GATEWAY,
                "UPSTREAM_UNREACHABLE",
                "The service behind this API cannot be reached",
            ),
            Self::UpstreamUntrusted => Row(
                S::BAD_GATEWAY,
                "UPSTREAM_UNTRUSTED",
                "The service behind this API cannot be trusted",
            ),
            Self::UpstreamTimeout => Row(
                S::GATEWAY_TIMEOUT,
                "UPSTREAM_TIMEOUT",
                "The service behind this API did not answer in time",
            ),
            Self::UpstreamBroken => Row(
                S::BAD_GATEWAY,
                "UPSTREAM_BROKEN",
                "The service behind this API gave no valid answer",
            ),
            Self::PluginTimeout => Row(
                S::GATEWAY_TIMEOUT,
                "PLUGIN_TIMEOUT",
                "The request was not processed in time",
            ),
            Self::SessionMalformed => Row(
                S::INTERNAL_SERVER_ERROR,
                "SESSION_MALFORMED",
                "The session of this key cannot be read",
            ),
            Self::PolicyUnknown => Row(
                S::INTERNAL_SERVER_ERROR,
                "POLICY_UNKNOWN",
                "The session names a policy that does not exist",
            ),
            Self::KeyInactive => Row(
                S::FORBIDDEN,
                "KEY_INACTIVE",
                "Key is inactive, please renew",
            ),
            Self::KeyExpired => Row(
                S::UNAUTHORIZED,
                "KEY_EXPIRED",
                "Key has expired, please renew",
            ),
        }
    }

    /// The status.
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// The stable code.
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// The answer: `{"error": message, "code": code}`.
    pub fn response(self) -> Response<AnswerBody> {
        let Row(status, code, message) = self.row();
        // Codes and messages are ours and need no escaping; a test reads each as JSON.
        let body = format!(r#"{{"error":"{message}","code":"{code}"}}"#);
        let mut response = Response::new(AnswerBody::whole(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self == Self::RequestBodyTooLarge {
            // The rest of the body is not read, so nothing can follow it (RFC 9110 section 15.5.14).
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 11.6.1 wants a challenge with this status.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    /// The same with headers that functions put on the response; where both have one, ours stays,
    /// because it speaks of our body.
    pub fn response_with(self, mut early: HeaderMap) -> Response<AnswerBody> {
        let mut response = self.response();
        for (name, value) in response.headers() {
            early.insert(name, value.clone());
        }
        early.remove(CONTENT_ENCODING);
        *response.headers_mut() = early;
        response
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn number_is_the_place_in_the_table() {
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(refusal.number()), place);
            assert_eq!(Refusal::from_number(refusal.number()), Some(refusal));
        }
        assert_eq!(Refusal::from_number(u8::MAX), None);
    }

    #[tokio::test]
    async fn refusal_is_json_with_message_and_code() {
        let response = Refusal::AuthFieldMissing.response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "AUTH_FIELD_MISSING");
        assert_eq!(body["error"], "Authorization field missing");
    }
}
