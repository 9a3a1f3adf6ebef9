//! What the kernel knows about this process, under the names that every Prometheus client uses.

use std::fmt;

use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// `process_*`: CPU seconds, memory, open files, threads, start. Reads `/proc` when it is asked;
/// what cannot be read is left out.
#[derive(Debug)]
pub struct ProcessCollector(());

impl ProcessCollector {
    /// Puts the figures into a registry, which should have no prefix.
    pub fn register(registry: &mut Registry) {
        registry.register_collector(Box::new(Self(())));
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(figures) = Figures::read() else {
            return Ok(());
        };
        let cpu = ConstCounter::new(figures.cpu_seconds);
        let described = encoder.encode_descriptor(
            "process_cpu_seconds",
            "User and system CPU time spent",
            None,
            cpu.metric_type(),
        )?;
        cpu.encode(described)?;
        for (name, help, value) in figures.gauges() {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            let described = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(described)?;
        }
        Ok(())
    }
}

struct Figures {
    cpu_seconds: f64,
    start_seconds: Option<f64>,
    virtual_bytes: f64,
    resident_bytes: f64,
    threads: f64,
    files: Option<f64>,
    files_max: Option<f64>,
}

impl Figures {
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus has only floating point, exact for sizes below 8 PiB"
    )]
    fn read() -> Option<Self> {
        let process = Process::myself().ok()?;
        let stat = process.stat().ok()?;
        let ticks = procfs::ticks_per_second() as f64;
        let limits = process.limits().ok();
        Some(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            start_seconds: procfs::boot_time_secs()
                .ok()
                .map(|boot| boot as f64 + stat.starttime as f64 / ticks),
            virtual_bytes: stat.vsize as f64,
            resident_bytes: (stat.rss * procfs::page_size()) as f64,
            threads: stat.num_threads as f64,
            files: process.fd_count().ok().map(|count| count as f64),
            files_max: limits.and_then(|limits| match limits.max_open_files.soft_limit {
                LimitValue::Value(value) => Some(value as f64),
                LimitValue::Unlimited => None,
            }),
        })
    }

    fn gauges(&self) -> [(&'static str, &'static str, Option<f64>); 6] {
        [
            (
                "process_start_time_seconds",
                "When the process began, in seconds since 1970",
                self.start_seconds,
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory",
                Some(self.virtual_bytes),
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory",
                Some(self.resident_bytes),
            ),
            ("process_threads", "Threads", Some(self.threads)),
            ("process_open_fds", "Open file descriptors", self.files),
            (
                "process_max_fds",
                "File descriptors that may be open",
                self.files_max,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_figures_are_encoded_with_help_type_and_value() {
        let mut registry = Registry::default();
        ProcessCollector::register(&mut registry);
        let text = crate::metrics::encode(&registry).expect("the collector writes to a string");
        for line in [
            "# TYPE process_cpu_seconds_total counter",
            "# TYPE process_resident_memory_bytes gauge",
            "# HELP process_open_fds Open file descriptors",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let resident = text
            .lines()
            .find_map(|line| line.strip_prefix("process_resident_memory_bytes "))
            .expect("there is a value");
        assert!(resident.parse::<f64>().expect("a number") > 1024.0 * 1024.0);
    }
}
