//! What passes through a worker's ring: the account of a request, and the spans of one that is traced.
//! Compact bytes, little-endian, fixed fields first; both ends are always the same build of one binary.
//!
//! Invariant: native code can forge these bytes, so reading checks every length and every choice, and
//! what does not fit is no record. Numbers that mean something elsewhere (an API, a function, a
//! refusal) are looked up there and never index anything.

use std::net::{IpAddr, Ipv6Addr};

/// Bytes of a path that are kept, at most.
pub const PATH_BYTES_MAX: usize = 1024;
/// Bytes of a method that are kept, at most.
pub const METHOD_BYTES_MAX: usize = 32;

const REQUEST: u8 = 1;
const CALL: u8 = 2;
const UPSTREAM: u8 = 3;

/// A trace's number; never all zero.
pub type TraceId = [u8; 16];
/// A span's number; never all zero.
pub type SpanId = [u8; 8];

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// A request that ended.
    Request(RequestRecord<'a>),
    /// A call of a function in a request that is traced.
    Call(CallRecord),
    /// An upstream that was asked in a request that is traced.
    Upstream(UpstreamRecord<'a>),
}

/// The account of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord<'a> {
    /// Whether it is to be a line of the access log; otherwise only a span.
    pub logged: bool,
    /// When its head was there, nanoseconds of the monotonic clock.
    pub begun: u64,
    /// From there to the end of its answer.
    pub duration_nanos: u64,
    /// The revision that it ran on; 0 where no API answers.
    pub revision: u64,
    /// The number of its API; 0 for none.
    pub api: u32,
    /// The method; empty never.
    pub method: &'a [u8],
    /// The path, and the query where that is wanted, up to [`PATH_BYTES_MAX`].
    pub path: &'a [u8],
    /// Whether the version is HTTP/1.0.
    pub is_http_10: bool,
    /// The status; 0 if the client left before there was one.
    pub status: u16,
    /// Whether the answer was sent to its end.
    pub complete: bool,
    /// Who answered.
    pub answered_by: AnsweredBy,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the answer's body that were sent.
    pub response_bytes: u64,
    /// The upstream, if it was asked.
    pub upstream: Option<UpstreamPart>,
    /// The client.
    pub client: IpAddr,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// The server's span, if it is traced.
    pub span: Option<Span>,
}

/// A span's place in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its number.
    pub id: SpanId,
    /// That of the span above it.
    pub parent: Option<SpanId>,
}

/// What a request's account says of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamPart {
    /// Its status; 0 if it gave none.
    pub status: u16,
    /// From the request to the head of its answer, or to giving up.
    pub nanos: u64,
}

/// Who answered a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredBy {
    /// Nobody: the client left.
    Nobody,
    /// The upstream.
    Upstream,
    /// A function, by its number.
    Function(u32),
    /// The gateway itself, by the number of its refusal.
    Gateway(u8),
}

/// A call of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRecord {
    /// The trace.
    pub trace_id: TraceId,
    /// Its place: below the server's span.
    pub span: Span,
    /// When it began, nanoseconds of the monotonic clock.
    pub begun: u64,
    /// How long it took.
    pub duration_nanos: u64,
    /// The function's number.
    pub function: u32,
    /// How it ended.
    pub outcome: CallOutcome,
}

/// How a call of a function ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CallOutcome {
    /// The chain goes on.
    Continued,
    /// It answered.
    Answered,
    /// It failed.
    Failed,
    /// It was not called: too many calls wait.
    Busy,
    /// Its deadline passed.
    TimedOut,
}

impl CallOutcome {
    /// The name in spans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continued => "continue",
            Self::Answered => "respond",
            Self::Failed => "fail",
            Self::Busy => "busy",
            Self::TimedOut => "timeout",
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continued,
            1 => Self::Answered,
            2 => Self::Failed,
            3 => Self::Busy,
            4 => Self::TimedOut,
            _ => return None,
        })
    }
}

