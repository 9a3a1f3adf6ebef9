//! Plugins that are missing, wrong or broken: no request slips past them, and nothing else suffers.

use gantry_tests::plugins;
use gantry_tests::process::eventually;
use gantry_tests::{Gateway, Request};
use serde_json::{Value, json};

use crate::lab::{Lab, arch, assert_code, get, middleware};

fn pre(function: &str, file: &str) -> Value {
    json!({"use_keyless": true, "custom_middleware": middleware(&[("pre", &[(function, file)])])})
}

fn failed_code(gateway: &Gateway, code: &str) {
    gateway
        .wait_status(code, |status| {
            status["report"]["apis"].to_string().contains(code)
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
}

/// A second API on `/healthy/` that must go on whatever happens to the first.
fn put_healthy(lab: &Lab, gateway: &Gateway) {
    let mut definition = lab.definition(&json!({"use_keyless": true}));
    definition["api_id"] = json!("healthy");
    definition["proxy"]["listen_path"] = json!("/healthy/");
    let put = lab
        .project
        .admin
        .put_api(lab.stage.folder(), &definition)
        .unwrap();
    gateway.wait_revision(crate::lab::revision(&put)).unwrap();
    assert_eq!(get(gateway, "/healthy/x").status, 200);
}

#[test]
fn missing_plugin_answers_500_and_nothing_reaches_the_upstream() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    put_healthy(&lab, &gateway);
    let before = lab.upstream.requests();
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware_bundle": "never-deployed"}),
    );
    assert_eq!(get(&gateway, "/api/x").status, 500);
    failed_code(&gateway, "BUNDLE_NOT_DEPLOYED");
    assert_eq!(lab.upstream.requests(), before);
    assert_eq!(
        get(&gateway, "/healthy/x").status,
        200,
        "other APIs are untouched"
    );
    assert_eq!(gateway.status().unwrap()["report"]["state"], "degraded");
}

#[test]
fn plugin_of_another_architecture_only_is_refused_at_deploy_and_answers_500_when_forced() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    let library = plugins::example("1.0.0", None).unwrap();
    let mut bytes = std::fs::read(&library).unwrap();
    let (other, machine) = if arch() == "amd64" {
        ("arm64", 183_u16)
    } else {
        ("amd64", 62)
    };
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    let foreign = lab.stage.folder().join("foreign.so");
    std::fs::write(&foreign, bytes).unwrap();
    let name = format!("hooks_v5.3.0_linux_{other}.so");
    let bundle = lab
        .bundle("hooks", "1.0.0")
        .file(&name, &foreign)
        .unwrap()
        .hook("pre", "AddTraceHeader", "hooks.so");
    lab.publish(bundle);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware_bundle": "hooks"}),
    );
    let refused = lab.project.admin.run(&["deploy", "hooks@1.0.0"]).unwrap();
    assert_code(&refused, "TARGET_UNRESOLVED");
    assert!(
        refused.code != 0 && refused.stderr.contains("gateway-1"),
        "the gateway is named: {}",
        refused.stderr
    );
    let forced = lab
        .project
        .admin
        .json(&["deploy", "hooks@1.0.0", "--force"])
        .unwrap();
    gateway
        .wait_revision(crate::lab::revision(&forced))
        .unwrap();
    assert_eq!(get(&gateway, "/api/x").status, 500);
    failed_code(&gateway, "TARGET_UNRESOLVED");
    assert_eq!(lab.upstream.requests(), 0);
}

#[test]
fn function_that_panics_is_a_clean_500_and_the_worker_lives() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    let pids = gateway.worker_pids().unwrap();
    lab.put(&gateway, &pre("Panic", "faulty.so"));
    for _ in 0..20 {
        let answer = get(&gateway, "/api/x");
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (500, &json!("PLUGIN_FAILED")),
            "{}",
            answer.body
        );
    }
    assert_eq!(lab.upstream.requests(), 0, "nothing of the request goes on");
    assert_eq!(gateway.worker_pids().unwrap(), pids);
    assert!(
        gateway.log().contains("this function always panics at pre"),
        "the message is in the log"
    );
}

#[test]
fn failing_response_function_lets_no_byte_of_the_upstream_out() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    for function in ["PanicResponse", "FailResponse"] {
        let hooks = middleware(&[("response", &[(function, "faulty.so")])]);
        lab.put(
            &gateway,
            &json!({"use_keyless": true, "custom_middleware": hooks}),
        );
        let answer = get(&gateway, "/api/secret");
        assert_eq!(answer.status, 500);
        assert!(
            !answer.body.contains("secret") && answer.header("x-upstream").is_empty(),
            "{answer:?}"
        );
    }
    assert_eq!(lab.upstream.requests(), 2, "the upstream was asked");
}

#[test]
fn auth_function_that_sets_no_session_is_refused_with_400() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    let hooks = middleware(&[("auth_check", &[("NoSession", "faulty.so")])]);
    lab.put(&gateway, &json!({"custom_middleware": hooks}));
    let answer = get(&gateway, "/api/x");
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (400, &json!("SESSION_MISSING")),
        "{}",
        answer.body
    );
    assert_eq!(lab.upstream.requests(), 0);
}

#[test]
fn library_whose_constructor_crashes_kills_the_probe_and_nothing_else() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    put_healthy(&lab, &gateway);
    let pids = gateway.worker_pids().unwrap();
    lab.deploy_c(
        "tests/fixtures/plugins/constructor_crash.c",
        "bomb",
        ("pre", "Plain"),
    );
    lab.put(&gateway, &pre("Plain", "bomb.so"));
    failed_code(&gateway, "PROBE_CRASHED");
    failed_code(&gateway, "it had said: no such luck");
    let log = gateway.log();
    let said = log.matches("does not pass the probe").count();
    assert_eq!(said, 1, "one library is one line: {log}");
    assert_eq!(get(&gateway, "/api/x").status, 500);
    assert_eq!(get(&gateway, "/healthy/x").status, 200);
    assert_eq!(
        gateway.worker_pids().unwrap(),
        pids,
        "no worker ever loaded it"
    );
}

