//! What Tyk keeps under `x-tyk-api-gateway` in an `OpenAPI` document.

use serde_json::{Map, Value, json};

use super::classic::{self, Choices};
use super::endpoints::{self, Reach};
use super::{
    Outcome, Report, is_off, join, middleware, rules, take_object, take_switch, take_text, types,
};

/// The member of the document.
pub(crate) const EXTENSION: &str = "x-tyk-api-gateway";

/// The field of our definition that holds the document.
pub(crate) const OPENAPI: &str = "openapi";

/// Tyk's lists of functions, their older singular form, and ours.
const HOOKS: [(&str, &str, &str); 4] = [
    ("prePlugins", "prePlugin", "pre"),
    (
        "postAuthenticationPlugins",
        "postAuthenticationPlugin",
        "post_key_auth",
    ),
    ("postPlugins", "postPlugin", "post"),
    ("responsePlugins", "responsePlugin", "response"),
];

/// The definition in our form; whether it is legal is for the domain to say.
pub(crate) fn map(document: &Map<String, Value>, choices: &Choices, report: &mut Report) -> Value {
    let extension = document.get(EXTENSION).and_then(Value::as_object);
    let mut from = extension.cloned().unwrap_or_default();
    types::check(EXTENSION, &from, types::OPENAPI, report);
    let mut to = json!({});
    info(&mut from, &mut to, choices, report);
    let mut server = take_object(&mut from, "server");
    let mut upstream = take_object(&mut from, "upstream");
    let mut listen = take_object(&mut server, "listenPath");
    let mut proxy = json!({"strip_listen_path": take_switch(&mut listen, "strip")});
    if let Some(path) = take_text(&mut listen, "value") {
        proxy["listen_path"] = json!(path);
    }
    if let Some(url) = take_text(&mut upstream, "url") {
        proxy["target_url"] = json!(url);
    }
    let at = join(EXTENSION, "server.listenPath.value");
    classic::note_listen_path(&at, &proxy, report);
    to["proxy"] = proxy;
    rest("server.listenPath", &listen, report);
    rest("upstream", &upstream, report);
    domain(&mut server, &mut to, report);
    let mut authentication = take_object(&mut server, "authentication");
    rest("server", &server, report);
    let mut middleware = take_object(&mut from, "middleware");
    let mut global = take_object(&mut middleware, "global");
    let operations = take_object(&mut middleware, "operations");
    rest("middleware", &middleware, report);
    rest("", &from, report);
    functions(&mut global, &mut authentication, &mut to, choices, report);
    rest("middleware.global", &global, report);
    switches(&mut authentication, document, &mut to, report);
    let endpoints = endpoints_of(operations, document, choices.reach, report);
    if !endpoints.is_empty() {
        to["extended_paths"] = json!({"go_plugin": endpoints});
    }
    // Whole and as it is: functions read it.
    to[OPENAPI] = Value::Object(document.clone());
    to
}

/// Goes through what is left of an object of the extension.
fn rest(path: &str, map: &Map<String, Value>, report: &mut Report) {
    let full = if path.is_empty() {
        EXTENSION.to_owned()
    } else {
        join(EXTENSION, path)
    };
    report.rest(&full, path, map, rules::OPENAPI);
}

fn info(from: &mut Map<String, Value>, to: &mut Value, choices: &Choices, report: &mut Report) {
    let mut info = take_object(from, "info");
    if let Some(api_id) = choices
        .api_id
        .clone()
        .or_else(|| take_text(&mut info, "id"))
    {
        to["api_id"] = json!(api_id);
    }
    info.remove("id");
    if let Some(name) = take_text(&mut info, "name") {
        to["name"] = json!(name);
    }
    let mut state = take_object(&mut info, "state");
    to["active"] = json!(take_switch(&mut state, "active"));
    rest("info.state", &state, report);
    rest("info", &info, report);
}

