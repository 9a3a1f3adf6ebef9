//! One test for each rule of the document that this project started from, as far as it needs no body:
//! real control plane, real gateway, real plugins.

use crate::lab::{Lab, VERSION, arch, assert_code, get, middleware, revision};
use gantry_tests::plugins::example;
use gantry_tests::{Gateway, Request};
use serde_json::json;

const KEYS: &str = r#"{"api_keys": {"key-of-alice": "alice"}}"#;

fn config() -> serde_json::Value {
    serde_json::from_str(KEYS).unwrap()
}

fn alice(path: &str) -> Request {
    Request::get(path).header("x-api-key", "key-of-alice")
}

#[test]
fn pre_runs_an_array_of_functions_in_order_before_any_others() {
    let lab = Lab::start();
    lab.deploy_faulty();
    lab.deploy_c("examples/c-headers/plugin.c", "guard", ("pre", "BlockPath"));
    lab.deploy_hooks();
    let gateway = lab.gateway();
    let block_first = middleware(&[
        ("pre", &[("BlockPath", "guard.so"), ("Echo", "faulty.so")]),
        ("auth_check", &[("CheckApiKey", "hooks.so")]),
    ]);
    lab.put(&gateway, &json!({"proxy": {"listen_path": "/", "target_url": lab.upstream.url()}, "custom_middleware": block_first, "config_data": config()}));
    assert_eq!(
        get(&gateway, "/internal/x").status,
        403,
        "the first function answered"
    );
    let echo = get(&gateway, "/open");
    assert_eq!(
        (echo.status, echo.json()["hook"].clone()),
        (200, json!("pre")),
        "the second answered, before authentication"
    );
    let echo_first = middleware(&[
        ("pre", &[("Echo", "faulty.so"), ("BlockPath", "guard.so")]),
        ("auth_check", &[("CheckApiKey", "hooks.so")]),
    ]);
    lab.put(&gateway, &json!({"proxy": {"listen_path": "/", "target_url": lab.upstream.url()}, "custom_middleware": echo_first, "config_data": config()}));
    assert_eq!(
        get(&gateway, "/internal/x").status,
        200,
        "order is that of the array"
    );
    assert_eq!(lab.upstream.requests(), 0);
}

#[test]
fn auth_performs_custom_authentication_and_adds_the_session_to_the_request() {
    let lab = Lab::start();
    lab.deploy_faulty();
    lab.deploy_hooks();
    let gateway = lab.gateway();
    let hooks = middleware(&[
        ("auth_check", &[("CheckApiKey", "hooks.so")]),
        ("post", &[("Echo", "faulty.so")]),
    ]);
    lab.put(
        &gateway,
        &json!({"custom_middleware": hooks, "config_data": config()}),
    );
    assert_eq!(get(&gateway, "/api/x").status, 401);
    assert_eq!(
        gateway
            .send(&Request::get("/api/x").header("x-api-key", "guess"))
            .unwrap()
            .status,
        403
    );
    let seen = gateway.send(&alice("/api/x")).unwrap().json();
    assert_eq!(
        seen["session"],
        json!({"alias": "alice"}),
        "later hooks see the session: {seen}"
    );
}

#[test]
fn auth_can_be_used_only_with_use_keyless_false_and_use_go_plugin_auth_true() {
    let lab = Lab::start();
    lab.deploy_hooks();
    let hooks = middleware(&[("auth_check", &[("CheckApiKey", "hooks.so")])]);
    let keyless = lab.put_refused(&json!({"custom_middleware": hooks, "use_keyless": true}));
    assert_code(&keyless, "HOOK_CONTRADICTION");
    assert!(keyless.stderr.contains("use_keyless"), "{}", keyless.stderr);
    let switched_off =
        lab.put_refused(&json!({"custom_middleware": hooks, "use_go_plugin_auth": false}));
    assert!(
        switched_off.stderr.contains("use_go_plugin_auth"),
        "{}",
        switched_off.stderr
    );
    let listed = lab.project.admin.json(&["api", "list"]).unwrap();
    assert_eq!(listed, json!([]), "a refusal stores nothing");
}

