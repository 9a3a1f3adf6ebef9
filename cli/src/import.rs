//! Definitions of other gateways become ours: what applies is kept, and each field that is not is listed
//! with what became of it.
//!
//! Not here: whether the result is legal, which the domain decides as for every definition.
//!
//! Invariant: no import is more open than what it came from. A field that may protect the API, and every
//! field that is not known, refuses the import unless its reader names it; a method of authentication
//! that is not served always does.

pub(crate) mod classic;
pub(crate) mod endpoints;
pub(crate) mod middleware;
pub(crate) mod openapi;
mod rules;
pub(crate) mod types;

use gantry_domain::FieldError;
use serde::Serialize;
use serde_json::{Map, Value};

use rules::{Class, Rules};

/// Characters of a value that are shown.
const VALUE_SHOWN: usize = 120;

/// What became of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It is there in another form.
    Replaced,
    /// It has no effect here, or had none there.
    Ignored,
    /// What it asks for is not done here.
    Unsupported,
    /// It may have protected the API, and was left out because that was asked for.
    Dropped,
    /// It refuses the import.
    Refused,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Ignored => "ignored",
            Self::Unsupported => "unsupported",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }
}

/// One field and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// JSON, cut off where it is long.
    pub(crate) value: String,
    pub(crate) outcome: Outcome,
    pub(crate) code: &'static str,
    pub(crate) why: String,
}

impl Finding {
    /// One line.
    pub(crate) fn line(&self) -> String {
        let Self {
            path,
            value,
            outcome,
            code,
            why,
        } = self;
        format!("{path} = {value}: {}: {why} ({code})", outcome.as_str())
    }
}

/// What became of the fields of one document.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    /// Fields whose values say nothing: false, 0, empty or switched off.
    at_default: usize,
    /// Paths whose protection its reader gives up, where that can be asked for.
    given_up: Option<Vec<String>>,
}

impl Report {
    /// A report in which these paths do not refuse.
    pub(crate) fn giving_up(paths: &[String]) -> Self {
        Self {
            given_up: Some(paths.to_vec()),
            ..Self::default()
        }
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(crate) const fn at_default(&self) -> usize {
        self.at_default
    }

    /// Whether a field of this outcome was found.
    pub(crate) fn has(&self, outcome: Outcome) -> bool {
        self.findings.iter().any(|each| each.outcome == outcome)
    }

    /// Notes what became of a field.
    pub(crate) fn note(
        &mut self,
        path: impl Into<String>,
        value: &Value,
        outcome: Outcome,
        code: &'static str,
        why: impl Into<String>,
    ) {
        self.findings.push(Finding {
            path: path.into(),
            value: shown(value),
            outcome,
            code,
            why: why.into(),
        });
    }

    /// What the domain says about the result.
    pub(crate) fn refuse(&mut self, errors: &[FieldError]) {
        for error in errors {
            self.findings.push(Finding {
                path: error.path.clone(),
                value: error.found.clone(),
                outcome: Outcome::Refused,
                code: error.code,
                why: format!("expected {}", error.expected),
            });
        }
    }

    /// A field that may protect the API.
    fn protects(&mut self, path: &str, value: &Value, code: &'static str, why: &str) {
        let (outcome, why) = match &self.given_up {
            Some(given_up) if given_up.iter().any(|each| each == path) => {
                (Outcome::Dropped, why.to_owned())
            }
            Some(_) => (
                Outcome::Refused,
                format!("{why}; --drop {path} goes without it"),
            ),
            None => (Outcome::Refused, why.to_owned()),
        };
        self.note(path, value, outcome, code, why);
    }

    /// Goes through the fields that nothing has taken. `place` is what rules call the object at `path`.
    fn rest(&mut self, path: &str, place: &str, map: &Map<String, Value>, rules: Rules) {
        for (name, value) in map {
            self.left(&join(path, name), &join(place, name), value, rules);
        }
    }

    fn left(&mut self, path: &str, place: &str, value: &Value, rules: Rules) {
        if is_off(value) {
            self.at_default += 1;
            return;
        }
        let is_told = |each: &Finding| each.code == "FIELD_TYPE" && each.path == path;
        if self.findings.iter().any(is_told) {
            return;
        }
        match rules.of(place) {
            Some((Class::Harmless, why)) => {
                self.note(path, value, Outcome::Ignored, "FIELD_IGNORED", why);
            }
            Some((Class::Lost, why)) => {
                self.note(path, value, Outcome::Unsupported, "FIELD_UNSUPPORTED", why);
            }
            Some((Class::Protects, why)) => {
                self.protects(path, value, "PROTECTION_UNSUPPORTED", why);
            }
            Some((Class::Authenticates, why)) => {
                self.note(path, value, Outcome::Refused, "AUTH_UNSUPPORTED", why);
            }
            None => {
                if let Value::Object(map) = value {
                    self.rest(path, place, map, rules);
                } else {
                    let why = "not known here, so it may protect the API";
                    self.protects(path, value, "FIELD_UNKNOWN", why);
                }
            }
        }
    }
}

/// The paths of a document's fields, at every depth of its objects.
pub(crate) fn paths(document: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![(String::new(), document)];
    while let Some((path, map)) = todo.pop() {
        for (name, value) in map {
            let path = join(&path, name);
            if let Value::Object(map) = value {
                todo.push((path.clone(), map));
            }
            found.push(path);
        }
    }
    found
}

/// A path one level deeper.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Whether a value asks for nothing.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text.starts_with("0001-01-01T00:00:00"),
        Value::Array(items) => items.iter().all(is_off),
        Value::Object(map) => {
            let says = |name: &str, off: bool| map.get(name) == Some(&Value::Bool(off));
            says("enabled", false)
                || says("enable", false)
                || says("disabled", true)
                || map.values().all(is_off)
        }
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= VALUE_SHOWN {
        return text;
    }
    let head: String = text.chars().take(VALUE_SHOWN).collect();
    format!("{head}…")
}

