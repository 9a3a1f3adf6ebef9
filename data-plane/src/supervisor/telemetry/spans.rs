//! Spans of requests that are traced, from what workers wrote down: one for the request, one for each
//! function that was called, one for the upstream. Named by the semantic conventions for HTTP where
//! they have a name, by `docs/LOGGING.md` elsewhere.
//!
//! Invariant: names of spans are of low cardinality, also when a client makes methods up.

use std::borrow::Cow;

use gantry_telemetry::spans::{FinishedSpan, Kind, Parent, Status, Value};

use super::directory::Names;
use super::line::{answered_by, refusal_code};
use crate::record::{
    CallOutcome, CallRecord, RequestRecord, Span, SpanId, TraceId, UpstreamRecord,
};

/// Methods that have a name of their own in spans (RFC 9110 section 9.1, RFC 5789).
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

type Attributes = Vec<(Cow<'static, str>, Value)>;

/// When a span was, nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// Its begin.
    pub start: u64,
    /// Its end.
    pub end: u64,
}

/// The span of a request, below the client's.
pub fn request(
    names: &Names,
    worker: u32,
    when: When,
    record: &RequestRecord<'_>,
) -> Option<FinishedSpan> {
    let (trace_id, span) = (record.trace_id?, record.span?);
    let api = names.api(record.api);
    let path = record.path.split(|byte| *byte == b'?').next();
    let mut attributes = vec![
        text("http.request.method", method(record.method)),
        text("url.scheme", "http"),
        text(
            "url.path",
            String::from_utf8_lossy(path.unwrap_or_default()).into_owned(),
        ),
        text(
            "network.protocol.version",
            if record.is_http_10 { "1.0" } else { "1.1" },
        ),
        text("client.address", record.client.to_string()),
        text("tenant.id", names.tenant.to_string()),
        text("environment", names.environment.to_string()),
        number("revision", record.revision),
        number("worker.slot", u64::from(worker)),
    ];
    if let Some(api) = api {
        attributes.push(text("api.id", api.id.to_string()));
        attributes.push(text("http.route", api.prefix.to_string()));
    }
    let (by, key, value) = answered_by(names, record);
    attributes.push(text("answered_by", by));
    if !key.is_empty() {
        attributes.push(text(key, value.to_owned()));
    }
    if record.status != 0 {
        let status = u64::from(record.status);
        attributes.push(number("http.response.status_code", status));
    }
    let route = api.map_or("", |api| &*api.prefix);
    let name = spoken(record.method);
    Some(FinishedSpan {
        parent: span.parent.map(|span_id| Parent {
            span_id,
            remote: true,
        }),
        ..finished(
            trace_id,
            span.id,
            Kind::Server,
            if route.is_empty() {
                Cow::Borrowed(name)
            } else {
                format!("{name} {route}").into()
            },
            when,
            attributes,
            failed(record.status >= 500, ""),
        )
    })
}

/// The span of a function's call.
pub fn call(names: &Names, when: When, record: &CallRecord) -> FinishedSpan {
    let mut attributes = vec![text("outcome", record.outcome.as_str())];
    let name = names.function(record.function).map_or_else(
        || Cow::Borrowed("function"),
        |function| {
            attributes.push(text("hook", function.hook.to_string()));
            attributes.push(text("function", function.function.to_string()));
            attributes.push(text("plugin.name", function.bundle.to_string()));
            attributes.push(text("plugin.version", function.version.to_string()));
            format!("{} {}", function.hook, function.function).into()
        },
    );
    let is_failure = matches!(record.outcome, CallOutcome::Failed | CallOutcome::Busy);
    FinishedSpan {
        parent: local(record.span),
        ..finished(
            record.trace_id,
            record.span.id,
            Kind::Internal,
            name,
            when,
            attributes,
            failed(is_failure, record.outcome.as_str()),
        )
    }
}

/// The span of an upstream that was asked.
pub fn upstream(names: &Names, when: When, record: &UpstreamRecord<'_>) -> FinishedSpan {
    let mut attributes = vec![text("http.request.method", method(record.method))];
    if let Some(api) = names.api(record.api) {
        attributes.push(text("api.id", api.id.to_string()));
        if let Some((host, port)) = &api.server {
            attributes.push(text("server.address", host.to_string()));
            attributes.push(number("server.port", u64::from(*port)));
        }
    }
    let code = record.refusal.map_or("", refusal_code);
    if record.refusal.is_some() {
        attributes.push(text("error.type", code));
    }
    if record.status != 0 {
        let status = u64::from(record.status);
        attributes.push(number("http.response.status_code", status));
    }
    let is_failure = record.refusal.is_some() || record.status >= 400;
    FinishedSpan {
        parent: local(record.span),
        ..finished(
            record.trace_id,
            record.span.id,
            Kind::Client,
            spoken(record.method).into(),
            when,
            attributes,
            failed(is_failure, code),
        )
    }
}

fn finished(
    trace_id: TraceId,
    span_id: SpanId,
    kind: Kind,
    name: Cow<'static, str>,
    when: When,
    attributes: Attributes,
    status: Status,
) -> FinishedSpan {
    FinishedSpan {
        trace_id,
        span_id,
        parent: None,
        trace_state: None,
        kind,
        name,
        start_unix_nanos: when.start,
        end_unix_nanos: when.end,
        attributes,
        status,
    }
}

fn local(span: Span) -> Option<Parent> {
    span.parent.map(|span_id| Parent {
        span_id,
        remote: false,
    })
}

fn failed(is_failure: bool, why: &'static str) -> Status {
    if is_failure {
        Status::Error(why.into())
    } else {
        Status::Unset
    }
}

/// The method as an attribute.
fn method(method: &[u8]) -> &'static str {
    known(method).unwrap_or("_OTHER")
}

/// The method in a span's name.
fn spoken(method: &[u8]) -> &'static str {
    known(method).unwrap_or("HTTP")
}

fn known(method: &[u8]) -> Option<&'static str> {
    METHODS.into_iter().find(|known| known.as_bytes() == method)
}

fn text(key: &'static str, value: impl Into<Cow<'static, str>>) -> (Cow<'static, str>, Value) {
    (key.into(), Value::Text(value.into()))
}

fn number(key: &'static str, value: u64) -> (Cow<'static, str>, Value) {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    (key.into(), Value::Number(value))
}
