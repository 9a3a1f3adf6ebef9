//! Tyk's classic API definition.

use serde_json::{Map, Value, json};

use super::endpoints::{self, Reach};
use super::{
    Outcome, Report, is_off, join, middleware, rules, take_object, take_switch, take_text, types,
};

/// What the reader decides.
#[derive(Debug, Clone)]
pub(crate) struct Choices {
    /// Which requests endpoints mean.
    pub(crate) reach: Reach,
    /// Our bundle, in place of the one that is named.
    pub(crate) bundle: Option<String>,
    /// The identifier, in place of the one that is named.
    pub(crate) api_id: Option<String>,
}

/// The definition in our form; whether it is legal is for the domain to say.
pub(crate) fn map(mut from: Map<String, Value>, choices: &Choices, report: &mut Report) -> Value {
    types::check("", &from, types::CLASSIC, report);
    let mut to = json!({});
    for name in ["api_id", "name"] {
        if let Some(text) = take_text(&mut from, name) {
            to[name] = json!(text);
        }
    }
    if let Some(api_id) = &choices.api_id {
        to["api_id"] = json!(api_id);
    }
    // Absent is false for Tyk; ours would be active.
    to["active"] = json!(take_switch(&mut from, "active"));
    let domain = take_text(&mut from, "domain");
    match domain {
        Some(domain) if from.get("domain_disabled") == Some(&json!(true)) => {
            let why = "domain_disabled is true";
            report.note(
                "domain",
                &json!(domain),
                Outcome::Ignored,
                "FIELD_IGNORED",
                why,
            );
        }
        Some(domain) => to["domain"] = json!(domain),
        None => {}
    }
    to["proxy"] = proxy(&mut from, report);
    functions(&mut from, &mut to, choices, report);
    authentication(&mut from, &mut to, report);
    if let Some(paths) = versions(&mut from, choices.reach, report) {
        to["extended_paths"] = json!({"go_plugin": paths});
    }
    let config = take_object(&mut from, "config_data");
    if !config.is_empty() {
        to["config_data"] = Value::Object(config);
    }
    report.rest("", "", &from, rules::CLASSIC);
    to
}

fn proxy(from: &mut Map<String, Value>, report: &mut Report) -> Value {
    let mut proxy = take_object(from, "proxy");
    let mut to = json!({"strip_listen_path": take_switch(&mut proxy, "strip_listen_path")});
    for name in ["listen_path", "target_url"] {
        if let Some(text) = take_text(&mut proxy, name) {
            to[name] = json!(text);
        }
    }
    report.rest("proxy", "proxy", &proxy, rules::CLASSIC);
    note_listen_path("proxy.listen_path", &to, report);
    to
}

/// Without a slash at its end, a listen path is the beginning of longer names in Tyk.
pub(super) fn note_listen_path(path: &str, proxy: &Value, report: &mut Report) {
    let Some(listen_path) = proxy["listen_path"].as_str() else {
        return;
    };
    if !listen_path.ends_with('/') {
        let why = format!(
            "whole segments: {listen_path} and {listen_path}/x, and not {listen_path}x as in Tyk, which other APIs may answer"
        );
        report.note(
            path,
            &json!(listen_path),
            Outcome::Replaced,
            "LISTEN_PATH_SEGMENTS",
            why,
        );
    }
}

/// Functions, from the definition or from a bundle, which in Tyk takes their place.
fn functions(
    from: &mut Map<String, Value>,
    to: &mut Value,
    choices: &Choices,
    report: &mut Report,
) {
    const BUNDLE: &str = "custom_middleware_bundle";
    let inline = take_object(from, "custom_middleware");
    let named = take_text(from, BUNDLE);
    let disabled = from.get("custom_middleware_bundle_disabled") == Some(&json!(true));
    match named {
        Some(named) if disabled => {
            let why = "custom_middleware_bundle_disabled is true";
            report.note(
                BUNDLE,
                &json!(named),
                Outcome::Ignored,
                "FIELD_IGNORED",
                why,
            );
        }
        Some(named) => {
            if !is_off(&Value::Object(inline.clone())) {
                let why = "the bundle's takes its place, in Tyk as well";
                let value = Value::Object(inline);
                report.note(
                    "custom_middleware",
                    &value,
                    Outcome::Ignored,
                    "FIELD_IGNORED",
                    why,
                );
            }
            to[BUNDLE] = json!(bundle_name(
                BUNDLE,
                &named,
                choices.bundle.as_deref(),
                report
            ));
            return;
        }
        None => {}
    }
    if let Some(middleware) = middleware::map("custom_middleware", inline, report) {
        to["custom_middleware"] = Value::Object(middleware);
    }
}

