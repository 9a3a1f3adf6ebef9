//! What a plugin can read and change, without a plugin.

use std::sync::Arc;

use gantry_abi::flat::Snapshot;
use gantry_abi::{constants, hook, limits, op, rules};
use gantry_domain::Limits;
use http::{Method, Uri};

use super::changes::STORED_SESSIONS_MAX;
use super::*;
use crate::carry::Carries;
use crate::exchange::{ApiContext, Serial, Trace};

/// A request with two values of one header, or a response to it.
pub(crate) fn exchange() -> Exchange {
    let mut headers = HeaderMap::new();
    headers.insert("x-one", HeaderValue::from_static("1"));
    headers.append("x-two", HeaderValue::from_static("a"));
    headers.append("x-two", HeaderValue::from_static("b"));
    Exchange {
        method: Method::GET,
        path: "/users/7".to_owned(),
        query: Some(String::new()),
        headers,
        remote_addr: "[2001:db8::1]:4711".into(),
        host: "api.example".to_owned(),
        session: None,
        token: None,
        stored_sessions: Vec::new(),
        api: Arc::new(ApiContext {
            api_id: "users".parse().unwrap(),
            definition: Bytes::from_static(b"{\"name\":\"users\"}"),
            config: Bytes::from_static(b"{}"),
            openapi: None,
            serial: Serial::default(),
        }),
        trace: Trace::new(&format!("00-{}-00f067aa0ba902b7-01", "ab".repeat(16))),
        target: Uri::from_static("/users/7?").into(),
        response_headers: HeaderMap::new(),
        added_headers: HeaderMap::new(),
        body: None,
        status: None,
        answer: None,
        carries: Carries::default(),
    }
}

pub(crate) fn call_of(exchange: &mut Exchange) -> ActiveCall<'_> {
    let bodies = Bodies {
        read: false,
        replace: false,
    };
    call_at(Hook::Pre, bodies, exchange)
}

/// A call at a hook.
fn call_at(hook: Hook, bodies: Bodies, exchange: &mut Exchange) -> ActiveCall<'_> {
    ActiveCall::new(hook, "Test", bodies, exchange, scratch(), Draft::default())
}

const NEITHER: Bodies = Bodies {
    read: false,
    replace: false,
};
const BOTH: Bodies = Bodies {
    read: true,
    replace: true,
};

/// Buffers that nobody else has.
fn scratch() -> &'static mut Scratch {
    Box::leak(Box::default())
}

fn record(op: u32, key: &str, value: &str) -> Vec<u8> {
    let mut record = vec![u8::try_from(op).unwrap(), 0];
    record.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
    record.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
    record.extend(key.bytes().chain(value.bytes()));
    record
}

#[test]
fn hook_numbers_and_session_limits_are_the_domains() {
    for (hook, number) in Hook::ALL.into_iter().zip([
        hook::PRE,
        hook::AUTH,
        hook::POST_AUTH,
        hook::POST,
        hook::RESPONSE,
    ]) {
        assert_eq!(hook as u32, number);
    }
    assert_eq!(
        Limits::default().session_bytes_max,
        limits::SESSION_BYTES_MAX
    );
    assert_eq!(Limits::default().json_depth_max, limits::SESSION_DEPTH_MAX);
}

#[test]
fn every_served_part_answers_and_the_others_say_why_not() {
    let mut exchange = exchange();
    let call = call_of(&mut exchange);
    assert_eq!(
        call.get(part::REMOTE_ADDR, b""),
        Ok(&b"[2001:db8::1]:4711"[..])
    );
    assert_eq!(call.get(part::QUERY, b""), Ok(&b""[..]));
    assert_eq!(call.get(part::REQUEST_HEADER, b"X-Two"), Ok(&b"a"[..]));
    assert_eq!(
        call.get(part::REQUEST_HEADER, b"x-none"),
        Err(Fault::Absent)
    );
    assert_eq!(call.get(part::REQUEST_HEADER, b""), Err(Fault::Invalid));
    assert_eq!(call.get(part::STATUS, b""), Err(Fault::Absent));
    assert_eq!(call.get(part::SESSION, b""), Err(Fault::Absent));
    assert_eq!(call.get(part::PATH, b"key"), Err(Fault::Invalid));
    assert_eq!(call.get(part::REQUEST_BODY, b""), Err(Fault::Refused));
    assert_eq!(call.get(part::SHARED_VALUE, b"k"), Err(Fault::Unsupported));
    assert_eq!(call.get(999, b""), Err(Fault::Unknown));
    for part in (0..64).filter(|&part| constants::is_served_part(part)) {
        let known = !matches!(
            call.get(part, b""),
            Err(Fault::Unknown | Fault::Unsupported)
        );
        assert!(known, "part {part}");
    }
}

