//! What calls of C plugins do to a request, and what the host survives.

mod support;

use gantry_domain::Hook;
use gantry_plugin_host::{LogLevel, Verdict};
use http::Method;
use support::{
    TRACE_ID, build_c, code, collect_logs, encoded_response, lines_with, open, request, response,
    run, run_on, start, told,
};

const REFUSED: i32 = -5;
const DEAD_HANDLE: i32 = -2;

#[test]
fn answer_is_given_only_with_status_and_verdict_together() {
    let library = open("verdicts");
    let (verdict, exchange) = run(&library, "Respond", Hook::Pre);
    assert_eq!(verdict, Verdict::Respond);
    let answer = exchange.answer.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (403, &b"no"[..])
    );

    for (function, expected) in [
        ("RespondNothing", "RESPOND_WITHOUT_ANSWER"),
        ("RespondBodyOnly", "RESPOND_WITHOUT_ANSWER"),
        ("AnswerAndContinue", "ANSWER_WITHOUT_RESPOND"),
        ("Pending", "PENDING_UNDECLARED"),
        ("UnknownVerdict", "VERDICT_UNKNOWN"),
        ("Fails", "PLUGIN_FAILED"),
    ] {
        let (verdict, exchange) = run(&library, function, Hook::Pre);
        assert_eq!(code(&verdict), expected, "{function}");
        assert_eq!(exchange.answer, None, "{function}");
    }
}

#[test]
fn instance_runs_only_at_the_hook_it_was_started_for() {
    let library = open("verdicts");
    let instance = start(&library, "Respond", Hook::Pre, "{}").unwrap();
    let mut exchange = request();
    assert_eq!(
        code(&instance.call(Hook::Auth, &mut exchange)),
        "HOOK_MISMATCH"
    );
    assert_eq!(exchange.answer, None);
}

