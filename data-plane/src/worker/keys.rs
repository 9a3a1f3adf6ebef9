//! Authentication by consumer key.
//!
//! Two places know keys: the index that the supervisor writes, and before it the sessions that functions
//! stored since. A stored session is known here from the moment on that it was stored, and to the other
//! workers as soon as the supervisor has told them; it is forgotten when the index holds it.
//!
//! Invariant: what was stored and did not get to the supervisor is not believed for longer than
//! five seconds (`UNHEARD_MAX_NANOS`).

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, RwLock};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use gantry_domain::{ApiId, Limits, SessionRules};
use http::{HeaderMap, HeaderName};

use super::respond::Refusal;
use crate::key_index::{KeyHash, KeyHasher, KeyIndex, KnownKey, PackedRules};
use crate::sys::clock::monotonic_nanos;

/// Sessions that functions stored and that no index holds yet, at most; the supervisor keeps as many.
pub const STORED_MAX: usize = 4096;
/// Time for the supervisor to say that it has a stored session.
const UNHEARD_MAX_NANOS: u64 = 5_000_000_000;

/// The consumer keys that a worker knows.
#[derive(Debug)]
pub struct Keys {
    hasher: KeyHasher,
    index: ArcSwapOption<KeyIndex>,
    stored: RwLock<HashMap<KeyHash, Stored>>,
    /// Whether there is something in `stored`, so that nobody takes the lock for nothing.
    has_stored: AtomicBool,
    /// APIs of which it was said that limits of their sessions are not enforced.
    limits_noted: Mutex<BTreeSet<ApiId>>,
}

/// A session that a function stored.
#[derive(Debug)]
struct Stored {
    key: KnownKey,
    /// When it stops to count, unless the supervisor has it. Monotonic nanoseconds.
    until: Option<u64>,
}

/// A key that a request brought and that is known.
#[derive(Debug)]
pub struct Authenticated<'h> {
    /// The key itself, as it stands in its header.
    pub token: &'h [u8],
    /// What is known of it.
    pub known: KnownKey,
}

impl Keys {
    /// No keys yet; they are hashed under this pepper.
    pub fn new(pepper: &[u8]) -> Self {
        Self {
            hasher: KeyHasher::new(pepper),
            index: ArcSwapOption::empty(),
            stored: RwLock::default(),
            has_stored: AtomicBool::new(false),
            limits_noted: Mutex::default(),
        }
    }

    /// Uses this index from now on.
    pub fn replace(&self, index: KeyIndex) {
        self.index.store(Some(index.into()));
    }

    /// The key in a header, with or without `Bearer` before it.
    ///
    /// # Errors
    /// The header is missing or doubled, the key is unknown, or there is no index.
    pub fn authenticate<'h>(
        &self,
        headers: &'h HeaderMap,
        header: &HeaderName,
    ) -> Result<Authenticated<'h>, Refusal> {
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
        let known = self.find(&self.hasher.hash(key))?;
        Ok(Authenticated { token: key, known })
    }

    /// Keeps a session that a function stored, until the supervisor says more. None where the key has
    /// this very session already, so that a function may store it with every request; nothing is kept
    /// when there are too many either, and then nothing must be promised to anybody.
    ///
    /// # Errors
    /// [`STORED_MAX`] wait already.
    pub fn store(&self, key: &[u8], session: &Bytes) -> Result<Option<KeyHash>, StoredTooMany> {
        let hash = self.hasher.hash(key);
        if self.find(&hash).is_ok_and(|known| known.session == session) {
            return Ok(None);
        }
        let until = monotonic_nanos().saturating_add(UNHEARD_MAX_NANOS);
        self.insert(hash, session.clone(), Some(until))?;
        Ok(Some(hash))
    }

    /// Takes back what [`Keys::store`] kept.
    pub fn take_back(&self, hash: &KeyHash) {
        let mut stored = self.stored.write().unwrap_or_else(PoisonError::into_inner);
        if stored
            .get(hash)
            .is_some_and(|stored| stored.until.is_some())
        {
            stored.remove(hash);
        }
    }

    /// The supervisor has these stored sessions, and no longer those, which the index holds.
    pub fn heard(&self, sessions: Vec<(KeyHash, Bytes)>, forgotten: &[KeyHash]) {
        for (hash, session) in sessions {
            // The supervisor keeps no more than fit here.
            let _ = self.insert(hash, session, None);
        }
        let now = monotonic_nanos();
        let mut stored = self.stored.write().unwrap_or_else(PoisonError::into_inner);
        stored.retain(|hash, stored| match stored.until {
            None => !forgotten.contains(hash),
            Some(until) => now < until,
        });
        self.has_stored.store(!stored.is_empty(), Relaxed);
    }

    /// Whether this is the first time that limits of an API's sessions are met.
    pub fn notes_limits(&self, api: &ApiId) -> bool {
        let noted = self.limits_noted.lock();
        let mut noted = noted.unwrap_or_else(PoisonError::into_inner);
        !noted.contains(api) && noted.insert(api.clone())
    }

    fn find(&self, hash: &KeyHash) -> Result<KnownKey, Refusal> {
        if self.has_stored.load(Relaxed) {
            let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(stored) = stored.get(hash)
                && stored.until.is_none_or(|until| monotonic_nanos() < until)
            {
                return Ok(stored.key.clone());
            }
        }
        let index = self.index.load();
        let index = index.as_ref().ok_or(Refusal::KeysUnavailable)?;
        index.find(hash).ok_or(Refusal::AccessDisallowed)
    }

    fn insert(
        &self,
        hash: KeyHash,
        session: Bytes,
        until: Option<u64>,
    ) -> Result<(), StoredTooMany> {
        let rules = SessionRules::read(&session, &Limits::default());
        let rules = Some(PackedRules::of(PackedRules::pack(&rules).into()));
        let key = KnownKey { session, rules };
        let mut stored = self.stored.write().unwrap_or_else(PoisonError::into_inner);
        if stored.len() >= STORED_MAX && !stored.contains_key(&hash) {
            return Err(StoredTooMany);
        }
        stored.insert(hash, Stored { key, until });
        self.has_stored.store(true, Relaxed);
        Ok(())
    }
}