#[test]
fn headers_are_stepped_through_all_or_by_name() {
    let mut exchange = exchange();
    let call = call_of(&mut exchange);
    let all = |key: &[u8]| {
        (0..)
            .map_while(|i| call.next(part::REQUEST_HEADER, key, i).ok())
            .collect::<Vec<_>>()
    };
    assert_eq!(all(b"").len(), 3);
    assert_eq!(
        all(b"X-TWO"),
        [(&b"x-two"[..], &b"a"[..]), (b"x-two", b"b")]
    );
    assert_eq!(
        call.next(part::REQUEST_HEADER, b"", u64::MAX),
        Err(Fault::Absent)
    );
    assert_eq!(call.next(part::PATH, b"", 0), Err(Fault::Invalid));
    assert_eq!(call.next(part::TIMER, b"", 0), Err(Fault::Unsupported));
}

#[test]
fn flat_mutations_apply_all_or_nothing() {
    let mut exchange = exchange();
    let mut call = call_of(&mut exchange);
    let mut mutations = record(op::SET_PATH, "", "/new");
    mutations.extend(record(op::ADD_REQUEST_HEADER, "x-one", "2"));
    let mut refused = mutations.clone();
    refused.extend(record(op::SET_REQUEST_HEADER, "Host", "evil"));
    assert_eq!(call.apply(&refused), Err(Fault::Refused));
    assert_eq!(
        call.apply(&refused[..refused.len() - 1]),
        Err(Fault::Invalid)
    );
    assert_eq!(call.get(part::PATH, b""), Ok(&b"/users/7"[..]));
    assert_eq!(call.apply(&mutations), Ok(()));
    assert_eq!(call.get(part::PATH, b""), Ok(&b"/new"[..]));
    assert_eq!(
        call.next(part::REQUEST_HEADER, b"x-one", 1).unwrap().1,
        b"2"
    );
}

#[test]
fn flat_mutations_with_a_session_too_many_to_store_apply_nothing() {
    let mut exchange = exchange();
    let mut call = call_at(Hook::Auth, NEITHER, &mut exchange);
    let mut mutations = record(op::SET_PATH, "", "/new");
    for i in 0..STORED_SESSIONS_MAX {
        mutations.extend(record(op::STORE_SESSION, &format!("key-{i}"), "{}"));
    }
    let mut refused = mutations.clone();
    refused.extend(record(op::STORE_SESSION, "one-more", "{}"));
    assert_eq!(call.apply(&refused), Err(Fault::TooLarge));
    assert_eq!(call.get(part::PATH, b""), Ok(&b"/users/7"[..]));
    assert_eq!(call.get(part::SESSION, b""), Err(Fault::Absent));
    assert_eq!(call.exchange().stored_sessions, []);

    assert_eq!(call.apply(&mutations), Ok(()));
    let one = record(op::STORE_SESSION, "one-more", "{}");
    assert_eq!(call.apply(&one), Err(Fault::TooLarge));
    assert_eq!(call.get(part::AUTH_TOKEN, b""), Ok(&b"key-15"[..]));
    assert_eq!(exchange.stored_sessions.len(), STORED_SESSIONS_MAX);
}

