//! What a session document says, as the index of keys holds it beside the document: a request with a
//! consumer key parses no JSON.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | facts, one bit each |
//! | 8 | when it expires, seconds since 1970; 0: never |
//! | 2 + n, repeated | length and identifier of an API that the session is for |
//!
//! Invariant: damaged rules let nobody pass, and do not panic.

use bytes::Bytes;
use gantry_domain::{ApiId, SessionFacts, SessionRefusal, SessionRules};

const HEAD: usize = 9;
const MALFORMED: u8 = 1;
const POLICY: u8 = 1 << 1;
const INACTIVE: u8 = 1 << 2;
const RESTRICTED: u8 = 1 << 3;
const UNENFORCED: u8 = 1 << 4;

/// Rules in their packed form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedRules(Bytes);

impl PackedRules {
    /// Packs rules.
    pub fn pack(rules: &SessionRules) -> Vec<u8> {
        let facts = rules.facts;
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = bit(facts.malformed, MALFORMED)
            | bit(facts.names_policy, POLICY)
            | bit(facts.inactive, INACTIVE)
            | bit(facts.restricted, RESTRICTED)
            | bit(facts.unenforced, UNENFORCED);
        let mut out = vec![flags];
        out.extend_from_slice(&facts.expires_s.to_le_bytes());
        for api in &rules.apis {
            // An identifier is far shorter than this length can say.
            let length = u16::try_from(api.as_str().len()).unwrap_or(0);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&api.as_str().as_bytes()[..usize::from(length)]);
        }
        out
    }

    /// Rules as they were read.
    pub const fn of(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// What is checked first.
    pub fn facts(&self) -> SessionFacts {
        let expires = self.0.get(1..HEAD).and_then(|eight| eight.try_into().ok());
        let (Some(&flags), Some(expires)) = (self.0.first(), expires) else {
            return SessionFacts {
                malformed: true,
                ..SessionFacts::default()
            };
        };
        SessionFacts {
            malformed: flags & MALFORMED != 0,
            names_policy: flags & POLICY != 0,
            inactive: flags & INACTIVE != 0,
            restricted: flags & RESTRICTED != 0,
            unenforced: flags & UNENFORCED != 0,
            expires_s: u64::from_le_bytes(expires),
        }
    }

    /// As [`SessionRules::check`].
    ///
    /// # Errors
    /// The session does not pass.
    pub fn check(&self, api: &ApiId, now_s: impl FnOnce() -> u64) -> Result<(), SessionRefusal> {
        self.facts().check(|| self.names(api), now_s)
    }

    fn names(&self, api: &ApiId) -> bool {
        let mut rest = self.0.get(HEAD..).unwrap_or_default();
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_le_bytes(*length));
            let Some((name, after)) = after.split_at_checked(length) else {
                return false;
            };
            if name == api.as_str().as_bytes() {
                return true;
            }
            rest = after;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use gantry_domain::Limits;
    use proptest::prelude::*;

    use super::*;

    const API: &str = "orders";

    fn packed(document: &str) -> PackedRules {
        let rules = SessionRules::read(document.as_bytes(), &Limits::default());
        PackedRules::of(PackedRules::pack(&rules).into())
    }

    #[test]
    fn packed_rules_decide_as_the_document_does() {
        for document in [
            "{}",
            r#"{"is_inactive": true}"#,
            r#"{"expires": 100, "rate": 5}"#,
            r#"{"expires": 101}"#,
            r#"{"access_rights": {"a": {}, "orders": {}, "z": {}}}"#,
            r#"{"access_rights": {"a": {}, "orders2": {}}}"#,
            r#"{"apply_policies": ["gold"]}"#,
            r#"{"expires": "never"}"#,
        ] {
            let rules = SessionRules::read(document.as_bytes(), &Limits::default());
            let api = API.parse().unwrap();
            let packed = packed(document);
            assert_eq!(packed.facts(), rules.facts, "{document}");
            assert_eq!(
                packed.check(&api, || 100),
                rules.check(&api, || 100),
                "{document}"
            );
        }
    }

    proptest! {
        #[test]
        fn damaged_rules_never_panic_and_cut_ones_pass_nowhere(bytes: Vec<u8>, cut in 0..HEAD) {
            let api = API.parse().unwrap();
            let _ = PackedRules::of(bytes.into()).check(&api, || 100);
            let whole = packed("{}").0;
            let rules = PackedRules::of(whole.slice(..cut));
            prop_assert_eq!(rules.check(&api, || 100), Err(SessionRefusal::Malformed));
        }
    }
}
