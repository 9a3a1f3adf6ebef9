//! What a session document says about whether its owner may pass: the checks after the Post-Auth hook.
//! Pure: whoever asks brings the clock and the API.
//!
//! Fields of limits (rate, quota, throttling) are known here only so that somebody can say that they are
//! not enforced.
//!
//! Invariant: a field of another type than it should have never lets anybody pass.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::json::{describe, parse_object};
use crate::{ApiId, FieldError, Limits};

/// Why a session does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SessionRefusal {
    /// A field that is checked has another type than it should have.
    #[error("the session cannot be read")]
    Malformed,
    /// It names a policy, and there are none.
    #[error("the session names a policy that does not exist")]
    PolicyUnknown,
    /// It was switched off.
    #[error("the key is inactive")]
    Inactive,
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
    /// It is for other APIs.
    #[error("the key is not for this API")]
    Disallowed,
}

/// What is checked, but for which APIs a session is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact, and all combinations exist"
)]
pub struct SessionFacts {
    /// A field that is checked has a wrong type.
    pub malformed: bool,
    /// `apply_policies` or `apply_policy_id` names something.
    pub names_policy: bool,
    /// `is_inactive`.
    pub inactive: bool,
    /// `access_rights` is not empty.
    pub restricted: bool,
    /// It has limits that nobody enforces.
    pub unenforced: bool,
    /// `expires`: seconds since 1970; 0: never.
    pub expires_s: u64,
}

impl SessionFacts {
    /// Why the session does not pass. `for_api` says whether `access_rights` names the API, `now_s` is
    /// seconds since 1970; both are asked only where the answer needs them.
    ///
    /// # Errors
    /// As [`SessionRefusal`] says; where several apply, the first.
    pub fn check(
        self,
        for_api: impl FnOnce() -> bool,
        now_s: impl FnOnce() -> u64,
    ) -> Result<(), SessionRefusal> {
        self.check_policies()?;
        if self.inactive {
            return Err(SessionRefusal::Inactive);
        }
        if self.expires_s != 0 && now_s() >= self.expires_s {
            return Err(SessionRefusal::Expired);
        }
        if self.restricted && !for_api() {
            return Err(SessionRefusal::Disallowed);
        }
        Ok(())
    }

    /// The part that is checked after every function that set a session.
    ///
    /// # Errors
    /// [`SessionRefusal::Malformed`] or [`SessionRefusal::PolicyUnknown`].
    pub fn check_policies(self) -> Result<(), SessionRefusal> {
        if self.malformed {
            return Err(SessionRefusal::Malformed);
        }
        if self.names_policy {
            return Err(SessionRefusal::PolicyUnknown);
        }
        Ok(())
    }
}

/// What a document says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionRules {
    /// What is checked first.
    pub facts: SessionFacts,
    /// The APIs that `access_rights` names. What is no identifier of an API is not among them.
    pub apis: BTreeSet<ApiId>,
}

impl SessionRules {
    /// Reads a document, whatever it is: one that cannot be read passes nowhere.
    pub fn read(document: &[u8], limits: &Limits) -> Self {
        // The usual document of a key that is only known.
        if document == b"{}" {
            return Self::default();
        }
        let map = parse_object(document, limits.session_bytes_max, limits.json_depth_max);
        let rules = map.ok().and_then(|map| Self::of(&map).ok());
        rules.unwrap_or(Self {
            facts: SessionFacts {
                malformed: true,
                ..SessionFacts::default()
            },
            apis: BTreeSet::new(),
        })
    }

    /// Reads the fields of a document.
    ///
    /// # Errors
    /// The first field that has another type than it should have.
    pub fn of(map: &Map<String, Value>) -> Result<Self, FieldError> {
        let rights = access_rights(map)?;
        let facts = SessionFacts {
            malformed: false,
            names_policy: names_policy(map)?,
            inactive: match present(map, "is_inactive") {
                None => false,
                Some(Value::Bool(inactive)) => *inactive,
                Some(other) => return Err(wrong("is_inactive", "true or false", other)),
            },
            restricted: rights.is_some_and(|rights| !rights.is_empty()),
            unenforced: has_limits(map) || rights.is_some_and(|all| all.values().any(limited)),
            expires_s: expires_s(map)?,
        };
        let names = rights.into_iter().flat_map(Map::keys);
        let apis = names.filter_map(|name| name.parse().ok()).collect();
        Ok(Self { facts, apis })
    }

    /// Whether the session passes at an API. `now_s`: seconds since 1970, asked only if need be.
    ///
    /// # Errors
    /// As [`SessionRefusal`] says; where several apply, the first.
    pub fn check(&self, api: &ApiId, now_s: impl FnOnce() -> u64) -> Result<(), SessionRefusal> {
        self.facts.check(|| self.apis.contains(api), now_s)
    }
}

/// A field; null is as absent as nothing, because that is how Go writes what is not set.
fn present<'m>(map: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    map.get(name).filter(|value| !value.is_null())
}

fn wrong(field: &str, expected: &str, found: &Value) -> FieldError {
    FieldError {
        path: format!("session.{field}"),
        code: "FIELD_TYPE",
        expected: expected.to_owned(),
        found: describe(found),
    }
}