#[test]
fn flat_mutations_apply_in_order_however_many() {
    let mut exchange = exchange();
    let mut call = call_of(&mut exchange);
    let values: Vec<_> = (0..10).map(|i| i.to_string()).collect();
    let mutations: Vec<_> = values
        .iter()
        .flat_map(|value| record(op::ADD_REQUEST_HEADER, "x-many", value))
        .collect();
    assert_eq!(call.apply(&mutations), Ok(()));
    for (i, value) in (0..).zip(&values) {
        let (_, added) = call.next(part::REQUEST_HEADER, b"x-many", i).unwrap();
        assert_eq!(added, value.as_bytes());
    }
    assert_eq!(
        call.next(part::REQUEST_HEADER, b"x-many", 10),
        Err(Fault::Absent)
    );
}

#[test]
fn session_must_be_a_json_object() {
    let mut exchange = exchange();
    let mut call = call_at(Hook::Auth, NEITHER, &mut exchange);
    for bad in [&b"[]"[..], b"{", b"", b"\"a\"", b"{}x", b"\xff"] {
        assert_eq!(
            call.mutate(op::SET_SESSION, b"", bad),
            Err(Fault::Invalid),
            "{bad:?}"
        );
    }
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(limits::SESSION_BYTES_MAX));
    assert_eq!(
        call.mutate(op::SET_SESSION, b"", large.as_bytes()),
        Err(Fault::TooLarge)
    );
    assert_eq!(
        call.mutate(op::SET_SESSION, b"", br#"{"b":1,"a":2}"#),
        Ok(())
    );
    assert_eq!(call.get(part::SESSION, b""), Ok(&br#"{"b":1,"a":2}"#[..]));
}

#[test]
fn headers_have_a_limit_either_way() {
    let mut exchange = exchange();
    let mut call = call_of(&mut exchange);
    let add = |call: &mut ActiveCall<'_>, i: usize| {
        call.mutate(op::ADD_REQUEST_HEADER, format!("x-{i}").as_bytes(), b"v")
    };
    let added = (0..1000).take_while(|&i| add(&mut call, i).is_ok()).count();
    assert_eq!(added, limits::HEADERS_MAX - 3);
    assert_eq!(add(&mut call, 0), Err(Fault::TooLarge));
    assert_eq!(
        call.mutate(op::SET_REQUEST_HEADER, b"x-one", b"new"),
        Ok(())
    );
    assert_eq!(
        call.mutate(op::SET_REQUEST_HEADER, b"x-other", b"new"),
        Err(Fault::TooLarge)
    );
    let flat: Vec<u8> = (0..=limits::HEADERS_MAX)
        .flat_map(|_| record(op::ADD_RESPONSE_HEADER, "x-a", "v"))
        .collect();
    assert_eq!(call.apply(&flat), Err(Fault::TooLarge));
    assert_eq!(call.get(part::RESPONSE_HEADER, b"x-a"), Err(Fault::Absent));
}

#[test]
fn what_came_from_a_client_can_be_set_again_and_more_is_told_by_name() {
    let mut exchange = exchange();
    let mut call = call_of(&mut exchange);
    let long = "v".repeat(limits::HEADER_VALUE_BYTES_MAX);
    let query = "q".repeat(limits::QUERY_BYTES_MAX);
    let mut flat = record(op::SET_REQUEST_HEADER, "x-long", &long);
    flat.extend(record(op::SET_QUERY, "", &query));
    assert_eq!(call.apply_last(&flat), Ok(()));

    let mut flat = record(op::SET_METHOD, "", "PUT");
    flat.extend(record(
        op::ADD_RESPONSE_HEADER,
        "X-Long",
        &format!("{long}v"),
    ));
    assert_eq!(
        call.apply_last(&flat).unwrap_err(),
        "GANTRY_OP_ADD_RESPONSE_HEADER of \"X-Long\" with 131073 bytes: beyond a limit, 131072 bytes"
    );
    let flat = record(op::SET_PATH, "", "no/slash");
    assert_eq!(
        call.apply_last(&flat).unwrap_err(),
        "GANTRY_OP_SET_PATH with 8 bytes: malformed name or value"
    );
    let flat: Vec<u8> = (0..=limits::HEADERS_MAX)
        .flat_map(|_| record(op::ADD_RESPONSE_HEADER, "x-a", "v"))
        .collect();
    assert_eq!(
        call.apply_last(&flat).unwrap_err(),
        "257 changes in 3084 bytes: beyond a limit"
    );
}

#[test]
fn header_under_a_name_that_is_kept_is_as_the_first_time() {
    let name = b"X-Set-At-Every-Request";
    let lower = b"x-set-at-every-request";
    for time in 0..5 {
        assert_eq!(names::find(name).is_some(), time > 0, "time {time}");
        let mut exchange = exchange();
        let mut call = call_of(&mut exchange);
        assert_eq!(call.get(part::REQUEST_HEADER, name), Err(Fault::Absent));
        let mut flat = record(op::ADD_REQUEST_HEADER, "X-Set-At-Every-Request", "1");
        flat.extend(record(
            op::ADD_REQUEST_HEADER,
            "X-Set-At-Every-Request",
            "2",
        ));
        assert_eq!(call.apply(&flat), Ok(()));
        assert_eq!(call.get(part::REQUEST_HEADER, name), Ok(&b"1"[..]));
        assert_eq!(call.get(part::REQUEST_HEADER, lower), Ok(&b"1"[..]));
        let second = call.next(part::REQUEST_HEADER, name, 1);
        assert_eq!(second, Ok((&lower[..], &b"2"[..])));

        assert_eq!(call.mutate(op::SET_REQUEST_HEADER, name, b"3"), Ok(()));
        assert_eq!(call.get(part::REQUEST_HEADER, name), Ok(&b"3"[..]));
        let second = call.next(part::REQUEST_HEADER, name, 1);
        assert_eq!(second, Err(Fault::Absent));
        assert_eq!(
            call.mutate(op::SET_REQUEST_HEADER, name, b"a\r\nb"),
            Err(Fault::Invalid)
        );
        assert_eq!(call.mutate(op::REMOVE_REQUEST_HEADER, name, b""), Ok(()));
        assert_eq!(call.get(part::REQUEST_HEADER, lower), Err(Fault::Absent));
        assert_eq!(call.get(part::REQUEST_HEADER, b"Host"), Err(Fault::Absent));
        assert_eq!(
            call.mutate(op::SET_REQUEST_HEADER, b"Host", b"a"),
            Err(Fault::Refused)
        );
        while call.mutate(op::ADD_REQUEST_HEADER, b"x-a", b"v").is_ok() {}
        for op in [op::SET_REQUEST_HEADER, op::ADD_REQUEST_HEADER] {
            assert_eq!(call.mutate(op, name, b"4"), Err(Fault::TooLarge));
        }
    }
}

#[test]
fn answer_drops_what_described_the_upstreams_body_once_and_only_in_response_hooks() {
    let names = || rules::REPRESENTATION_HEADERS.into_iter().chain(["x-kept"]);
    let mut exchange = exchange();
    for name in names() {
        let headers = &mut exchange.response_headers;
        headers.insert(name, HeaderValue::from_static("upstream"));
    }
    let before = exchange.response_headers.clone();
    call_of(&mut exchange)
        .mutate(op::ANSWER_STATUS, b"", b"451")
        .unwrap();
    assert_eq!(exchange.response_headers, before);

    let mut call = call_at(Hook::Response, NEITHER, &mut exchange);
    call.mutate(op::ANSWER_STATUS, b"", b"451").unwrap();
    let left: Vec<_> = names()
        .filter(|name| call.get(part::RESPONSE_HEADER, name.as_bytes()).is_ok())
        .collect();
    assert_eq!(left, ["x-kept"]);
    call.mutate(op::SET_RESPONSE_HEADER, b"content-type", b"a/b")
        .unwrap();
    call.mutate(op::ANSWER_STATUS, b"", b"403").unwrap();
    assert_eq!(
        call.get(part::RESPONSE_HEADER, b"content-type"),
        Ok(&b"a/b"[..])
    );
    call.withdraw_answer();
    assert_eq!(exchange.response_headers, before);
}

#[test]
fn length_is_taken_from_an_answer_to_head_and_goes_with_it() {
    let set =
        |call: &mut ActiveCall<'_>| call.mutate(op::SET_RESPONSE_HEADER, b"Content-Length", b"31");
    let mut exchange = exchange();
    let mut call = call_of(&mut exchange);
    call.mutate(op::ANSWER_STATUS, b"", b"200").unwrap();
    assert_eq!(set(&mut call), Err(Fault::Refused), "to GET");
    call.withdraw_answer();

    exchange.method = Method::HEAD;
    let mut call = call_of(&mut exchange);
    assert_eq!(set(&mut call), Err(Fault::Refused), "of no answer");
    let length = record(op::SET_RESPONSE_HEADER, "content-length", "31");
    assert_eq!(call.apply(&length), Err(Fault::Refused));
    let batch = [record(op::ANSWER_STATUS, "", "200"), length].concat();
    assert_eq!(call.apply(&batch), Ok(()));
    let get = |call: &ActiveCall<'_>| {
        let length = call.get(part::RESPONSE_HEADER, b"content-length");
        length.map(<[u8]>::to_vec)
    };
    assert_eq!(get(&call), Ok(b"31".to_vec()));
    call.withdraw_answer();
    assert_eq!(get(&call_of(&mut exchange)), Err(Fault::Absent));
}

