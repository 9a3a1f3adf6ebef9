//! The account of one request: when it began, who answered, how much went over the wire. It is settled
//! when its answer is through, or when the client leaves before: counted in the slot's memory, and
//! written to the ring where somebody wants to read it.
//!
//! An account costs no allocation: the only part of it that needs one, the path's buffer, is used again
//! by the thread's next requests. A client's credentials never stand in one: no headers, and the query
//! only where configuration asks for it.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::{HeaderMap, Method, Request, Response, StatusCode, Version};

use super::api::{Api, Function};
use super::connection::Client;
use super::context::{RecordSettings, Worker};
use super::records;
use super::respond::Refusal;
use super::trace::{Context, Told, fresh_span_id};
use crate::record::{
    AnsweredBy, CallOutcome, CallRecord, PATH_BYTES_MAX, Record, RequestRecord, Span, SpanId,
    TraceId, UpstreamPart, UpstreamRecord,
};
use crate::sys::clock::monotonic_nanos;
use crate::sys::slot::{ApiOutcome, Timing};

/// Buffers for paths that a thread keeps for its next requests, at most.
const SPARE_MAX: usize = 256;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// What an account says.
#[derive(Debug)]
struct Notes {
    begun: u64,
    revision: u64,
    api: u32,
    method: Method,
    path: Vec<u8>,
    is_http_10: bool,
    status: u16,
    answered_by: AnsweredBy,
    request_bytes: u64,
    /// Counts the bytes of a body whose length was not declared.
    arriving: Option<Arc<AtomicU64>>,
    response_bytes: u64,
    complete: bool,
    upstream: Option<UpstreamPart>,
    client: IpAddr,
    trace: Option<Context>,
}

/// An upstream that is being asked.
#[derive(Debug)]
pub struct Asked {
    begun: u64,
    told: Option<Told>,
    method: Option<Method>,
}

impl Asked {
    /// Tells the upstream of the trace.
    pub fn tell(&self, headers: &mut HeaderMap) {
        if let Some(told) = &self.told {
            told.put(headers);
        }
    }

    fn span(&self) -> Option<SpanId> {
        self.told.as_ref().and_then(|told| told.span)
    }
}

/// An account that is open; settled when it is dropped.
#[derive(Debug)]
pub struct Account {
    worker: &'static Worker,
    notes: Notes,
}

impl Account {
    /// Opens the account of a request whose head has just arrived.
    pub fn open<B>(worker: &'static Worker, client: &Client<'_>, request: &Request<B>) -> Self {
        let mut path = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        path.clear();
        let RecordSettings {
            access_log,
            query,
            tracing,
        } = worker.records;
        let trace = Context::of(request.headers(), tracing.as_ref());
        if access_log || trace.is_some_and(|trace| trace.span.is_some()) {
            let uri = request.uri();
            push_cut(&mut path, uri.path().as_bytes());
            if query && let Some(query) = uri.query() {
                push_cut(&mut path, b"?");
                push_cut(&mut path, query.as_bytes());
            }
        }
        let notes = Notes {
            begun: monotonic_nanos(),
            revision: 0,
            api: 0,
            method: request.method().clone(),
            path,
            is_http_10: request.version() == Version::HTTP_10,
            status: 0,
            answered_by: AnsweredBy::Nobody,
            request_bytes: 0,
            arriving: None,
            response_bytes: 0,
            complete: false,
            upstream: None,
            client: client.address.ip(),
            trace,
        };
        Self { worker, notes }
    }

    /// The request belongs to an API, of a revision.
    pub fn routed(&mut self, api: &Api, revision: u64) {
        (self.notes.api, self.notes.revision) = (api.number, revision);
    }

    /// The request's trace; from now on it has one.
    pub fn trace(&mut self) -> &Context {
        self.notes.trace.get_or_insert_with(Context::fresh)
    }

    /// The request has a body of this length.
    pub fn body_declared(&mut self, bytes: u64) {
        self.notes.request_bytes = bytes;
    }

    /// The request has a body of unknown length; what arrives is to be added to the result.
    pub fn body_arriving(&mut self) -> Arc<AtomicU64> {
        Arc::clone(self.notes.arriving.insert(Arc::default()))
    }

    /// A call of a function is over.
    pub fn called(&self, function: &Function, begun: u64, outcome: CallOutcome) {
        let duration_nanos = monotonic_nanos().saturating_sub(begun);
        let memory = self.worker.memory;
        memory.observe(Timing::Hook(function.hook()), duration_nanos);
        let Some((trace_id, parent)) = self.recorded() else {
            return;
        };
        let record = CallRecord {
            trace_id,
            span: below(parent, fresh_span_id()),
            begun,
            duration_nanos,
            function: function.number,
            outcome,
        };
        records::write(memory, &Record::Call(record));
    }