/// An upstream that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamRecord<'a> {
    /// The trace.
    pub trace_id: TraceId,
    /// Its place: below the server's span. The upstream got its number.
    pub span: Span,
    /// When it began, nanoseconds of the monotonic clock.
    pub begun: u64,
    /// To the head of the answer, or to giving up.
    pub duration_nanos: u64,
    /// The number of the API.
    pub api: u32,
    /// The status; 0 if there was none.
    pub status: u16,
    /// The number of the refusal, where there was no answer.
    pub refusal: Option<u8>,
    /// The method.
    pub method: &'a [u8],
}

impl Record<'_> {
    /// Writes the record behind what is there.
    pub fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Request(record) => write_request(record, to),
            Self::Call(record) => {
                to.push(CALL);
                to.push(record.outcome as u8);
                to.extend_from_slice(&record.function.to_le_bytes());
                write_times(record.begun, record.duration_nanos, to);
                to.extend_from_slice(&record.trace_id);
                write_span(record.span, to);
            }
            Self::Upstream(record) => {
                to.push(UPSTREAM);
                to.push(record.refusal.map_or(0, |number| number.saturating_add(1)));
                to.extend_from_slice(&record.status.to_le_bytes());
                to.extend_from_slice(&record.api.to_le_bytes());
                write_times(record.begun, record.duration_nanos, to);
                to.extend_from_slice(&record.trace_id);
                write_span(record.span, to);
                to.extend_from_slice(cut(record.method, METHOD_BYTES_MAX));
            }
        }
    }
}

fn write_times(begun: u64, duration: u64, to: &mut Vec<u8>) {
    to.extend_from_slice(&begun.to_le_bytes());
    to.extend_from_slice(&duration.to_le_bytes());
}

fn write_span(span: Span, to: &mut Vec<u8>) {
    to.extend_from_slice(&span.id);
    to.extend_from_slice(&span.parent.unwrap_or_default());
}

const LOGGED: u8 = 1;
const HTTP_10: u8 = 1 << 1;
const COMPLETE: u8 = 1 << 2;
const HAS_UPSTREAM: u8 = 1 << 3;
const HAS_TRACE: u8 = 1 << 4;
const HAS_SPAN: u8 = 1 << 5;

