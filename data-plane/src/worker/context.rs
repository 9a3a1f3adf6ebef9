//! What all requests of a worker share. Lives as long as the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use gantry_plugin_host::{Exchange, Verdict};
use gantry_telemetry::Sampler;
use http::StatusCode;

use super::api::{Api, Function};
use super::blocking::BlockingPool;
use super::inbound::Inbound;
use super::keys::Keys;
use super::loader::Routes;
use super::records;
use super::reports::Reporter;
use super::respond::Refusal;
use super::whole::BodyLimits;
use crate::sys::slot::{Counter, Lane, SlotMemory};

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
    pool: BlockingPool,
    /// The runtime's lane.
    lane: Option<Lane>,
    draining: AtomicBool,
}

impl Worker {
    /// A worker without routes and keys; to be made on the runtime's thread.
    pub fn new(
        memory: &'static SlotMemory,
        routes: Arc<Routes>,
        keys: Keys,
        reporter: Reporter,
        bodies: BodyLimits,
        records: RecordSettings,
    ) -> Self {
        records::install(memory);
        Self {
            memory,
            routes,
            keys,
            reporter,
            bodies,
            records,
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
    /// The pool is full.
    pub async fn call(
        &self,
        function: &Arc<Function>,
        mut exchange: Box<Exchange>,
    ) -> Result<(Box<Exchange>, Verdict), Refusal> {
        self.memory.add(Counter::PluginCalls, 1);
        if function.may_block {
            return self.pool.call(function, exchange).await;
        }
        let _in_function = self.lane.as_ref().map(|lane| lane.enter(function.number));
        let verdict = function.instance.get().call(function.hook(), &mut exchange);
        Ok((exchange, verdict))
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
