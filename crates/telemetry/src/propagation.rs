//! Trace context between processes: W3C `traceparent` and `tracestate` in HTTP headers, gRPC
//! metadata (which are the same headers) and the environment.
//!
//! A context travels also where this process records nothing: who called decides what is traced,
//! and a process without an exporter must not cut a trace in two. Not here: when a span begins.
//! Invariant: a malformed context is none, never an error of the call that carried it.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The variables in which CI systems give a job its trace, by the names that the specification
/// gives the headers.
pub const VARIABLES: [&str; 2] = ["TRACEPARENT", "TRACESTATE"];

/// A caller's trace context.
#[derive(Debug, Clone)]
pub struct Remote(Context);

impl Remote {
    /// The one in the headers of a request; `None` without a valid one.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        // Two values would let a caller choose which of them each hop believes.
        if headers.get_all("traceparent").iter().count() != 1 {
            return None;
        }
        Self::extract(&Headers(headers))
    }

    /// The one in `TRACEPARENT` and `TRACESTATE`; `None` without a valid one.
    pub fn from_environment() -> Option<Self> {
        let mut headers = HeaderMap::new();
        for (variable, header) in VARIABLES.into_iter().zip(["traceparent", "tracestate"]) {
            let value = std::env::var(variable).ok();
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(header, value);
            }
        }
        Self::from_headers(&headers)
    }

    fn extract(carrier: &dyn Extractor) -> Option<Self> {
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), carrier);
        context
            .span()
            .span_context()
            .is_valid()
            .then_some(Self(context))
    }

    /// Whether the caller records the trace.
    pub fn is_sampled(&self) -> bool {
        self.0.span().span_context().is_sampled()
    }

    /// Makes this the parent of a span that was not entered yet.
    pub fn adopt(&self, span: &Span) {
        // Refused where no spans are recorded, and where the span began: nothing is lost then that
        // a caller could act on.
        let _ = span.set_parent(self.0.clone());
    }

    /// Runs a future with this as its context: what it calls gets it from [`inject`], also where
    /// this process records nothing.
    pub fn carry<F>(&self, future: F) -> Carried<F> {
        future.with_context(self.0.clone())
    }
}

/// A future that runs with a [`Remote`] context.
pub type Carried<F> = WithContext<F>;

/// Whether what happens now is part of a trace that is recorded: a span of it would be exported.
pub fn is_recorded() -> bool {
    Context::map_current(|context| context.span().span_context().is_sampled())
}

/// Writes the current context into the headers of a request; nothing where there is none.
pub fn inject(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Context::current(), &mut HeadersMut(headers));
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }

    fn get_all(&self, key: &str) -> Option<Vec<&str>> {
        let values = self.0.get_all(key).iter();
        let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        (!texts.is_empty()).then_some(texts)
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value))
        else {
            return;
        };
        // An empty tracestate is no tracestate.
        if !value.is_empty() {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(values: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in values {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[tokio::test]
    async fn context_that_came_in_goes_out_although_nothing_is_recorded() {
        let given = headers(&[("traceparent", PARENT), ("tracestate", "vendor=1")]);
        let remote = Remote::from_headers(&given).expect("the context is valid");
        assert!(remote.is_sampled());
        let mut sent = HeaderMap::new();
        remote.carry(async { inject(&mut sent) }).await;
        assert_eq!(sent, given);
    }

    #[test]
    fn no_context_writes_no_header() {
        let mut sent = HeaderMap::new();
        inject(&mut sent);
        assert_eq!(sent, HeaderMap::new());
    }

    #[test]
    fn malformed_and_doubled_contexts_are_none() {
        for value in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(
                Remote::from_headers(&headers(&[("traceparent", value)])).is_none(),
                "{value}"
            );
        }
        let doubled = headers(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert!(Remote::from_headers(&doubled).is_none());
    }
}