#[test]
fn post_auth_runs_an_array_after_authentication_with_the_session_in_the_request() {
    let lab = Lab::start();
    lab.deploy_faulty();
    lab.deploy_hooks();
    let gateway = lab.gateway();
    let hooks = middleware(&[(
        "post_key_auth",
        &[("NameCaller", "hooks.so"), ("Echo", "faulty.so")],
    )]);
    lab.put(&gateway, &json!({"custom_middleware": hooks}));
    let key = lab
        .project
        .admin
        .json(&[
            "key",
            "create",
            "--session",
            r#"{"alias": "bob", "tier": "gold"}"#,
        ])
        .unwrap();
    let secret = key["secret"].as_str().unwrap();
    let request = Request::get("/api/x").header("authorization", secret);
    let answer = gantry_tests::process::eventually("the key reaches the gateway", || {
        gateway
            .send(&request)
            .ok()
            .filter(|answer| answer.status == 200)
    });
    let seen = answer.unwrap().json();
    assert_eq!(
        (&seen["hook"], &seen["session"]["alias"]),
        (&json!("post_auth"), &json!("bob")),
        "{seen}"
    );
    assert_eq!(
        seen["session"]["tier"],
        json!("gold"),
        "fields that nobody knows are kept"
    );
    assert!(
        seen["headers"]
            .to_string()
            .contains(r#"["x-caller","bob"]"#),
        "the first of the array ran first: {seen}"
    );
    assert_eq!(
        get(&gateway, "/api/x").status,
        401,
        "without a key no Post-Auth function runs"
    );
}

#[test]
fn post_auth_can_be_used_only_with_use_keyless_false_and_a_method_of_authentication() {
    let lab = Lab::start();
    lab.deploy_hooks();
    let hooks = middleware(&[("post_key_auth", &[("NameCaller", "hooks.so")])]);
    let keyless = lab.put_refused(&json!({"custom_middleware": hooks, "use_keyless": true}));
    assert!(keyless.stderr.contains("use_keyless"), "{}", keyless.stderr);
    let no_method = lab.put_refused(
        &json!({"custom_middleware": hooks, "use_keyless": false, "use_standard_auth": false}),
    );
    assert!(
        no_method.stderr.contains("use_standard_auth"),
        "{}",
        no_method.stderr
    );
}

#[test]
fn post_runs_at_the_very_end_before_the_request_goes_upstream() {
    let lab = Lab::start();
    lab.deploy_hooks();
    let gateway = lab.gateway();
    let hooks = middleware(&[
        ("pre", &[("AddTraceHeader", "hooks.so")]),
        ("auth_check", &[("CheckApiKey", "hooks.so")]),
        ("post_key_auth", &[("NameCaller", "hooks.so")]),
        (
            "post",
            &[("RewritePath", "hooks.so"), ("RewritePath", "hooks.so")],
        ),
    ]);
    lab.put(
        &gateway,
        &json!({"custom_middleware": hooks, "config_data": config()}),
    );
    let seen = gateway.send(&alice("/api/x?a=1")).unwrap().json();
    assert_eq!(
        seen["headers"]["x-gantry-hooks"],
        json!("pre, auth, post_auth, post, post")
    );
    assert_eq!(
        (&seen["path"], &seen["query"]),
        (&json!("/api/x"), &json!("a=1&via=gantry&via=gantry"))
    );
}

#[test]
fn response_runs_only_when_an_answer_has_returned_from_the_upstream() {
    let lab = Lab::start();
    lab.deploy_faulty();
    lab.deploy_hooks();
    let gateway = lab.gateway();
    let fields = |pre: &[(&str, &str)]| {
        let hooks = middleware(&[("pre", pre), ("response", &[("StampResponse", "hooks.so")])]);
        json!({"use_keyless": true, "custom_middleware": hooks})
    };
    lab.put(&gateway, &fields(&[]));
    let stamped = get(&gateway, "/api/status/404");
    assert_eq!(stamped.status, 404, "whatever its status");
    assert_eq!(
        stamped.header("x-gantry-plugin"),
        format!("example-hooks 1.0.0 for gateway {VERSION}")
    );
    lab.put(&gateway, &fields(&[("Echo", "faulty.so")]));
    let answered = get(&gateway, "/api/x");
    assert_eq!(
        (answered.status, answered.header("x-gantry-plugin")),
        (200, ""),
        "not on a plugin's own answer"
    );
}

#[test]
fn use_keyless_and_use_go_plugin_auth_are_populated_when_a_plugin_is_added_to_auth_or_post_auth() {
    let lab = Lab::start();
    lab.deploy_hooks();
    let put = |hook: &str, function: &str| {
        let hooks = middleware(&[(hook, &[(function, "hooks.so")])]);
        let definition = lab.definition(&json!({"custom_middleware": hooks}));
        lab.project
            .admin
            .put_api(lab.stage.folder(), &definition)
            .unwrap()["definition"]
            .clone()
    };
    let auth = put("auth_check", "CheckApiKey");
    assert_eq!(
        (&auth["use_keyless"], &auth["use_go_plugin_auth"]),
        (&json!(false), &json!(true))
    );
    let post_auth = put("post_key_auth", "NameCaller");
    assert_eq!(
        (&post_auth["use_keyless"], &post_auth["use_go_plugin_auth"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        post_auth["auth"]["auth_header_name"],
        json!("Authorization")
    );
    assert_eq!(
        lab.project.admin.json(&["api", "get", "test"]).unwrap()["use_keyless"],
        json!(false),
        "and stored so"
    );
}

#[test]
fn chain_is_specific_to_an_api_and_reads_dynamic_data_of_its_own() {
    let lab = Lab::start();
    lab.deploy_c("examples/c-headers/plugin.c", "tags", ("pre", "TagRequest"));
    let gateway = lab.gateway();
    for tag in ["red", "blue"] {
        let hooks = middleware(&[("pre", &[("TagRequest", "tags.so")])]);
        let mut definition = lab.definition(
            &json!({"use_keyless": true, "custom_middleware": hooks, "config_data": {"tag": tag}}),
        );
        definition["api_id"] = json!(tag);
        definition["proxy"]["listen_path"] = json!(format!("/{tag}"));
        let put = lab
            .project
            .admin
            .put_api(lab.stage.folder(), &definition)
            .unwrap();
        gateway.wait_revision(revision(&put)).unwrap();
    }
    for tag in ["red", "blue"] {
        assert_eq!(
            get(&gateway, &format!("/{tag}/x")).json()["headers"]["x-tag"],
            json!(tag)
        );
    }
}

#[test]
fn reload_of_an_api_loads_its_new_middleware_into_the_chain() {
    let lab = Lab::start();
    lab.deploy_hooks();
    let gateway = lab.gateway();
    lab.put(&gateway, &json!({"use_keyless": true}));
    assert_eq!(get(&gateway, "/api/x").header("x-gantry-plugin"), "");
    lab.put(&gateway, &json!({"use_keyless": true, "custom_middleware": middleware(&[("response", &[("StampResponse", "hooks.so")])])}));
    assert!(
        get(&gateway, "/api/x")
            .header("x-gantry-plugin")
            .starts_with("example-hooks")
    );
}

/// A bundle with a plain build and builds for two gateway versions, each with its own words.
fn deploy_three_builds(lab: &Lab) {
    let mut bundle = lab.bundle("hooks", "1.0.0");
    for (file, version) in [
        ("plain.so", "any"),
        ("hooks_v5.2.5_linux_ARCH.so", "v5.2.5"),
        ("hooks_v5.3.0_linux_ARCH.so", "v5.3.0"),
    ] {
        let library = if version == "any" {
            gantry_tests::plugins::faulty()
        } else {
            example("1.0.0", Some(version))
        };
        bundle = bundle
            .file(&file.replace("ARCH", arch()), &library.unwrap())
            .unwrap();
    }
    lab.publish(bundle.hook("response", "StampResponse", "hooks.so").hook(
        "response",
        "EchoResponse",
        "plain.so",
    ));
    lab.project.admin.deploy("hooks@1.0.0").unwrap();
}

fn stamp(gateway: &Gateway) -> String {
    get(gateway, "/api/x").header("x-gantry-plugin").to_owned()
}

#[test]
fn gateway_tries_the_name_given_first_and_falls_back_to_name_version_os_arch() {
    let lab = Lab::start();
    deploy_three_builds(&lab);
    let gateway = lab.gateway();
    let hooks = middleware(&[(
        "response",
        &[("StampResponse", "hooks.so"), ("EchoResponse", "plain.so")],
    )]);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks}),
    );
    let answer = get(&gateway, "/api/x");
    assert_ne!(
        answer.header("x-seen"),
        "",
        "plain.so was found by the name given"
    );
    assert_eq!(
        answer.header("x-gantry-plugin"),
        "example-hooks 1.0.0 for gateway v5.3.0",
        "hooks.so by version and platform"
    );
    let explained = lab
        .project
        .admin
        .json(&["explain", "test", "--gateway", "gateway-1"])
        .unwrap();
    let candidates = explained["functions"][0]["candidates"]
        .as_array()
        .unwrap()
        .clone();
    let verdicts: Vec<_> = candidates
        .iter()
        .map(|candidate| candidate["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(
        verdicts,
        ["GATEWAY_VERSION_DIFFERS", "TAKEN"],
        "{explained}"
    );
}

#[test]
fn every_gateway_loads_the_binary_that_it_is_compatible_with() {
    let lab = Lab::start();
    deploy_three_builds(&lab);
    let mut stamps = Vec::new();
    let old = lab
        .stage
        .ready_gateway(&lab.project, "old", "v5.2.5")
        .unwrap();
    let new = lab
        .stage
        .ready_gateway(&lab.project, "new", "v5.3.0-rc1")
        .unwrap();
    let fields = json!({"use_keyless": true, "custom_middleware": middleware(&[("response", &[("StampResponse", "hooks.so")])])});
    let put = lab.put(&old, &fields);
    new.wait_revision(revision(&put)).unwrap();
    for gateway in [&old, &new] {
        stamps.push(stamp(gateway));
    }
    assert_eq!(
        stamps,
        [
            "example-hooks 1.0.0 for gateway v5.2.5",
            "example-hooks 1.0.0 for gateway v5.3.0"
        ]
    );
}

#[test]
fn upgrade_needs_only_the_plugins_compiled_for_the_new_version_before_it() {
    let lab = Lab::start();
    deploy_three_builds(&lab);
    let mut gateway = lab
        .stage
        .ready_gateway(&lab.project, "gateway-1", "v5.2.5")
        .unwrap();
    let fields = json!({"use_keyless": true, "custom_middleware": middleware(&[("response", &[("StampResponse", "hooks.so")])])});
    let put = lab.put(&gateway, &fields);
    assert_eq!(stamp(&gateway), "example-hooks 1.0.0 for gateway v5.2.5");
    gateway.upgrade("v5.3.0").unwrap();
    gateway.wait_ready().unwrap();
    gateway
        .wait_status("the build for the new version serves", |status| {
            status["report"]["artifacts"].to_string().contains("v5.3.0")
                && status["report"]["state"] == "ready"
        })
        .unwrap();
    assert_eq!(stamp(&gateway), "example-hooks 1.0.0 for gateway v5.3.0");
    let stored = lab.project.admin.json(&["api", "get", "test"]).unwrap();
    assert_eq!(stored, put["definition"], "the definition was not touched");
}

#[test]
fn headers_set_early_are_on_the_final_response_whoever_gives_it() {
    let lab = Lab::start();
    lab.deploy_faulty();
    lab.deploy_hooks();
    let gateway = lab.gateway();
    let put = |hooks: &[(&str, &[(&str, &str)])], switches: &serde_json::Value| {
        let mut all: Vec<(&str, &[(&str, &str)])> =
            vec![("pre", &[("AddTraceHeader", "hooks.so")])];
        all.extend_from_slice(hooks);
        let mut fields = switches.clone();
        fields["custom_middleware"] = middleware(&all);
        lab.put(&gateway, &fields);
        let answer = get(&gateway, "/api/x");
        assert_eq!(
            answer.header("x-gantry-first"),
            "example-hooks 1.0.0",
            "{answer:?}"
        );
        answer.status
    };
    let open = json!({"use_keyless": true});
    assert_eq!(put(&[], &open), 200, "the upstream");
    assert_eq!(
        put(&[("post", &[("Echo", "faulty.so")])], &open),
        200,
        "a function"
    );
    assert_eq!(
        put(&[], &json!({"use_keyless": false})),
        401,
        "the gateway, because a key is missing"
    );
    assert_eq!(
        put(&[("post", &[("Panic", "faulty.so")])], &open),
        500,
        "the gateway, because a function failed"
    );
    assert_eq!(
        put(&[("response", &[("FailResponse", "faulty.so")])], &open),
        500,
        "or failed at the end"
    );
}
