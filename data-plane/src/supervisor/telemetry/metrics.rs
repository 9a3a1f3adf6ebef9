//! `GET /metrics`: everything that this gateway counts, under names that begin with `gantry_`, with the
//! tenant and the environment on each series. Read when it is asked for, from shared memory and from
//! what the tasks publish; nothing is kept here.
//!
//! Labels are bounded: APIs by the table in shared memory, everything else by what exists. A digest
//! stands in `gantry_plugin_active_info` only, shortened. Names and meanings are documented in
//! `docs/OBSERVABILITY.md`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use gantry_domain::Hook;
use gantry_telemetry::metrics::ProcessCollector;
use gantry_telemetry::metrics::prometheus_client::collector::Collector;
use gantry_telemetry::metrics::prometheus_client::encoding::DescriptorEncoder;
use gantry_telemetry::metrics::prometheus_client::registry::Registry;

use super::convergence::Convergence;
use super::directory::Directory;
use super::drain::DrainCounts;
use super::exposition::{NoLabels, Sample, Samples, counter, gauge, histogram, info};
use crate::config::BUILT_VERSION;
use crate::supervisor::pool::SlotStatus;
use crate::supervisor::progress::Progress;
use crate::supervisor::replacement::Reason;
use crate::supervisor::report::View;
use crate::supervisor::store::Store;
use crate::supervisor::stored::StoredSessions;
use crate::sys::counters::{APIS_MAX, ApiOutcome, Counter, HookError, Timing};

/// Stands for an API where none answers; no identifier looks like it.
const UNROUTED: &str = "(none)";
/// Stands for all APIs that are not counted on their own.
const OTHERS: &str = "(other)";

/// Where the figures come from.
#[derive(Clone)]
pub struct Metrics {
    /// The slots, their memory, and how far everything is.
    pub view: View,
    /// The names of APIs.
    pub directory: Arc<Directory>,
    /// What went wrong with records.
    pub drain: Arc<DrainCounts>,
    /// Sessions that functions stored.
    pub stored: StoredSessions,
    /// How far workers are behind.
    pub convergence: Convergence,
}

impl Metrics {
    /// The text for Prometheus.
    ///
    /// # Errors
    /// Never, as far as is known: the encoder's.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let source = self.view.source.borrow().clone();
        let tenancy = source.tenancy.as_ref();
        let label = |name: &'static str, value: Option<String>| {
            (name.into(), value.unwrap_or_default().into())
        };
        let labels = [
            label("tenant", tenancy.map(|t| t.identity.tenant.to_string())),
            label(
                "environment",
                tenancy.map(|t| t.identity.environment.to_string()),
            ),
        ];
        let mut registry = Registry::default();
        ProcessCollector::register(&mut registry);
        let scrape = Scrape {
            metrics: self.clone(),
            progress: self.view.progress.borrow().clone(),
            slots: self.view.statuses.borrow().clone(),
            connected: source.origin.is_some(),
            store: tenancy.map(|tenancy| tenancy.store.clone()),
        };
        registry
            .sub_registry_with_labels(labels.into_iter())
            .sub_registry_with_prefix("gantry")
            .register_collector(Box::new(scrape));
        gantry_telemetry::metrics::encode(&registry)
    }
}

/// Everything at one moment.
struct Scrape {
    metrics: Metrics,
    progress: Progress,
    slots: Vec<SlotStatus>,
    connected: bool,
    store: Option<Store>,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        self.requests(to)?;
        self.connections(to)?;
        self.hooks(to)?;
        self.plugins(to)?;
        self.libraries(to)?;
        self.workers(to)?;
        self.gateway(to)
    }
}

impl Scrape {
    fn total(&self, counter: Counter) -> u64 {
        self.metrics.view.counters.total(counter)
    }

    fn requests(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counters = &self.metrics.view.counters;
        let names = self.metrics.directory.names();
        let others = u32::try_from(APIS_MAX).unwrap_or(u32::MAX - 1) + 1;
        let own = names.apis().take(APIS_MAX);
        let apis = own
            .map(|(number, api)| (number, &*api.id))
            .chain([(0, UNROUTED), (others, OTHERS)]);
        let mut samples = Vec::new();
        for (number, id) in apis {
            for (outcome, count) in ApiOutcome::ALL.into_iter().zip(counters.api(number)) {
                // What never happened has no series: there may be thousands.
                if count > 0 {
                    let labels = [("api_id", id), ("class", outcome.as_str())];
                    samples.push((labels, count));
                }
            }
        }
        counter(
            to,
            "requests",
            "Requests that ended, by API and class of status",
            samples,
        )?;
        let (name, help) = (
            "request_duration_seconds",
            "From a request's head to the end of its answer",
        );
        histogram(to, name, help, one(self.timing(Timing::Request)))?;
        let (name, help) = (
            "upstream_duration_seconds",
            "From a request to an upstream to the head of its answer",
        );
        histogram(to, name, help, one(self.timing(Timing::Upstream)))
    }

