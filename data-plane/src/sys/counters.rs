//! What a worker counts: single counters, and tables by API, by hook, and by how long things took.
//!
//! All of it lies in the slot's shared memory, so it survives the worker, and all of it is bounded:
//! what has no place of its own counts together with its like. Native code can write here, so readers
//! take a value as what it is, a number that may be wrong, and add without overflow.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gantry_domain::Hook;

/// What a worker counts. Numbers only grow, except for the gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Requests whose head was read.
    Requests,
    /// Answers with a status of 2xx.
    Responses2xx,
    /// Answers with a status of 3xx.
    Responses3xx,
    /// Answers with a status of 4xx.
    Responses4xx,
    /// Answers with a status of 5xx.
    Responses5xx,
    /// Requests that no API answers to.
    RouteMisses,
    /// Requests refused for want of valid credentials.
    AuthRefusals,
    /// Calls of functions.
    PluginCalls,
    /// Calls of functions that failed.
    PluginFailures,
    /// Requests that found the pool for blocking functions full.
    PluginPoolFull,
    /// Requests that the upstream did not answer properly.
    UpstreamErrors,
    /// Connections made to upstreams.
    UpstreamConnects,
    /// Lines of plugins that were dropped because the supervisor did not keep up.
    PluginLogsDropped,
    /// Records (access lines, spans) that were dropped because the ring was full.
    RecordsDropped,
    /// Libraries that were opened.
    LibrariesLoaded,
    /// Libraries that could not be opened.
    LibraryLoadFailures,
    /// Client connections that were accepted.
    ConnectionsAccepted,
    /// Calls that were given up because their deadline passed.
    PluginTimeouts,
    /// Gauge: calls that pend.
    PluginPending,
    /// Gauge: calls that were given up and that their plugins have not resumed yet.
    PluginAbandoned,
    /// Gauge: threads of the pool that are still in calls that were given up.
    PluginThreadsStuck,
    /// Gauge: client connections that are open.
    ConnectionsOpen,
    /// Gauge: requests whose answer has not begun.
    RequestsActive,
}

impl Counter {
    /// All counters, in the order of the record.
    pub const ALL: [Self; 23] = [
        Self::Requests,
        Self::Responses2xx,
        Self::Responses3xx,
        Self::Responses4xx,
        Self::Responses5xx,
        Self::RouteMisses,
        Self::AuthRefusals,
        Self::PluginCalls,
        Self::PluginFailures,
        Self::PluginPoolFull,
        Self::UpstreamErrors,
        Self::UpstreamConnects,
        Self::PluginLogsDropped,
        Self::RecordsDropped,
        Self::LibrariesLoaded,
        Self::LibraryLoadFailures,
        Self::ConnectionsAccepted,
        Self::PluginTimeouts,
        Self::PluginPending,
        Self::PluginAbandoned,
        Self::PluginThreadsStuck,
        Self::ConnectionsOpen,
        Self::RequestsActive,
    ];

    /// The name in metrics and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Responses2xx => "responses_2xx",
            Self::Responses3xx => "responses_3xx",
            Self::Responses4xx => "responses_4xx",
            Self::Responses5xx => "responses_5xx",
            Self::RouteMisses => "route_misses",
            Self::AuthRefusals => "auth_refusals",
            Self::PluginCalls => "plugin_calls",
            Self::PluginFailures => "plugin_failures",
            Self::PluginPoolFull => "plugin_pool_full",
            Self::UpstreamErrors => "upstream_errors",
            Self::UpstreamConnects => "upstream_connects",
            Self::PluginLogsDropped => "plugin_logs_dropped",
            Self::RecordsDropped => "records_dropped",
            Self::LibrariesLoaded => "libraries_loaded",
            Self::LibraryLoadFailures => "library_load_failures",
            Self::ConnectionsAccepted => "connections_accepted",
            Self::PluginTimeouts => "plugin_timeouts",
            Self::PluginPending => "plugin_pending",
            Self::PluginAbandoned => "plugin_abandoned",
            Self::PluginThreadsStuck => "plugin_threads_stuck",
            Self::ConnectionsOpen => "connections_open",
            Self::RequestsActive => "requests_active",
        }
    }

    /// Whether it goes up and down; the others only grow.
    pub const fn is_gauge(self) -> bool {
        matches!(
            self,
            Self::PluginPending
                | Self::PluginAbandoned
                | Self::PluginThreadsStuck
                | Self::ConnectionsOpen
                | Self::RequestsActive
        )
    }
}

