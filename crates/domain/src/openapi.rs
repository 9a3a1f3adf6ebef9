//! The `OpenAPI` document of an API definition. It is opaque: functions read it, Gantry does not.
//!
//! A definition that somebody writes may hold the document; the definition that is stored and shipped
//! holds its digest, so that a large document does not go along with every change of a small definition.

use std::fmt;

use serde_json::{Map, Value};

use crate::json::{Findings, canonical, depth, describe, parse_object};
use crate::{Digest, FieldError, Limits};

/// The field of a definition.
const FIELD: &str = "openapi";

/// A document, or the name of one.
#[derive(Clone)]
pub struct OpenApi {
    /// Of the canonical text.
    pub digest: Digest,
    /// The canonical text, where the definition held the document.
    pub document: Option<String>,
}

impl OpenApi {
    /// Reads a document that comes alone.
    ///
    /// # Errors
    /// It is none, or exceeds a limit.
    pub fn parse(document: &[u8], limits: &Limits) -> Result<Self, Vec<FieldError>> {
        let map = parse_object(document, limits.openapi_bytes_max, usize::MAX);
        let map = map.map_err(|error| {
            let path = FIELD.to_owned();
            vec![FieldError { path, ..error }]
        })?;
        let mut findings = Findings::default();
        Self::of(map, limits, &mut findings).ok_or(findings.errors)
    }

    /// Takes the document out of a definition.
    pub(crate) fn take(
        definition: &mut Map<String, Value>,
        limits: &Limits,
        findings: &mut Findings,
    ) -> Option<Self> {
        let found = match definition.remove(FIELD)? {
            Value::String(text) => {
                if let Ok(digest) = text.parse() {
                    return Some(Self {
                        digest,
                        document: None,
                    });
                }
                Value::String(text)
            }
            Value::Object(document) => return Self::of(document, limits, findings),
            other => other,
        };
        let expected = "an OpenAPI document, or the digest of one that was stored before";
        findings.error(FIELD, "FIELD_TYPE", expected, describe(&found));
        None
    }

    fn of(document: Map<String, Value>, limits: &Limits, findings: &mut Findings) -> Option<Self> {
        let errors = findings.errors.len();
        if !document.get("openapi").is_some_and(Value::is_string) {
            let expected = "the version of OpenAPI that the document is written in, as text";
            let found = document.get("openapi").map_or("nothing".into(), describe);
            findings.error("openapi.openapi", "FIELD_MISSING", expected, found);
        }
        let document = Value::Object(document);
        let (levels, levels_max) = (depth(&document), limits.openapi_depth_max);
        if levels > levels_max {
            let expected = format!("at most {levels_max} levels");
            findings.error(FIELD, "JSON_TOO_DEEP", expected, format!("{levels} levels"));
        }
        let document = canonical(&document);
        if document.len() > limits.openapi_bytes_max {
            let expected = format!("at most {} bytes", limits.openapi_bytes_max);
            let found = format!("{} bytes", document.len());
            findings.error(FIELD, "DOCUMENT_TOO_LARGE", expected, found);
        }
        (findings.errors.len() == errors).then(|| Self {
            digest: Digest::of(&document),
            document: Some(document),
        })
    }

    /// The digest that a stored definition names; none if it names none.
    pub fn named_by(definition: &[u8]) -> Option<Digest> {
        // Most definitions name none, and are not parsed for it.
        let name = b"\"openapi\"";
        if !definition.windows(name.len()).any(|at| at == name) {
            return None;
        }
        let definition: Value = serde_json::from_slice(definition).ok()?;
        definition.get(FIELD)?.as_str()?.parse().ok()
    }
}

/// The same document is the same, whether or not it is at hand.
impl PartialEq for OpenApi {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for OpenApi {}

impl fmt::Debug for OpenApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenApi({})", self.digest)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ApiDefinition;

    fn definition(openapi: &Value) -> String {
        json!({
            "api_id": "orders", "name": "Orders", "openapi": openapi,
            "proxy": {"listen_path": "/orders", "target_url": "http://orders.internal"},
        })
        .to_string()
    }

    fn parse(text: &str) -> Result<ApiDefinition, Vec<FieldError>> {
        let limits = Limits::default();
        ApiDefinition::parse(text.as_bytes(), &limits).map(|(definition, _)| definition)
    }

    #[test]
    fn document_is_kept_whole_and_its_definition_holds_the_digest() {
        let document =
            json!({"openapi": "3.0.3", "info": {"title": "x"}, "paths": {}, "x-own": [1]});
        let written = parse(&definition(&document)).unwrap();
        let openapi = written.openapi.clone().unwrap();
        let text = openapi.document.unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
        assert_eq!(openapi.digest, Digest::of(&text));
        let stored = written.canonical();
        assert_eq!(OpenApi::named_by(stored.as_bytes()), Some(openapi.digest));
        assert!(!stored.contains("x-own"));
        let read = parse(&stored).unwrap();
        assert_eq!(read, written);
        assert_eq!(read.openapi.unwrap().document, None);
    }

    #[test]
    fn document_may_be_larger_and_deeper_than_a_definition() {
        let mut deep = json!({});
        for _ in 0..50 {
            deep = json!({"a": deep});
        }
        let large = "x".repeat(Limits::default().definition_bytes_max);
        let document = json!({"openapi": "3.1.0", "large": large, "deep": deep});
        assert!(parse(&definition(&document)).is_ok());
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_field() {
        let mut deep = json!({"openapi": "3.1.0"});
        for _ in 0..Limits::default().openapi_depth_max {
            deep = json!({"openapi": "3.1.0", "a": deep});
        }
        let large = "x".repeat(Limits::default().openapi_bytes_max);
        for (openapi, path, code) in [
            (json!({}), "openapi.openapi", "FIELD_MISSING"),
            (json!({"openapi": 3}), "openapi.openapi", "FIELD_MISSING"),
            (json!("no digest"), "openapi", "FIELD_TYPE"),
            (json!([]), "openapi", "FIELD_TYPE"),
            (deep, "openapi", "JSON_TOO_DEEP"),
            (
                json!({"openapi": "3.1.0", "large": large}),
                "openapi",
                "DOCUMENT_TOO_LARGE",
            ),
        ] {
            let errors = parse(&definition(&openapi)).unwrap_err();
            let found: Vec<_> = errors.iter().map(|e| (e.path.as_str(), e.code)).collect();
            assert_eq!(found, [(path, code)]);
        }
    }

    #[test]
    fn rest_of_the_definition_is_held_to_its_own_bounds() {
        let limits = Limits::default();
        let document = json!({"openapi": "3.1.0"});
        let mut written: Value = serde_json::from_str(&definition(&document)).unwrap();
        written["config_data"] = json!({"large": "x".repeat(limits.definition_bytes_max)});
        let errors = parse(&written.to_string()).unwrap_err();
        assert!(
            errors
                .iter()
                .any(|e| e.path.is_empty() && e.code == "DOCUMENT_TOO_LARGE")
        );
        let mut deep = json!({});
        for _ in 0..limits.json_depth_max {
            deep = json!({"a": deep});
        }
        written["config_data"] = deep;
        let errors = parse(&written.to_string()).unwrap_err();
        assert!(errors.iter().any(|e| e.code == "JSON_TOO_DEEP"));
    }
}
