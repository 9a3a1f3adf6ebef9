//! `custom_middleware` as Tyk writes it, in API definitions and in manifests: the same names as ours, with
//! paths instead of file names, and with settings of other drivers.

use serde_json::{Map, Value, json};

use super::{Outcome, Report, is_off, join, rules, take_object, take_text, types};

/// The hooks with a list, as both name them.
const LISTS: [&str; 4] = ["pre", "post_key_auth", "post", "response"];
const AUTH_CHECK: &str = "auth_check";

/// The object in our form; `None` without a function.
pub(crate) fn map(
    path: &str,
    mut from: Map<String, Value>,
    report: &mut Report,
) -> Option<Map<String, Value>> {
    types::check(path, &from, types::MIDDLEWARE, report);
    let mut to = Map::new();
    for hook in LISTS {
        let at = join(path, hook);
        let Some(Value::Array(entries)) = from.remove(hook) else {
            continue;
        };
        let entries: Vec<_> = entries
            .into_iter()
            .enumerate()
            .filter_map(|(i, entry)| map_entry(&format!("{at}[{i}]"), entry, report))
            .collect();
        if !entries.is_empty() {
            to.insert(hook.to_owned(), Value::Array(entries));
        }
    }
    let auth = Value::Object(take_object(&mut from, AUTH_CHECK));
    if let Some(entry) = map_entry(&join(path, AUTH_CHECK), auth, report) {
        to.insert(AUTH_CHECK.to_owned(), entry);
    }
    let driver = from.remove("driver").unwrap_or_default();
    report.rest(path, "custom_middleware", &from, rules::CLASSIC);
    if to.is_empty() {
        return None;
    }
    check_driver(&join(path, "driver"), &driver, report);
    to.insert("driver".to_owned(), json!("goplugin"));
    Some(to)
}

/// Functions of other drivers cannot run here, and those of none never ran.
pub(super) fn check_driver(path: &str, driver: &Value, report: &mut Report) {
    if driver != "goplugin" {
        let why = "expected \"goplugin\": functions run as native code alone";
        report.note(path, driver, Outcome::Refused, "DRIVER_UNSUPPORTED", why);
    }
}

fn map_entry(path: &str, entry: Value, report: &mut Report) -> Option<Value> {
    if is_off(&entry) && entry.get("name").is_none_or(is_off) {
        return None;
    }
    let Value::Object(mut from) = entry else {
        let why = "expected an object with name and path";
        report.note(path, &entry, Outcome::Refused, "FIELD_TYPE", why);
        return None;
    };
    let whole = Value::Object(from.clone());
    let (name, library) = (take_text(&mut from, "name"), take_text(&mut from, "path"));
    let (Some(name), Some(library)) = (name, library) else {
        let why = "a function without a name or a path does not run in Tyk either";
        report.note(path, &whole, Outcome::Ignored, "FIELD_IGNORED", why);
        return None;
    };
    for (field, value) in from
        .iter()
        .filter(|(field, value)| !matches!(field.as_str(), "disabled" | "inline") && !is_off(value))
    {
        let why = "is for other drivers; native functions see session and body as they are";
        report.note(
            join(path, field),
            value,
            Outcome::Ignored,
            "FIELD_IGNORED",
            why,
        );
    }
    let library = file_name(&join(path, "path"), library, report);
    let mut to = json!({"name": name, "path": library});
    if from.get("disabled") == Some(&Value::Bool(true)) {
        to["disabled"] = json!(true);
    }
    // No field of Tyk's: a manifest for both gateways may have it. A definition with it is refused as ours.
    if let Some(inline) = from.get("inline") {
        to["inline"] = inline.clone();
    }
    Some(to)
}

/// The file name of a path: libraries come in bundles, which have no folders.
pub(super) fn file_name(path: &str, library: String, report: &mut Report) -> String {
    let bare = library.rsplit('/').next().unwrap_or_default();
    if bare == library {
        return library;
    }
    let why = format!("{bare}: libraries come in bundles, by their file names");
    let bare = bare.to_owned();
    report.note(
        path,
        &json!(library),
        Outcome::Replaced,
        "PATH_REPLACED",
        why,
    );
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_is_kept_and_not_taken_for_a_setting_of_another_driver() {
        let entry =
            json!({"name": "Stamp", "path": "mw/x.so", "inline": "body", "raw_body_only": true});
        let Value::Object(from) = json!({"driver": "goplugin", "pre": [entry]}) else {
            return;
        };
        let mut report = Report::default();
        let to = map("custom_middleware", from, &mut report).unwrap();
        assert_eq!(
            to["pre"],
            json!([{"name": "Stamp", "path": "x.so", "inline": "body"}])
        );
        let told = report.findings().iter().map(|each| each.path.as_str());
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "custom_middleware.pre[0].raw_body_only",
                "custom_middleware.pre[0].path"
            ]
        );
    }
}
