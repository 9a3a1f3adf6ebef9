//! Headers that end at the gateway, and headers that it adds.
//!
//! Invariant: what belongs to the client's connection is gone before the first function runs. If it
//! were taken off later, a client could name a header that a function sets in `Connection`, and the
//! upstream would never see it.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// RFC 9110 section 7.6.1, and the two that RFC 2616 listed beside them. `Trailer` is not among them
/// any more: it goes with the trailers of a streamed body.
const HOP_BY_HOP: [HeaderName; 7] = [
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what belongs to one connection, also what `Connection` names. Host and length stay: they
/// say where and how the message itself goes.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let of_connection = |name: &HeaderName| *name == CONNECTION || HOP_BY_HOP.contains(name);
    // Most messages have none: comparing names costs less than looking for each of them.
    if !headers.keys().any(of_connection) {
        return;
    }
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .filter(|name| name != HOST && name != CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Prepares a request's headers for the upstream: its own `Host`, and who asked for what. The client
/// is appended to `X-Forwarded-For`; host and scheme are set unless a proxy before this gateway did.
pub fn address_upstream(headers: &mut HeaderMap, upstream: &HeaderValue, client: &HeaderValue) {
    // The gateway's server side answers the expectation (RFC 9110 section 10.1.1).
    headers.remove(EXPECT);
    let asked = headers.insert(HOST, upstream.clone());
    let forwarded_for = if headers.contains_key(FORWARDED_FOR) {
        appended(headers, client)
    } else {
        client.clone()
    };
    headers.insert(FORWARDED_FOR, forwarded_for);
    if let Some(asked) = asked {
        headers.entry(FORWARDED_HOST).or_insert(asked);
    }
    headers
        .entry(FORWARDED_PROTO)
        .or_insert(HeaderValue::from_static("http"));
}

fn appended(headers: &HeaderMap, client: &HeaderValue) -> HeaderValue {
    let mut list = Vec::new();
    for value in headers.get_all(FORWARDED_FOR) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(client.as_bytes());
    HeaderValue::from_bytes(&list).unwrap_or_else(|_| client.clone())
}

/// Makes a response's length agree with its body, which a function may have parted by changing status
/// or method. Without a length the server side finds the right framing itself.
pub fn settle_length(
    headers: &mut HeaderMap,
    asked: &Method,
    status: StatusCode,
    body_is_empty: bool,
) {
    let speaks_of_another = *asked == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    if status == StatusCode::NO_CONTENT || (body_is_empty && !speaks_of_another) {
        headers.remove(CONTENT_LENGTH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn hop_by_hop_headers_go_also_those_that_connection_names() {
        let mut map = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", " x-other ,,a b"),
            ("x-secret", "1"),
            ("x-other", "1"),
            ("te", "trailers"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("proxy-authorization", "x"),
            ("x-kept", "1"),
        ]);
        remove_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("x-kept", "1")]));
    }

    #[test]
    fn connection_cannot_take_host_or_length_away() {
        let mut map = headers(&[
            ("connection", "host, content-length"),
            ("host", "a"),
            ("content-length", "3"),
        ]);
        remove_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("host", "a"), ("content-length", "3")]));
    }

    #[test]
    fn upstream_learns_who_asked_for_what() {
        let (upstream, client) = (
            HeaderValue::from_static("up:81"),
            HeaderValue::from_static("10.0.0.1"),
        );
        let mut map = headers(&[("host", "a.example"), ("expect", "100-continue")]);
        address_upstream(&mut map, &upstream, &client);
        let expected = headers(&[
            ("host", "up:81"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "a.example"),
            ("x-forwarded-proto", "http"),
        ]);
        assert_eq!(map, expected);
        let mut map = headers(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
        ]);
        address_upstream(&mut map, &upstream, &client);
        assert_eq!(map["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.1");
        assert_eq!(map["x-forwarded-proto"], "https");
    }

    #[test]
    fn length_goes_where_it_no_longer_fits_the_body() {
        let left = |asked: &Method, status: u16, empty| {
            let mut map = headers(&[("content-length", "5")]);
            settle_length(
                &mut map,
                asked,
                StatusCode::from_u16(status).unwrap(),
                empty,
            );
            !map.is_empty()
        };
        assert!(left(&Method::GET, 200, false));
        assert!(left(&Method::HEAD, 200, true));
        assert!(left(&Method::GET, 304, true));
        assert!(!left(&Method::GET, 200, true));
        assert!(!left(&Method::GET, 204, false));
    }
}