#[test]
fn body_is_read_any_number_of_times_from_any_offset() {
    let mut exchange = exchange();
    exchange.body = Some(Bytes::from_static(b"0123456789"));
    let call = call_at(Hook::Post, BOTH, &mut exchange);
    for _ in 0..2 {
        assert_eq!(call.get(part::REQUEST_BODY, b""), Ok(&b"0123456789"[..]));
        assert_eq!(call.body_from(part::REQUEST_BODY, 7), Ok(&b"789"[..]));
    }
    for end in [10, 11, u64::MAX] {
        let after = call.body_from(part::REQUEST_BODY, end);
        assert_eq!(after, Err(Fault::Absent), "{end}");
    }
    assert_eq!(call.get(part::REQUEST_BODY, b"key"), Err(Fault::Invalid));
    assert_eq!(call.get(part::RESPONSE_BODY, b""), Err(Fault::Refused));
    assert_eq!(call.body_from(part::PATH, 0), Err(Fault::Invalid));
    assert_eq!(call.body_from(part::TIMER, 0), Err(Fault::Unsupported));
    assert_eq!(call.body_from(999, 0), Err(Fault::Unknown));
}

#[test]
fn empty_body_is_there_and_has_no_piece() {
    let mut exchange = exchange();
    exchange.body = Some(Bytes::new());
    let call = call_at(Hook::Response, BOTH, &mut exchange);
    assert_eq!(call.get(part::RESPONSE_BODY, b""), Ok(&b""[..]));
    assert_eq!(call.body_from(part::RESPONSE_BODY, 0), Err(Fault::Absent));
}

