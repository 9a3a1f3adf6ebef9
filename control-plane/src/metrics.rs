//! What the control plane counts: one value per thing that happens, under the names in
//! `docs/OBSERVABILITY.md`.
//!
//! Responsible for names, labels and their bounds; whoever does something says so here. Not here: the
//! endpoint. Invariants: labels come from closed sets (methods that exist, codes, platforms); a
//! tenant's name is one only where configuration asks for it, and only for that many tenants.

mod tenants;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gantry_domain::TenantId;
use gantry_telemetry::metrics::prometheus_client::metrics::counter::Counter;
use gantry_telemetry::metrics::prometheus_client::metrics::family::Family;
use gantry_telemetry::metrics::prometheus_client::metrics::gauge::Gauge;
use gantry_telemetry::metrics::prometheus_client::metrics::histogram::Histogram;
use gantry_telemetry::metrics::prometheus_client::registry::{Metric, Registry};
use gantry_telemetry::metrics::{CALL_SECONDS, ProcessCollector, encode};

use tenants::Tenants;

/// What every name begins with; the process's own figures have their common names.
const PREFIX: &str = "gantry_control_plane";

/// Bounds of buckets for what takes as long as a network and a disk make it, in seconds.
const UPLOAD_SECONDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0,
];

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// The figures. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    tenants: Tenants,
    rpcs: Counters,
    rpc_seconds: Histograms,
    http_requests: Counters,
    uploads: Counters,
    upload_bytes: Counters,
    upload_seconds: Histogram,
    verified: Counters,
    admitted: Counters,
    resolved: Counters,
    store_seconds: Histograms,
    store_failures: Counters,
    stream_clients: Gauge,
}

/// What came of publishing an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadResult {
    /// It became a version.
    Published,
    /// It was one already.
    Unchanged,
    /// It is not what it claims to be, or not allowed.
    Refused,
    /// A store failed, or the upload was busy.
    Failed,
    /// It rested too long, or its owner dropped it.
    Dropped,
}

impl UploadResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Metrics {
    /// Figures in which the first `tenants_max` tenants have labels of their own; with 0, none has.
    pub fn new(tenants_max: usize) -> Self {
        let mut registry = Registry::default();
        ProcessCollector::register(&mut registry);
        let ours = registry.sub_registry_with_prefix(PREFIX);
        let build: Family<Labels, Gauge> = register(ours, "build_info", "The program that runs");
        build
            .get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())])
            .set(1);
        let calls: fn() -> Histogram = || Histogram::new(CALL_SECONDS);
        let inner = Inner {
            tenants: Tenants::new(tenants_max),
            rpcs: register(ours, "rpcs", "Calls that ended, by method and gRPC code"),
            rpc_seconds: add(
                ours,
                "rpc_duration_seconds",
                "From a call's head to its status, streams included",
                Family::new_with_constructor(calls),
            ),
            http_requests: register(
                ours,
                "http_requests",
                "Requests by plain HTTP that were answered, by route and status",
            ),
            uploads: register(
                ours,
                "uploads",
                "Uploads that came to an end, by what came of them",
            ),
            upload_bytes: register(
                ours,
                "upload_bytes",
                "Bytes of files that were received, whatever came of them",
            ),
            upload_seconds: add(
                ours,
                "upload_duration_seconds",
                "From a file's first byte to its last, per stream",
                Histogram::new(UPLOAD_SECONDS),
            ),
            verified: register(ours, "verify", "Checks of what was received"),
            admitted: register(
                ours,
                "admission",
                "Libraries that were inspected, by the platform they are for",
            ),
            resolved: register(
                ours,
                "resolve",
                "APIs that were resolved for a kind of gateway, or could not be",
            ),
            store_seconds: add(
                ours,
                "store_op_duration_seconds",
                "Operations of the object store, and writing transactions of the metadata store",
                Family::new_with_constructor(calls),
            ),
            store_failures: register(
                ours,
                "store_op_failures",
                "Operations of the object store that failed",
            ),
            stream_clients: register(ours, "stream_clients", "Gateways that are connected"),
            registry,
        };
        Self(Arc::new(inner))
    }

    /// Everything as Prometheus text, with this many gateways connected.
    ///
    /// # Errors
    /// Never in practice: the text is written to memory.
    pub(crate) fn text(&self, gateways: usize) -> Result<String, fmt::Error> {
        let gateways = i64::try_from(gateways).unwrap_or(i64::MAX);
        self.0.stream_clients.set(gateways);
        encode(&self.0.registry)
    }

    pub(crate) fn rpc(&self, method: &str, code: &'static str, took: Duration) {
        let method = ("method", method.to_owned());
        let seconds = self
            .0
            .rpc_seconds
            .get_or_create_owned(&vec![method.clone()]);
        seconds.observe(took.as_secs_f64());
        count(&self.0.rpcs, &vec![method, ("code", code.to_owned())], 1);
    }

    pub(crate) fn http_request(&self, route: &'static str, status: u16) {
        let labels = vec![("route", route.to_owned()), ("status", status.to_string())];
        count(&self.0.http_requests, &labels, 1);
    }

    pub(crate) fn upload(&self, tenant: &TenantId, result: UploadResult) {
        let mut labels = vec![("result", result.as_str().to_owned())];
        labels.extend(self.0.tenants.label(tenant));
        count(&self.0.uploads, &labels, 1);
    }

    pub(crate) fn received(&self, tenant: &TenantId, bytes: u64, took: Duration) {
        self.0.upload_seconds.observe(took.as_secs_f64());
        let labels: Labels = self.0.tenants.label(tenant).into_iter().collect();
        count(&self.0.upload_bytes, &labels, bytes);
    }

    pub(crate) fn verified(&self, check: &'static str, passed: bool) {
        let result = if passed { "passed" } else { "failed" };
        let labels = vec![("check", check.to_owned()), ("result", result.to_owned())];
        count(&self.0.verified, &labels, 1);
    }

    /// `target` is the platform, where the library said it.
    pub(crate) fn admitted(&self, target: Option<String>) {
        let result = if target.is_some() {
            "accepted"
        } else {
            "refused"
        };
        let target = target.unwrap_or_else(|| "unknown".to_owned());
        let labels = vec![("target", target), ("result", result.to_owned())];
        count(&self.0.admitted, &labels, 1);
    }

    pub(crate) fn resolved(&self, result: &'static str) {
        count(&self.0.resolved, &vec![("result", result.to_owned())], 1);
    }

    pub(crate) fn store_op(&self, store: &'static str, op: &'static str, took: Duration) {
        let labels = vec![("store", store.to_owned()), ("op", op.to_owned())];
        let seconds = self.0.store_seconds.get_or_create_owned(&labels);
        seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn store_failed(&self, store: &'static str, op: &'static str) {
        let labels = vec![("store", store.to_owned()), ("op", op.to_owned())];
        count(&self.0.store_failures, &labels, 1);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn count(counters: &Counters, labels: &Labels, by: u64) {
    counters.get_or_create(labels).inc_by(by);
}

fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    add(registry, name, help, M::default())
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}
