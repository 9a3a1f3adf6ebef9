//! Reading JSON documents that people write: every mistake is reported with its path, all of them
//! together, and unknown fields are mistakes. Writing documents canonically, so that equal documents
//! have equal digests.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::Digest;

/// One mistake in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// Where, such as `custom_middleware.pre[0].path`; empty for the document itself.
    pub path: String,
    /// Stable code, such as `FIELD_UNKNOWN`.
    pub code: &'static str,
    /// What would have been right.
    pub expected: String,
    /// What came.
    pub found: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "the document"
        } else {
            &self.path
        };
        write!(
            f,
            "{path}: expected {}, found {} ({})",
            self.expected, self.found, self.code
        )
    }
}

impl std::error::Error for FieldError {}

/// Something accepted that its author should know about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldWarning {
    /// Where.
    pub path: String,
    /// Stable code, such as `FIELD_IGNORED`.
    pub code: &'static str,
    /// What it means for the author.
    pub message: String,
}

impl fmt::Display for FieldWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.path, self.message, self.code)
    }
}

/// Errors and warnings of one document as they are found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What makes the document refused.
    pub errors: Vec<FieldError>,
    /// What its author should know.
    pub warnings: Vec<FieldWarning>,
}

impl Findings {
    /// Notes a mistake.
    pub fn error(
        &mut self,
        path: impl Into<String>,
        code: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        let (expected, found) = (expected.into(), found.into());
        self.errors.push(FieldError {
            path: path.into(),
            code,
            expected,
            found,
        });
    }

    /// Notes something to know.
    pub fn warn(
        &mut self,
        path: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) {
        self.warnings.push(FieldWarning {
            path: path.into(),
            code,
            message: message.into(),
        });
    }
}

/// Parses bytes as one JSON object within a size and a depth.
///
/// # Errors
/// `DOCUMENT_TOO_LARGE`, `JSON_MALFORMED`, `JSON_TOO_DEEP` or `FIELD_TYPE`.
pub fn parse_object(
    bytes: &[u8],
    bytes_max: usize,
    depth_max: usize,
) -> Result<Map<String, Value>, FieldError> {
    let refuse = |code, expected: String, found: String| FieldError {
        path: String::new(),
        code,
        expected,
        found,
    };
    if bytes.len() > bytes_max {
        return Err(refuse(
            "DOCUMENT_TOO_LARGE",
            format!("at most {bytes_max} bytes"),
            format!("{} bytes", bytes.len()),
        ));
    }
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|e| refuse("JSON_MALFORMED", "JSON (RFC 8259)".into(), e.to_string()))?;
    if depth(&value) > depth_max {
        return Err(refuse(
            "JSON_TOO_DEEP",
            format!("at most {depth_max} levels"),
            format!("{} levels", depth(&value)),
        ));
    }
    match value {
        Value::Object(map) => Ok(map),
        other => Err(refuse("FIELD_TYPE", "an object".into(), describe(&other))),
    }
}

/// How many levels a value has; 1 for a scalar.
pub(crate) fn depth(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What an error says would have been right; what came is told apart.
fn expectation(error: &impl fmt::Display) -> String {
    let words = error.to_string();
    match words.split_once("; expected ") {
        Some((_, expected)) => expected.to_owned(),
        None => words,
    }
}

/// What a value is, for messages; long text is cut.
pub fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) if s.chars().count() <= 60 => format!("{s:?}"),
        Value::String(s) => format!(
            "{:?}… ({} bytes)",
            s.chars().take(40).collect::<String>(),
            s.len()
        ),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(map) => format!("an object of {}", map.len()),
    }
}

/// The canonical text: members sorted by name, no white space. Equal documents print equally,
/// whatever order their fields came in.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

/// The digest of the canonical text.
pub fn canonical_digest(value: &Value) -> Digest {
    Digest::of(canonical(value))
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (i, (name, member)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_scalar(&Value::String(name.clone()), out);
                out.push(':');
                write_canonical(member, out);
            }
            out.push('}');
        }
        scalar => write_scalar(scalar, out),
    }
}

fn write_scalar(value: &Value, out: &mut String) {
    write!(out, "{value}").expect("writing to a String does not fail");
}

/// Takes the fields of one object one by one; what is left at the end is unknown.
pub struct Fields<'f> {
    path: String,
    map: Map<String, Value>,
    findings: &'f mut Findings,
}

impl<'f> Fields<'f> {
    /// The fields of an object at a path; empty for the document itself.
    pub fn new(
        path: impl Into<String>,
        map: Map<String, Value>,
        findings: &'f mut Findings,
    ) -> Self {
        Self {
            path: path.into(),
            map,
            findings,
        }
    }

