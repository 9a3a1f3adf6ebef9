//! A request's target as it stood in the request line.

use http::Uri;
use http::uri::PathAndQuery;

/// A request target (RFC 9112 section 3.2), in the form in which it came.
#[derive(Debug, Clone)]
pub struct RequestTarget(Form);

#[derive(Debug, Clone)]
enum Form {
    /// Path and query, as most clients send it.
    Origin(PathAndQuery),
    /// With scheme and host before them, as to a proxy.
    Absolute(String),
}

impl From<Uri> for RequestTarget {
    fn from(uri: Uri) -> Self {
        if uri.authority().is_some() {
            return Self(Form::Absolute(uri.to_string()));
        }
        let path = uri.into_parts().path_and_query;
        Self(Form::Origin(
            path.unwrap_or_else(|| PathAndQuery::from_static("/")),
        ))
    }
}

impl RequestTarget {
    /// As it was sent.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Origin(path) => path.as_str(),
            Form::Absolute(whole) => whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_as_it_was_sent() {
        for sent in ["/", "/a%20b/../c?d=e&f", "/?", "http://a.example:8080/x?y"] {
            let target = RequestTarget::from(sent.parse::<Uri>().unwrap());
            assert_eq!(target.as_str(), sent);
        }
    }
}