/// Takes a switch; absent is false, as for Tyk.
fn take_switch(map: &mut Map<String, Value>, name: &str) -> bool {
    map.remove(name) == Some(Value::Bool(true))
}

/// Takes an object; what is none stays.
fn take_object(map: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match map.remove(name) {
        Some(Value::Object(object)) => object,
        Some(other) => {
            map.insert(name.to_owned(), other);
            Map::new()
        }
        None => Map::new(),
    }
}

/// Takes a text that is not empty.
fn take_text(map: &mut Map<String, Value>, name: &str) -> Option<String> {
    match map.remove(name) {
        Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
        Some(other) => {
            map.insert(name.to_owned(), other);
            None
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_reach_every_depth_of_objects() {
        let Value::Object(map) = json!({"a": {"b.c": {"d": 1}, "e": [{"f": 2}]}, "g": null}) else {
            return;
        };
        let mut found = paths(&map);
        found.sort();
        assert_eq!(found, ["a", "a.b.c", "a.b.c.d", "a.e", "g"]);
    }

    #[test]
    fn value_that_asks_for_nothing_is_off() {
        for off in [
            json!(null),
            json!(false),
            json!(0),
            json!(""),
            json!([{"disabled": true, "path": "/x"}]),
            json!({"enabled": false, "value": 5}),
            json!({"a": {"b": []}}),
        ] {
            assert!(is_off(&off), "{off}");
        }
        for on in [
            json!(true),
            json!(-1),
            json!("x"),
            json!([0, 1]),
            json!({"enabled": true}),
        ] {
            assert!(!is_off(&on), "{on}");
        }
    }

    #[test]
    fn unknown_field_refuses_until_it_is_given_up() {
        let Value::Object(map) = json!({"new_shield": {"depth": 3}, "old": 0}) else {
            return;
        };
        let mut report = Report::default();
        report.rest("", "", &map, rules::CLASSIC);
        assert!(report.has(Outcome::Refused));
        assert_eq!(report.findings()[0].path, "new_shield.depth");
        assert_eq!(report.at_default(), 1);
        let mut report = Report::giving_up(&["new_shield.depth".to_owned()]);
        report.rest("", "", &map, rules::CLASSIC);
        assert!(report.has(Outcome::Dropped) && !report.has(Outcome::Refused));
    }
}