/// APIs that are counted on their own: those with the numbers from 1 to this. Others count together.
pub const APIS_MAX: usize = 1022;
/// The place of requests that no API answers to.
const UNROUTED: usize = 0;
/// The place of APIs with higher numbers.
const OTHERS: usize = APIS_MAX + 1;
const HOOKS: usize = Hook::ALL.len();

/// How a request to an API ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum ApiOutcome {
    /// 1xx and 2xx.
    Success,
    /// 3xx.
    Redirect,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// The client left before there was an answer.
    Abandoned,
}

impl ApiOutcome {
    /// All, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Success,
        Self::Redirect,
        Self::ClientError,
        Self::ServerError,
        Self::Abandoned,
    ];

    /// The outcome of a status; 0 means that there was none.
    pub const fn of(status: u16) -> Self {
        match status {
            0 => Self::Abandoned,
            1..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::Abandoned => "abandoned",
        }
    }
}

/// How a call of a function failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum HookError {
    /// It panicked, and the SDK caught it.
    Panic,
    /// It said that it failed.
    Failure,
    /// It broke the contract.
    Contract,
    /// It was not called: too many calls wait.
    Busy,
    /// Its deadline passed.
    Timeout,
}

impl HookError {
    /// All, in the order of the table.
    pub const ALL: [Self; 5] = [
        Self::Panic,
        Self::Failure,
        Self::Contract,
        Self::Busy,
        Self::Timeout,
    ];

    /// The kind of a failure's code.
    pub fn of(code: &str) -> Self {
        match code {
            "PLUGIN_PANICKED" => Self::Panic,
            "PLUGIN_FAILED" => Self::Failure,
            _ => Self::Contract,
        }
    }

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Failure => "failure",
            Self::Contract => "contract",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
        }
    }
}

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Requests, from their head to the end of their answer.
    Request,
    /// Upstreams, from the request to the head of their answer.
    Upstream,
    /// Opening a library.
    Load,
    /// Calls of functions at a hook.
    Hook(Hook),
}

impl Timing {
    const COUNT: usize = 3 + HOOKS;

    const fn place(self) -> usize {
        match self {
            Self::Request => 0,
            Self::Upstream => 1,
            Self::Load => 2,
            Self::Hook(hook) => 3 + hook as usize,
        }
    }

    /// The upper bounds of its buckets, nanoseconds.
    pub const fn bounds(self) -> &'static [u64; BOUNDS] {
        match self {
            Self::Hook(_) => &CALL_NANOS,
            Self::Request | Self::Upstream | Self::Load => &REQUEST_NANOS,
        }
    }
}

const BOUNDS: usize = 16;

/// From 100 µs to 10 s.
const REQUEST_NANOS: [u64; BOUNDS] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// From 500 ns to 1 s: native calls take less than a microsecond, blocking ones any time.
const CALL_NANOS: [u64; BOUNDS] = [
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    1_000_000_000,
];

/// A histogram as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// How many in each bucket (not cumulative); the last has no bound.
    pub buckets: [u64; BOUNDS + 1],
    /// All together, nanoseconds.
    pub sum_nanos: u64,
}

impl Histogram {
    /// Nothing.
    pub const EMPTY: Self = Self {
        buckets: [0; BOUNDS + 1],
        sum_nanos: 0,
    };

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (sum, more) in self.buckets.iter_mut().zip(other.buckets) {
            *sum = sum.wrapping_add(more);
        }
        self.sum_nanos = self.sum_nanos.wrapping_add(other.sum_nanos);
        self
    }
}

#[derive(Debug)]
#[repr(C)]
struct HistogramCells {
    buckets: [AtomicU64; BOUNDS + 1],
    sum_nanos: AtomicU64,
}

