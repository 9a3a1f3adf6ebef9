//! What a request costs on its way through the gateway, beside other proxies that do the same work and
//! the floor that none can go below.
//!
//! One run, in blocks: each block starts all proxies anew and sends every kind of load to each of them,
//! in an order that is reversed in every second block. Figures of one block are compared with each other
//! only. A proxy has one core, with one worker; the upstream and the load have the other one.

mod load;
mod peers;
mod subject;

pub(crate) use load::small_gets;

use anyhow::{Context, Result};

use load::{Driver, Message};
use subject::{
    GANTRY, GANTRY_GO_DETACHED, GANTRY_GO_INLINE, GANTRY_PLAIN, HAPROXY, NGINX_LUA, RELAY, Stage,
    Subject,
};

use crate::record::{Record, Samples};
use crate::say;
use crate::{gateway, measure};

/// The bench's name.
pub(crate) const NAME: &str = "request-path";
/// Who the others are held against, in tables.
pub(crate) const PEERS: [&str; 4] = [NGINX_LUA, HAPROXY, RELAY, GANTRY];

/// Who is measured with small GETs alone, being a variant of another.
const VARIANTS: [&str; 3] = [GANTRY_PLAIN, GANTRY_GO_INLINE, GANTRY_GO_DETACHED];

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Size {
    blocks: usize,
    /// Of saturation, per message and proxy; `wrk` counts in whole ones.
    seconds: u64,
    /// Of the fixed rate, per proxy.
    rate_seconds: f64,
    /// Requests a second; half of what nginx + Lua can do, unless given.
    rate: Option<f64>,
}

const FULL: Size = Size {
    blocks: 12,
    seconds: 2,
    rate_seconds: 2.0,
    rate: None,
};
const QUICK: Size = Size {
    blocks: 1,
    seconds: 1,
    rate_seconds: 0.2,
    rate: Some(200.0),
};

/// Measures; gives the records, and the circumstances in words.
///
/// # Errors
/// A proxy does not come up, or a request fails.
pub(crate) fn run(quick: bool) -> Result<(Vec<Record>, String)> {
    let size = if quick { QUICK } else { FULL };
    let versions = peers::versions()?;
    let (machine, busy) = (measure::machine(), measure::load_average());
    let pinned = if measure::has_two_cores() {
        "proxies on core 1, upstream and load on core 0"
    } else {
        "one core for everything: nothing here can be compared"
    };
    let folder = tempfile::Builder::new().prefix("gantry-bench-").tempdir()?;
    measure::pin(&[std::process::id()], measure::OTHER_CORE)?;
    let (_upstream, address) = gateway::upstream(folder.path())?;
    let stage = Stage {
        folder: folder.path().to_owned(),
        upstream: address,
    };
    let driver = Driver::new(folder.path())?;
    let mut bench = Bench {
        driver,
        size,
        samples: Samples::default(),
        rate: size.rate,
    };
    for block in 0..size.blocks {
        say(&format!("block {} of {}", block + 1, size.blocks));
        bench.block(&stage, block)?;
    }
    let rate = bench.rate.unwrap_or_default();
    let busy_after = measure::load_average();
    let head = format!(
        "{machine}; {pinned}. Load average {busy} before the run and {busy_after} after it, of which it makes \
         two itself. {versions}. Half load is {rate:.0} requests a second.\n"
    );
    Ok((bench.samples.records(NAME), head))
}

struct Bench {
    driver: Driver,
    size: Size,
    samples: Samples,
    /// Of the fixed rate; known after the first saturation of nginx + Lua.
    rate: Option<f64>,
}

impl Bench {
    fn block(&mut self, stage: &Stage, block: usize) -> Result<()> {
        let mut subjects = stage.subjects()?;
        if block % 2 == 1 {
            subjects.reverse();
        }
        for subject in &subjects {
            self.memory(subject)?;
        }
        for message in Message::ALL {
            for subject in &subjects {
                if message == Message::SmallGet || !VARIANTS.contains(&subject.name) {
                    self.saturate(subject, message)
                        .with_context(|| format!("{} through {}", message.name(), subject.name))?;
                }
            }
        }
        self.cost_of_hooks();
        let half = self.half_load();
        for subject in &subjects {
            let loads = [("half load", half), ("quarter load", half / 2.0)];
            for (load, rate) in loads {
                if takes(subject.name, load) {
                    self.at_rate(subject, load, rate)
                        .with_context(|| format!("{load} through {}", subject.name))?;
                }
            }
        }
        Ok(())
    }

    /// Memory of the process that serves, before any load and with all connections busy.
    fn memory(&mut self, subject: &Subject) -> Result<()> {
        // The second API of a gateway lives in the same process.
        if [GANTRY_PLAIN, GANTRY_GO_DETACHED].contains(&subject.name) {
            return Ok(());
        }
        let idle = measure::pss_mebibytes(subject.server)?;
        let loaded = self.driver.warm_up(subject)?;
        self.samples
            .add(subject.name, "worker's memory, idle", "MiB PSS", idle);
        let metric = format!("worker's memory, {} connections", load::CONNECTIONS);
        self.samples.add(subject.name, &metric, "MiB PSS", loaded);
        Ok(())
    }

    fn saturate(&mut self, subject: &Subject, message: Message) -> Result<()> {
        let done = self.driver.saturate(subject, message, self.size.seconds)?;
        let (cpu, rate) = (
            cpu_metric(message),
            format!("requests per second, {}", message.name()),
        );
        self.samples
            .add(subject.name, &cpu, "µs", done.cpu_microseconds);
        self.samples
            .add(subject.name, &rate, "1/s", done.per_second);
        Ok(())
    }

    /// What the two functions add to a small GET.
    fn cost_of_hooks(&mut self) {
        let metric = cpu_metric(Message::SmallGet);
        let of = |name| self.samples.latest(name, &metric);
        if let (Some(with), Some(without)) = (of(GANTRY), of(GANTRY_PLAIN)) {
            let metric = "CPU per small GET of a plugin with two hooks";
            self.samples.add(GANTRY, metric, "µs", with - without);
        }
    }

    /// Half of what nginx + Lua did in the first block.
    fn half_load(&mut self) -> f64 {
        let metric = format!("requests per second, {}", Message::SmallGet.name());
        let capacity = self.samples.latest(NGINX_LUA, &metric).unwrap_or_default();
        *self
            .rate
            .get_or_insert((capacity / 2000.0).round().max(1.0) * 1000.0)
    }

    fn at_rate(&mut self, subject: &Subject, load: &str, rate: f64) -> Result<()> {
        let (seen, cpu) = load::at_rate(subject, rate, self.size.rate_seconds)?;
        for (metric, sample) in [
            ("p50", seen.p50),
            ("p90", seen.p90),
            ("CPU per request", cpu),
        ] {
            let metric = format!("{metric}, small GET, {load}");
            self.samples.add(subject.name, &metric, "µs", sample);
        }
        Ok(())
    }
}

/// Who is measured at which fixed rate: functions in Go could not do half of what nginx + Lua can.
fn takes(name: &str, load: &str) -> bool {
    match name {
        GANTRY => true,
        GANTRY_PLAIN => false,
        GANTRY_GO_INLINE | GANTRY_GO_DETACHED => load == "quarter load",
        _ => load == "half load",
    }
}

fn cpu_metric(message: Message) -> String {
    format!("CPU per request, {}, saturated", message.name())
}