/// Our bundles have names, Tyk's are files on a server.
pub(super) fn bundle_name(
    path: &str,
    named: &str,
    ours: Option<&str>,
    report: &mut Report,
) -> String {
    let bare = named.rsplit('/').next().unwrap_or(named);
    let bare = bare.strip_suffix(".zip").unwrap_or(bare);
    let chosen = ours.unwrap_or(bare).to_owned();
    if chosen != named {
        let why = format!("{chosen}: push a bundle of this name; --bundle NAME gives another");
        report.note(
            path,
            &json!(named),
            Outcome::Replaced,
            "BUNDLE_REPLACED",
            why,
        );
    }
    chosen
}

/// Switches of authentication. The fields of other methods stay, and refuse.
fn authentication(from: &mut Map<String, Value>, to: &mut Value, report: &mut Report) {
    let keyless = take_switch(from, "use_keyless");
    let mut plugin = false;
    for alias in [
        "use_go_plugin_auth",
        "custom_plugin_auth_enabled",
        "enable_coprocess_auth",
    ] {
        plugin |= take_switch(from, alias);
    }
    let standard = take_switch(from, "use_standard_auth");
    let mut auth = take_object(from, "auth");
    let header = take_text(&mut auth, "auth_header_name");
    let configured = from.get_mut("auth_configs").and_then(Value::as_object_mut);
    let token = configured
        .map(|all| take_object(all, "authToken"))
        .unwrap_or_default();
    let header = header.or_else(|| Some(token.get("auth_header_name")?.as_str()?.to_owned()));
    report.rest("auth", "auth", &auth, rules::CLASSIC);
    report.rest(
        "auth_configs.authToken",
        "auth",
        &without_header(token),
        rules::CLASSIC,
    );
    settle(to, keyless, plugin, standard, report);
    if let Some(header) = header.filter(|header| !header.is_empty() && !keyless) {
        to["auth"] = json!({"auth_header_name": header});
    }
    if !keyless {
        let why = "rates and quotas of consumer keys are kept with them, and not enforced";
        report.note(
            "use_keyless",
            &json!(false),
            Outcome::Unsupported,
            "KEY_LIMITS_UNENFORCED",
            why,
        );
    }
}

fn without_header(mut token: Map<String, Value>) -> Map<String, Value> {
    token.remove("auth_header_name");
    token
}