/// The tables.
#[derive(Debug)]
#[repr(C)]
pub struct Tables {
    timings: [HistogramCells; Timing::COUNT],
    hook_errors: [[AtomicU64; HookError::ALL.len()]; HOOKS],
    apis: [[AtomicU64; ApiOutcome::ALL.len()]; APIS_MAX + 2],
}

impl Tables {
    /// Notes how long something took.
    pub fn observe(&self, timing: Timing, nanos: u64) {
        let cells = &self.timings[timing.place()];
        let bucket = timing.bounds().partition_point(|bound| *bound < nanos);
        cells.buckets[bucket].fetch_add(1, Relaxed);
        cells.sum_nanos.fetch_add(nanos, Relaxed);
    }

    /// How long something took so far.
    pub fn timing(&self, timing: Timing) -> Histogram {
        let cells = &self.timings[timing.place()];
        let mut histogram = Histogram::EMPTY;
        for (value, cell) in histogram.buckets.iter_mut().zip(&cells.buckets) {
            *value = cell.load(Relaxed);
        }
        histogram.sum_nanos = cells.sum_nanos.load(Relaxed);
        histogram
    }

    /// Counts the end of a request by the number of its API; 0 for none.
    pub fn count_api(&self, number: u32, outcome: ApiOutcome) {
        self.apis[place(number)][outcome as usize].fetch_add(1, Relaxed);
    }

    /// The requests of an API by outcome; of all others together with a number above [`APIS_MAX`].
    pub fn api(&self, number: u32) -> [u64; ApiOutcome::ALL.len()] {
        self.apis[place(number)]
            .each_ref()
            .map(|cell| cell.load(Relaxed))
    }

    /// Counts a call that failed.
    pub fn count_hook_error(&self, hook: Hook, error: HookError) {
        self.hook_errors[hook as usize][error as usize].fetch_add(1, Relaxed);
    }

    /// How many calls at a hook failed in a way.
    pub fn hook_errors(&self, hook: Hook, error: HookError) -> u64 {
        self.hook_errors[hook as usize][error as usize].load(Relaxed)
    }
}

const fn place(number: u32) -> usize {
    match number as usize {
        UNROUTED => UNROUTED,
        number if number <= APIS_MAX => number,
        _ => OTHERS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::slot::SlotMemory;

    #[test]
    fn duration_counts_in_the_first_bucket_that_bounds_it() {
        let memory = SlotMemory::create().unwrap();
        for nanos in [0, 500, 501, 2_000_000_000, u64::MAX / 2] {
            memory.observe(Timing::Hook(Hook::Pre), nanos);
        }
        let histogram = memory.timing(Timing::Hook(Hook::Pre));
        assert_eq!(histogram.buckets[..3], [2, 1, 0]);
        assert_eq!(histogram.buckets[BOUNDS], 2);
        assert_eq!(histogram.sum_nanos, u64::MAX / 2 + 2_000_001_001);
        assert_eq!(memory.timing(Timing::Hook(Hook::Post)), Histogram::EMPTY);
        assert_eq!(memory.timing(Timing::Request), Histogram::EMPTY);
        assert_eq!(histogram.clone().and(&histogram).buckets[0], 4);
    }

    #[test]
    fn api_beyond_the_table_counts_with_the_others_and_an_unrouted_request_alone() {
        let memory = SlotMemory::create().unwrap();
        let tables = memory.tables();
        let last = u32::try_from(APIS_MAX).unwrap();
        for number in [0, 1, last, last + 1, u32::MAX] {
            tables.count_api(number, ApiOutcome::of(204));
        }
        for (number, count) in [(0, 1), (1, 1), (2, 0), (last, 1), (last + 1, 2)] {
            assert_eq!(tables.api(number)[0], count, "{number}");
        }
    }

    #[test]
    fn status_has_one_outcome() {
        let names = [0, 101, 200, 304, 404, 499, 500, 999].map(|s| ApiOutcome::of(s).as_str());
        assert_eq!(
            names,
            ["abandoned", "2xx", "2xx", "3xx", "4xx", "4xx", "5xx", "5xx"]
        );
    }
}
