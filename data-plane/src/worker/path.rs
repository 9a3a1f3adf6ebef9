//! Paths as they are routed: one form, so that no two spellings of a path meet two APIs.
//!
//! A path that servers are known to read differently is refused: encoded slashes and backslashes, dot
//! segments in any spelling (also with parameters, `..;x`, which some servers drop first), empty
//! segments, NUL. What remains is normalised (RFC 3986 section 6.2.2.2: unreserved characters are
//! written as they are), and for the choice of an API every character that a listen path can hold is
//! decoded as well.
//!
//! Invariant: the normal form and the decoded form have the same segments, so a listen path found in
//! one can be taken off the other.

use std::borrow::Cow;

/// A path that may be routed.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    normal: Cow<'a, str>,
    /// Where it differs from the normal form.
    decoded: Option<String>,
}

impl<'a> RequestPath<'a> {
    /// Checks and normalises a path; none if servers might not agree on what it means.
    pub fn check(path: &'a str) -> Option<Self> {
        gantry_abi::rules::path(path.as_bytes()).ok()?;
        if !path.contains('%') {
            let plain = Self {
                normal: Cow::Borrowed(path),
                decoded: None,
            };
            return plain.has_plain_segments().then_some(plain);
        }
        let normal = decode(path, is_unreserved)?;
        let decoded = decode(&normal, is_listen_path_character)?;
        let decoded = (decoded != normal).then_some(decoded);
        let path = Self {
            normal: Cow::Owned(normal),
            decoded,
        };
        path.has_plain_segments().then_some(path)
    }

    /// The normal form, which functions see and the upstream gets.
    pub fn normal(&self) -> &str {
        &self.normal
    }

    /// The form by which an API is chosen.
    pub fn decoded(&self) -> &str {
        self.decoded.as_deref().unwrap_or(&self.normal)
    }

    fn has_plain_segments(&self) -> bool {
        let mut segments = self.decoded()[1..].split('/').peekable();
        while let Some(segment) = segments.next() {
            let bare = segment.split(';').next().unwrap_or_default();
            // Only the last segment may be empty: a slash at the end.
            if matches!(bare, "." | "..") || (segment.is_empty() && segments.peek().is_some()) {
                return false;
            }
        }
        true
    }
}

/// Takes a listen path (without a slash at its end) off a path, if it stands there at a segment
/// boundary; the rest is empty or begins with a slash. A path that a function changed may not begin
/// with it and stays as it is.
pub fn strip<'a>(path: &'a str, listen_path: &str) -> &'a str {
    let segments = listen_path.matches('/').count();
    let end = path
        .match_indices('/')
        .nth(segments)
        .map_or(path.len(), |(at, _)| at);
    let (head, rest) = path.split_at(end);
    let is_listen_path = head == listen_path
        || (head.contains('%')
            && decode(head, is_listen_path_character).is_some_and(|head| head == listen_path));
    if is_listen_path { rest } else { path }
}

/// Decodes the percent-encoded characters that `plain` names; none if an encoding is malformed or
/// hides a separator or NUL.
fn decode(path: &str, plain: fn(u8) -> bool) -> Option<String> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3)?;
        let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16)
            .ok()
            .filter(|_| hexadecimal)?;
        match byte {
            b'/' | b'\\' | 0 => return None,
            byte if plain(byte) => decoded.push(char::from(byte)),
            _ => {
                decoded.push('%');
                decoded.push_str(digits);
            }
        }
        rest = &rest[at + 3..];
    }
    decoded.push_str(rest);
    Some(decoded)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_listen_path_character(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn path_that_servers_read_differently_is_refused() {
        for path in [
            "",
            "*",
            "a",
            "/a//b",
            "//",
            "//a",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/%2e%2E/a",
            "/a/.%2e",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%+1",
            "/..;x/a",
            "/a/..;",
            "/a/.%3B/b",
            "/a b",
            "/é",
            "/a?b",
            "/a#b",
        ] {
            assert_eq!(RequestPath::check(path), None, "{path}");
        }
    }

    #[test]
    fn ordinary_path_passes_as_it_is() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a.b/..c/...",
            "/a;x=1/b",
            "/a%20b",
            "/a%252fb",
            "/@:!$&'()*+,=",
        ] {
            assert_eq!(RequestPath::check(path).unwrap().normal(), path);
        }
    }

    #[test]
    fn spellings_of_one_path_have_one_form() {
        let path = RequestPath::check("/%61dmin/%7Eu/%20").unwrap();
        assert_eq!(path.normal(), "/admin/~u/%20");
        let path = RequestPath::check("/a%40b/c").unwrap();
        assert_eq!((path.normal(), path.decoded()), ("/a%40b/c", "/a@b/c"));
    }

    #[test]
    fn listen_path_is_taken_off_at_a_segment_boundary() {
        assert_eq!(strip("/api/users", "/api"), "/users");
        assert_eq!(strip("/api", "/api"), "");
        assert_eq!(strip("/api/", "/api"), "/");
        assert_eq!(strip("/apis/users", "/api"), "/apis/users");
        assert_eq!(strip("/other", "/api"), "/other");
        assert_eq!(strip("/users", ""), "/users");
        assert_eq!(strip("/a%40b/c", "/a@b"), "/c");
        assert_eq!(strip("/v1/api/x", "/v1/api"), "/x");
    }

    proptest! {
        #[test]
        fn forms_have_the_same_segments_and_no_input_panics(path in "(/|%[0-9a-fA-F]{2}|%|[a-z.;@]|\\PC){0,20}") {
            if let Some(path) = RequestPath::check(&path) {
                prop_assert_eq!(path.normal().matches('/').count(), path.decoded().matches('/').count());
                let again = RequestPath::check(path.normal()).unwrap();
                prop_assert_eq!(again.normal(), path.normal());
            }
            let _ = strip(&path, "/a");
        }
    }
}