/// [`STORED_MAX`] sessions are waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTooMany;

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

    fn index(keys: &[(&[u8], &str)]) -> KeyIndex {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let hasher = KeyHasher::new(b"pepper");
        write_index(
            &path,
            keys.iter().map(|(key, text)| (hasher.hash(key), *text)),
        )
        .unwrap();
        KeyIndex::open(&path).unwrap()
    }

    fn keys() -> Keys {
        let keys = Keys::new(b"pepper");
        keys.replace(index(&[(b"secret", r#"{"alias":"a"}"#)]));
        keys
    }

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        headers
    }

    fn session(keys: &Keys, key: &'static str) -> Result<Bytes, Refusal> {
        let headers = headers(&[key]);
        let found = keys.authenticate(&headers, &AUTHORIZATION);
        found.map(|found| found.known.session)
    }

    #[test]
    fn key_is_known_with_and_without_its_scheme() {
        let keys = keys();
        for value in ["secret", "Bearer secret", "bearer  secret", " secret "] {
            let headers = headers(&[value]);
            let found = keys.authenticate(&headers, &AUTHORIZATION).unwrap();
            assert_eq!(found.known.session, r#"{"alias":"a"}"#);
            assert_eq!(found.token, b"secret");
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
        let refusal = session(&Keys::new(b"pepper"), "secret");
        assert_eq!(refusal, Err(Refusal::KeysUnavailable));
    }

    #[test]
    fn stored_session_counts_at_once_and_until_the_index_holds_it() {
        let keys = keys();
        let document = Bytes::from_static(br#"{"alias":"b"}"#);
        let hash = keys.store(b"new", &document).unwrap().unwrap();
        assert_eq!(session(&keys, "new").unwrap(), document);
        assert_eq!(keys.store(b"new", &document), Ok(None));
        keys.heard(vec![(hash, document.clone())], &[]);
        assert_eq!(session(&keys, "new").unwrap(), document);
        keys.replace(index(&[(b"new", r#"{"alias":"c"}"#)]));
        keys.heard(Vec::new(), &[hash]);
        assert_eq!(session(&keys, "new").unwrap(), r#"{"alias":"c"}"#);
        assert!(!keys.has_stored.load(Relaxed));
    }

    #[test]
    fn session_that_nobody_took_is_taken_back_and_a_known_one_is_not_stored_again() {
        let keys = keys();
        let known = Bytes::from_static(br#"{"alias":"a"}"#);
        assert_eq!(keys.store(b"secret", &known), Ok(None));
        let hash = keys.store(b"new", &known).unwrap().unwrap();
        keys.take_back(&hash);
        assert_eq!(session(&keys, "new"), Err(Refusal::AccessDisallowed));
    }

    #[test]
    fn stored_sessions_are_bounded() {
        let keys = keys();
        let document = Bytes::from_static(b"{}");
        for n in 0..STORED_MAX {
            assert!(keys.store(&n.to_le_bytes(), &document).unwrap().is_some());
        }
        assert_eq!(keys.store(b"one more", &document), Err(StoredTooMany));
    }
}