fn domain(server: &mut Map<String, Value>, to: &mut Value, report: &mut Report) {
    let mut domain = take_object(server, "customDomain");
    let on = domain.remove("enabled") == Some(json!(true));
    if let Some(name) = take_text(&mut domain, "name") {
        if on {
            to["domain"] = json!(name);
        } else {
            let path = join(EXTENSION, "server.customDomain.name");
            let why = "customDomain is not enabled";
            report.note(path, &json!(name), Outcome::Ignored, "FIELD_IGNORED", why);
        }
    }
    rest("server.customDomain", &domain, report);
}

/// Functions and their configuration.
fn functions(
    global: &mut Map<String, Value>,
    authentication: &mut Map<String, Value>,
    to: &mut Value,
    choices: &Choices,
    report: &mut Report,
) {
    let mut config = take_object(global, "pluginConfig");
    let mut data = take_object(&mut config, "data");
    let value = take_object(&mut data, "value");
    if !value.is_empty() {
        to["config_data"] = Value::Object(value);
    }
    rest("middleware.global.pluginConfig.data", &data, report);
    let bundle = take_object(&mut config, "bundle");
    let driver = config.remove("driver").unwrap_or_default();
    rest("middleware.global.pluginConfig", &config, report);

    let mut middleware = Map::new();
    for (plural, singular, ours) in HOOKS {
        let at = join(EXTENSION, &format!("middleware.global.{plural}"));
        let older = take_object(global, singular).remove("plugins");
        let entries = global.remove(plural).or(older);
        let Some(Value::Array(entries)) = entries else {
            continue;
        };
        let entries: Vec<_> = entries
            .into_iter()
            .enumerate()
            .filter_map(|(i, entry)| plugin(&format!("{at}[{i}]"), &entry, report))
            .collect();
        if !entries.is_empty() {
            middleware.insert(ours.to_owned(), Value::Array(entries));
        }
    }
    if let Some(custom) = authentication
        .get_mut("custom")
        .and_then(Value::as_object_mut)
    {
        let entry = Value::Object(take_object(custom, "config"));
        let at = join(EXTENSION, "server.authentication.custom.config");
        if let Some(entry) = plugin(&at, &entry, report) {
            middleware.insert("auth_check".to_owned(), entry);
        }
    }
    let name = bundle.get("path").and_then(Value::as_str);
    if let Some(name) = name.filter(|_| bundle.get("enabled") == Some(&json!(true))) {
        let at = join(EXTENSION, "middleware.global.pluginConfig.bundle.path");
        if !middleware.is_empty() {
            let why = "the bundle's functions take the place of those listed, in Tyk as well";
            let value = Value::Object(middleware);
            let path = join(EXTENSION, "middleware.global");
            report.note(path, &value, Outcome::Ignored, "FIELD_IGNORED", why);
        }
        let name = classic::bundle_name(&at, name, choices.bundle.as_deref(), report);
        to["custom_middleware_bundle"] = json!(name);
    } else if !middleware.is_empty() {
        let at = join(EXTENSION, "middleware.global.pluginConfig.driver");
        middleware::check_driver(&at, &driver, report);
        middleware.insert("driver".to_owned(), json!("goplugin"));
        to["custom_middleware"] = Value::Object(middleware);
    }
}