#[test]
fn replaced_body_is_read_back_and_drops_what_held_for_the_old_bytes_once() {
    let mut exchange = exchange();
    exchange.body = Some(Bytes::from_static(b"old"));
    for name in rules::BODY_HEADERS.into_iter().chain(["content-type"]) {
        let value = HeaderValue::from_static("old");
        exchange.response_headers.insert(name, value.clone());
        exchange.headers.insert(name, value);
    }
    let request_headers = exchange.headers.clone();
    let mut call = call_at(Hook::Response, BOTH, &mut exchange);
    call.mutate(op::SET_RESPONSE_BODY, b"", b"first").unwrap();
    assert_eq!(call.get(part::RESPONSE_BODY, b""), Ok(&b"first"[..]));
    let set = call.mutate(op::SET_RESPONSE_HEADER, b"content-encoding", b"gzip");
    assert_eq!(set, Ok(()));
    call.apply(&record(op::SET_RESPONSE_BODY, "", "second, longer"))
        .unwrap();
    assert_eq!(
        call.get(part::RESPONSE_BODY, b""),
        Ok(&b"second, longer"[..])
    );
    let mut left: Vec<_> = exchange.response_headers.keys().collect();
    left.sort_by_key(|name| name.as_str());
    assert_eq!(left, ["content-encoding", "content-type"]);
    assert_eq!(exchange.headers, request_headers);
}

