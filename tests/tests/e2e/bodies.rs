//! Bodies through a whole gateway: taken, replaced, refused beyond the limit, asked for undeclared.

use gantry_tests::Request;
use serde_json::{Value, json};

use crate::lab::{Lab, get, middleware};

/// More than a gateway gives to functions unless configured.
const LONG: usize = (1 << 20) + 1;

fn at(hook: &str, function: &str) -> Value {
    let entries = [(function, "faulty.so")];
    json!({"use_keyless": true, "custom_middleware": middleware(&[(hook, &entries)])})
}

#[test]
fn function_reads_the_body_twice_and_a_replacement_reaches_the_upstream_with_its_length() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    let post = |body: &str| gateway.send(&Request::post("/api/x", body)).unwrap();
    lab.put(&gateway, &at("pre", "BodyEcho"));
    let echoed = post("hello");
    assert_eq!((echoed.status, echoed.body.as_str()), (200, "hello"));
    assert_eq!(echoed.headers["x-body-length"], "5");
    assert_eq!(lab.upstream.requests(), 0);

    lab.put(&gateway, &at("post", "BodyReplace"));
    let told = post("hello").json();
    assert_eq!(told["body"], "[hello]");
    assert_eq!(told["headers"]["content-length"], "7");
}

#[test]
fn response_body_is_replaced_and_its_length_is_right() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    lab.put(&gateway, &at("response", "ResponseBodyReplace"));
    let answer = get(&gateway, "/api/x");
    assert!(answer.body.starts_with("<{") && answer.body.ends_with("}>"));
    assert_eq!(
        answer.headers["content-length"],
        answer.body.len().to_string()
    );
    assert_eq!(answer.headers["content-type"], "application/json");
}

#[test]
fn long_body_is_refused_only_where_a_function_wants_it() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    let long = Request::post("/api/x", "x".repeat(LONG));
    lab.put(&gateway, &json!({"use_keyless": true}));
    assert_eq!(gateway.send(&long).unwrap().json()["body_bytes"], LONG);

    // The upstream answers with what it got, so that answer is too long as well.
    lab.put(&gateway, &at("response", "ResponseBodyReplace"));
    let refused = gateway.send(&long).unwrap();
    let code = &refused.json()["code"];
    assert_eq!(
        (refused.status, code),
        (502, &json!("RESPONSE_BODY_TOO_LARGE"))
    );

    lab.put(&gateway, &at("pre", "BodyReplace"));
    let before = lab.upstream.requests();
    // A client that is still sending may miss the answer; it never reaches the upstream.
    if let Ok(refused) = gateway.send(&long) {
        let code = &refused.json()["code"];
        assert_eq!(
            (refused.status, code),
            (413, &json!("REQUEST_BODY_TOO_LARGE"))
        );
    }
    assert_eq!(lab.upstream.requests(), before);
}

#[test]
fn body_without_its_declaration_fails_the_call() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    lab.put(&gateway, &at("pre", "BodyUndeclared"));
    let answer = gateway.send(&Request::post("/api/x", "hello")).unwrap();
    let code = &answer.json()["code"];
    assert_eq!((answer.status, code), (500, &json!("PLUGIN_FAILED")));
    assert_eq!(lab.upstream.requests(), 0);
}
