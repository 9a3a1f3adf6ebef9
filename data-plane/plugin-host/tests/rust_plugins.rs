//! Plugins written with the Rust SDK, loaded as a gateway loads them.
#![expect(clippy::unwrap_used, reason = "a test may stop where it fails")]

mod support;

use std::sync::{Arc, LazyLock};

use gantry_domain::{FunctionFlag, Hook};
use gantry_plugin_host::{Library, LogLevel, Verdict};
use serde_json::{Value, json};
use support::{
    TRACE_ID, build_rust, code, collect_logs, encoded_response, lines_with, note_of, request,
    response, run, start,
};

static FAULTY: LazyLock<Arc<Library>> =
    LazyLock::new(|| Library::open(&build_rust("gantry-fixture-faulty")).unwrap());

#[test]
fn table_and_note_of_the_macro_say_the_same() {
    for package in ["gantry-example-hooks", "gantry-fixture-faulty"] {
        let path = build_rust(package);
        let library = Library::open(&path).unwrap();
        let note = note_of(&path);
        assert_eq!(library.descriptor().differs_from(&note), None);
        assert_eq!(note.language, "rust");
    }
    let slow = FAULTY
        .descriptor()
        .function(&"SlowInPool".parse().unwrap())
        .unwrap();
    assert_eq!(slow.flags, [FunctionFlag::MayBlock]);
}

#[test]
fn function_sees_everything_of_a_request() {
    let instance = start(&FAULTY, "Echo", Hook::Auth, "{}").unwrap();
    let mut exchange = request();
    exchange.session = Some(br#"{"alias":"s"}"#.to_vec().into());
    assert_eq!(instance.call(Hook::Auth, &mut exchange), Verdict::Respond);
    let answer = exchange.answer.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(
        exchange.response_headers["content-type"],
        "application/json"
    );
    let seen: Value = serde_json::from_slice(&answer.body).unwrap();
    let expected = json!({
        "hook": "auth", "method": "GET", "path": "/users/7", "query": "a=1",
        "host": "api.example", "remote_addr": "192.0.2.1:4711",
        "headers": [["x-set", "old"], ["x-gone", "1"], ["accept", "a/b"], ["accept", "c/d"]],
        "response_headers": [], "session": {"alias": "s"}, "api_id": "users",
        "definition": {"name": "Users"}, "config": {"level": 3},
        "trace_id": TRACE_ID, "traceparent": format!("00-{TRACE_ID}-b7ad6b7169203331-01"),
    });
    assert_eq!(seen, expected);
}

#[test]
fn panic_fails_the_call_is_logged_with_its_place_and_the_next_call_works() {
    collect_logs();
    let (verdict, _) = run(&FAULTY, "Panic", Hook::Post);
    assert_eq!(code(&verdict), "PLUGIN_PANICKED");
    let [(level, line, origin)] = lines_with("always panics at post").try_into().unwrap();
    assert_eq!(level, LogLevel::Error);
    assert!(
        line.starts_with("panicked at ") && line.contains("lib.rs:"),
        "{line}"
    );
    assert_eq!(origin, Some(format!("users/Panic/post/{TRACE_ID}")));
    assert_eq!(run(&FAULTY, "Echo", Hook::Post).0, Verdict::Respond);

    let instance = start(&FAULTY, "PanicResponse", Hook::Response, "{}").unwrap();
    assert_eq!(
        code(&instance.call(Hook::Response, &mut response())),
        "PLUGIN_PANICKED"
    );
}

#[test]
fn error_fails_the_call_and_its_message_is_logged() {
    collect_logs();
    let (verdict, exchange) = run(&FAULTY, "Fail", Hook::PostAuth);
    assert_eq!(code(&verdict), "PLUGIN_FAILED");
    assert_eq!(exchange.answer, None);
    let origin = Some(format!("users/Fail/post_auth/{TRACE_ID}"));
    assert!(
        lines_with("this function always fails")
            .iter()
            .any(|line| line.2 == origin)
    );
}

#[test]
fn start_that_panics_or_refuses_gives_its_reason() {
    let error = start(&FAULTY, "PanicAtStart", Hook::Pre, "{}").unwrap_err();
    assert!(error.to_string().contains("start panicked"), "{error}");
    let error = start(&FAULTY, "Slow", Hook::Pre, "{}").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("config_data.sleep_ms is missing"),
        "{error}"
    );
}

#[test]
fn response_function_sees_and_changes_the_response() {
    let instance = start(&FAULTY, "EchoResponse", Hook::Response, "{}").unwrap();
    let mut exchange = response();
    exchange
        .response_headers
        .insert("server", "upstream".parse().unwrap());
    exchange
        .added_headers
        .insert("x-early", "1".parse().unwrap());
    assert_eq!(
        instance.call(Hook::Response, &mut exchange),
        Verdict::Continue
    );
    let seen: Value =
        serde_json::from_slice(exchange.response_headers["x-seen"].as_bytes()).unwrap();
    assert_eq!(seen["status"], json!(200));
    assert_eq!(
        seen["response_headers"],
        json!([["server", "upstream"], ["x-early", "1"]])
    );
    assert!(exchange.added_headers.is_empty());
}

#[test]
fn response_function_answers_in_place_of_the_upstream() {
    let instance = start(&FAULTY, "AnswerResponse", Hook::Response, "{}").unwrap();
    let mut exchange = encoded_response();
    assert_eq!(
        instance.call(Hook::Response, &mut exchange),
        Verdict::Respond
    );
    let answer = exchange.answer.unwrap();
    assert_eq!(answer.status.as_u16(), 451);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body, json!({"error": "withheld"}));
    let headers = exchange.response_headers;
    assert_eq!(headers["content-type"], "application/json");
    assert!(!headers.contains_key("content-encoding"));
    assert_eq!(headers["set-cookie"], "a=b");
}

#[test]
fn example_runs_at_all_five_hooks() {
    let library = Library::open(&build_rust("gantry-example-hooks")).unwrap();
    let config = r#"{"api_keys":{"k":"alice"},"rewrite":{"from":"/users","to":"/people"}}"#;
    let mut exchange = request();
    exchange.headers.insert("x-api-key", "k".parse().unwrap());
    for (function, hook) in [
        ("AddTraceHeader", Hook::Pre),
        ("CheckApiKey", Hook::Auth),
        ("NameCaller", Hook::PostAuth),
        ("RewritePath", Hook::Post),
    ] {
        let instance = start(&library, function, hook, config).unwrap();
        assert_eq!(
            instance.call(hook, &mut exchange),
            Verdict::Continue,
            "{function}"
        );
    }
    assert_eq!(exchange.path, "/people/7");
    assert_eq!(exchange.query.as_deref(), Some("a=1&via=gantry"));
    assert_eq!(exchange.headers["x-caller"], "alice");
    assert_eq!(exchange.headers["x-trace-id"], TRACE_ID);
    assert!(!exchange.headers.contains_key("x-api-key"));

    exchange.status = Some(http::StatusCode::OK);
    let stamp = start(&library, "StampResponse", Hook::Response, config).unwrap();
    assert_eq!(stamp.call(Hook::Response, &mut exchange), Verdict::Continue);
    let trail = &exchange.response_headers["x-gantry-hooks"];
    assert_eq!(trail, "pre, auth, post_auth, post, response");
    assert!(exchange.response_headers.contains_key("x-gantry-first"));
}
