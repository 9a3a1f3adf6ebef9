//! Bodies in Go functions through a whole gateway: read, replaced, refused beyond the limit, asked for
//! undeclared. What Rust and C functions do with them is in `bodies`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use gantry_tests::plugins;
use gantry_tests::process::eventually;
use gantry_tests::{Gateway, Request};
use serde_json::{Value, json};

use crate::lab::{Lab, get, middleware};

/// More than a gateway gives to functions unless configured.
const LONG: usize = (1 << 20) + 1;

fn at(hook: &str, function: &str) -> Value {
    let entries = [(function, "go-faulty.so")];
    json!({"use_keyless": true, "custom_middleware": middleware(&[(hook, &entries)])})
}

fn lab() -> (Lab, Gateway) {
    let lab = Lab::start();
    let library = plugins::go("tests/fixtures/go-faulty", "1.0.0", None).unwrap();
    let bundle = lab.bundle("go-faulty", "1.0.0");
    let bundle = bundle.file("go-faulty.so", &library).unwrap();
    lab.publish(bundle.hook("pre", "Quiet", "go-faulty.so"));
    lab.project.admin.deploy("go-faulty@1.0.0").unwrap();
    let gateway = lab.gateway();
    (lab, gateway)
}

#[test]
fn go_functions_read_and_replace_bodies_of_requests_and_responses() {
    let (lab, gateway) = lab();
    // Those of the second kind declare nothing: they ask for the body from a goroutine.
    for kind in ["", "Detached"] {
        read_and_replace(&lab, &gateway, &|function| format!("{function}{kind}"));
    }
}

fn read_and_replace(lab: &Lab, gateway: &Gateway, named: &dyn Fn(&str) -> String) {
    let post = |body: &str| gateway.send(&Request::post("/api/x", body)).unwrap();
    let before = lab.upstream.requests();
    lab.put(gateway, &at("pre", &named("BodyEcho")));
    for body in ["hello", ""] {
        let echoed = post(body);
        assert_eq!((echoed.status, echoed.body.as_str()), (200, body));
        assert_eq!(echoed.header("x-body-length"), body.len().to_string());
    }
    assert_eq!(lab.upstream.requests(), before);

    lab.put(gateway, &at("post", &named("BodyReplace")));
    let told = post("hello").json();
    assert_eq!(
        (&told["body"], &told["headers"]["content-length"]),
        (&json!("[hello]"), &json!("7"))
    );
    assert_eq!(told["headers"]["x-read-back"], "7");

    lab.put(gateway, &at("post", &named("BodyGrow")));
    assert_eq!(post("small").json()["body_bytes"], 3 << 20);

    lab.put(gateway, &at("response", &named("ResponseBodyReplace")));
    let answer = get(gateway, "/api/x");
    assert!(answer.body.starts_with("<{") && answer.body.ends_with("}>"));
    assert_eq!(
        answer.header("content-length"),
        answer.body.len().to_string()
    );
    assert_eq!(answer.header("content-type"), "application/json");
}

#[test]
fn detached_go_function_fails_cleanly_and_learns_that_its_client_has_left() {
    let (lab, gateway) = lab();
    let workers = gateway.worker_pids().unwrap();
    lab.put(&gateway, &at("pre", "PanicDetached"));
    let failed = get(&gateway, "/api/x");
    let code = &failed.json()["code"];
    assert_eq!((failed.status, code), (500, &json!("PLUGIN_FAILED")));
    let logged = |text: &str| {
        eventually(text, || gateway.log().contains(text).then_some(())).unwrap();
    };
    logged("a panic in a detached function at ");

    lab.put(&gateway, &at("pre", "WaitForLeave"));
    let mut client = TcpStream::connect(gateway.address()).unwrap();
    client
        .write_all(b"GET /api/x HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    logged("waits for its client to leave");
    drop(client);
    logged("nobody waits any more");
    assert_eq!(gateway.worker_pids().unwrap(), workers);
    assert_eq!(lab.upstream.requests(), 0);
}

#[test]
fn go_functions_get_no_body_beyond_the_limit_nor_without_declaring_it() {
    let (lab, gateway) = lab();
    let long = Request::post("/api/x", "x".repeat(LONG));
    lab.put(&gateway, &at("response", "ResponseBodyReplace"));
    // The upstream answers with what it got, so that answer is too long.
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
    lab.put(&gateway, &at("pre", "BodyUndeclared"));
    let answer = gateway.send(&Request::post("/api/x", "hello")).unwrap();
    let code = &answer.json()["code"];
    assert_eq!((answer.status, code), (500, &json!("PLUGIN_FAILED")));
    assert_eq!(lab.upstream.requests(), before);
}

#[test]
fn example_in_go_masks_fields_of_json_answers() {
    let lab = Lab::start();
    let library = plugins::go("examples/go-hooks", "1.0.0", None).unwrap();
    let bundle = lab.bundle("go-hooks", "1.0.0");
    let bundle = bundle.file("go-hooks.so", &library).unwrap();
    lab.publish(bundle.hook("response", "MaskFields", "go-hooks.so"));
    lab.project.admin.deploy("go-hooks@1.0.0").unwrap();
    let gateway = lab.gateway();
    let fields = json!({
        "use_keyless": true, "custom_middleware_bundle": "go-hooks",
        "config_data": {"masked": ["x-card"]},
    });
    lab.put(&gateway, &fields);
    let request = Request::get("/api/x").header("x-card", "4711");
    let seen = gateway.send(&request).unwrap().json();
    assert_eq!(
        (&seen["headers"]["x-card"], &seen["path"]),
        (&json!("***"), &json!("/api/x"))
    );
}

/// What is left of a connection on which requests were sent at once.
fn exchanged(gateway: &Gateway, requests: &str) -> String {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    answers.to_ascii_lowercase()
}

#[test]
fn answer_to_head_tells_the_length_that_a_handler_set_and_has_no_body() {
    let lab = Lab::start();
    let library = plugins::go("tests/fixtures/go-tyk", "1.0.0", None).unwrap();
    let bundle = lab.bundle("go-tyk", "1.0.0");
    let bundle = bundle.file("go-tyk.so", &library).unwrap();
    lab.publish(bundle.hook("pre", "Serve", "go-tyk.so"));
    lab.project.admin.deploy("go-tyk@1.0.0").unwrap();
    let gateway = lab.gateway();
    for (function, body) in [("Serve", "as long as this"), ("Greet", "hello ")] {
        let entries = [(function, "go-tyk.so")];
        let middleware = middleware(&[("pre", &entries)]);
        lab.put(
            &gateway,
            &json!({"use_keyless": true, "custom_middleware": middleware}),
        );
        let ask = |method, last| {
            format!("{method} /api/page HTTP/1.1\r\nhost: any.example\r\n{last}\r\n")
        };
        let requests = ask("HEAD", "") + &ask("GET", "connection: close\r\n");
        let answers = exchanged(&gateway, &requests);
        let heads: Vec<_> = answers.split("\r\n\r\n").collect();
        assert_eq!(heads.len(), 3, "{answers}");
        let length = format!("content-length: {}", body.len());
        for head in &heads[..2] {
            assert!(head.starts_with("http/1.1 200 ok"), "{answers}");
            assert!(head.lines().any(|line| line == length), "{answers}");
        }
        assert_eq!(heads[2], body);
    }
    assert_eq!(lab.upstream.requests(), 0);
}
