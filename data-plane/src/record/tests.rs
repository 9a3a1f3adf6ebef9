//! Records: they round-trip, and no bytes are taken for one that is none.

use proptest::prelude::*;

use super::*;

fn request() -> RequestRecord<'static> {
    RequestRecord {
        logged: true,
        begun: 1,
        duration_nanos: 2,
        revision: 3,
        api: 4,
        method: b"GET",
        path: b"/a/b",
        is_http_10: false,
        status: 200,
        complete: true,
        answered_by: AnsweredBy::Upstream,
        request_bytes: 5,
        response_bytes: 6,
        upstream: Some(UpstreamPart {
            status: 201,
            nanos: 7,
        }),
        client: "192.0.2.1".parse().unwrap(),
        trace_id: Some([1; 16]),
        span: Some(Span {
            id: [2; 8],
            parent: Some([3; 8]),
        }),
    }
}

fn written(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.write(&mut bytes);
    bytes
}

#[test]
fn records_round_trip_with_and_without_their_optional_parts() {
    let span = Span {
        id: [9; 8],
        parent: None,
    };
    let bare = RequestRecord {
        logged: false,
        status: 0,
        complete: false,
        is_http_10: true,
        answered_by: AnsweredBy::Nobody,
        upstream: None,
        client: "2001:db8::1".parse().unwrap(),
        trace_id: None,
        span: None,
        path: b"",
        ..request()
    };
    let by = |answered_by| RequestRecord {
        answered_by,
        ..request()
    };
    let records = [
        Record::Request(request()),
        Record::Request(bare),
        Record::Request(by(AnsweredBy::Function(u32::MAX))),
        Record::Request(by(AnsweredBy::Gateway(17))),
        Record::Call(CallRecord {
            trace_id: [1; 16],
            span,
            begun: 1,
            duration_nanos: 2,
            function: 3,
            outcome: CallOutcome::Answered,
        }),
        Record::Upstream(UpstreamRecord {
            trace_id: [1; 16],
            span,
            begun: 1,
            duration_nanos: 2,
            api: 3,
            status: 0,
            refusal: Some(0),
            method: b"POST",
        }),
    ];
    for record in records {
        assert_eq!(Record::read(&written(&record)), Some(record));
    }
}

#[test]
fn long_path_and_method_are_cut() {
    let (path, method) = ([b'p'; 4000], [b'M'; 4000]);
    let record = Record::Request(RequestRecord {
        path: &path,
        method: &method,
        ..request()
    });
    let bytes = written(&record);
    let Some(Record::Request(read)) = Record::read(&bytes) else {
        panic!("no request");
    };
    assert_eq!(read.path.len(), PATH_BYTES_MAX);
    assert_eq!(read.method.len(), METHOD_BYTES_MAX);
    assert!(bytes.len() <= crate::sys::ring::RECORD_BYTES_MAX);
}

#[test]
fn every_cut_of_a_record_is_none_or_has_a_shorter_tail() {
    let bytes = written(&Record::Request(request()));
    for len in 0..bytes.len() {
        if let Some(Record::Request(read)) = Record::read(&bytes[..len]) {
            assert!(read.path.len() < 4, "{len}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0_u8..5) {
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        let _ = Record::read(&bytes);
    }
}