#[test]
fn changes_are_the_same_by_every_way() {
    let library = open("changes");
    for function in [
        "ChangeByMutate",
        "ChangeByApply",
        "ChangeByOut",
        "ChangeByResume",
    ] {
        let (verdict, exchange) = run(&library, function, Hook::Auth);
        assert_eq!(verdict, Verdict::Continue, "{function}");
        assert_eq!(exchange.method, Method::PUT);
        assert_eq!(exchange.path, "/changed");
        assert_eq!(exchange.query.as_deref(), Some("q=1"));
        let values: Vec<_> = exchange.headers.get_all("x-set").iter().collect();
        assert_eq!(values, ["new", "more"], "{function}");
        assert!(!exchange.headers.contains_key("x-gone"));
        assert_eq!(exchange.response_headers["x-early"], "1");
        assert_eq!(exchange.session.as_deref(), Some(&br#"{"alias":"c"}"#[..]));
    }
}

#[test]
fn framing_header_is_refused_by_every_way_and_nothing_of_the_batch_stays() {
    collect_logs();
    let library = open("changes");
    for function in ["ForbiddenByMutate", "ForbiddenByApply"] {
        let (verdict, exchange) = run(&library, function, Hook::Pre);
        assert_eq!(verdict, Verdict::Continue);
        assert_eq!(told(&exchange, "x-code"), [REFUSED], "{function}");
        assert_eq!(exchange.path, "/users/7");
        assert!(!exchange.headers.contains_key("transfer-encoding"));
    }
    let words = "changes are refused: GANTRY_OP_SET_REQUEST_HEADER of \"Transfer-Encoding\" with";
    assert_eq!(lines_with(words).len(), 1, "{words}");
    for function in ["ForbiddenByOut", "ForbiddenByResume"] {
        let (verdict, exchange) = run(&library, function, Hook::Pre);
        assert_eq!(code(&verdict), "MUTATIONS_REFUSED", "{function}");
        assert_eq!(exchange.path, "/users/7");
        assert!(!exchange.headers.contains_key("transfer-encoding"));
    }
}

#[test]
fn output_is_applied_to_answers_and_never_half() {
    let library = open("changes");
    let (verdict, exchange) = run(&library, "AnswerByOut", Hook::Pre);
    assert_eq!(verdict, Verdict::Respond);
    assert_eq!(exchange.answer.unwrap().status.as_u16(), 418);
    for (function, expected) in [
        ("OutBeyondItsEnd", "MUTATIONS_REFUSED"),
        ("OutTorn", "MUTATIONS_REFUSED"),
        ("OutThenFails", "PLUGIN_FAILED"),
    ] {
        let (verdict, exchange) = run(&library, function, Hook::Auth);
        assert_eq!(code(&verdict), expected, "{function}");
        assert_eq!(
            (exchange.method, exchange.path.as_str()),
            (Method::GET, "/users/7")
        );
    }
}

#[test]
fn answer_takes_the_place_of_a_response_by_every_way() {
    let library = open("changes");
    let call = |function: &str| run_on(&library, function, Hook::Response, encoded_response());
    for function in [
        "AnswerResponseByMutate",
        "AnswerResponseByApply",
        "AnswerResponseByResume",
        "AnswerResponseByOut",
    ] {
        let (verdict, exchange) = call(function);
        assert_eq!(verdict, Verdict::Respond, "{function}");
        let answer = exchange.answer.unwrap();
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (451, &b"{}"[..])
        );
        let headers = exchange.response_headers;
        assert_eq!(headers["content-type"], "application/json", "{function}");
        assert!(!headers.contains_key("content-encoding"), "{function}");
        assert!(!headers.contains_key("etag"), "{function}");
        assert_eq!(headers["set-cookie"], "a=b", "{function}");
    }

    let (verdict, exchange) = call("AnswerResponseAndContinue");
    assert_eq!(code(&verdict), "ANSWER_WITHOUT_RESPOND");
    assert_eq!(exchange.answer, None);
    assert_eq!(
        exchange.response_headers,
        encoded_response().response_headers
    );
}

#[test]
fn strings_of_the_host_may_be_passed_back() {
    let (verdict, exchange) = run(&open("changes"), "PassBack", Hook::Pre);
    assert_eq!(verdict, Verdict::Continue);
    assert_eq!(
        (exchange.path.as_str(), &exchange.headers["x-set"]),
        ("/users/7", &"old".parse().unwrap())
    );
}

#[test]
fn everything_is_read_the_same_by_every_way() {
    let library = open("reads");
    let expected = format!(
        "1=GET\n2=/users/7\n3=a=1\n4=api.example\n5=192.0.2.1:4711\n\
         x-set: old\nx-gone: 1\naccept: a/b\naccept: c/d\n\
         7=(absent)\n8=users\n9={{\"name\":\"Users\"}}\n10={{\"level\":3}}\n11={TRACE_ID}\n\
         12=00-{TRACE_ID}-b7ad6b7169203331-01\n13=post\n14=(absent)\n"
    );
    for function in ["ReadByGet", "ReadByFrame", "ReadBySnapshot"] {
        let (verdict, exchange) = run(&library, function, Hook::Post);
        assert_eq!(verdict, Verdict::Respond, "{function}");
        let body = exchange.answer.unwrap().body;
        let mut lines: Vec<_> = std::str::from_utf8(&body).unwrap().lines().collect();
        let mut wanted: Vec<_> = expected.lines().collect();
        // Names may come in any order; values of one name may not.
        lines.sort_by_key(|line| line.split(": ").next().unwrap().to_owned());
        wanted.sort_by_key(|line| line.split(": ").next().unwrap().to_owned());
        assert_eq!(lines, wanted, "{function}");
    }
}

#[test]
fn dead_made_up_and_foreign_handles_are_answered_and_change_nothing() {
    let library = open("abuse");
    let instance = start(&library, "DeadHandles", Hook::Pre, "{}").unwrap();
    for _ in 0..3 {
        let mut exchange = request();
        assert_eq!(instance.call(Hook::Pre, &mut exchange), Verdict::Continue);
        assert_eq!(told(&exchange, "x-code"), [DEAD_HANDLE; 25]);
        assert_eq!(exchange.path, "/users/7");
    }
    collect_logs();
    let (verdict, exchange) = run(&library, "ForeignThread", Hook::Pre);
    assert_eq!(verdict, Verdict::Continue);
    assert_eq!(told(&exchange, "x-code"), [DEAD_HANDLE]);
    assert_eq!(
        lines_with("from another thread"),
        [(LogLevel::Warn, "from another thread".to_owned(), None)]
    );
}

#[test]
fn bad_pointers_are_refused() {
    let (verdict, exchange) = run(&open("abuse"), "BadPointers", Hook::Pre);
    assert_eq!(verdict, Verdict::Continue);
    assert_eq!(told(&exchange, "x-code"), [-6; 7]);
    assert_eq!(told(&exchange, "x-long"), [-7; 3]);
    assert_eq!(exchange.path, "/users/7");
}

#[test]
fn reserved_and_unknown_numbers_are_told_apart() {
    let (verdict, exchange) = run(&open("abuse"), "ReservedAndUnknown", Hook::Pre);
    assert_eq!(verdict, Verdict::Continue);
    assert_eq!(told(&exchange, "x-reserved"), [-4; 6]);
    assert_eq!(told(&exchange, "x-unknown"), [-3; 4]);
}

#[test]
fn log_lines_carry_the_origin_of_their_call() {
    collect_logs();
    let (_, exchange) = run(&open("abuse"), "Logs", Hook::PostAuth);
    assert_eq!(told(&exchange, "x-code"), [0, 0, DEAD_HANDLE, 0, 0]);
    let origin = Some(format!("users/Logs/post_auth/{TRACE_ID}"));
    assert_eq!(
        lines_with("with the call"),
        [(LogLevel::Info, "with the call".into(), origin.clone())]
    );
    assert_eq!(
        lines_with("without a call"),
        [(LogLevel::Debug, "without a call".into(), None)]
    );
    assert_eq!(
        lines_with("with a dead"),
        [(LogLevel::Warn, "with a dead handle".into(), None)]
    );
    assert_eq!(
        lines_with("not \u{fffd} text"),
        [(LogLevel::Error, "not \u{fffd} text".into(), origin)]
    );
    assert_eq!(lines_with("aaaaaaaa")[0].1.len(), 8 << 10);
}

#[test]
fn instances_have_their_own_state_and_are_stopped_once() {
    let library = open("instances");
    let one = start(&library, "Stateful", Hook::Pre, r#"{"n":1}"#).unwrap();
    let two = start(&library, "Stateful", Hook::Response, r#"{"n":2}"#).unwrap();
    let mut exchange = request();
    assert_eq!(one.call(Hook::Pre, &mut exchange), Verdict::Continue);
    assert_eq!(
        exchange.response_headers["x-state"],
        r#"users Stateful hook=0 config={"n":1}"#
    );
    assert_eq!(told(&exchange, "x-alive"), [2]);
    drop(one);
    let mut exchange = response();
    assert_eq!(two.call(Hook::Response, &mut exchange), Verdict::Continue);
    assert_eq!(
        exchange.response_headers["x-state"],
        r#"users Stateful hook=4 config={"n":2}"#
    );
    assert_eq!(told(&exchange, "x-alive"), [1]);
}

#[test]
fn one_instance_serves_many_threads_at_once() {
    let library = open("changes");
    let instance = start(&library, "ChangeByMutate", Hook::Auth, "{}").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let mut exchange = request();
                    assert_eq!(instance.call(Hook::Auth, &mut exchange), Verdict::Continue);
                    assert_eq!(exchange.path, "/changed");
                }
            });
        }
    });
}

#[test]
fn example_in_c_tags_requests_and_blocks_a_path() {
    let path = build_c("examples/c-headers/plugin.c", &["-pedantic"]);
    let library = gantry_plugin_host::Library::open(&path).unwrap();
    assert_eq!(
        library.descriptor().differs_from(&support::note_of(&path)),
        None
    );

    let tag = start(&library, "TagRequest", Hook::Pre, r#"{"tag":"blue"}"#).unwrap();
    let mut exchange = request();
    assert_eq!(tag.call(Hook::Pre, &mut exchange), Verdict::Continue);
    assert_eq!(exchange.headers["x-tag"], "blue");
    let refused = start(&library, "TagRequest", Hook::Pre, "{}").unwrap_err();
    assert!(
        refused.to_string().contains("config_data needs"),
        "{refused}"
    );

    let block = start(&library, "BlockPath", Hook::Pre, "{}").unwrap();
    assert_eq!(block.call(Hook::Pre, &mut request()), Verdict::Continue);
    exchange.path = "/internal/x".to_owned();
    assert_eq!(block.call(Hook::Pre, &mut exchange), Verdict::Respond);
    assert_eq!(exchange.answer.unwrap().status.as_u16(), 403);
}
