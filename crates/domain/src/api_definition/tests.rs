//! Legality, auto-fill and refusals of API definitions.

use serde_json::{Value, json};

use super::*;

fn base() -> Value {
    json!({
        "name": "Orders", "api_id": "orders",
        "proxy": {"listen_path": "/orders/", "target_url": "http://127.0.0.1:9000"},
    })
}

fn with(fields: &Value) -> Value {
    let mut document = base();
    for (name, value) in fields.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

fn hooked(hook: &str, fields: &Value) -> Value {
    let entry = json!({"name": "Check", "path": "hooks.so"});
    let entry = if hook == "auth_check" {
        entry
    } else {
        json!([entry])
    };
    let mut document = with(fields);
    document["custom_middleware"] = json!({"driver": "goplugin", hook: entry});
    document
}

fn put(document: &Value) -> Result<ApiDefinition, Vec<FieldError>> {
    let (definition, _) =
        ApiDefinition::parse(document.to_string().as_bytes(), &Limits::default())?;
    definition.complete(None)
}

fn check_refused(document: &Value, path: &str, code: &str) {
    let errors = put(document).expect_err(&document.to_string());
    assert!(
        errors.iter().any(|e| e.path == path && e.code == code),
        "{document} gave {errors:?}"
    );
}

#[test]
fn function_on_auth_fills_in_both_switches() {
    let definition = put(&hooked("auth_check", &json!({}))).unwrap().to_json();
    assert_eq!(definition["use_keyless"], json!(false));
    assert_eq!(definition["use_go_plugin_auth"], json!(true));
    assert_eq!(definition["use_standard_auth"], json!(false));
    assert_eq!(definition.get("auth"), None);
}

#[test]
fn function_on_post_auth_fills_in_a_method_of_authentication() {
    let definition = put(&hooked("post_key_auth", &json!({}))).unwrap().to_json();
    assert_eq!(definition["use_keyless"], json!(false));
    assert_eq!(definition["use_go_plugin_auth"], json!(false));
    assert_eq!(definition["use_standard_auth"], json!(true));
    assert_eq!(
        definition["auth"]["auth_header_name"],
        json!("Authorization")
    );
}

#[test]
fn each_contradiction_is_refused_with_its_field() {
    let code = "HOOK_CONTRADICTION";
    check_refused(
        &hooked("auth_check", &json!({"use_keyless": true})),
        "use_keyless",
        code,
    );
    check_refused(
        &hooked("auth_check", &json!({"use_go_plugin_auth": false})),
        "use_go_plugin_auth",
        code,
    );
    check_refused(
        &hooked("auth_check", &json!({"custom_plugin_auth_enabled": false})),
        "use_go_plugin_auth",
        code,
    );
    check_refused(
        &hooked("post_key_auth", &json!({"use_keyless": true})),
        "use_keyless",
        code,
    );
    check_refused(
        &hooked(
            "post_key_auth",
            &json!({"use_keyless": false, "use_standard_auth": false}),
        ),
        "use_standard_auth",
        code,
    );
    check_refused(
        &with(&json!({"use_go_plugin_auth": true})),
        "use_go_plugin_auth",
        code,
    );
    check_refused(
        &with(&json!({"use_keyless": true, "use_standard_auth": true})),
        "use_standard_auth",
        code,
    );
    let both = json!({"use_go_plugin_auth": true, "custom_plugin_auth_enabled": false});
    check_refused(
        &hooked("auth_check", &both),
        "custom_plugin_auth_enabled",
        "FIELD_CONFLICT",
    );
}

#[test]
fn pre_post_and_response_have_no_condition() {
    for hook in ["pre", "post", "response"] {
        let definition = put(&hooked(hook, &json!({"use_keyless": true}))).unwrap();
        assert_eq!(definition.authentication(), Authentication::Keyless);
    }
}

#[test]
fn disabled_auth_function_does_not_count() {
    let mut document = hooked("auth_check", &json!({"use_keyless": true}));
    document["custom_middleware"]["auth_check"]["disabled"] = json!(true);
    assert_eq!(
        put(&document).unwrap().authentication(),
        Authentication::Keyless
    );
}

#[test]
fn absent_switches_ask_for_a_consumer_key() {
    let expected = Authentication::Required {
        plugin: false,
        token_header: Some("Authorization".into()),
    };
    assert_eq!(put(&base()).unwrap().authentication(), expected);
    let (parsed, _) =
        ApiDefinition::parse(base().to_string().as_bytes(), &Limits::default()).unwrap();
    assert_eq!(parsed.authentication(), expected, "before completion too");
}

#[test]
fn function_and_consumer_key_are_both_required_when_both_are_switched_on() {
    let document = hooked(
        "auth_check",
        &json!({"use_standard_auth": true, "auth": {"auth_header_name": "X-Key"}}),
    );
    let expected = Authentication::Required {
        plugin: true,
        token_header: Some("X-Key".into()),
    };
    assert_eq!(put(&document).unwrap().authentication(), expected);
}

#[test]
fn bundle_hooks_decide_once_they_are_known() {
    let document = with(&json!({"custom_middleware_bundle": "hooks", "use_keyless": true}));
    let definition = put(&document).unwrap();
    assert_eq!(
        definition.switches.use_go_plugin_auth, None,
        "nothing is filled in before the pin is known"
    );
    let Plugins::Inline(hooks) = put(&hooked("auth_check", &json!({}))).unwrap().plugins else {
        unreachable!()
    };
    assert_eq!(
        definition.complete(Some(&hooks)).unwrap_err()[0].path,
        "use_keyless"
    );
}

#[test]
fn unknown_and_unsupported_fields_are_refused_with_their_path() {
    check_refused(
        &with(&json!({"enable_jwt": true})),
        "enable_jwt",
        "FIELD_UNKNOWN",
    );
    let mut nested = base();
    nested["proxy"]["preserve_host_header"] = json!(true);
    check_refused(&nested, "proxy.preserve_host_header", "FIELD_UNKNOWN");
    // Only a manifest may ask for it: it is built into the library.
    let mut inline = hooked("pre", &json!({}));
    inline["custom_middleware"]["pre"][0]["inline"] = json!(true);
    check_refused(&inline, "custom_middleware.pre[0].inline", "FIELD_UNKNOWN");
    let mut both = hooked("pre", &json!({"custom_middleware_bundle": "hooks"}));
    check_refused(&both, "custom_middleware_bundle", "FIELD_CONFLICT");
    both = hooked("pre", &json!({}));
    both["custom_middleware"]["driver"] = json!("");
    check_refused(&both, "custom_middleware.driver", "DRIVER_UNSUPPORTED");
}

#[test]
fn definition_as_tyk_keeps_it_is_pointed_to_its_import_once() {
    let told = |document: &Value| -> Vec<String> {
        let errors = put(document).unwrap_err();
        let unknown = errors.iter().filter(|error| error.code == "FIELD_UNKNOWN");
        let pointed = unknown.filter(|error| error.expected.contains("`gantry import tyk FILE`"));
        pointed.map(|error| error.path.clone()).collect()
    };
    let kept = with(&json!({"org_id": "5e", "slug": "orders", "version_data": {"a": 1}}));
    assert_eq!(told(&kept), ["org_id"]);
    assert_eq!(
        told(&with(&json!({"x-tyk-api-gateway": {"info": {}}}))),
        ["x-tyk-api-gateway"]
    );
    assert!(told(&with(&json!({"version_date": "2026-01-01"}))).is_empty());
    let mut nested = base();
    nested["proxy"]["org_id"] = json!("5e");
    assert!(told(&nested).is_empty());
}

#[test]
fn malformed_routes_and_upstreams_are_refused() {
    for path in ["", "orders", "/a//b", "/a/../b", "/a%2fb", "/a?b", "//"] {
        let mut document = base();
        document["proxy"]["listen_path"] = json!(path);
        check_refused(&document, "proxy.listen_path", "FIELD_INVALID");
    }
    for url in [
        "",
        "ftp://x",
        "https://",
        "http://",
        "http://u:p@x",
        "http://x:99999",
        "http://x/?q",
        "http://[::1",
    ] {
        let mut document = base();
        document["proxy"]["target_url"] = json!(url);
        check_refused(&document, "proxy.target_url", "FIELD_INVALID");
    }
    for url in [
        "http://x",
        "https://x",
        "http://[::1]:80/a",
        "https://a.b:8443/base/",
    ] {
        let mut document = base();
        document["proxy"]["target_url"] = json!(url);
        assert!(put(&document).is_ok(), "{url}");
    }
    check_refused(&with(&json!({"domain": "a..b"})), "domain", "FIELD_INVALID");
}

#[test]
fn canonical_text_reads_back_to_the_same_definition() {
    let document = hooked(
        "auth_check",
        &json!({"domain": "API.example", "config_data": {"b": [1], "a": {"x": null}}}),
    );
    let definition = put(&document).unwrap();
    let (again, _) =
        ApiDefinition::parse(definition.canonical().as_bytes(), &Limits::default()).unwrap();
    assert_eq!(again, definition);
    assert_eq!(again.digest(), definition.digest());
}

#[test]
fn route_is_found_even_where_the_rest_is_not_understood() {
    let document = with(&json!({"added_by_a_newer_release": 1, "domain": "A.example"}));
    let route = Route::of_document(document.to_string().as_bytes()).unwrap();
    assert_eq!(
        route,
        Route {
            domain: Some("a.example".into()),
            prefix: "/orders".into()
        }
    );
}
