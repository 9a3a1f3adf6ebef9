//! Log lines that say which trace they belong to.
//!
//! Only where the trace is recorded: an id that leads nowhere is noise. The names `trace_id` and
//! `span_id` are those that OpenTelemetry gives to logs of other formats, so that collectors find
//! them. Invariant: a line of JSON stays one object on one line.

use std::fmt;

use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, SpanId, TraceId};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The JSON format, with the ids of the current trace at the front.
pub(crate) struct Correlated(pub(crate) Format<Json>);

impl<S, N> FormatEvent<S, N> for Correlated
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some((trace, span)) = recorded() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => write!(
                writer,
                r#"{{"trace_id":"{trace}","span_id":"{span}",{rest}"#
            ),
            None => writer.write_str(&line),
        }
    }
}

fn recorded() -> Option<(TraceId, SpanId)> {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        (ids.is_valid() && ids.is_sampled()).then(|| (ids.trace_id(), ids.span_id()))
    })
}