    /// A request is about to go upstream.
    pub fn asks_upstream(&self, method: &Method) -> Asked {
        let told = self.notes.trace.as_ref().and_then(Context::upstream);
        let is_recorded = told.as_ref().is_some_and(|told| told.span.is_some());
        Asked {
            told,
            method: is_recorded.then(|| method.clone()),
            begun: monotonic_nanos(),
        }
    }

    /// The upstream answered, or was given up.
    pub fn upstream_answered<B, L>(
        &mut self,
        asked: &Asked,
        answered: &Result<(Response<B>, L), Refusal>,
    ) {
        let duration_nanos = monotonic_nanos().saturating_sub(asked.begun);
        let memory = self.worker.memory;
        memory.observe(Timing::Upstream, duration_nanos);
        let (status, refusal) = match answered {
            Ok((response, _)) => (response.status().as_u16(), None),
            Err(refusal) => (0, Some(refusal.number())),
        };
        self.notes.upstream = Some(UpstreamPart {
            status,
            nanos: duration_nanos,
        });
        self.notes.answered_by = AnsweredBy::Upstream;
        if let (Some(id), Some(method), Some((trace_id, parent))) =
            (asked.span(), &asked.method, self.recorded())
        {
            let record = UpstreamRecord {
                trace_id,
                span: below(parent, id),
                begun: asked.begun,
                duration_nanos,
                api: self.notes.api,
                status,
                refusal,
                method: method.as_str().as_bytes(),
            };
            records::write(memory, &Record::Upstream(record));
        }
    }

    /// Trace and span of a request that is recorded.
    fn recorded(&self) -> Option<(TraceId, SpanId)> {
        let trace = self.notes.trace.as_ref()?;
        Some((trace.trace_id, trace.span?))
    }

    /// A function answers, by its number.
    pub fn function_answers(&mut self, number: u32) {
        self.notes.answered_by = AnsweredBy::Function(number);
    }

    /// The gateway answers itself.
    pub fn refused(&mut self, refusal: Refusal) {
        self.notes.answered_by = AnsweredBy::Gateway(refusal.number());
    }

    /// Whether the client wants an answer's head alone.
    pub fn is_head(&self) -> bool {
        self.notes.method == Method::HEAD
    }

    /// The answer begins.
    pub fn answered(&mut self, status: StatusCode) {
        self.notes.status = status.as_u16();
        // Its answers have no body to send.
        self.notes.complete = self.is_head();
    }

    /// Bytes of the answer's body go to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.notes.response_bytes += bytes as u64;
    }

    /// The answer's body is through.
    pub fn completed(&mut self) {
        self.notes.complete = true;
    }

    fn settle(&mut self) {
        let notes = &self.notes;
        let memory = self.worker.memory;
        let duration = monotonic_nanos().saturating_sub(notes.begun);
        memory.observe(Timing::Request, duration);
        let outcome = ApiOutcome::of(notes.status);
        memory.tables().count_api(notes.api, outcome);
        let span = notes.trace.and_then(|trace| {
            let id = trace.span?;
            Some(Span {
                id,
                parent: trace.parent,
            })
        });
        let logged = self.worker.records.access_log;
        if !logged && span.is_none() {
            return;
        }
        let arrived = notes.arriving.as_ref().map(|bytes| bytes.load(Relaxed));
        let record = RequestRecord {
            logged,
            begun: notes.begun,
            duration_nanos: duration,
            revision: notes.revision,
            api: notes.api,
            method: notes.method.as_str().as_bytes(),
            path: &notes.path,
            is_http_10: notes.is_http_10,
            status: notes.status,
            complete: notes.complete,
            answered_by: if notes.status == 0 {
                AnsweredBy::Nobody
            } else {
                notes.answered_by
            },
            request_bytes: arrived.unwrap_or(notes.request_bytes),
            response_bytes: notes.response_bytes,
            upstream: notes.upstream,
            client: notes.client.to_canonical(),
            trace_id: notes.trace.map(|trace| trace.trace_id),
            span,
        };
        records::write(memory, &Record::Request(record));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.settle();
        let path = std::mem::take(&mut self.notes.path);
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(path);
            }
        });
    }
}

const fn below(parent: SpanId, id: SpanId) -> Span {
    Span {
        id,
        parent: Some(parent),
    }
}

fn push_cut(path: &mut Vec<u8>, bytes: &[u8]) {
    let room = PATH_BYTES_MAX - path.len();
    path.extend_from_slice(&bytes[..bytes.len().min(room)]);
}