#[test]
fn report_of_a_library_that_crashes_quotes_no_other_library() {
    let lab = Lab::start();
    let plugins = [
        ("chatty_constructor", "Chat"),
        ("constructor_crash", "Plain"),
    ];
    for (name, function) in plugins {
        let source = format!("tests/fixtures/plugins/{name}.c");
        lab.deploy_c(&source, &name.replace('_', "-"), ("pre", function));
    }
    let gateway = lab.gateway();
    // Both are tried in one probe.
    let hooks = [
        ("Chat", "chatty-constructor.so"),
        ("Plain", "constructor-crash.so"),
    ];
    let hooks = middleware(&[("pre", &hooks)]);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks}),
    );
    failed_code(&gateway, "it had said: no such luck");
    let log = gateway.log();
    assert!(log.contains("all is well"), "it was loaded too: {log}");
    assert!(!log.contains("the probe opens"), "{log}");
}

#[test]
fn api_keeps_its_previous_functions_when_the_new_ones_do_not_start() {
    let lab = Lab::start();
    lab.deploy_faulty();
    lab.deploy_hooks();
    let gateway = lab.gateway();
    lab.put(&gateway, &json!({"use_keyless": true, "custom_middleware": middleware(&[("response", &[("StampResponse", "hooks.so")])])}));
    lab.deploy_c(
        "tests/fixtures/plugins/start_fails.c",
        "stubborn",
        ("pre", "StartFails"),
    );
    lab.put(&gateway, &pre("StartFails", "stubborn.so"));
    let status = gateway
        .wait_status("held", |status| {
            status["report"]["apis"].to_string().contains("held")
        })
        .unwrap();
    assert_eq!(status["report"]["state"], "degraded");
    let answer = get(&gateway, "/api/x");
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("x-gantry-plugin")
            .starts_with("example-hooks"),
        "the previous chain runs: {answer:?}"
    );
}

#[test]
fn note_that_promises_other_functions_than_the_library_has_fails_the_probe() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    lab.deploy_c(
        "tests/fixtures/plugins/lying_note.c",
        "liar",
        ("pre", "Plain"),
    );
    lab.put(&gateway, &pre("Plain", "liar.so"));
    failed_code(&gateway, "NOTE_DIFFERS");
    assert_eq!(get(&gateway, "/api/x").status, 500);
}

#[test]
fn plugin_cannot_re_route_a_request_to_another_api() {
    let lab = Lab::start();
    lab.deploy_hooks();
    let gateway = lab.gateway();
    put_healthy(&lab, &gateway);
    let hooks = middleware(&[("post", &[("RewritePath", "hooks.so")])]);
    let config = json!({"rewrite": {"from": "/api/", "to": "/healthy/"}});
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks, "config_data": config}),
    );
    let seen = gateway.send(&Request::get("/api/x")).unwrap().json();
    assert_eq!(
        seen["path"],
        json!("/healthy/x"),
        "the rewritten path went to the upstream of the first API"
    );
    assert_eq!(seen["headers"]["x-gantry-hooks"], json!("post"));
}

#[test]
fn response_function_can_answer_in_place_of_the_upstream() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    let hooks = middleware(&[("response", &[("AnswerResponse", "faulty.so")])]);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks}),
    );
    let answer = get(&gateway, "/api/secret");
    assert_eq!(answer.status, 451);
    assert!(
        !answer.body.contains("secret") && answer.json().is_object(),
        "{}",
        answer.body
    );
    assert_eq!(
        answer.header("content-length"),
        answer.body.len().to_string(),
        "the length is made right"
    );
    assert_eq!(lab.upstream.requests(), 1);
}

#[test]
fn verdict_pending_of_a_function_that_does_not_declare_it_fails_the_call() {
    let lab = Lab::start();
    lab.deploy_c(
        "tests/fixtures/plugins/verdicts.c",
        "verdicts",
        ("pre", "Pending"),
    );
    let gateway = lab.gateway();
    lab.put(&gateway, &pre("Pending", "verdicts.so"));
    assert_eq!(get(&gateway, "/api/x").status, 500);
    eventually("the reason is in the log", || {
        gateway.log().contains("PENDING_UNDECLARED").then_some(())
    })
    .unwrap();
    assert_eq!(lab.upstream.requests(), 0);
}

#[test]
fn function_that_blocks_in_the_pool_does_not_hold_others_up() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    put_healthy(&lab, &gateway);
    let hooks = middleware(&[("pre", &[("SlowInPool", "faulty.so")])]);
    let fields =
        json!({"use_keyless": true, "custom_middleware": hooks, "config_data": {"sleep_ms": 3000}});
    lab.put(&gateway, &fields);
    let address = gateway.address();
    let slow: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(move || Request::get("/api/x").send(address)))
        .collect();
    eventually("the slow requests are on their way", || {
        let total = gateway.status().ok()?["report"]["requests_total"].as_u64()?;
        (total >= 5).then_some(())
    })
    .unwrap();
    let before = slow.iter().filter(|request| request.is_finished()).count();
    for _ in 0..8 {
        assert_eq!(get(&gateway, "/healthy/x").status, 200);
    }
    assert_eq!(before, 0, "the slow ones were still waiting");
    for request in slow {
        assert_eq!(request.join().unwrap().unwrap().status, 200);
    }
}
