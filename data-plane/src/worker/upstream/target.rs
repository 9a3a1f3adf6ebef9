//! Where an API's requests go: `http[s]://host[:port][/path]`, taken apart once.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use thiserror::Error;

/// A target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host, without brackets if it is an IPv6 address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the upstream speaks TLS.
    pub tls: bool,
    /// What stands in `Host`, as it was written.
    pub authority: HeaderValue,
    /// The path before every request's, without a slash at its end.
    pub base_path: String,
}

/// A target that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("target_url {0:?} is not http[s]://host[:port][/path]")]
pub struct TargetError(String);

impl TargetError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        "TARGET_INVALID"
    }
}

impl Target {
    /// Takes a target apart.
    ///
    /// # Errors
    /// It is none, or asks for what is not served: user information, a query.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        Self::read(url).ok_or_else(|| TargetError(url.to_owned()))
    }

    fn read(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority: &Authority = uri.authority()?;
        let tls = match uri.scheme()? {
            scheme if *scheme == Scheme::HTTP => false,
            scheme if *scheme == Scheme::HTTPS => true,
            _ => return None,
        };
        let plain = uri.query().is_none()
            && !authority.as_str().contains('@')
            && !authority.host().is_empty();
        let host = authority.host();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = match authority.as_str().strip_prefix(host)? {
            "" if tls => 443,
            "" => 80,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        let value = HeaderValue::from_str(authority.as_str()).ok()?;
        plain.then(|| Self {
            host: bare.to_owned(),
            port,
            tls,
            authority: value,
            base_path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The path and query that go upstream; none if a function made a path that cannot be sent.
    pub fn path_and_query(&self, path: &str, query: Option<&str>) -> Option<PathAndQuery> {
        let mut text = String::with_capacity(
            self.base_path.len() + 1 + path.len() + query.map_or(0, |query| 1 + query.len()),
        );
        text.push_str(&self.base_path);
        if !path.starts_with('/') {
            text.push('/');
        }
        text.push_str(path);
        if let Some(query) = query {
            text.push('?');
            text.push_str(query);
        }
        PathAndQuery::from_maybe_shared(bytes::Bytes::from(text)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, u16, String, String) {
        let target = Target::parse(url).unwrap();
        let authority = target.authority.to_str().unwrap().to_owned();
        (target.host, target.port, authority, target.base_path)
    }

    #[test]
    fn target_is_taken_apart() {
        let expected = |host: &str, port, authority: &str, base: &str| {
            (host.to_owned(), port, authority.to_owned(), base.to_owned())
        };
        assert_eq!(parts("http://up"), expected("up", 80, "up", ""));
        assert_eq!(
            parts("http://up:81/base/"),
            expected("up", 81, "up:81", "/base")
        );
        assert_eq!(
            parts("http://[::1]:81/"),
            expected("::1", 81, "[::1]:81", "")
        );
    }

    #[test]
    fn scheme_decides_about_tls_and_the_port() {
        let target = |url: &str| Target::parse(url).map(|target| (target.tls, target.port));
        assert_eq!(target("http://up"), Ok((false, 80)));
        assert_eq!(target("https://up"), Ok((true, 443)));
        assert_eq!(target("HTTPS://up:8443/base"), Ok((true, 8443)));
    }

    #[test]
    fn what_is_not_served_is_refused() {
        for url in [
            "ftp://up",
            "up:80",
            "http://",
            "http://u@up",
            "http://up/?q",
            "http://up:0x",
            "http://up:",
        ] {
            assert_eq!(
                Target::parse(url).unwrap_err().code(),
                "TARGET_INVALID",
                "{url}"
            );
        }
    }

    #[test]
    fn paths_join_with_one_slash() {
        let joined = |url, path, query| {
            Target::parse(url)
                .unwrap()
                .path_and_query(path, query)
                .unwrap()
                .to_string()
        };
        assert_eq!(joined("http://up", "", None), "/");
        assert_eq!(
            joined("http://up/base/", "/users", Some("a=1")),
            "/base/users?a=1"
        );
        assert_eq!(joined("http://up/base", "", Some("")), "/base/?");
    }
}
