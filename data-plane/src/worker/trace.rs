//! The trace that a request belongs to (W3C Trace Context), and what goes upstream of it.
//!
//! A trace that the client names is taken over. Without tracing the header goes upstream as it came: a
//! gateway that records no span invents none. With tracing a request that is recorded names its own
//! span upstream, one that is not passes on what the client named, and where there was nothing to pass
//! on the upstream is told the gateway's decision, so that it need not take its own.

use std::cell::Cell;

use gantry_plugin_host::Trace;
use gantry_telemetry::Sampler;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::record::{SpanId, TraceId};

/// Bytes of a `traceparent` of version 00.
const TRACEPARENT_BYTES: usize = 55;
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The flag that says that the sender records the trace.
const SAMPLED: u8 = 1;
/// The flag that says that the trace's number is random; it belongs to the number.
const RANDOM: u8 = 2;
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A request's place in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace_id: TraceId,
    /// The client's span, if it named one.
    pub parent: Option<SpanId>,
    /// The gateway's span, if the request is recorded.
    pub span: Option<SpanId>,
    /// Whether the gateway takes part in traces at all.
    takes_part: bool,
    /// The flags that the client named, beside whether it records.
    flags: u8,
}

impl Context {
    /// The place of a request; none if the client names none and the gateway takes no part in traces,
    /// which is to say that there is no sampler.
    pub fn of(headers: &HeaderMap, sampler: Option<&Sampler>) -> Option<Self> {
        let named = named(headers);
        if sampler.is_none() && named.is_none() {
            return None;
        }
        let (trace_id, parent, flags) = match named {
            Some((trace_id, parent, flags)) => (trace_id, Some(parent), flags),
            None => (fresh_trace_id(), None, 0),
        };
        let sampled = parent.map(|_| flags & SAMPLED != 0);
        let recorded = sampler.is_some_and(|sampler| sampler.samples(sampled, trace_id));
        Some(Self {
            trace_id,
            parent,
            span: recorded.then(fresh_span_id),
            takes_part: sampler.is_some(),
            flags: flags & RANDOM,
        })
    }

    /// A trace of the request's own, for log lines.
    pub fn fresh() -> Self {
        Self {
            trace_id: fresh_trace_id(),
            parent: None,
            span: None,
            takes_part: false,
            flags: 0,
        }
    }

    /// The trace as functions see it.
    pub fn for_functions(&self, headers: &HeaderMap) -> Trace {
        let made = |span, flags| named_by(&traceparent(&self.trace_id, span, flags));
        match (self.span, self.parent) {
            (Some(span), _) => made(span, self.flags | SAMPLED),
            (None, Some(parent)) => {
                let came = headers
                    .get(TRACEPARENT)
                    .and_then(|value| value.to_str().ok());
                came.map_or_else(|| made(parent, self.flags), Trace::new)
            }
            (None, None) => made(fresh_span_id(), self.flags),
        }
    }

    /// What the upstream is to be told; nothing, if what the client named goes on as it came.
    pub fn upstream(&self) -> Option<Told> {
        if !self.takes_part || (self.span.is_none() && self.parent.is_some()) {
            return None;
        }
        let span = fresh_span_id();
        let sampled = if self.span.is_some() { SAMPLED } else { 0 };
        let value = traceparent(&self.trace_id, span, self.flags | sampled);
        Some(Told {
            span: self.span.map(|_| span),
            traceparent: HeaderValue::from_bytes(&value).ok()?,
            is_root: self.parent.is_none(),
        })
    }
}

/// What an upstream is told of a trace.
#[derive(Debug)]
pub struct Told {
    /// The number of the span that it is told, if the request is recorded.
    pub span: Option<SpanId>,
    traceparent: HeaderValue,
    is_root: bool,
}

impl Told {
    /// Says it in a request's headers.
    pub fn put(&self, headers: &mut HeaderMap) {
        headers.insert(TRACEPARENT, self.traceparent.clone());
        if self.is_root {
            // It belongs to a trace that was not named properly.
            headers.remove(TRACESTATE);
        }
    }
}

/// A number for a new span.
pub fn fresh_span_id() -> SpanId {
    random().to_be_bytes()
}

fn fresh_trace_id() -> TraceId {
    let mut id = [0; 16];
    let (high, low) = id.split_at_mut(8);
    high.copy_from_slice(&random().to_be_bytes());
    low.copy_from_slice(&random().to_be_bytes());
    id
}

/// Trace, span and flags that the client names, if it does so once and properly.
fn named(headers: &HeaderMap) -> Option<(TraceId, SpanId, u8)> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let bytes = values.next()?.as_bytes();
    if values.next().is_some() || bytes.len() < TRACEPARENT_BYTES {
        return None;
    }
    let version_and_length = match bytes {
        [b'0', b'0', ..] => bytes.len() == TRACEPARENT_BYTES,
        [b'f', b'f', ..] => false,
        // Later versions may add to the end.
        _ => bytes.len() == TRACEPARENT_BYTES || bytes[TRACEPARENT_BYTES] == b'-',
    };
    if !version_and_length || [2, 35, 52].iter().any(|at| bytes[*at] != b'-') {
        return None;
    }
    let _version: [u8; 1] = from_hex(&bytes[..2])?;
    let trace_id: TraceId = from_hex(&bytes[3..35])?;
    let parent: SpanId = from_hex(&bytes[36..52])?;
    let [flags] = from_hex(&bytes[53..55])?;
    let proper = trace_id != TraceId::default() && parent != SpanId::default();
    proper.then_some((trace_id, parent, flags))
}