fn expires_s(map: &Map<String, Value>) -> Result<u64, FieldError> {
    match present(map, "expires") {
        None => Ok(0),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
            // What is below 1 never ends.
            Ok(number.as_u64().unwrap_or(0))
        }
        Some(other) => Err(wrong("expires", "whole seconds since 1970", other)),
    }
}

fn access_rights(map: &Map<String, Value>) -> Result<Option<&Map<String, Value>>, FieldError> {
    match present(map, "access_rights") {
        None => Ok(None),
        Some(Value::Object(rights)) => Ok(Some(rights)),
        Some(other) => Err(wrong("access_rights", "an object by API", other)),
    }
}

fn names_policy(map: &Map<String, Value>) -> Result<bool, FieldError> {
    let list = match present(map, "apply_policies") {
        None => false,
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => !names.is_empty(),
        Some(other) => return Err(wrong("apply_policies", "an array of text", other)),
    };
    match present(map, "apply_policy_id") {
        None => Ok(list),
        Some(Value::String(name)) => Ok(list || !name.is_empty()),
        Some(other) => Err(wrong("apply_policy_id", "text", other)),
    }
}

/// Numbers that limit when they are above 0; elsewhere 0 and -1 mean that there is no limit.
const LIMITS: [&str; 5] = [
    "rate",
    "quota_max",
    "throttle_retry_limit",
    "throttle_interval",
    "max_query_depth",
];

fn has_limits(map: &Map<String, Value>) -> bool {
    let positive = |name: &&str| {
        map.get(*name)
            .and_then(Value::as_f64)
            .is_some_and(|n| n > 0.0)
    };
    LIMITS.iter().any(positive)
}

/// Whether the rights at one API have limits of their own.
fn limited(right: &Value) -> bool {
    let limit = right.get("limit").and_then(Value::as_object);
    limit.is_some_and(has_limits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(document: &Value, now_s: u64) -> Result<(), SessionRefusal> {
        let rules = SessionRules::read(document.to_string().as_bytes(), &Limits::default());
        rules.check(&"orders".parse().unwrap(), || now_s)
    }

    #[test]
    fn session_that_says_nothing_or_zeroes_passes() {
        for document in [
            json!({}),
            json!({"is_inactive": false, "expires": 0, "access_rights": {}, "apply_policies": []}),
            json!({"is_inactive": null, "expires": null, "access_rights": null,
                   "apply_policies": null, "apply_policy_id": ""}),
            json!({"expires": -1, "rate": 0, "quota_max": -1}),
            json!({"expires": 101}),
            json!({"access_rights": {"other": {}, "orders": {}}}),
        ] {
            assert_eq!(check(&document, 100), Ok(()), "{document}");
        }
    }

    #[test]
    fn each_field_refuses_with_its_own_reason_and_the_first_one_counts() {
        use SessionRefusal as R;
        for (document, refusal) in [
            (json!({"is_inactive": true, "expires": 1}), R::Inactive),
            (
                json!({"expires": 99, "access_rights": {"other": {}}}),
                R::Expired,
            ),
            (json!({"expires": 100}), R::Expired),
            (json!({"access_rights": {"other": {}}}), R::Disallowed),
            (
                json!({"access_rights": {"no identifier/": {}}}),
                R::Disallowed,
            ),
            (
                json!({"apply_policies": ["gold"], "is_inactive": true}),
                R::PolicyUnknown,
            ),
            (json!({"apply_policies": [""]}), R::PolicyUnknown),
            (json!({"apply_policy_id": "gold"}), R::PolicyUnknown),
        ] {
            assert_eq!(check(&document, 100), Err(refusal), "{document}");
        }
    }

    #[test]
    fn fields_of_other_types_never_pass_and_are_named() {
        for (field, value) in [
            ("is_inactive", json!("false")),
            ("is_inactive", json!(0)),
            ("expires", json!("0")),
            ("expires", json!(1.5)),
            ("access_rights", json!([])),
            ("apply_policies", json!("")),
            ("apply_policies", json!([1])),
            ("apply_policy_id", json!(false)),
        ] {
            let document = json!({field: value});
            let refusal = check(&document, 100);
            assert_eq!(refusal, Err(SessionRefusal::Malformed), "{document}");
            let error = SessionRules::of(document.as_object().unwrap()).unwrap_err();
            assert_eq!(error.path, format!("session.{field}"));
        }
        let rules = SessionRules::read(b"[]", &Limits::default());
        assert!(rules.facts.malformed);
    }

    #[test]
    fn limits_are_noticed_where_they_would_limit() {
        let unenforced = |document: Value| {
            let map = document.as_object().unwrap().clone();
            SessionRules::of(&map).unwrap().facts.unenforced
        };
        assert!(unenforced(json!({"rate": 10, "per": 1})));
        assert!(unenforced(json!({"quota_max": 5})));
        assert!(unenforced(
            json!({"access_rights": {"a": {"limit": {"rate": 0.5}}}})
        ));
        assert!(!unenforced(
            json!({"rate": 0, "quota_max": -1, "access_rights": {"a": {}}})
        ));
    }

    proptest! {
        #[test]
        fn no_document_panics(document: Vec<u8>, now_s: u64) {
            let rules = SessionRules::read(&document, &Limits::default());
            let _ = rules.check(&"orders".parse().unwrap(), || now_s);
        }
    }
}
