//! The functions of one request, run one after the other until one of them ends the chain.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use gantry_plugin_host::{ApiContext, CallFailure, Exchange, Trace, Verdict};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};

use super::account::Account;
use super::api::Function;
use super::body::AnswerBody;
use super::connection::Client;
use super::context::Worker;
use super::pending;
use super::respond::Refusal;
use super::sessions;
use super::whole::{Direction, Held};
use crate::record::CallOutcome;
use crate::sys::clock::monotonic_nanos;
use crate::sys::slot::{Counter, HookError};

/// How a chain ended before the upstream was asked.
#[derive(Debug)]
pub enum End {
    /// A function answered, whose number this is.
    Answered(Box<Exchange>, u32),
    /// The gateway answers, with the headers that functions put on the response so far.
    Refused(Refusal, HeaderMap),
}

impl End {
    /// The gateway answers, with what functions put on the response.
    pub fn refused(refusal: Refusal, exchange: Box<Exchange>) -> Self {
        Self::Refused(refusal, exchange.response_headers)
    }

    /// The answer, noted in the request's account.
    pub fn response(self, account: &mut Account) -> Response<AnswerBody> {
        match self {
            Self::Answered(exchange, function) => {
                account.function_answers(function);
                function_answer(*exchange, account.is_head())
            }
            Self::Refused(refusal, early) => {
                account.refused(refusal);
                refusal.response_with(early)
            }
        }
    }
}

/// A request that functions run for.
#[derive(Debug)]
pub struct Run<'r> {
    /// Where.
    pub worker: &'static Worker,
    /// For whom.
    pub client: &'r Client<'r>,
    /// What is noted of it.
    pub account: &'r mut Account,
}

impl Run<'_> {
    /// Runs functions until one of them ends the chain. The first that wants the body waits for it; those
    /// before it do not.
    ///
    /// # Errors
    /// One of them did.
    pub async fn all<B: Direction>(
        &mut self,
        functions: &[Arc<Function>],
        mut exchange: Box<Exchange>,
        body: &mut Held<B>,
    ) -> Result<Box<Exchange>, End> {
        let worker = self.worker;
        for function in functions {
            if function.wants_body()
                && let Err(refusal) = body.bring(worker.bodies, &mut exchange.body).await
            {
                return Err(End::refused(refusal, exchange));
            }
            let session = exchange.session.clone();
            let origin =
                may_not_end(function).then(|| (Arc::clone(&exchange.api), exchange.trace.clone()));
            let begun = monotonic_nanos();
            let called = pending::call(worker, self.client, function, exchange, body).await;
            self.account.called(function, begun, outcome(&called));
            let verdict;
            (exchange, verdict) = match called {
                Ok(called) => called,
                Err((refusal, early)) => {
                    report_unended(worker, function, refusal, origin);
                    return Err(End::Refused(refusal, early));
                }
            };
            if exchange.body.is_some() {
                // A function that has not waited for the body may have replaced it.
                body.give_up();
            }
            match verdict {
                Verdict::Continue => {
                    if let Err(refusal) = sessions::after_call(worker, session, &mut exchange) {
                        return Err(End::refused(refusal, exchange));
                    }
                }
                Verdict::Respond => {
                    sessions::store(worker, &mut exchange);
                    return Err(End::Answered(exchange, function.number));
                }
                Verdict::Failed(failure) => {
                    report_failure(worker, function, &exchange, &failure);
                    return Err(End::refused(Refusal::PluginFailed, exchange));
                }
            }
        }
        Ok(exchange)
    }
}

const fn outcome(called: &pending::Settled) -> CallOutcome {
    match called {
        Ok((_, Verdict::Continue)) => CallOutcome::Continued,
        Ok((_, Verdict::Respond)) => CallOutcome::Answered,
        Err((Refusal::PluginBusy, _)) => CallOutcome::Busy,
        Err((Refusal::PluginTimeout, _)) => CallOutcome::TimedOut,
        Ok((_, Verdict::Failed(_))) | Err(_) => CallOutcome::Failed,
    }
}

fn may_not_end(function: &Function) -> bool {
    function.may_block || function.instance.get().may_pend()
}

/// A call that was not made, or that did not end, of a request to an API.
fn report_unended(
    worker: &Worker,
    function: &Function,
    refusal: Refusal,
    origin: Option<(Arc<ApiContext>, Trace)>,
) {
    let running = &function.instance;
    let (kind, cause) = match refusal {
        Refusal::PluginBusy => {
            let owed = running.in_flight.load(Relaxed);
            let cause = if owed >= worker.calls.pending_max {
                format!("{owed} calls of it pend, or were given up and are still to be resumed")
            } else {
                "its part of the pool for functions that may block is taken, and of its queue"
                    .to_owned()
            };
            (HookError::Busy, cause)
        }
        Refusal::PluginTimeout => {
            let patience = worker.deadline(function).as_millis();
            (
                HookError::Timeout,
                format!("did not end within {patience} ms"),
            )
        }
        _ => return,
    };
    let tables = worker.memory.tables();
    tables.count_hook_error(function.hook(), kind);
    let due = running.unended.due(monotonic_nanos());
    if let (Some(left_out), Some((api, trace))) = (due, origin) {
        let and_more = match left_out {
            0 => String::new(),
            more => format!("; {more} more since this was last said"),
        };
        let (name, code) = (function.name(), refusal.code());
        let cause = format!("function {name}: {cause}{and_more}");
        let (api, trace) = (api.api_id.as_str(), trace.trace_id());
        worker
            .reporter
            .call_failed(api, name, function.hook(), trace, (code, &cause));
    }
}

fn report_failure(
    worker: &Worker,
    function: &Function,
    exchange: &Exchange,
    failure: &CallFailure,
) {
    worker.memory.add(Counter::PluginFailures, 1);
    let kind = HookError::of(failure.code);
    let tables = worker.memory.tables();
    tables.count_hook_error(function.hook(), kind);
    let (api, trace) = (exchange.api.api_id.as_str(), exchange.trace.trace_id());
    worker.reporter.call_failed(
        api,
        function.name(),
        function.hook(),
        trace,
        (failure.code, &failure.message),
    );
}

fn function_answer(mut exchange: Exchange, to_head: bool) -> Response<AnswerBody> {
    exchange.join_added();
    let Some(answer) = exchange.answer else {
        return Refusal::PluginFailed.response();
    };
    let mut headers = exchange.response_headers;
    // To HEAD a function may say how long the body would be (RFC 9110 section 8.6).
    let has_length = to_head && answer.status != StatusCode::NO_CONTENT;
    let length = headers.remove(CONTENT_LENGTH).filter(|_| has_length);
    let body = if length.is_some() {
        Bytes::new()
    } else {
        answer.body
    };
    headers.extend(length.map(|length| (CONTENT_LENGTH, length)));
    let mut response = Response::new(AnswerBody::whole(body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}