/// Lower-case digits only.
fn from_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn traceparent(trace_id: &TraceId, span: SpanId, flags: u8) -> [u8; TRACEPARENT_BYTES] {
    let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
    to_hex(trace_id, &mut value[3..35]);
    to_hex(&span, &mut value[36..52]);
    to_hex(&[flags], &mut value[53..55]);
    value
}

fn to_hex(bytes: &[u8], digits: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(digits.as_chunks_mut::<2>().0) {
        *pair = [
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ];
    }
}

fn named_by(traceparent: &[u8]) -> Trace {
    Trace::new(&String::from_utf8_lossy(traceparent))
}

/// Numbers that do not repeat in practice, without a system call each; never 0. Not secret.
fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(getrandom::u64().unwrap_or(u64::from(std::process::id())));
    }
    // SplitMix64 (Steele, Lea and Flood, 2014).
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ mixed >> 31).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn named_trace_is_taken_over_and_passed_on_as_it_came() {
        let later = format!("cc{}-more", &NAMED[2..]);
        for named in [NAMED, &later] {
            let headers = headers(&[named]);
            let context = Context::of(&headers, None).unwrap();
            let trace = context.for_functions(&headers);
            assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(trace.traceparent(), named);
            assert!(context.upstream().is_none());
        }
    }

    #[test]
    fn malformed_or_doubled_header_names_no_trace() {
        let upper = NAMED.to_uppercase();
        let zero = NAMED.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = NAMED.replace("00f067aa0ba902b7", &"0".repeat(16));
        let (long, short) = (format!("{NAMED}-x"), &NAMED[..54]);
        let invalid = format!("ff{}", &NAMED[2..]);
        let cases: [&[&str]; 9] = [
            &[],
            &["", "x"],
            &[NAMED, NAMED],
            &[&upper],
            &[&zero],
            &[&zero_span],
            &[&long],
            &[short],
            &[&invalid],
        ];
        for values in cases {
            assert_eq!(Context::of(&headers(values), None), None, "{values:?}");
        }
    }

    fn told(values: &[&str], sampler: &str) -> (Context, Option<SpanId>, HeaderMap) {
        let mut headers = headers(values);
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        let context = Context::of(&headers, Some(&sampler.parse().unwrap())).unwrap();
        let told = context.upstream();
        if let Some(told) = &told {
            told.put(&mut headers);
        }
        (context, told.and_then(|told| told.span), headers)
    }

    #[test]
    fn recorded_request_names_its_own_span_in_the_trace_of_the_client() {
        let random = NAMED.replace("-01", "-03");
        for (value, flags) in [(NAMED, "01"), (&random, "03")] {
            let (context, span, headers) = told(&[value], "parentbased_always_off");
            let (trace_id, upstream, _) = named(&headers).unwrap();
            assert_eq!((trace_id, Some(upstream)), (context.trace_id, span));
            assert_ne!(context.span, span);
            assert_eq!(
                context.parent.unwrap(),
                from_hex(b"00f067aa0ba902b7").unwrap()
            );
            assert!(headers[TRACEPARENT].to_str().unwrap().ends_with(flags));
            assert_eq!(headers[TRACESTATE], "vendor=1");
            let seen = context.for_functions(&headers).traceparent().to_owned();
            assert!(
                seen.ends_with(flags) && seen.starts_with(&NAMED[..35]),
                "{seen}"
            );
        }
    }

    #[test]
    fn unrecorded_request_passes_on_what_the_client_named() {
        let unsampled = NAMED.replace("-01", "-00");
        let (context, span, headers) = told(&[&unsampled], "parentbased_always_on");
        assert_eq!((context.span, span), (None, None));
        assert_eq!(headers[TRACEPARENT], unsampled);
        let (_, span, headers) = told(&[NAMED], "always_off");
        assert_eq!(span, None);
        assert_eq!(headers[TRACEPARENT], NAMED);
    }

    #[test]
    fn root_tells_the_upstream_its_decision_either_way() {
        for (sampler, flags) in [("parentbased_always_on", 1), ("parentbased_always_off", 0)] {
            for values in [&[][..], &["malformed"]] {
                let (context, span, headers) = told(values, sampler);
                assert_eq!(span.is_some(), flags == 1);
                let (trace_id, _, told) = named(&headers).unwrap();
                assert_eq!((trace_id, told), (context.trace_id, flags));
                assert_eq!(headers.get(TRACESTATE), None);
            }
        }
    }

    #[test]
    fn fresh_traces_differ_and_are_proper() {
        let trace = || Context::fresh().for_functions(&HeaderMap::new());
        let (first, second) = (trace(), trace());
        assert_ne!(first.trace_id(), second.trace_id());
        let again = named(&headers(&[first.traceparent()])).unwrap();
        assert_eq!(again.2, 0);
        assert_eq!(&first.traceparent()[3..35], first.trace_id());
    }
}
