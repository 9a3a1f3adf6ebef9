//! What all requests of a worker share. Lives as long as the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use gantry_plugin_host::{Called, Dispatcher, Exchange};
use gantry_telemetry::Sampler;
use http::StatusCode;

use super::api::{Api, Function};
use super::blocking::BlockingPool;
use super::inbound::Inbound;
use super::keys::Keys;
use super::loader::Routes;
use super::pending::{InFlightCall, Outcome, Waiting};
use super::records;
use super::reports::Reporter;
use super::respond::Refusal;
use super::whole::BodyLimits;
use crate::sys::slot::{Counter, InFunction, Lane, SlotMemory};

/// What is written down about requests.
#[derive(Debug, Clone, Copy)]
pub struct RecordSettings {
    /// Whether each is a line of the access log.
    pub access_log: bool,
    /// Whether the line holds the query.
    pub query: bool,
    /// Which requests are traced; none of them where the gateway takes no part in traces.
    pub tracing: Option<Sampler>,
}

/// Bounds of calls that pend or block.
#[derive(Debug, Clone, Copy)]
pub struct CallSettings {
    /// Time for a call, where the function has no other.
    pub deadline: Duration,
    /// Calls of one function that pend or were given up, at most.
    pub pending_max: usize,
}

/// A worker.
#[derive(Debug)]
pub struct Worker {
    /// The slot's memory.
    pub memory: &'static SlotMemory,
    /// What requests are routed by.
    pub routes: Arc<Routes>,
    /// The consumer keys.
    pub keys: Keys,
    /// The way to the supervisor.
    pub reporter: Reporter,
    /// The longest bodies that functions get.
    pub bodies: BodyLimits,
    /// What is written down about requests.
    pub records: RecordSettings,
    /// How long calls may take.
    pub calls: CallSettings,
    pool: BlockingPool,
    /// The runtime's lane.
    lane: Option<Lane>,
    draining: AtomicBool,
}

impl Worker {
    /// A worker without routes and keys; to be made on the runtime's thread, within the runtime.
    pub fn new(
        memory: &'static SlotMemory,
        routes: Arc<Routes>,
        keys: Keys,
        reporter: Reporter,
        bodies: BodyLimits,
        records: RecordSettings,
        calls: CallSettings,
    ) -> Self {
        records::install(memory);
        tokio::spawn(Dispatcher::new());
        Self {
            memory,
            routes,
            keys,
            reporter,
            bodies,
            records,
            calls,
            pool: BlockingPool::new(memory),
            lane: memory.take_lane(),
            draining: AtomicBool::new(false),
        }
    }

    /// From now on answers close their connections.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// Whether answers close their connections.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// The API that a request belongs to, of the latest generation, and that generation's revision.
    /// The request stays on it.
    ///
    /// # Errors
    /// There is none.
    pub fn route(&self, inbound: &Inbound<'_>) -> Result<(Arc<Api>, u64), Refusal> {
        let table = self.routes.load();
        let api = table.apis.find(&inbound.host, inbound.path.decoded());
        api.map(|api| (Arc::clone(api), table.revision))
            .ok_or_else(|| {
                self.memory.add(Counter::RouteMisses, 1);
                Refusal::RouteNotFound
            })
    }

    /// Calls a function: here, or on the pool if it may block.
    ///
    /// # Errors
    /// Too many calls wait, or a blocking one did not end in time.
    pub async fn call(
        &'static self,
        function: &Arc<Function>,
        mut exchange: Box<Exchange>,
    ) -> Result<Outcome, Refusal> {
        self.memory.add(Counter::PluginCalls, 1);
        let instance = function.instance.get();
        let in_flight = if instance.may_pend() {
            Some(InFlightCall::begin(self, function)?)
        } else {
            None
        };
        if function.may_block {
            let deadline = self.deadline(function);
            return self
                .pool
                .call(function, in_flight, exchange, deadline)
                .await;
        }
        let _in_function = self.enter(function);
        let Some(in_flight) = in_flight else {
            let verdict = instance.call(function.hook(), &mut exchange);
            return Ok(Outcome::Ended(exchange, verdict));
        };
        let called = in_flight.call(function.hook(), &mut exchange);
        Ok(match called {
            Called::Ended(verdict) => Outcome::Ended(exchange, verdict),
            Called::Pending(call) => Outcome::Pending(Waiting::new(exchange, call, in_flight)),
        })
    }

    /// The time for a call that pends or blocks.
    pub fn deadline(&self, function: &Function) -> Duration {
        function.deadline.unwrap_or(self.calls.deadline)
    }

    /// Counts a call whose deadline passed.
    pub fn timed_out(&self) -> Refusal {
        self.memory.add(Counter::PluginTimeouts, 1);
        Refusal::PluginTimeout
    }

    /// The runtime's lane.
    pub const fn lane(&self) -> Option<&Lane> {
        self.lane.as_ref()
    }

    /// The runtime's thread is in a function until the result is dropped.
    pub fn enter(&self, function: &Function) -> Option<InFunction<'_>> {
        let lane = self.lane.as_ref()?;
        Some(lane.enter(function.number))
    }

    /// Counts an answer.
    pub fn count_answer(&self, status: StatusCode) {
        let counter = match status.as_u16() {
            ..300 => Counter::Responses2xx,
            300..400 => Counter::Responses3xx,
            400..500 => Counter::Responses4xx,
            500.. => Counter::Responses5xx,
        };
        self.memory.add(counter, 1);
    }

    /// Counts one of a gauge until the result is dropped.
    pub fn gauge(&self, gauge: Counter) -> Gauge {
        self.memory.add(gauge, 1);
        Gauge {
            memory: self.memory,
            gauge,
        }
    }
}

/// One of a gauge.
#[derive(Debug)]
pub struct Gauge {
    memory: &'static SlotMemory,
    gauge: Counter,
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.memory.subtract(self.gauge, 1);
    }
}
