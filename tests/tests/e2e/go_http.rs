//! What handlers of `net/http` find and leave in requests and responses where several functions, of one
//! library or of several, come together.

use gantry_tests::process::eventually;
use gantry_tests::{Gateway, Request, plugins};
use serde_json::{Value, json};

use crate::lab::{Lab, get, middleware};

const FILE: &str = "go-tyk.so";
const ECHO: &str = "faulty.so";

fn lab() -> (Lab, Gateway) {
    let lab = Lab::start();
    let tyk = plugins::go("tests/fixtures/go-tyk", "1.0.0", None).unwrap();
    let echo = plugins::faulty().unwrap();
    let bundle = lab.bundle("go-tyk", "1.0.0").file(FILE, &tyk).unwrap();
    lab.publish(bundle.hook("pre", "Number", FILE));
    let bundle = lab.bundle("faulty", "1.0.0").file(ECHO, &echo).unwrap();
    lab.publish(bundle.hook("pre", "Echo", ECHO));
    for bundle in ["go-tyk@1.0.0", "faulty@1.0.0"] {
        lab.project.admin.deploy(bundle).unwrap();
    }
    let gateway = lab.gateway();
    (lab, gateway)
}

fn keyless(hooks: &[(&str, &[(&str, &str)])]) -> Value {
    json!({"use_keyless": true, "custom_middleware": middleware(hooks)})
}

#[test]
fn writers_headers_and_fields_of_the_request_go_from_hook_to_hook() {
    let (lab, gateway) = lab();
    let fields = keyless(&[
        ("pre", &[("Behind", FILE)]),
        ("response", &[("Filter", FILE), ("Tell", FILE)]),
    ]);
    lab.put(&gateway, &fields);
    let request = Request::get("/api/books?by=client").header("x-real-ip", "198.51.100.9");
    let answer = gateway.send(&request).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["path"], "/api/rewritten");
    assert_eq!(
        answer.header("x-asked"),
        "/api/books?by=client 198.51.100.9 yes"
    );
    assert_eq!(
        answer.header("x-request-id"),
        "7",
        "it is no header of the upstream's"
    );
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("vary"), "Accept, Origin");
    // Type and length, which is the gateway's, and x-asked.
    assert_eq!(answer.header("x-told"), "Accept+Origin 3 later");
    assert_eq!(answer.header("x-upstream"), "");
    lab.put(&gateway, &keyless(&[("pre", &[("Behind", FILE)])]));
    let answer = gateway.send(&request).unwrap();
    let forwarded = &answer.json()["headers"]["x-forwarded-for"];
    assert_eq!(forwarded, "127.0.0.1", "the upstream gets the connection's");
    assert_eq!(answer.header("content-type"), "text/early");

    let hooks: &[(&str, &str)] = &[("Behind", FILE), ("Echo", ECHO)];
    lab.put(&gateway, &keyless(&[("pre", hooks)]));
    let seen = gateway.send(&request).unwrap().json();
    assert_eq!(
        seen["remote_addr"], "198.51.100.9",
        "functions of other libraries see the address, too"
    );
}

#[test]
fn handlers_set_what_clients_may_send_and_are_told_what_is_too_long() {
    let (lab, gateway) = lab();
    lab.put(&gateway, &keyless(&[("post", &[("Lengthen", FILE)])]));
    let long = |name: &str, length: usize| get(&gateway, &format!("/api/x?{name}={length}"));
    let answer = long("query", 60_000);
    assert_eq!(answer.status, 200);
    let query = answer.json()["query"].as_str().unwrap().len();
    assert_eq!(query, "long=&query=60000".len() + 60_000);
    let answer = long("header", 60_000);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-long").len(), 60_000);
    let sent = answer.json()["headers"]["x-long"].as_str().unwrap().len();
    assert_eq!(sent, 60_000);

    let told = [
        ("query", 66_000, "GANTRY_OP_SET_QUERY with 66"),
        (
            "header",
            140_000,
            "with 140000 bytes: beyond a limit, 131072 bytes",
        ),
    ];
    for (name, length, words) in told {
        assert_eq!(long(name, length).status, 500);
        eventually(words, || gateway.log().contains(words).then_some(())).unwrap();
    }
}
