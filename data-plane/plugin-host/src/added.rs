//! Response headers that functions add, and how they join those of the upstream.

use http::HeaderMap;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, AGE,
    CONTENT_DISPOSITION, CONTENT_LOCATION, CONTENT_TYPE, DATE, ETAG, EXPIRES, HeaderName,
    LAST_MODIFIED, LOCATION, RETRY_AFTER, SERVER, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

/// Headers of which two values make no sense, or are refused by browsers: a function's replaces the
/// upstream's.
const SINGLE: [HeaderName; 17] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE,
    AGE,
    CONTENT_DISPOSITION,
    CONTENT_LOCATION,
    CONTENT_TYPE,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    LOCATION,
    RETRY_AFTER,
    SERVER,
    STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
];

/// Adds what functions added to a response's headers. Where a second value makes no sense theirs replaces
/// the upstream's; elsewhere both are there.
pub fn join(response: &mut HeaderMap, added: HeaderMap) {
    let mut name = None;
    for (next, value) in added {
        let first = next.is_some();
        name = next.or(name);
        let Some(name) = name.clone() else { continue };
        if first && SINGLE.contains(&name) {
            response.insert(name, value);
        } else {
            response.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn added_headers_join_the_upstreams() {
        let mut response = headers(&[
            ("set-cookie", "a"),
            ("content-type", "text/plain"),
            ("x-a", "1"),
        ]);
        join(
            &mut response,
            headers(&[
                ("set-cookie", "b"),
                ("set-cookie", "c"),
                ("content-type", "text/html"),
                ("x-b", "2"),
            ]),
        );
        let cookies: Vec<_> = response.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a", "b", "c"]);
        assert_eq!(
            response.get_all("content-type").iter().collect::<Vec<_>>(),
            ["text/html"]
        );
        assert_eq!(
            (&response["x-a"], &response["x-b"]),
            (
                &HeaderValue::from_static("1"),
                &HeaderValue::from_static("2")
            )
        );
    }
}
