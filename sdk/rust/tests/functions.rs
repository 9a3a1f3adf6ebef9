//! Functions of a plugin under test, as their author would test them.
#![forbid(unsafe_code)]
#![cfg(feature = "testing")]

use gantry_plugin::testing::TestCall;
use gantry_plugin::{
    Answer, Failure, Fault, Hook, Level, Outcome, RequestCall, RequestFunction, ResponseCall,
    ResponseFunction,
};

struct CheckToken {
    token: String,
}

impl RequestFunction for CheckToken {
    fn start(config: &str) -> Result<Self, String> {
        if config.is_empty() {
            Err("no token".into())
        } else {
            Ok(Self {
                token: config.into(),
            })
        }
    }

    fn call(&self, call: &mut RequestCall<'_>) -> Result<Outcome, Failure> {
        if call.header("x-token") != Some(&self.token) {
            return Ok(Outcome::Answer(
                Answer::json(401, "{}").header("x-why", "token"),
            ));
        }
        call.set_session(r#"{"alias":"t"}"#)?;
        Ok(Outcome::Continue)
    }
}

/// Says how long the body would be.
struct Measure;

impl RequestFunction for Measure {
    fn start(_: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn call(&self, _: &mut RequestCall<'_>) -> Result<Outcome, Failure> {
        let answer = Answer::new(200).header("Content-Length", "31");
        Ok(Outcome::Answer(answer))
    }
}

#[test]
fn answer_to_head_alone_tells_a_length() {
    let head = TestCall::new(Hook::Pre).method("HEAD").run(&Measure);
    assert_eq!(head.answer(), Some((200, "")));
    assert_eq!(head.response_header("content-length"), Some("31"));
    let get = TestCall::new(Hook::Pre).run(&Measure);
    let failure = get.failure().unwrap();
    assert!(failure.contains("\"Content-Length\""), "{failure}");
    assert_eq!(get.response_header("content-length"), None);
}

#[test]
fn type_with_state_answers_or_continues() {
    let function = CheckToken::start("secret").unwrap();
    let refused = TestCall::new(Hook::Auth).run(&function);
    assert_eq!(refused.answer(), Some((401, "{}")));
    assert_eq!(refused.response_header("x-why"), Some("token"));
    assert_eq!(
        refused.response_header("Content-Type"),
        Some("application/json")
    );
    assert_eq!(refused.session(), None);

    let accepted = TestCall::new(Hook::Auth)
        .header("X-Token", "secret")
        .run(&function);
    assert!(accepted.continued());
    assert_eq!(accepted.session(), Some(r#"{"alias":"t"}"#));
    assert!(CheckToken::start("").is_err());
}

#[test]
fn setter_replaces_adder_appends_and_remover_removes() {
    let done = TestCall::new(Hook::Pre)
        .header("x-a", "1")
        .header("x-a", "2")
        .header("x-gone", "1")
        .run_fn(|call: &mut RequestCall<'_>| -> Result<(), Failure> {
            let all: Vec<_> = call
                .header_values("X-A")
                .map(|(_, value)| value.to_vec())
                .collect();
            assert_eq!(all, [b"1", b"2"]);
            call.set_header("X-A", "3")?;
            call.add_header("x-a", "4")?;
            call.remove_header("X-Gone")?;
            call.set_method("PUT")?;
            call.set_path("/b")?;
            call.set_query("c=d")?;
            call.log(Level::Info, "changed");
            Ok(())
        });
    assert!(done.continued(), "{:?}", done.failure());
    assert_eq!(done.header_values("x-a"), ["3", "4"]);
    assert_eq!(done.header("x-gone"), None);
    assert_eq!(
        (done.method(), done.path(), done.query()),
        ("PUT", "/b", Some("c=d"))
    );
    assert_eq!(done.log(), [(Level::Info, "changed".to_owned())]);
}

#[test]
fn framing_header_is_refused_as_in_a_gateway() {
    let done = TestCall::new(Hook::Pre).run_fn(|call: &mut RequestCall<'_>| {
        let refusal = call.set_header("Transfer-Encoding", "chunked").unwrap_err();
        assert_eq!(refusal.fault(), Fault::Refused);
        call.set_header("Content-Length", "3")
    });
    let failure = done.failure().unwrap();
    assert!(
        failure.starts_with("set header \"Content-Length\":"),
        "{failure}"
    );
    assert_eq!(done.header("content-length"), None);
}

#[test]
fn session_that_is_no_object_or_too_early_is_refused() {
    let set = |text: &'static str| move |call: &mut RequestCall<'_>| call.set_session(text);
    assert!(TestCall::new(Hook::Auth).run_fn(set("{}")).continued());
    assert!(
        TestCall::new(Hook::Auth)
            .run_fn(set("[]"))
            .failure()
            .is_some()
    );
    assert!(
        TestCall::new(Hook::Pre)
            .run_fn(set("{}"))
            .failure()
            .is_some()
    );
}

#[test]
fn response_function_sees_and_changes_the_answer() {
    let done = TestCall::new(Hook::Response)
        .status(503)
        .response_header("server", "x")
        .run_response_fn(|call: &mut ResponseCall<'_>| -> Result<(), Failure> {
            assert_eq!(call.status(), 503);
            call.set_status(502)?;
            call.remove_response_header("server")?;
            call.set_response_header("x-b", "1")?;
            Ok(())
        });
    assert!(done.continued());
    assert_eq!(done.status(), Some(502));
    assert_eq!(done.response_header("server"), None);
    assert_eq!(done.response_header("x-b"), Some("1"));
}

/// Withholds what its configuration names.
struct Withhold {
    what: String,
}

impl ResponseFunction for Withhold {
    fn start(config: &str) -> Result<Self, String> {
        Ok(Self {
            what: config.into(),
        })
    }