    /// The path of a field of this object.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Whether the field is present and not null.
    pub fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// Findings, for rules that span fields.
    pub fn findings(&mut self) -> &mut Findings {
        self.findings
    }

    /// Notes a mistake in a field.
    pub fn error(
        &mut self,
        name: &str,
        code: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        let path = self.path(name);
        self.findings.error(path, code, expected, found);
    }

    /// Any value.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// A truth value; absent is not false.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Bool(b) => Some(b),
            other => self.wrong_type(name, "true or false", &other),
        }
    }

    /// Text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::String(s) => Some(s),
            other => self.wrong_type(name, "text", &other),
        }
    }

    /// A whole number that is not negative.
    pub fn unsigned(&mut self, name: &str) -> Option<u64> {
        let value = self.value(name)?;
        match value.as_u64() {
            Some(n) => Some(n),
            None => self.wrong_type(name, "a whole number, zero or more", &value),
        }
    }

    /// An object.
    pub fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.value(name)? {
            Value::Object(map) => Some(map),
            other => self.wrong_type(name, "an object", &other),
        }
    }

    /// An array.
    pub fn array(&mut self, name: &str) -> Option<Vec<Value>> {
        match self.value(name)? {
            Value::Array(items) => Some(items),
            other => self.wrong_type(name, "an array", &other),
        }
    }

    /// Text that parses as `T`.
    pub fn parsed<T>(&mut self, name: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(e) => {
                self.error(
                    name,
                    "FIELD_INVALID",
                    expectation(&e),
                    describe(&Value::String(text)),
                );
                None
            }
        }
    }

    /// Text that must be there and parse as `T`.
    pub fn required<T>(&mut self, name: &str, what: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        if !self.has(name) {
            self.error(name, "FIELD_MISSING", what, "nothing");
            return None;
        }
        self.parsed(name)
    }

    /// Ends the reading: every field that nobody took is unknown.
    pub fn finish(self) {
        let Self {
            path,
            map,
            findings,
        } = self;
        for (name, value) in map {
            if value.is_null() {
                continue;
            }
            let path = if path.is_empty() {
                name
            } else {
                format!("{path}.{name}")
            };
            findings.error(path, "FIELD_UNKNOWN", "no such field", describe(&value));
        }
    }

    fn wrong_type<T>(&mut self, name: &str, expected: &str, found: &Value) -> Option<T> {
        self.error(name, "FIELD_TYPE", expected, describe(found));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn canonical_text_does_not_depend_on_field_order() {
        let a: Value = serde_json::from_str(r#"{"b":1,"a":{"d":[1, 2],"c":"é\n"}}"#).unwrap();
        let b: Value = serde_json::from_str(r#"{"a":{"c":"é\n","d":[1,2]},"b":1}"#).unwrap();
        assert_eq!(canonical(&a), r#"{"a":{"c":"é\n","d":[1,2]},"b":1}"#);
        assert_eq!(canonical_digest(&a), canonical_digest(&b));
    }

    #[test]
    fn refused_name_is_said_once() {
        let Value::Object(map) = json!({"bundle": "hooks.zip"}) else {
            unreachable!()
        };
        let mut findings = Findings::default();
        let mut fields = Fields::new("", map, &mut findings);
        assert_eq!(fields.parsed::<crate::BundleName>("bundle"), None);
        fields.finish();
        assert_eq!(
            findings.errors[0].to_string(),
            "bundle: expected lower-case letters, digits, hyphens and underscores, beginning with a \
             letter or digit, found \"hooks.zip\" (FIELD_INVALID)"
        );
    }

    #[test]
    fn unknown_and_mistyped_fields_are_reported_together_with_their_paths() {
        let Value::Object(map) = json!({"on": "yes", "enable_jwt": true}) else {
            unreachable!()
        };
        let mut findings = Findings::default();
        let mut fields = Fields::new("auth", map, &mut findings);
        assert_eq!(fields.boolean("on"), None);
        fields.finish();
        let messages: Vec<_> = findings.errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            messages,
            [
                "auth.on: expected true or false, found \"yes\" (FIELD_TYPE)",
                "auth.enable_jwt: expected no such field, found true (FIELD_UNKNOWN)",
            ]
        );
    }

    #[test]
    fn a_document_that_is_too_deep_or_too_large_is_refused() {
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        let code = |text: &str, bytes| parse_object(text.as_bytes(), bytes, 32).unwrap_err().code;
        assert_eq!(code(&format!("{{\"a\":{deep}}}"), 1000), "JSON_TOO_DEEP");
        assert_eq!(code("{\"a\": 1}", 4), "DOCUMENT_TOO_LARGE");
        assert_eq!(code("[1]", 100), "FIELD_TYPE");
        assert_eq!(code("{", 100), "JSON_MALFORMED");
    }
}
