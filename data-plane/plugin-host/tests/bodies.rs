//! What C functions read of bodies and put in their place.

mod support;

use bytes::Bytes;
use gantry_domain::{FunctionFlag, Hook};
use gantry_plugin_host::{Exchange, Verdict};
use support::{encoded_response, open, request, start, told};

const REFUSED: i32 = -5;
const INVALID: i32 = -6;

/// Runs a function of `bodies.c` on a message with this body.
fn run(function: &str, hook: Hook, body: &'static str) -> (Verdict, Exchange) {
    let library = open("bodies");
    let instance = start(&library, function, hook, "{}").expect("the fixture starts");
    let mut exchange = match hook {
        Hook::Response => encoded_response(),
        Hook::Pre | Hook::Auth | Hook::PostAuth | Hook::Post => request(),
    };
    exchange.body = Some(Bytes::from_static(body.as_bytes()));
    (instance.call(hook, &mut exchange), exchange)
}

#[test]
fn body_is_read_whole_and_in_pieces_and_left_as_it_was() {
    for (body, steps) in [("", 0), ("abc", 1), ("0123456789", 4)] {
        for hook in [Hook::Pre, Hook::Response] {
            let (verdict, exchange) = run("ReadBody", hook, body);
            let length = i32::try_from(body.len()).unwrap();
            assert_eq!(verdict, Verdict::Continue);
            assert_eq!(told(&exchange, "x-length"), [length, length]);
            assert_eq!(told(&exchange, "x-steps"), [steps]);
            assert_eq!(exchange.body.as_deref(), Some(body.as_bytes()));
        }
    }
}

#[test]
fn body_is_replaced_by_every_way() {
    for function in ["ReplaceByMutate", "ReplaceByApply", "ReplaceByOut"] {
        for hook in [Hook::Post, Hook::Response] {
            let (verdict, exchange) = run(function, hook, "old");
            assert_eq!(verdict, Verdict::Continue, "{function}");
            assert_eq!(
                exchange.body.as_deref(),
                Some(&b"replaced"[..]),
                "{function}"
            );
        }
        let (_, exchange) = run(function, Hook::Response, "old");
        let headers = exchange.response_headers;
        for gone in ["content-encoding", "etag"] {
            assert!(!headers.contains_key(gone), "{function} {gone}");
        }
        assert_eq!(headers["content-type"], "text/html", "{function}");
    }
}

#[test]
fn body_that_is_not_declared_or_of_the_other_side_is_refused() {
    for hook in [Hook::Auth, Hook::Response] {
        let (verdict, exchange) = run("Undeclared", hook, "old");
        assert_eq!(verdict, Verdict::Continue);
        assert_eq!(told(&exchange, "x-code"), [REFUSED; 3]);
        assert_eq!(exchange.body.as_deref(), Some(&b"old"[..]));
        let (_, exchange) = run("Declared", hook, "old");
        assert_eq!(told(&exchange, "x-code"), [0; 3]);
        assert_eq!(told(&exchange, "x-other"), [REFUSED]);
        assert_eq!(told(&exchange, "x-pointer"), [INVALID]);
    }
}

#[test]
fn instance_says_whether_its_hook_has_a_body_that_it_wants() {
    let library = open("bodies");
    let wants = |function, hook| start(&library, function, hook, "{}").unwrap().wants_body();
    assert!(wants("ReadBody", Hook::Pre) && wants("ReadBody", Hook::Response));
    assert!(!wants("Undeclared", Hook::Pre));
    let flags = &library
        .descriptor()
        .function(&"ReadBody".parse().unwrap())
        .unwrap()
        .flags;
    let declared = [
        FunctionFlag::WantsRequestBody,
        FunctionFlag::WantsResponseBody,
    ];
    assert_eq!(flags[..], declared);
}
