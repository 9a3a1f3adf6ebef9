//! The head of a request before it is routed: what it asks of whom, or why it is refused.

use std::borrow::Cow;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Version};

use super::path::RequestPath;
use super::respond::Refusal;

/// What a request asks of whom.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// The host in lower case, without port and final dot; empty for HTTP/1.0 requests without one.
    pub host: Cow<'a, str>,
    /// The path.
    pub path: RequestPath<'a>,
}

impl<'a> Inbound<'a> {
    /// Checks the head of a request.
    ///
    /// # Errors
    /// A tunnel or protocol switch, no clear host, or no clear path.
    pub fn check(head: &'a Parts) -> Result<Self, Refusal> {
        if head.method == Method::CONNECT {
            return Err(Refusal::MethodUnsupported);
        }
        if asks_for_upgrade(&head.headers) {
            return Err(Refusal::UpgradeUnsupported);
        }
        let host = match head.uri.authority() {
            // The absolute form overrides the header (RFC 9112 section 3.2.2).
            Some(authority) => authority.as_str(),
            None => host_header(head)?,
        };
        let host = bare_host(host).ok_or(Refusal::HostInvalid)?;
        let path = RequestPath::check(head.uri.path()).ok_or(Refusal::PathAmbiguous)?;
        Ok(Self { host, path })
    }
}

/// Whether the client wants another protocol. An offer of HTTP/2 may be ignored and is: some clients
/// make it with every first request.
fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(CONNECTION)
        && headers
            .get_all(UPGRADE)
            .iter()
            .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

fn host_header(head: &Parts) -> Result<&str, Refusal> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().map_err(|_| Refusal::HostInvalid),
        (None, None) if head.version < Version::HTTP_11 => Ok(""),
        _ => Err(Refusal::HostInvalid),
    }
}

/// A host without port and final dot, in lower case; none if it is malformed.
fn bare_host(host: &str) -> Option<Cow<'_, str>> {
    let bare = match host.strip_prefix('[') {
        Some(rest) => &host[..rest.find(']')? + 2],
        None => host.split(':').next().unwrap_or_default(),
    };
    let port = &host[bare.len()..];
    let port_is_number = port.strip_prefix(':').map_or(port.is_empty(), |port| {
        port.bytes().all(|b| b.is_ascii_digit())
    });
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._~[]:".contains(&b);
    if !port_is_number || !bare.bytes().all(is_host) {
        return None;
    }
    // A final dot names the same host.
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    Some(if bare.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(bare.to_ascii_lowercase())
    } else {
        Cow::Borrowed(bare)
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn refusal(method: &str, uri: &str, headers: &[(&str, &str)]) -> &'static str {
        Inbound::check(&head(method, uri, headers)).map_or_else(Refusal::code, |_| "passed")
    }

    #[test]
    fn host_is_compared_without_port_case_and_final_dot() {
        for host in [
            "API.example",
            "api.example:8080",
            "api.example.",
            "Api.Example.:80",
            "api.example:",
        ] {
            let head = head("GET", "/", &[("host", host)]);
            assert_eq!(Inbound::check(&head).unwrap().host, "api.example", "{host}");
        }
        assert_eq!(bare_host("[::1]:80").as_deref(), Some("[::1]"));
    }

    #[test]
    fn absolute_form_overrides_the_header() {
        let head = head("GET", "http://b.example:80/x", &[("host", "a.example")]);
        assert_eq!(Inbound::check(&head).unwrap().host, "b.example");
    }

    #[test]
    fn unclear_host_is_refused() {
        assert_eq!(refusal("GET", "/", &[]), "HOST_INVALID");
        assert_eq!(
            refusal("GET", "/", &[("host", "a"), ("host", "a")]),
            "HOST_INVALID"
        );
        for host in ["a/b", "a@b", "a b", "a:b", "[::1", "a:80:80", "é", "a,b"] {
            assert_eq!(
                refusal("GET", "/", &[("host", host)]),
                "HOST_INVALID",
                "{host}"
            );
        }
    }

    #[test]
    fn tunnels_and_protocol_switches_are_refused_but_not_offers_of_http2() {
        let upgrade = |to| {
            refusal(
                "GET",
                "/",
                &[("host", "a"), ("connection", "upgrade"), ("upgrade", to)],
            )
        };
        assert_eq!(upgrade("websocket"), "UPGRADE_UNSUPPORTED");
        assert_eq!(upgrade("h2c"), "passed");
        assert_eq!(
            refusal("CONNECT", "a:80", &[("host", "a")]),
            "METHOD_UNSUPPORTED"
        );
        assert_eq!(refusal("OPTIONS", "*", &[("host", "a")]), "PATH_AMBIGUOUS");
    }
}