fn write_request(record: &RequestRecord<'_>, to: &mut Vec<u8>) {
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    let flags = flag(record.logged, LOGGED)
        | flag(record.is_http_10, HTTP_10)
        | flag(record.complete, COMPLETE)
        | flag(record.upstream.is_some(), HAS_UPSTREAM)
        | flag(record.trace_id.is_some(), HAS_TRACE)
        | flag(record.span.is_some(), HAS_SPAN);
    let (by, number) = match record.answered_by {
        AnsweredBy::Nobody => (0, 0),
        AnsweredBy::Upstream => (1, 0),
        AnsweredBy::Function(number) => (2, number),
        AnsweredBy::Gateway(number) => (3, u32::from(number)),
    };
    let method = cut(record.method, METHOD_BYTES_MAX);
    to.push(REQUEST);
    to.push(flags);
    to.push(by);
    #[expect(clippy::cast_possible_truncation, reason = "cut to 32")]
    to.push(method.len() as u8);
    to.extend_from_slice(&number.to_le_bytes());
    to.extend_from_slice(&record.api.to_le_bytes());
    to.extend_from_slice(&record.status.to_le_bytes());
    write_times(record.begun, record.duration_nanos, to);
    to.extend_from_slice(&record.revision.to_le_bytes());
    to.extend_from_slice(&record.request_bytes.to_le_bytes());
    to.extend_from_slice(&record.response_bytes.to_le_bytes());
    let client = match record.client {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    to.extend_from_slice(&client.octets());
    if let Some(upstream) = record.upstream {
        to.extend_from_slice(&upstream.status.to_le_bytes());
        to.extend_from_slice(&upstream.nanos.to_le_bytes());
    }
    if let Some(trace_id) = &record.trace_id {
        to.extend_from_slice(trace_id);
    }
    if let Some(span) = record.span {
        write_span(span, to);
    }
    to.extend_from_slice(method);
    to.extend_from_slice(cut(record.path, PATH_BYTES_MAX));
}

fn cut(text: &[u8], max: usize) -> &[u8] {
    &text[..text.len().min(max)]
}

impl<'a> Record<'a> {
    /// Reads a record; none if the bytes are not one.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        Some(match fields.u8()? {
            REQUEST => Self::Request(read_request(fields)?),
            CALL => {
                let outcome = CallOutcome::from_number(fields.u8()?)?;
                let function = fields.u32()?;
                let (begun, duration_nanos) = (fields.u64()?, fields.u64()?);
                let record = CallRecord {
                    trace_id: fields.array()?,
                    span: fields.span()?,
                    begun,
                    duration_nanos,
                    function,
                    outcome,
                };
                fields.0.is_empty().then_some(Self::Call(record))?
            }
            UPSTREAM => {
                let refusal = fields.u8()?.checked_sub(1);
                let (status, api) = (fields.u16()?, fields.u32()?);
                let (begun, duration_nanos) = (fields.u64()?, fields.u64()?);
                let (trace_id, span) = (fields.array()?, fields.span()?);
                Self::Upstream(UpstreamRecord {
                    trace_id,
                    span,
                    begun,
                    duration_nanos,
                    api,
                    status,
                    refusal,
                    method: fields.rest(METHOD_BYTES_MAX)?,
                })
            }
            _ => return None,
        })
    }
}

fn read_request(mut fields: Fields<'_>) -> Option<RequestRecord<'_>> {
    let flags = fields.u8()?;
    let has = |bit: u8| flags & bit != 0;
    let (by, method_len, number) = (fields.u8()?, usize::from(fields.u8()?), fields.u32()?);
    let answered_by = match by {
        0 => AnsweredBy::Nobody,
        1 => AnsweredBy::Upstream,
        2 => AnsweredBy::Function(number),
        3 => AnsweredBy::Gateway(u8::try_from(number).ok()?),
        _ => return None,
    };
    let (api, status) = (fields.u32()?, fields.u16()?);
    let (begun, duration_nanos) = (fields.u64()?, fields.u64()?);
    let revision = fields.u64()?;
    let (request_bytes, response_bytes) = (fields.u64()?, fields.u64()?);
    let client = IpAddr::V6(Ipv6Addr::from(fields.array::<16>()?)).to_canonical();
    let upstream = if has(HAS_UPSTREAM) {
        let (status, nanos) = (fields.u16()?, fields.u64()?);
        Some(UpstreamPart { status, nanos })
    } else {
        None
    };
    let trace_id = if has(HAS_TRACE) {
        Some(fields.array()?)
    } else {
        None
    };
    let span = if has(HAS_SPAN) {
        Some(fields.span()?)
    } else {
        None
    };
    if method_len > METHOD_BYTES_MAX {
        return None;
    }
    Some(RequestRecord {
        logged: has(LOGGED),
        begun,
        duration_nanos,
        revision,
        api,
        method: fields.take(method_len)?,
        path: fields.rest(PATH_BYTES_MAX)?,
        is_http_10: has(HTTP_10),
        status,
        complete: has(COMPLETE),
        answered_by,
        request_bytes,
        response_bytes,
        upstream,
        client,
        trace_id,
        span,
    })
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn rest(self, max: usize) -> Option<&'a [u8]> {
        (self.0.len() <= max).then_some(self.0)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn span(&mut self) -> Option<Span> {
        let (id, parent) = (self.array()?, self.array()?);
        Some(Span {
            id,
            parent: (parent != SpanId::default()).then_some(parent),
        })
    }
}

#[cfg(test)]
mod tests;