    fn call(&self, call: &mut ResponseCall<'_>) -> Result<Outcome, Failure> {
        if call.response_header("x-kind") != Some(&self.what) {
            return Ok(Outcome::Continue);
        }
        Ok(Outcome::Answer(Answer::json(451, "{}")))
    }
}

#[test]
fn response_function_answers_in_place_of_the_upstream() {
    let function = Withhold::start("secret").unwrap();
    let upstreams = || {
        TestCall::new(Hook::Response)
            .response_header("content-type", "text/html")
            .response_header("Content-Encoding", "gzip")
            .response_header("etag", "\"1\"")
            .response_header("set-cookie", "a=b")
    };
    let passed = upstreams().run_response(&function);
    assert!(passed.continued());
    assert_eq!(passed.answer(), None);
    assert_eq!(passed.response_header("content-encoding"), Some("gzip"));

    let answered = upstreams()
        .response_header("x-kind", "secret")
        .run_response(&function);
    assert_eq!(answered.answer(), Some((451, "{}")));
    assert_eq!(
        answered.response_header_values("content-type"),
        ["application/json"]
    );
    assert_eq!(answered.response_header("content-encoding"), None);
    assert_eq!(answered.response_header("etag"), None);
    assert_eq!(answered.response_header("set-cookie"), Some("a=b"));
}

#[test]
fn answer_that_is_refused_leaves_the_upstreams_headers() {
    let done = TestCall::new(Hook::Response)
        .response_header("content-encoding", "gzip")
        .run_response_fn(|_: &mut ResponseCall<'_>| {
            let answer = Answer::json(451, "{}").header("content-length", "2");
            Outcome::Answer(answer)
        });
    assert_eq!(done.answer(), None);
    assert!(
        done.failure()
            .unwrap()
            .starts_with("set header \"content-length\":")
    );
    assert_eq!(done.response_header("content-encoding"), Some("gzip"));
    assert_eq!(done.response_header("content-type"), None);
}

#[test]
fn answer_with_a_status_that_is_none_fails_the_call() {
    let done =
        TestCall::new(Hook::Pre).run_fn(|_: &mut RequestCall<'_>| Outcome::Answer(Answer::new(99)));
    assert_eq!(done.answer(), None);
    assert!(
        done.failure()
            .unwrap()
            .starts_with("answer with status 99:")
    );
}

fn shout(call: &mut RequestCall<'_>) -> Result<(), Failure> {
    let louder = call.body()?.to_ascii_uppercase();
    call.set_body(louder)?;
    Ok(())
}

#[test]
fn body_is_read_and_replaced_and_drops_the_headers_of_the_old_one() {
    let done = TestCall::new(Hook::Post)
        .header("content-encoding", "identity")
        .header("content-type", "text/plain")
        .body("quiet")
        .run_fn(shout);
    assert!(done.continued());
    assert_eq!(done.body(), Some(&b"QUIET"[..]));
    assert_eq!(done.header("content-encoding"), None);
    assert_eq!(done.header("content-type"), Some("text/plain"));

    let done = TestCall::new(Hook::Response).body("").run_response_fn(
        |call: &mut ResponseCall<'_>| -> Result<(), Failure> {
            assert_eq!(call.body()?, b"");
            call.set_body("filled")?;
            call.set_response_header("etag", "\"2\"")?;
            Ok(())
        },
    );
    assert_eq!(done.body(), Some(&b"filled"[..]));
    assert_eq!(done.response_header("etag"), Some("\"2\""));
}

#[test]
fn body_without_its_flag_fails_with_the_flags_name() {
    let done = TestCall::new(Hook::Pre).run_fn(shout);
    let failure = done.failure().unwrap();
    assert!(
        failure.contains("read the request body") && failure.contains("`wants_request_body`"),
        "{failure}"
    );
    let done = TestCall::new(Hook::Response).run_response_fn(|call: &mut ResponseCall<'_>| {
        let refusal = call.set_body("x").unwrap_err();
        assert_eq!(refusal.fault(), Fault::Refused);
        assert!(refusal.to_string().contains("`wants_response_body`"));
    });
    assert!(done.continued());
    assert_eq!(done.body(), None);
}
