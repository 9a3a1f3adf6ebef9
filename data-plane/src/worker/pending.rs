//! Calls that pend: they are counted from before they begin until their plugins have ended them, waited
//! for until their deadline, and given the body when they ask for it.
//!
//! Invariant: whatever ends the wait (the deadline, a body that does not come, a client that left and
//! with it the request's task) tells the plugin, and the call counts as abandoned until it is resumed.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use gantry_domain::Hook;
use gantry_plugin_host::{Called, Exchange, Instance, PendingCall, Verdict, Wish};
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::api::{Function, Running};
use super::connection::Client;
use super::context::Worker;
use super::respond::Refusal;
use super::whole::{Direction, Held};
use crate::sys::in_flight::Place;
use crate::sys::slot::{Counter, Lane, SlotMemory};

/// A call, or what there is of it.
#[derive(Debug)]
pub enum Outcome {
    /// It is over.
    Ended(Box<Exchange>, Verdict),
    /// It pends.
    Pending(Waiting),
}

/// How a call ended: or why the request is refused, with the headers that functions put on the response.
pub type Settled = Result<(Box<Exchange>, Verdict), (Refusal, HeaderMap)>;

/// Calls a function, and waits for the end of the call if it pends.
///
/// # Errors
/// Too many calls wait, the call did not end in time, or the body that it asked for does not come.
pub async fn call<B: Direction>(
    worker: &'static Worker,
    client: &Client<'_>,
    function: &Arc<Function>,
    exchange: Box<Exchange>,
    body: &mut Held<B>,
) -> Settled {
    let early = early_headers(function, &exchange);
    let refusal = match worker.call(function, exchange).await {
        Ok(Outcome::Ended(exchange, verdict)) => return Ok((exchange, verdict)),
        Ok(Outcome::Pending(waiting)) => {
            return waiting.settle(worker, client, function, body).await;
        }
        Err(refusal) => refusal,
    };
    Err((refusal, early))
}

/// What functions put on the response, where the exchange may go with a call that is not made or does not
/// end. After the upstream has answered that is known apart.
fn early_headers(function: &Function, exchange: &Exchange) -> HeaderMap {
    let may_go = function.may_block || function.instance.get().may_pend();
    if may_go && function.hook() != Hook::Response {
        exchange.response_headers.clone()
    } else {
        HeaderMap::new()
    }
}

/// A call of a function that may pend, from its beginning to its `resume`; keeps the instance.
#[derive(Debug)]
pub struct InFlightCall {
    running: Arc<Running>,
    memory: &'static SlotMemory,
    place: Option<Place>,
    deadline: Duration,
    abandoned: AtomicBool,
}

impl InFlightCall {
    /// Counts a call.
    ///
    /// # Errors
    /// The function has too many.
    pub fn begin(worker: &'static Worker, function: &Function) -> Result<Arc<Self>, Refusal> {
        let running = Arc::clone(&function.instance);
        let memory = worker.memory;
        if running.in_flight.fetch_add(1, Relaxed) >= worker.calls.pending_max {
            running.in_flight.fetch_sub(1, Relaxed);
            return Err(Refusal::PluginBusy);
        }
        memory.add(Counter::PluginPending, 1);
        Ok(Arc::new(Self {
            running,
            memory,
            place: memory.in_flight().enter(function.number),
            deadline: worker.deadline(function),
            abandoned: AtomicBool::new(false),
        }))
    }

    /// Calls the function, here and now.
    pub fn call(self: &Arc<Self>, hook: Hook, exchange: &mut Exchange) -> Called {
        Instance::begin(self, hook, exchange, self.deadline)
    }

    fn abandon(&self) {
        if !self.abandoned.swap(true, Relaxed) {
            self.memory.subtract(Counter::PluginPending, 1);
            self.memory.add(Counter::PluginAbandoned, 1);
        }
    }
}

impl AsRef<Instance> for InFlightCall {
    fn as_ref(&self) -> &Instance {
        self.running.get()
    }
}

impl Drop for InFlightCall {
    fn drop(&mut self) {
        let gauge = if *self.abandoned.get_mut() {
            Counter::PluginAbandoned
        } else {
            Counter::PluginPending
        };
        self.memory.subtract(gauge, 1);
        if let Some(place) = self.place {
            self.memory.in_flight().leave(place);
        }
        self.running.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A call that pends, with the request that waits for it. Dropping it gives the call up.
#[derive(Debug)]
pub struct Waiting {
    call: Guarded,
    exchange: Box<Exchange>,
}

impl Waiting {
    /// A call that returned pending.
    pub const fn new(
        exchange: Box<Exchange>,
        call: PendingCall,
        in_flight: Arc<InFlightCall>,
    ) -> Self {
        Self {
            call: Guarded {
                call: Some(call),
                in_flight,
                lane: None,
            },
            exchange,
        }
    }

    /// Waits for the end of the call, on the runtime.
    ///
    /// # Errors
    /// The deadline passed, or the body that the function asked for does not come.
    pub async fn settle<B: Direction>(
        self,
        worker: &'static Worker,
        client: &Client<'_>,
        function: &Function,
        body: &mut Held<B>,
    ) -> Settled {
        let Self {
            mut call,
            mut exchange,
        } = self;
        call.lane = worker.lane().map(|lane| (lane, function.number));
        let waited = {
            let waited = call.wait(worker, function, &mut exchange, body);
            tokio::select! {
                biased;
                waited = waited => waited,
                never = client.leaves() => match never {},
            }
        };
        let refusal = match (waited, call.call.take()) {
            (Ok(()), Some(call)) => {
                let verdict = call.finish(&mut exchange);
                return Ok((exchange, verdict));
            }
            (waited, pending) => {
                call.call = pending;
                waited.err().unwrap_or(Refusal::PluginFailed)
            }
        };
        call.give_up(Some(&mut exchange));
        Err((refusal, exchange.response_headers))
    }
}

/// A call that is given up when it is dropped before its end.
struct Guarded {
    call: Option<PendingCall>,
    in_flight: Arc<InFlightCall>,
    /// On whose thread it is dropped, and as which function.
    lane: Option<(&'static Lane, u32)>,
}

impl Guarded {
    async fn wait<B: Direction>(
        &mut self,
        worker: &'static Worker,
        function: &Function,
        exchange: &mut Exchange,
        body: &mut Held<B>,
    ) -> Result<(), Refusal> {
        let mut deadline = Instant::now() + worker.deadline(function);
        while let Some(call) = &mut self.call {
            let wish = timeout_at(deadline, poll_fn(|cx| call.poll_wish(cx))).await;
            match wish {
                Ok(Wish::End) => break,
                Ok(Wish::Body) => {
                    let asked = Instant::now();
                    body.bring(worker.bodies, &mut exchange.body).await?;
                    // How long a client takes is not the function's fault.
                    deadline += asked.elapsed();
                    let body = exchange.body.clone().unwrap_or_default();
                    let _in_function = worker.enter(function);
                    call.give_body(&body);
                }
                Err(_) => return Err(worker.timed_out()),
            }
        }
        Ok(())
    }

    fn give_up(&mut self, exchange: Option<&mut Exchange>) {
        let Some(call) = self.call.take() else { return };
        let _in_function = self.lane.map(|(lane, number)| lane.enter(number));
        if call.cancel(exchange) {
            self.in_flight.abandon();
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.give_up(None);
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}
