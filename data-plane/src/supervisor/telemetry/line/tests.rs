//! Access lines: what stands in them, and what a client cannot make of them.

use super::*;
use crate::record::UpstreamPart;

/// 2026-11-24 18:30:05.678 UTC.
const TIME: u64 = 1_795_545_005_678_000_000;

fn record() -> RequestRecord<'static> {
    RequestRecord {
        logged: true,
        begun: 0,
        duration_nanos: 12_345_678,
        revision: 7,
        api: 0,
        method: b"GET",
        path: b"/a/b",
        is_http_10: false,
        status: 200,
        complete: true,
        answered_by: AnsweredBy::Upstream,
        request_bytes: 0,
        response_bytes: 1234,
        upstream: Some(UpstreamPart {
            status: 201,
            nanos: 999,
        }),
        client: "192.0.2.1".parse().unwrap(),
        trace_id: Some([0xab; 16]),
        span: None,
    }
}

fn line(format: AccessLogFormat, record: &RequestRecord<'_>) -> String {
    let mut bytes = Vec::new();
    let names = Names {
        tenant: "acme".into(),
        environment: "production".into(),
        ..Names::default()
    };
    Lines::new(format).write(&names, 1, TIME, record, &mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_line_holds_what_happened() {
    let line = line(AccessLogFormat::Json, &record());
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let expected = serde_json::json!({
        "time": "2026-11-24T18:30:05.678Z", "tenant": "acme", "environment": "production",
        "method": "GET", "path": "/a/b", "protocol": "HTTP/1.1", "status": 200, "request_bytes": 0,
        "response_bytes": 1234, "duration_ms": 12.345, "upstream_status": 201, "upstream_ms": 0.0,
        "answered_by": "upstream", "client": "192.0.2.1", "trace_id": "ab".repeat(16),
        "worker": 1, "revision": 7,
    });
    assert_eq!(value, expected);
}

#[test]
fn text_line_begins_in_the_common_format() {
    let line = line(AccessLogFormat::Text, &record());
    let expected = "192.0.2.1 - - [24/Nov/2026:18:30:05 +0000] \"GET /a/b HTTP/1.1\" 200 1234 in=0 \
        ms=12.345 upstream=201 upstream_ms=0.000 by=upstream api=- tenant=acme/production worker=1 \
        revision=7 trace=abababababababababababababababab\n";
    assert_eq!(line, expected);
}

#[test]
fn path_of_hostile_bytes_stays_within_its_line_and_field() {
    let hostile = RequestRecord {
        path: b"/\"\\\r\n\x00\x1b[2J\xff\xc3\xa9\x7f",
        ..record()
    };
    let json = line(AccessLogFormat::Json, &hostile);
    assert_eq!(json.lines().count(), 1);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["path"], "/\"\\\r\n\0\u{1b}[2J\u{fffd}\u{e9}\u{7f}");
    let text = line(AccessLogFormat::Text, &hostile);
    assert_eq!(text.lines().count(), 1);
    assert!(
        text.contains(r#""GET /\x22\x5c\x0d\x0a\x00\x1b[2J\xff\xc3\xa9\x7f HTTP/1.1""#),
        "{text}"
    );
}

#[test]
fn line_says_who_answered_and_that_a_client_left() {
    let by = |answered_by, status| {
        let record = RequestRecord {
            answered_by,
            status,
            complete: status != 0,
            ..record()
        };
        serde_json::from_str::<serde_json::Value>(&line(AccessLogFormat::Json, &record)).unwrap()
    };
    let refused = by(AnsweredBy::Gateway(Refusal::RouteNotFound.number()), 404);
    assert_eq!(refused["answered_by"], "gateway");
    assert_eq!(refused["code"], "ROUTE_NOT_FOUND");
    assert_eq!(by(AnsweredBy::Gateway(250), 404)["code"], "UNKNOWN");
    assert_eq!(by(AnsweredBy::Function(99), 401)["function"], "-");
    let left = by(AnsweredBy::Nobody, 0);
    assert_eq!(
        (&left["status"], &left["complete"]),
        (&499.into(), &false.into())
    );
}

#[test]
fn numbers_are_written_in_full() {
    let text = |number| {
        let mut bytes = Vec::new();
        put_number(&mut bytes, number);
        bytes.push(b' ');
        put_thousandths(&mut bytes, number);
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(text(0), "0 0.000");
    assert_eq!(text(1_050), "1050 1.050");
    assert_eq!(text(u64::MAX), "18446744073709551615 18446744073709551.615");
}