/// Writes the switches as Tyk reads them: functions at hooks that are off do not run, and an API without
/// any method asks for consumer keys.
pub(super) fn settle(
    to: &mut Value,
    keyless: bool,
    plugin: bool,
    standard: bool,
    report: &mut Report,
) {
    let in_bundle = to.get("custom_middleware_bundle").is_some();
    let drop_hook = |to: &mut Value, hook: &str, why: &str, report: &mut Report| {
        let middleware = to
            .get_mut("custom_middleware")
            .and_then(Value::as_object_mut);
        let dropped = middleware.and_then(|middleware| middleware.remove(hook));
        if let Some(dropped) = dropped {
            let path = join("custom_middleware", hook);
            report.note(path, &dropped, Outcome::Ignored, "HOOK_INERT", why);
        }
    };
    to["use_keyless"] = json!(keyless);
    if keyless {
        let why = "use_keyless is true, so it does not run in Tyk either";
        drop_hook(to, "auth_check", why, report);
        drop_hook(to, "post_key_auth", why, report);
        if standard || plugin {
            let why = "use_keyless is true, so Tyk authenticates nobody";
            report.note(
                "use_keyless",
                &json!(true),
                Outcome::Ignored,
                "FIELD_IGNORED",
                why,
            );
        }
    } else {
        if !plugin {
            let why = "its switch is off, so Tyk asks for a consumer key instead; so does this API";
            drop_hook(to, "auth_check", why, report);
        }
        let runs = in_bundle
            || to
                .pointer("/custom_middleware/auth_check")
                .is_some_and(|entry| entry.get("disabled") != Some(&json!(true)));
        if plugin && !runs {
            let why =
                "no function runs at auth_check, so Tyk asks for a consumer key; so does this API";
            report.note(
                "use_go_plugin_auth",
                &json!(true),
                Outcome::Replaced,
                "AUTH_REPLACED",
                why,
            );
        }
        let plugin = plugin && runs;
        to["use_go_plugin_auth"] = json!(plugin);
        to["use_standard_auth"] = json!(standard || !plugin);
    }
    let emptied = to
        .get("custom_middleware")
        .and_then(Value::as_object)
        .is_some_and(|middleware| middleware.keys().all(|name| name == "driver"));
    if emptied && let Some(definition) = to.as_object_mut() {
        definition.remove("custom_middleware");
    }
}

/// The functions of endpoints of the one version.
fn versions(
    from: &mut Map<String, Value>,
    reach: Reach,
    report: &mut Report,
) -> Option<Vec<Value>> {
    let mut data = take_object(from, "version_data");
    let versions = take_object(&mut data, "versions");
    report.rest("version_data", "version_data", &data, rules::CLASSIC);
    if versions.len() > 1 {
        let names: Vec<_> = versions.keys().collect();
        let why = "expected one version: import each as an API of its own";
        let value = json!(names);
        report.note(
            "version_data.versions",
            &value,
            Outcome::Refused,
            "VERSIONS_UNSUPPORTED",
            why,
        );
        return None;
    }
    let (name, version) = versions.into_iter().next()?;
    let path = format!("version_data.versions.{name}");
    let Value::Object(mut version) = version else {
        report.note(
            path,
            &version,
            Outcome::Refused,
            "FIELD_TYPE",
            "expected an object",
        );
        return None;
    };
    let used = version.get("use_extended_paths") == Some(&json!(true));
    let mut extended = take_object(&mut version, "extended_paths");
    let entries = extended.remove("go_plugin").unwrap_or_default();
    report.rest(&path, "versions.*", &version, rules::CLASSIC);
    let at = join(&path, "extended_paths");
    if !used {
        let value = Value::Object(extended);
        if !is_off(&value) || !is_off(&entries) {
            let why = "use_extended_paths is not true, so they have no effect in Tyk either";
            report.note(at, &value, Outcome::Ignored, "FIELD_IGNORED", why);
        }
        return None;
    }
    report.rest(&at, "versions.*.extended_paths", &extended, rules::CLASSIC);
    let Value::Array(entries) = entries else {
        return None;
    };
    let entries = entries.into_iter().enumerate();
    let mapped: Vec<_> = entries
        .filter_map(|(i, entry)| endpoint(&format!("{at}.go_plugin[{i}]"), &entry, reach, report))
        .collect();
    (!mapped.is_empty()).then_some(mapped)
}

fn endpoint(path: &str, entry: &Value, reach: Reach, report: &mut Report) -> Option<Value> {
    let text = |name: &str| {
        entry
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (function, library, pattern) = (text("func_name"), text("plugin_path"), text("path"));
    if function.is_empty() || library.is_empty() {
        let why = "a function without a name or a path does not run in Tyk either";
        report.note(path, entry, Outcome::Ignored, "FIELD_IGNORED", why);
        return None;
    }
    let library = middleware::file_name(&join(path, "plugin_path"), library, report);
    let pattern = endpoints::map(&join(path, "path"), &pattern, reach, report);
    let mut mapped = endpoints::entry(&text("method"), &pattern, &library, &function);
    if entry.get("disabled") == Some(&json!(true)) {
        mapped["disabled"] = json!(true);
    }
    Some(mapped)
}
