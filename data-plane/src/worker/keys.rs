//! Authentication by consumer key.

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::respond::Refusal;
use crate::key_index::{KeyHasher, KeyIndex};

/// The consumer keys that a worker knows.
#[derive(Debug)]
pub struct Keys {
    hasher: KeyHasher,
    index: ArcSwapOption<KeyIndex>,
}

impl Keys {
    /// No keys yet; they are hashed under this pepper.
    pub fn new(pepper: &[u8]) -> Self {
        Self {
            hasher: KeyHasher::new(pepper),
            index: ArcSwapOption::empty(),
        }
    }

    /// Uses this index from now on.
    pub fn replace(&self, index: KeyIndex) {
        self.index.store(Some(index.into()));
    }

    /// The session document of the key in a header, with or without `Bearer` before it.
    ///
    /// # Errors
    /// The header is missing or doubled, the key is unknown, or there is no index.
    pub fn authenticate(&self, headers: &HeaderMap, header: &HeaderName) -> Result<Bytes, Refusal> {
        let mut values = headers.get_all(header).iter();
        let value = match (values.next(), values.next()) {
            (Some(value), None) => value.as_bytes().trim_ascii(),
            (None, _) => return Err(Refusal::AuthFieldMissing),
            // Two credentials: which one counts would be anybody's guess.
            (Some(_), Some(_)) => return Err(Refusal::AccessDisallowed),
        };
        let key = without_scheme(value);
        if key.is_empty() {
            return Err(Refusal::AuthFieldMissing);
        }
        let index = self.index.load();
        let index = index.as_ref().ok_or(Refusal::KeysUnavailable)?;
        index
            .session(&self.hasher.hash(key))
            .ok_or(Refusal::AccessDisallowed)
    }
}

fn without_scheme(value: &[u8]) -> &[u8] {
    const SCHEME: &[u8] = b"bearer";
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => match rest.first() {
            None | Some(b' ' | b'\t') => rest.trim_ascii_start(),
            Some(_) => value,
        },
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::AUTHORIZATION;

    use super::*;
    use crate::key_index::write_index;

    fn keys() -> Keys {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let hash = KeyHasher::new(b"pepper").hash(b"secret");
        write_index(&path, [(hash, r#"{"alias":"a"}"#)]).unwrap();
        let keys = Keys::new(b"pepper");
        keys.replace(KeyIndex::open(&path).unwrap());
        keys
    }

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn key_is_known_with_and_without_its_scheme() {
        let keys = keys();
        for value in ["secret", "Bearer secret", "bearer  secret", " secret "] {
            let session = keys
                .authenticate(&headers(&[value]), &AUTHORIZATION)
                .unwrap();
            assert_eq!(session, r#"{"alias":"a"}"#);
        }
    }

    #[test]
    fn missing_unknown_and_doubled_keys_are_refused() {
        let keys = keys();
        let code = |values: &[&'static str]| {
            keys.authenticate(&headers(values), &AUTHORIZATION)
                .unwrap_err()
                .code()
        };
        assert_eq!(code(&[]), "AUTH_FIELD_MISSING");
        assert_eq!(code(&[""]), "AUTH_FIELD_MISSING");
        assert_eq!(code(&["Bearer"]), "AUTH_FIELD_MISSING");
        assert_eq!(code(&["other"]), "ACCESS_DISALLOWED");
        assert_eq!(code(&["Bearersecret"]), "ACCESS_DISALLOWED");
        assert_eq!(code(&["secret", "secret"]), "ACCESS_DISALLOWED");
    }

    #[test]
    fn without_an_index_nobody_passes() {
        let refusal = Keys::new(b"pepper").authenticate(&headers(&["secret"]), &AUTHORIZATION);
        assert_eq!(refusal.unwrap_err(), Refusal::KeysUnavailable);
    }
}
