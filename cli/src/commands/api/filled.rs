//! What the control plane put into a definition that its author did not write.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// One field.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct FilledView {
    /// Such as `auth.auth_header_name`.
    pub(super) path: String,
    /// What it is now.
    pub(super) value: Value,
    /// What the author had written, if it was changed.
    pub(super) was: Option<Value>,
}

impl fmt::Display for FilledView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, value, was } = self;
        match was {
            None => write!(f, "filled in: {path} = {value}"),
            Some(was) => write!(f, "changed: {path} = {value} (was {was})"),
        }
    }
}

/// The fields in which `stored` says more than `given`, or something else, in order.
pub(super) fn between(given: &Value, stored: &Value) -> Vec<FilledView> {
    let mut filled = Vec::new();
    compare("", Some(given), stored, &mut filled);
    filled
}

fn compare(path: &str, given: Option<&Value>, stored: &Value, filled: &mut Vec<FilledView>) {
    match (given.filter(|given| !given.is_null()), stored) {
        (Some(given), stored) if given == stored => {}
        (Some(Value::Object(given)), Value::Object(stored)) => {
            for (name, value) in stored {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                compare(&path, given.get(name), value, filled);
            }
        }
        (Some(Value::Array(given)), Value::Array(stored)) if given.len() == stored.len() => {
            for (i, (given, stored)) in given.iter().zip(stored).enumerate() {
                compare(&format!("{path}[{i}]"), Some(given), stored, filled);
            }
        }
        (was, stored) => filled.push(FilledView {
            path: path.to_owned(),
            value: stored.clone(),
            was: was.cloned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_named_by_its_path() {
        let given = json!({"name": "orders", "auth": {"on": true}, "pre": [{"name": "A"}]});
        let stored = json!({"name": "orders", "auth": {"on": true, "header": "Authorization"},
            "pre": [{"name": "A", "disabled": false}], "use_keyless": false});
        let shown: Vec<_> = between(&given, &stored)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            shown,
            [
                "filled in: auth.header = \"Authorization\"",
                "filled in: pre[0].disabled = false",
                "filled in: use_keyless = false",
            ]
        );
        assert_eq!(between(&stored, &stored), []);
    }

    #[test]
    fn changed_value_is_told_with_what_it_was() {
        let shown = between(&json!({"driver": "native"}), &json!({"driver": "goplugin"}));
        assert_eq!(
            shown[0].to_string(),
            "changed: driver = \"goplugin\" (was \"native\")"
        );
    }
}