#[test]
fn body_without_its_flag_is_refused_by_every_way_and_nothing_of_the_batch_stays() {
    let mut exchange = exchange();
    exchange.body = Some(Bytes::from_static(b"kept"));
    let mut call = call_of(&mut exchange);
    assert_eq!(call.get(part::REQUEST_BODY, b""), Err(Fault::Refused));
    assert_eq!(call.body_from(part::REQUEST_BODY, 0), Err(Fault::Refused));
    let set = call.mutate(op::SET_REQUEST_BODY, b"", b"new");
    assert_eq!(set, Err(Fault::Refused));
    let mut batch = record(op::SET_PATH, "", "/new");
    batch.extend(record(op::SET_REQUEST_BODY, "", "new"));
    assert_eq!(call.apply(&batch), Err(Fault::Refused));
    assert_eq!(exchange.path, "/users/7");
    assert_eq!(exchange.body.as_deref(), Some(&b"kept"[..]));
}

#[test]
fn snapshot_holds_what_get_and_next_give() {
    let mut exchange = exchange();
    let mut call = call_of(&mut exchange);
    let bytes = call.snapshot(constants::SNAPSHOT_PARTS).unwrap().to_vec();
    let snapshot = Snapshot::new(&bytes).unwrap();
    for part in (0..64).filter(|&part| call.headers(part).is_none()) {
        assert_eq!(snapshot.get(part), call.get(part, b"").ok(), "part {part}");
    }
    let stepped: Vec<_> = (0..)
        .map_while(|i| call.next(part::REQUEST_HEADER, b"", i).ok())
        .collect();
    assert_eq!(snapshot.request_headers().collect::<Vec<_>>(), stepped);
    assert_eq!(snapshot.response_headers().count(), 0);
}

#[test]
fn added_headers_are_apart_from_the_upstreams() {
    let mut exchange = exchange();
    exchange.status = Some(StatusCode::OK);
    let vary = |value| HeaderValue::from_static(value);
    exchange.response_headers.insert("vary", vary("cookie"));
    exchange.added_headers.insert("vary", vary("accept"));
    let mut call = call_at(Hook::Response, NEITHER, &mut exchange);
    let mut flat = record(op::ADD_ADDED_HEADER, "Vary", "origin");
    flat.extend(record(op::SET_ADDED_HEADER, "x-a", "1"));
    flat.extend(record(op::REMOVE_ADDED_HEADER, "x-none", ""));
    assert_eq!(call.apply(&flat), Ok(()));

    let bytes = call.snapshot(constants::SNAPSHOT_PARTS).unwrap().to_vec();
    let snapshot = Snapshot::new(&bytes).unwrap();
    let added = [("vary", "accept"), ("vary", "origin"), ("x-a", "1")];
    let added = added.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    assert_eq!(snapshot.added_headers().collect::<Vec<_>>(), added);
    assert_eq!(
        snapshot.response_headers().collect::<Vec<_>>(),
        [(&b"vary"[..], &b"cookie"[..])]
    );
    assert_eq!(call.get(part::ADDED_HEADER, b"x-a"), Ok(&b"1"[..]));
    assert_eq!(call.get(part::RESPONSE_HEADER, b"x-a"), Err(Fault::Absent));

    // An answer that does not come about leaves both as they were.
    call.mutate(op::ANSWER_STATUS, b"", b"451").unwrap();
    call.mutate(op::REMOVE_ADDED_HEADER, b"x-a", b"").unwrap();
    call.withdraw_answer();
    assert_eq!(call.get(part::ADDED_HEADER, b"x-a"), Ok(&b"1"[..]));

    let mut early = call_of(&mut exchange);
    let set = early.mutate(op::SET_ADDED_HEADER, b"x-a", b"2");
    assert_eq!(set, Err(Fault::Refused));
}