    fn timing(&self, timing: Timing) -> Sample {
        let histogram = self.metrics.view.counters.timing(timing);
        Sample::of(&histogram, timing.bounds())
    }

    fn connections(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, which) in [
            (
                "route_misses",
                "Requests that no API answers to",
                Counter::RouteMisses,
            ),
            (
                "auth_refusals",
                "Requests refused for want of valid credentials",
                Counter::AuthRefusals,
            ),
            (
                "upstream_errors",
                "Requests that the upstream did not answer properly",
                Counter::UpstreamErrors,
            ),
            (
                "upstream_connects",
                "Connections made to upstreams",
                Counter::UpstreamConnects,
            ),
            (
                "connections_accepted",
                "Client connections that were accepted",
                Counter::ConnectionsAccepted,
            ),
            (
                "plugin_logs_dropped",
                "Lines of plugins that were dropped",
                Counter::PluginLogsDropped,
            ),
            (
                "records_dropped",
                "Access lines and spans that were dropped because a ring was full",
                Counter::RecordsDropped,
            ),
            (
                "plugin_timeouts",
                "Calls that were given up because their deadline passed",
                Counter::PluginTimeouts,
            ),
        ] {
            counter(to, name, help, one(self.total(which)))?;
        }
        let drain = &self.metrics.drain;
        let (name, help) = (
            "records_damaged",
            "Times that a ring held something that is no record",
        );
        counter(to, name, help, one(drain.damaged.load(Relaxed)))?;
        let (name, help) = (
            "access_lines_lost",
            "Access lines that could not be written",
        );
        counter(to, name, help, one(drain.lines_lost.load(Relaxed)))?;
        let stored = self.metrics.stored.counts();
        let (name, help) = ("sessions_stored", "Sessions that functions stored");
        counter(to, name, help, one(stored.taken.load(Relaxed)))?;
        let (name, help) = (
            "sessions_dropped",
            "Sessions that functions stored and that found no room or were refused",
        );
        counter(to, name, help, one(stored.dropped.load(Relaxed)))?;
        for (name, help, which) in [
            (
                "plugin_pending_calls",
                "Calls that pend",
                Counter::PluginPending,
            ),
            (
                "plugin_abandoned_calls",
                "Calls that were given up and that their plugins have not resumed yet",
                Counter::PluginAbandoned,
            ),
            (
                "plugin_stuck_threads",
                "Threads that are still in calls that were given up",
                Counter::PluginThreadsStuck,
            ),
        ] {
            gauge(to, name, help, one(float(self.total(which))))?;
        }
        let open = self.total(Counter::ConnectionsOpen);
        let help = "Client connections that are open";
        gauge(to, "connections_open", help, one(float(open)))?;
        let active = self.total(Counter::RequestsActive);
        let help = "Requests whose answer has not begun";
        gauge(to, "requests_active", help, one(float(active)))
    }

    fn hooks(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counters = &self.metrics.view.counters;
        let timings: Samples<_, _> = Hook::ALL
            .into_iter()
            .map(|hook| ([("hook", hook.as_str())], self.timing(Timing::Hook(hook))))
            .collect();
        let (name, help) = (
            "plugin_hook_duration_seconds",
            "Calls of functions at a hook",
        );
        histogram(to, name, help, timings)?;
        let errors: Samples<_, _> = Hook::ALL
            .into_iter()
            .flat_map(|hook| HookError::ALL.map(|kind| (hook, kind)))
            .map(|(hook, kind)| {
                let labels = [("hook", hook.as_str()), ("kind", kind.as_str())];
                (labels, counters.hook_errors(hook, kind))
            })
            .collect();
        counter(
            to,
            "plugin_hook_errors",
            "Calls of functions that failed",
            errors,
        )
    }

    fn plugins(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let fetches = &self.progress.fetches;
        let results: Samples<_, _> = fetches
            .results()
            .map(|(result, count)| ([("result", result)], count))
            .collect();
        let help = "Libraries that were asked for";
        counter(to, "plugin_fetch", help, results)?;
        let bytes: Samples<_, _> = fetches
            .bytes()
            .map(|(source, bytes)| ([("source", source)], bytes))
            .collect();
        let help = "Bytes of libraries that came";
        counter(to, "plugin_fetch_bytes", help, bytes)?;
        let loads = vec![
            (
                [("result", "success")],
                self.total(Counter::LibrariesLoaded),
            ),
            (
                [("result", "failure")],
                self.total(Counter::LibraryLoadFailures),
            ),
        ];
        let help = "Libraries that workers opened";
        counter(to, "plugin_load", help, loads)?;
        let (name, help) = (
            "plugin_load_duration_seconds",
            "Opening of a library in a worker",
        );
        histogram(to, name, help, one(self.timing(Timing::Load)))?;
        let crashes = self.slots.iter().map(|slot| slot.crashes).sum();
        let help = "Workers that died in a plugin's code";
        counter(to, "plugin_crashes", help, one(crashes))?;
        let live = self.slots.iter().filter(|slot| slot.running.is_some());
        let serials: BTreeSet<u64> = live.map(|slot| slot.serial).collect();
        let help = "Different generations that workers run";
        let live = float(serials.len() as u64);
        gauge(to, "plugin_generations_live", help, one(live))
    }

    fn libraries(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(store) = &self.store {
            let help = "Libraries in this gateway's store";
            let cached = float(store.libraries_count());
            gauge(to, "plugin_cache_entries", help, one(cached))?;
            if let Some(kept) = store.last_known_good_at() {
                let age = SystemTime::now().duration_since(kept).unwrap_or_default();
                let (name, help) = (
                    "plugin_lkg_age_seconds",
                    "Since the last-known-good revision was kept",
                );
                gauge(to, name, help, one(age.as_secs_f64()))?;
            }
        }
        let lag = self.metrics.convergence.lag().as_secs_f64();
        let (name, help) = (
            "plugin_convergence_lag_seconds",
            "Since the newest revision came, while it is not in effect in all workers",
        );
        gauge(to, name, help, one(lag))?;
        let target = &self.metrics.view.profile.platform;
        let mut active = BTreeSet::new();
        if let Some(effective) = &self.progress.in_effect {
            active.extend(effective.apis.values().flat_map(|api| &api.artifacts));
        }
        let labels = active.into_iter().map(|label| {
            let digest: String = label.digest.chars().take(12).collect();
            vec![
                ("plugin", label.bundle.clone()),
                ("version", label.version.clone()),
                ("digest", digest),
                ("target", target.clone()),
                ("file", label.file.clone()),
            ]
        });
        let help = "Libraries of the generation in effect";
        info(to, "plugin_active", help, labels)
    }

    fn workers(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let deaths = self.slots.iter().map(|slot| slot.deaths).sum();
        let (name, help) = (
            "worker_restarts",
            "Workers that died or could not be started, and were replaced",
        );
        counter(to, name, help, one(deaths))?;
        let replaced = Reason::ALL.into_iter().map(|reason| {
            let of_slot = |slot: &SlotStatus| slot.replacements[reason as usize];
            let count = self.slots.iter().map(of_slot).sum();
            ([("reason", reason.as_str())], count)
        });
        let (name, help) = (
            "worker_replacements",
            "Workers that others took over from, by the threshold that they had reached",
        );
        counter(to, name, help, replaced.collect())?;
        let failures = self.slots.iter().map(|slot| slot.replacement_failures);
        let (name, help) = (
            "worker_replacement_failures",
            "Workers that were to take over from others and could not",
        );
        counter(to, name, help, one(failures.sum()))?;
        let live = self.slots.iter().filter(|slot| slot.pid.is_some()).count();
        let help = "Workers that live";
        gauge(to, "workers_live", help, one(float(live as u64)))?;
        let slots = float(self.slots.len() as u64);
        gauge(to, "workers", "Workers that there should be", one(slots))
    }

    fn gateway(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let report = self.metrics.view.report();
        let flag = |set: bool| one(if set { 1.0 } else { 0.0 });
        let (name, help) = (
            "revision_applied",
            "The revision in effect in all workers; 0 for none",
        );
        gauge(to, name, help, one(float(report.applied_revision)))?;
        let help = "Whether a generation has been in effect";
        gauge(to, "ready", help, flag(self.metrics.view.is_ready()))?;
        let help = "Whether something does not run as the revision wants it";
        gauge(to, "degraded", help, flag(report.state == "degraded"))?;
        let (name, help) = (
            "origin_connected",
            "Whether the origin of revisions can be reached",
        );
        gauge(to, name, help, flag(self.connected))?;
        let profile = &self.metrics.view.profile;
        let labels = vec![
            ("version", BUILT_VERSION.to_owned()),
            ("gateway_version", profile.version.clone()),
            ("gateway_id", profile.gateway_id.clone()),
            ("platform", profile.platform.clone()),
        ];
        info(to, "build", "This gateway", [labels])
    }
}

/// One series without labels of its own.
fn one<T>(value: T) -> Samples<NoLabels, T> {
    vec![([], value)]
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has nothing but floating point"
)]
const fn float(number: u64) -> f64 {
    number as f64
}