fn plugin(path: &str, entry: &Value, report: &mut Report) -> Option<Value> {
    let text = |name: &str| {
        let text = entry.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let enabled = entry.get("enabled") == Some(&json!(true));
    let (Some(function), Some(library)) = (text("functionName"), text("path")) else {
        if !is_off(entry) {
            let why = "a function without a name or a path does not run in Tyk either";
            report.note(path, entry, Outcome::Ignored, "FIELD_IGNORED", why);
        }
        return None;
    };
    let library = middleware::file_name(&join(path, "path"), library, report);
    let mut to = json!({"name": function, "path": library});
    if !enabled {
        to["disabled"] = json!(true);
    }
    Some(to)
}

/// Switches of authentication. What other methods ask for stays, and refuses.
fn switches(
    authentication: &mut Map<String, Value>,
    document: &Map<String, Value>,
    to: &mut Value,
    report: &mut Report,
) {
    let keyless = !take_switch(authentication, "enabled");
    let mut custom = take_object(authentication, "custom");
    let plugin = take_switch(&mut custom, "enabled");
    rest("server.authentication.custom", &custom, report);
    let mut header = None;
    let mut standard = false;
    for (name, scheme) in take_object(authentication, "securitySchemes") {
        if scheme.get("enabled") != Some(&json!(true)) {
            continue;
        }
        let described = document
            .get("components")
            .and_then(|components| components.pointer(&format!("/securitySchemes/{name}")));
        let is_token = described.and_then(|scheme| scheme.get("type")) == Some(&json!("apiKey"));
        if is_token {
            standard = true;
            header = token_header(&scheme, described).or(header);
        } else if !keyless {
            let path = join(
                EXTENSION,
                &format!("server.authentication.securitySchemes.{name}"),
            );
            let why = "expected a scheme of type apiKey in components.securitySchemes, or an auth function";
            report.note(path, &scheme, Outcome::Refused, "AUTH_UNSUPPORTED", why);
        }
    }
    if keyless {
        authentication.clear();
    }
    rest("server.authentication", authentication, report);
    classic::settle(to, keyless, plugin, standard, report);
    if let Some(header) = header.filter(|_| !keyless) {
        to["auth"] = json!({"auth_header_name": header});
    }
}

/// Tyk's own name for the header goes before the document's.
fn token_header(scheme: &Value, described: Option<&Value>) -> Option<String> {
    let own = scheme
        .get("header")
        .filter(|header| header.get("enabled") != Some(&json!(false)));
    let own = own.and_then(|header| header.get("name"));
    let described = described.filter(|scheme| scheme.get("in") == Some(&json!("header")));
    let name = own.or_else(|| described?.get("name"))?.as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Functions of operations, which the document's paths place.
fn endpoints_of(
    operations: Map<String, Value>,
    document: &Map<String, Value>,
    reach: Reach,
    report: &mut Report,
) -> Vec<Value> {
    let mut endpoints = Vec::new();
    for (id, operation) in operations {
        let path = format!("{EXTENSION}.middleware.operations.{id}");
        let Value::Object(mut operation) = operation else {
            report.note(
                path,
                &operation,
                Outcome::Refused,
                "FIELD_TYPE",
                "expected an object",
            );
            continue;
        };
        let plugins = operation.remove("postPlugins");
        report.rest(&path, "middleware.operations.*", &operation, rules::OPENAPI);
        let Some(Value::Array(plugins)) = plugins else {
            continue;
        };
        let at = format!("{path}.postPlugins");
        for (i, entry) in plugins.iter().enumerate().skip(1) {
            let why = "Tyk runs the first function of an operation alone";
            report.note(
                format!("{at}[{i}]"),
                entry,
                Outcome::Ignored,
                "FIELD_IGNORED",
                why,
            );
        }
        let first = plugins.into_iter().next().unwrap_or_default();
        let Some(entry) = plugin(&format!("{at}[0]"), &first, report) else {
            continue;
        };
        let Some((method, pattern)) = place(document, &id) else {
            let why = "expected an operation of this operationId in the document's paths";
            report.note(path, &entry, Outcome::Refused, "OPERATION_UNKNOWN", why);
            continue;
        };
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let pattern = endpoints::map(&path, &pattern, reach, report);
        let mut mapped = endpoints::entry(&method, &pattern, &text("path"), &text("name"));
        if entry.get("disabled").is_some() {
            mapped["disabled"] = json!(true);
        }
        endpoints.push(mapped);
    }
    endpoints
}

/// Method and path of an operation.
fn place(document: &Map<String, Value>, operation_id: &str) -> Option<(String, String)> {
    let paths = document.get("paths")?.as_object()?;
    paths.iter().find_map(|(path, item)| {
        let (method, _) = item.as_object()?.iter().find(|(_, operation)| {
            operation.get("operationId").and_then(Value::as_str) == Some(operation_id)
        })?;
        Some((method.to_ascii_uppercase(), path.clone()))
    })
}