#[test]
fn later_functions_see_the_address_that_one_sets_and_the_target_as_it_was() {
    let mut exchange = exchange();
    let mut call = call_of(&mut exchange);
    let set = |call: &mut ActiveCall<'_>, addr: &str| {
        call.mutate(op::SET_REMOTE_ADDR, b"", addr.as_bytes())
    };
    assert_eq!(set(&mut call, "198.51.100.9"), Ok(()));
    assert_eq!(set(&mut call, "a\tb"), Err(Fault::Invalid));
    assert_eq!(set(&mut call, &"1".repeat(257)), Err(Fault::TooLarge));
    assert_eq!(call.get(part::REMOTE_ADDR, b""), Ok(&b"198.51.100.9"[..]));
    call.mutate(op::SET_PATH, b"", b"/other").unwrap();
    assert_eq!(call.get(part::TARGET, b""), Ok(&b"/users/7?"[..]));
}

#[test]
fn snapshot_leaves_out_what_is_not_wanted_and_refuses_what_it_cannot_hold() {
    let mut exchange = exchange();
    let mut call = call_of(&mut exchange);
    let bytes = call.snapshot(1 << part::PATH).unwrap();
    let snapshot = Snapshot::new(bytes).unwrap();
    assert_eq!(snapshot.get(part::PATH), Some(&b"/users/7"[..]));
    assert_eq!(snapshot.get(part::METHOD), None);
    assert_eq!(snapshot.request_headers().count(), 0);
    assert_eq!(
        call.snapshot(1 << part::REQUEST_BODY),
        Err(Fault::Unsupported)
    );
    assert_eq!(call.snapshot(1 << 20), Err(Fault::Unknown));
    assert_eq!(call.snapshot(1), Err(Fault::Unknown));
    assert_eq!(call.snapshot(1 << 63), Err(Fault::Unknown));
}

#[test]
fn session_comes_with_its_consumer_key_and_is_stored_where_it_is_said() {
    let mut exchange = exchange();
    exchange.token = Some("first".to_owned());
    let mut call = call_at(Hook::Auth, NEITHER, &mut exchange);
    let (session, document) = (op::SET_SESSION, b"{\"a\":1}");
    call.mutate(session, b"", document).unwrap();
    assert_eq!(call.get(part::AUTH_TOKEN, b""), Ok(&b"first"[..]));
    call.mutate(session, b"second", document).unwrap();
    assert_eq!(call.get(part::AUTH_TOKEN, b""), Ok(&b"second"[..]));
    let store = op::STORE_SESSION;
    assert_eq!(call.mutate(store, b"", document), Err(Fault::Invalid));
    assert_eq!(call.mutate(store, b"key", b"[]"), Err(Fault::Invalid));
    for _ in 0..STORED_SESSIONS_MAX {
        call.mutate(store, b"key", document).unwrap();
    }
    assert_eq!(call.mutate(store, b"key", document), Err(Fault::TooLarge));
    assert_eq!(call.get(part::AUTH_TOKEN, b""), Ok(&b"key"[..]));
    assert_eq!(exchange.stored_sessions.len(), STORED_SESSIONS_MAX);
    let stored = &exchange.stored_sessions[0];
    assert_eq!(
        (stored.key.as_str(), &stored.document[..]),
        ("key", &document[..])
    );
}

#[test]
fn openapi_document_is_read_where_there_is_one() {
    let mut exchange = exchange();
    assert_eq!(
        call_of(&mut exchange).get(part::OPENAPI, b""),
        Err(Fault::Absent)
    );
    exchange.api = Arc::new(ApiContext {
        api_id: "users".parse().unwrap(),
        definition: Bytes::new(),
        config: Bytes::new(),
        openapi: Some(Bytes::from_static(b"{}")),
        serial: Serial::default(),
    });
    let mut call = call_of(&mut exchange);
    assert_eq!(call.get(part::OPENAPI, b""), Ok(&b"{}"[..]));
    let snapshot = Snapshot::new(call.snapshot(1 << part::OPENAPI).unwrap()).unwrap();
    assert_eq!(snapshot.get(part::OPENAPI), Some(&b"{}"[..]));
}
