//! Spans that another process ended: plain data in, the exporter's queue out.
//!
//! The gateway's workers export nothing; what they traced reaches their supervisor as bytes, and
//! here it becomes spans of the SDK. Not here: which requests are traced ([`Sampler`]). Invariant:
//! handing a span over never waits; where the queue is full the span is dropped.
//!
//! [`Sampler`]: crate::Sampler

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status as SdkStatus, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks, SpanProcessor};

/// A span that has ended and is to be exported.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedSpan {
    /// Not all zero.
    pub trace_id: [u8; 16],
    /// Not all zero.
    pub span_id: [u8; 8],
    /// `None` for the first span of a trace.
    pub parent: Option<Parent>,
    /// The caller's `tracestate`, as it came; a malformed one is left out.
    pub trace_state: Option<String>,
    /// What the span is to its neighbours.
    pub kind: Kind,
    /// Of low cardinality: never a path, never an id.
    pub name: Cow<'static, str>,
    /// Nanoseconds since 1970.
    pub start_unix_nanos: u64,
    /// Nanoseconds since 1970.
    pub end_unix_nanos: u64,
    /// By the names of the semantic conventions.
    pub attributes: Vec<(Cow<'static, str>, Value)>,
    /// How it ended.
    pub status: Status,
}

/// The span that caused another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Its id.
    pub span_id: [u8; 8],
    /// Whether it belongs to another process than the span.
    pub remote: bool,
}

/// What a span is to its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answers a call from elsewhere.
    Server,
    /// Calls elsewhere.
    Client,
    /// Neither.
    Internal,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
    /// A truth.
    Bool(bool),
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nothing is said, which is not an error.
    Unset,
    /// It failed; why, in words for people.
    Error(Cow<'static, str>),
}

/// Takes finished spans to the exporter of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SpanSink {
    processor: Arc<dyn SpanProcessor>,
    scope: InstrumentationScope,
}

impl SpanSink {
    pub(crate) fn new(processor: Arc<dyn SpanProcessor>, scope: InstrumentationScope) -> Self {
        Self { processor, scope }
    }

    /// Queues a span. A span with an id of zeros is dropped: no backend would take it.
    pub fn export(&self, span: FinishedSpan) {
        if let Some(data) = self.data(span) {
            self.processor.on_end(data);
        }
    }

    fn data(&self, span: FinishedSpan) -> Option<SpanData> {
        let trace_state = span
            .trace_state
            .and_then(|text| text.parse::<TraceState>().ok());
        let context = SpanContext::new(
            TraceId::from_bytes(span.trace_id),
            SpanId::from_bytes(span.span_id),
            TraceFlags::SAMPLED,
            false,
            trace_state.unwrap_or_default(),
        );
        context.is_valid().then_some(SpanData {
            span_context: context,
            parent_span_id: span
                .parent
                .map_or(SpanId::INVALID, |parent| SpanId::from_bytes(parent.span_id)),
            parent_span_is_remote: span.parent.is_some_and(|parent| parent.remote),
            span_kind: match span.kind {
                Kind::Server => SpanKind::Server,
                Kind::Client => SpanKind::Client,
                Kind::Internal => SpanKind::Internal,
            },
            name: span.name,
            start_time: time(span.start_unix_nanos),
            end_time: time(span.end_unix_nanos.max(span.start_unix_nanos)),
            attributes: span.attributes.into_iter().map(attribute).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: match span.status {
                Status::Unset => SdkStatus::Unset,
                Status::Error(description) => SdkStatus::Error { description },
            },
            instrumentation_scope: self.scope.clone(),
        })
    }
}

fn time(unix_nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nanos)
}

fn attribute((key, value): (Cow<'static, str>, Value)) -> KeyValue {
    match value {
        Value::Text(text) => KeyValue::new(key, text),
        Value::Number(number) => KeyValue::new(key, number),
        Value::Bool(truth) => KeyValue::new(key, truth),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanExporter};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().expect("no test panics here").extend(batch);
            Ok(())
        }
    }

    fn span(span_id: u64) -> FinishedSpan {
        FinishedSpan {
            trace_id: [7; 16],
            span_id: span_id.to_be_bytes(),
            parent: Some(Parent {
                span_id: [9; 8],
                remote: true,
            }),
            trace_state: Some("vendor=1".into()),
            kind: Kind::Server,
            name: "GET".into(),
            start_unix_nanos: 2_000_000_001,
            end_unix_nanos: 1,
            attributes: vec![
                ("http.route".into(), Value::Text("/api/".into())),
                ("http.response.status_code".into(), Value::Number(502)),
                ("retried".into(), Value::Bool(true)),
            ],
            status: Status::Error("no upstream".into()),
        }
    }

    #[test]
    fn finished_span_is_exported_as_it_was_handed_over_and_one_without_an_id_is_not() {
        let kept = Kept::default();
        let processor = Arc::new(BatchSpanProcessor::builder(kept.clone()).build());
        let scope = InstrumentationScope::builder("test").build();
        let sink = SpanSink::new(processor.clone(), scope);
        sink.export(span(0));
        sink.export(span(5));
        processor.force_flush().expect("the exporter takes all");
        let spans = kept.0.lock().expect("no test panics here");
        let [found] = spans.as_slice() else {
            panic!("expected one span, found {spans:?}");
        };
        assert_eq!(found.span_context.trace_id(), TraceId::from_bytes([7; 16]));
        assert_eq!(
            found.span_context.span_id(),
            SpanId::from_bytes(5_u64.to_be_bytes())
        );
        assert_eq!(found.span_context.trace_state().header(), "vendor=1");
        assert_eq!(found.parent_span_id, SpanId::from_bytes([9; 8]));
        assert!(found.parent_span_is_remote && found.span_context.is_sampled());
        assert_eq!(found.span_kind, SpanKind::Server);
        let begun = SystemTime::UNIX_EPOCH + Duration::from_nanos(2_000_000_001);
        // A clock that went backwards makes no span that ends before it begins.
        assert_eq!((found.start_time, found.end_time), (begun, begun));
        assert_eq!(found.status, SdkStatus::error("no upstream"));
        assert_eq!(
            found.attributes,
            [
                KeyValue::new("http.route", "/api/"),
                KeyValue::new("http.response.status_code", 502),
                KeyValue::new("retried", true),
            ]
        );
    }
}
