//! Fields that are taken, and the types that Tyk reads them as. It loads no document with another type there; nor
//! is one guessed at here, since a hook or a switch that is passed over would leave the API more open.

use serde_json::{Map, Value};

use super::{Outcome, Report, join};

/// What a field holds, unless it is null.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Switch,
    Text,
    Object,
    List,
}

use Kind::{List, Object, Switch, Text};

/// Places by type: `*` is every member of an object, `[]` every item of a list.
pub(crate) type Types = &'static [(Kind, &'static [&'static str])];

/// `custom_middleware`, alone.
pub(crate) const MIDDLEWARE: Types = &[
    (Object, &["auth_check"]),
    (List, &["pre", "post_key_auth", "post", "response"]),
    (Switch, &["auth_check.disabled", "*.[].disabled"]),
    (
        Text,
        &[
            "driver",
            "auth_check.name",
            "auth_check.path",
            "*.[].name",
            "*.[].path",
        ],
    ),
];

/// A classic definition.
pub(super) const CLASSIC: Types = &[
    (
        Object,
        &[
            "proxy",
            "custom_middleware",
            "auth",
            "auth_configs",
            "auth_configs.authToken",
            "config_data",
            "version_data",
            "version_data.versions",
            "version_data.versions.*",
            "version_data.versions.*.extended_paths",
            "version_data.versions.*.extended_paths.go_plugin.[]",
        ],
    ),
    (List, &["version_data.versions.*.extended_paths.go_plugin"]),
    (
        Switch,
        &[
            "active",
            "use_keyless",
            "use_go_plugin_auth",
            "custom_plugin_auth_enabled",
            "enable_coprocess_auth",
            "use_standard_auth",
            "domain_disabled",
            "custom_middleware_bundle_disabled",
            "proxy.strip_listen_path",
            "version_data.versions.*.use_extended_paths",
            "version_data.versions.*.extended_paths.go_plugin.[].disabled",
        ],
    ),
    (
        Text,
        &[
            "api_id",
            "name",
            "domain",
            "custom_middleware_bundle",
            "proxy.listen_path",
            "proxy.target_url",
            "auth.auth_header_name",
            "auth_configs.authToken.auth_header_name",
            "version_data.versions.*.extended_paths.go_plugin.[].method",
            "version_data.versions.*.extended_paths.go_plugin.[].path",
            "version_data.versions.*.extended_paths.go_plugin.[].plugin_path",
            "version_data.versions.*.extended_paths.go_plugin.[].func_name",
        ],
    ),
];

/// The member of an `OpenAPI` document.
pub(super) const OPENAPI: Types = &[
    (
        Object,
        &[
            "info",
            "info.state",
            "server",
            "server.listenPath",
            "server.customDomain",
            "server.authentication",
            "server.authentication.custom",
            "server.authentication.custom.config",
            "server.authentication.securitySchemes",
            "server.authentication.securitySchemes.*",
            "server.authentication.securitySchemes.*.header",
            "upstream",
            "middleware",
            "middleware.global",
            "middleware.global.pluginConfig",
            "middleware.global.pluginConfig.data",
            "middleware.global.pluginConfig.data.value",
            "middleware.global.pluginConfig.bundle",
            "middleware.global.prePlugin",
            "middleware.global.postAuthenticationPlugin",
            "middleware.global.postPlugin",
            "middleware.global.responsePlugin",
            "middleware.global.prePlugins.[]",
            "middleware.global.postAuthenticationPlugins.[]",
            "middleware.global.postPlugins.[]",
            "middleware.global.responsePlugins.[]",
            "middleware.operations",
            "middleware.operations.*",
            "middleware.operations.*.postPlugins.[]",
        ],
    ),
    (
        List,
        &[
            "middleware.global.prePlugins",
            "middleware.global.postAuthenticationPlugins",
            "middleware.global.postPlugins",
            "middleware.global.responsePlugins",
            "middleware.global.prePlugin.plugins",
            "middleware.global.postAuthenticationPlugin.plugins",
            "middleware.global.postPlugin.plugins",
            "middleware.global.responsePlugin.plugins",
            "middleware.operations.*.postPlugins",
        ],
    ),
    (
        Switch,
        &[
            "info.state.active",
            "server.listenPath.strip",
            "server.customDomain.enabled",
            "server.authentication.enabled",
            "server.authentication.custom.enabled",
            "server.authentication.custom.config.enabled",
            "server.authentication.securitySchemes.*.enabled",
            "server.authentication.securitySchemes.*.header.enabled",
            "middleware.global.pluginConfig.bundle.enabled",
            "middleware.global.*.[].enabled",
            "middleware.global.*.plugins.[].enabled",
            "middleware.operations.*.postPlugins.[].enabled",
        ],
    ),
    (
        Text,
        &[
            "info.id",
            "info.name",
            "server.listenPath.value",
            "server.customDomain.name",
            "server.authentication.custom.config.functionName",
            "server.authentication.custom.config.path",
            "server.authentication.securitySchemes.*.header.name",
            "upstream.url",
            "middleware.global.pluginConfig.driver",
            "middleware.global.pluginConfig.bundle.path",
            "middleware.global.*.[].functionName",
            "middleware.global.*.[].path",
            "middleware.global.*.plugins.[].functionName",
            "middleware.global.*.plugins.[].path",
            "middleware.operations.*.postPlugins.[].functionName",
            "middleware.operations.*.postPlugins.[].path",
        ],
    ),
];

/// Refuses every field of another type. `path` is that of the object.
pub(crate) fn check(path: &str, map: &Map<String, Value>, types: Types, report: &mut Report) {
    let whole = Value::Object(map.clone());
    for (kind, places) in types {
        for place in *places {
            let segments: Vec<_> = place.split('.').collect();
            check_place(path, &whole, &segments, *kind, report);
        }
    }
}

fn check_place(path: &str, value: &Value, segments: &[&str], kind: Kind, report: &mut Report) {
    let Some((segment, rest)) = segments.split_first() else {
        kind.check(path, value, report);
        return;
    };
    match (*segment, value) {
        ("[]", Value::Array(items)) => {
            for (i, item) in items.iter().enumerate() {
                check_place(&format!("{path}[{i}]"), item, rest, kind, report);
            }
        }
        ("*", Value::Object(map)) => {
            for (name, item) in map {
                check_place(&join(path, name), item, rest, kind, report);
            }
        }
        (name, Value::Object(map)) => {
            if let Some(item) = map.get(name) {
                check_place(&join(path, name), item, rest, kind, report);
            }
        }
        // Another place says that this is none.
        _ => {}
    }
}

impl Kind {
    fn check(self, path: &str, value: &Value, report: &mut Report) {
        let (is_right, expected) = match self {
            Switch => (value.is_boolean(), "true or false"),
            Text => (value.is_string(), "text"),
            Object => (value.is_object(), "an object"),
            List => (value.is_array(), "a list"),
        };
        if !is_right && !value.is_null() {
            let why = format!("expected {expected}, as in Tyk, which does not load it otherwise");
            report.note(path, value, Outcome::Refused, "FIELD_TYPE", why);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(document: Value, types: Types) -> Vec<String> {
        let mut report = Report::default();
        let Value::Object(map) = document else {
            return Vec::new();
        };
        check("", &map, types, &mut report);
        let findings = report.findings().iter();
        findings.map(|finding| finding.path.clone()).collect()
    }

    #[test]
    fn hooks_and_switches_of_other_types_are_refused_by_their_paths() {
        let classic = json!({
            "active": "yes", "use_keyless": 1, "auth": null, "proxy": {"listen_path": "/a/"},
            "version_data": {"versions": {"v1": {"extended_paths": {"go_plugin": {"path": "/x"}}}}},
        });
        let found = refused(classic, CLASSIC);
        let versions = "version_data.versions.v1.extended_paths.go_plugin";
        assert_eq!(found, [versions, "active", "use_keyless"]);
        let hooks = json!({
            "pre": {"name": "Guard"}, "post_key_auth": "Guard", "response": 5, "post": [{"disabled": 1}, 7],
            "auth_check": [], "driver": "goplugin",
        });
        let found = refused(hooks, MIDDLEWARE);
        let expected = [
            "auth_check",
            "pre",
            "post_key_auth",
            "response",
            "post[0].disabled",
        ];
        assert_eq!(found, expected);
        let openapi = json!({
            "server": {"authentication": {"enabled": "true", "securitySchemes": {"k": {"enabled": 1}}}},
            "middleware": {
                "global": {"prePlugins": {}, "prePlugin": {"plugins": {}}, "postPlugins": [{"enabled": "x"}]},
                "operations": {"getX": {"postPlugins": {}}},
            },
        });
        assert_eq!(
            refused(openapi, OPENAPI),
            [
                "middleware.global.prePlugins",
                "middleware.global.prePlugin.plugins",
                "middleware.operations.getX.postPlugins",
                "server.authentication.enabled",
                "server.authentication.securitySchemes.k.enabled",
                "middleware.global.postPlugins[0].enabled",
            ]
        );
    }
}
