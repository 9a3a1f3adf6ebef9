//! Session documents: what an authenticated consumer is, handed to the hooks. A JSON object of at
//! most 16 KiB; fields that Gantry does not know are kept as they are, and those that it checks have the
//! type that they should have.

use serde_json::{Map, Value};

use crate::json::{canonical, parse_object};
use crate::{FieldError, Limits, SessionRules};

/// A checked session document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDocument(String);

impl SessionDocument {
    /// Checks a document.
    ///
    /// # Errors
    /// Not an object, too large or too deep, or a field that is checked has a wrong type.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, FieldError> {
        let map: Map<String, Value> =
            parse_object(bytes, limits.session_bytes_max, limits.json_depth_max).map_err(|e| {
                FieldError {
                    path: "session".into(),
                    ..e
                }
            })?;
        SessionRules::of(&map)?;
        Ok(Self(canonical(&Value::Object(map))))
    }

    /// A session that says nothing: `{}`.
    pub fn empty() -> Self {
        Self("{}".to_owned())
    }

    /// The canonical JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_kept_and_non_objects_refused() {
        let limits = Limits::default();
        let session =
            SessionDocument::parse(br#"{"tier": "gold", "alias": "a"}"#, &limits).unwrap();
        assert_eq!(session.as_str(), r#"{"alias":"a","tier":"gold"}"#);
        assert_eq!(
            SessionDocument::parse(b"[]", &limits).unwrap_err().path,
            "session"
        );
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(limits.session_bytes_max));
        assert_eq!(
            SessionDocument::parse(large.as_bytes(), &limits)
                .unwrap_err()
                .code,
            "DOCUMENT_TOO_LARGE"
        );
        let wrong = SessionDocument::parse(br#"{"expires": "tomorrow"}"#, &limits).unwrap_err();
        assert_eq!(wrong.path, "session.expires");
    }
}
