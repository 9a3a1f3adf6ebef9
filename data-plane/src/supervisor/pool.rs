//! All worker slots: the sockets, the tasks, and the two values that connect them with the rest. What
//! is to run goes in as one value that is replaced; how far each slot is comes out as another.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use gantry_domain::Hook;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::exclusion::Exclusions;
use super::generation::Effective;
use super::replacement::{Burden, Pace, Reason};
use super::slot::Slot;
use super::stored::StoredView;
use super::telemetry::SlotTelemetry;
use crate::config::Settings;
use crate::protocol::ApiFailure;
use crate::source::{KeyIndex, Tenancy};
use crate::sys::counters::{ApiOutcome, Counter, Histogram, HookError, Timing};
use crate::sys::descriptors::{is_taken, listen};
use crate::sys::slot::SlotMemory;

/// How long to wait for an address that somebody listens at, and how often to look.
const FREE_WAIT_MAX: Duration = Duration::from_secs(2);
const FREE_WAIT_STEP: Duration = Duration::from_millis(20);

/// What workers are to run.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// Whom they work for.
    pub tenancy: Option<Arc<Tenancy>>,
    /// The generation, and how many there were: the same revision may come again with other instances.
    pub generation: Option<(u64, Arc<Effective>)>,
    /// The index of consumer keys.
    pub keys: Option<KeyIndex>,
    /// Sessions that functions stored and that no index holds yet.
    pub stored: Arc<StoredView>,
}

/// How far a slot is.
#[derive(Debug, Clone, Default)]
pub struct SlotStatus {
    /// The live worker.
    pub pid: Option<u32>,
    /// The count of the generation that is in effect in it; 0 for none.
    pub serial: u64,
    /// That generation.
    pub running: Option<Arc<Effective>>,
    /// What a worker of this slot ran last, which later ones may have to fall back to.
    pub good: Option<Arc<Effective>>,
    /// APIs that it could not bring there.
    pub failures: Vec<ApiFailure>,
    /// How far its keys are.
    pub keys_epoch: u64,
    /// Workers of this slot that died.
    pub deaths: u64,
    /// Those of them that died in a plugin's code.
    pub crashes: u64,
    /// How the last one did.
    pub last_death: Option<String>,
    /// What the live worker has loaded.
    pub burden: Burden,
    /// Workers that others took over from, by [`Reason`].
    pub replacements: [u64; Reason::ALL.len()],
    /// Replacements that could not take over.
    pub replacement_failures: u64,
    /// What was last said of a replacement.
    pub last_replacement: Option<String>,
    /// The worker that is being replaced and still serves the connections that it has.
    pub retiring: Option<Retiring>,
}

/// A worker that another one took over from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retiring {
    /// The worker.
    pub pid: u32,
    /// The count of the generation that is in effect in it.
    pub serial: u64,
}

/// A slot's memory, twice: a worker and the one that takes over from it do not share any.
pub type Sides = [Arc<SlotMemory>; 2];

/// The slots before their tasks run: sockets and memory.
pub struct Pool {
    listeners: Vec<TcpListener>,
    memories: Vec<Sides>,
    address: SocketAddr,
}

/// Counters of all slots together.
#[derive(Clone)]
pub struct Counters {
    memories: Vec<Arc<SlotMemory>>,
}

impl Counters {
    /// The sum of a counter.
    pub fn total(&self, counter: Counter) -> u64 {
        // What a plugin scribbled over a counter must not stop the supervisor.
        self.memories
            .iter()
            .fold(0, |sum, memory| sum.wrapping_add(memory.read(counter)))
    }

    /// The requests of an API by outcome, by its number in the tables.
    pub fn api(&self, number: u32) -> [u64; ApiOutcome::ALL.len()] {
        let mut sums = [0; ApiOutcome::ALL.len()];
        for memory in &self.memories {
            for (sum, count) in sums.iter_mut().zip(memory.tables().api(number)) {
                *sum = u64::wrapping_add(*sum, count);
            }
        }
        sums
    }

    /// How long something took.
    pub fn timing(&self, timing: Timing) -> Histogram {
        let timings = self.memories.iter().map(|memory| memory.timing(timing));
        timings.fold(Histogram::EMPTY, |sum, timing| sum.and(&timing))
    }

    /// How many calls at a hook failed in a way.
    pub fn hook_errors(&self, hook: Hook, error: HookError) -> u64 {
        let counts = self
            .memories
            .iter()
            .map(|memory| memory.tables().hook_errors(hook, error));
        counts.fold(0, u64::wrapping_add)
    }
}

impl Pool {
    /// Binds one socket for each slot, all at one address.
    ///
    /// # Errors
    /// The address cannot be bound, somebody else listens there, or there is no memory.
    pub async fn bind(address: SocketAddr, slots: u32) -> io::Result<Self> {
        wait_until_free(address).await?;
        let (mut listeners, mut memories, mut bound) = (Vec::new(), Vec::new(), address);
        for _ in 0..slots {
            let listener = listen(bound)?;
            bound = listener.local_addr()?;
            listeners.push(listener);
            memories.push([
                Arc::new(SlotMemory::create()?),
                Arc::new(SlotMemory::create()?),
            ]);
        }
        Ok(Self {
            listeners,
            memories,
            address: bound,
        })
    }

    /// The address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The slots' memory with the slots' numbers, for telemetry.
    pub fn memories(&self) -> Vec<(u32, Arc<SlotMemory>)> {
        let slots = (0..).zip(&self.memories);
        slots
            .flat_map(|(slot, sides)| sides.clone().map(|memory| (slot, memory)))
            .collect()
    }

    /// The counters, for reports.
    pub fn counters(&self) -> Counters {
        Counters {
            memories: self.memories.iter().flatten().cloned().collect(),
        }
    }

    /// Runs the slots' tasks in a set that ends when all have drained.
    pub fn run(
        self,
        settings: &Arc<Settings>,
        desired: &watch::Receiver<Desired>,
        statuses: &watch::Sender<Vec<SlotStatus>>,
        damaged: &Arc<Notify>,
        telemetry: &SlotTelemetry,
        stop: &CancellationToken,
    ) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let turn = Arc::new(Semaphore::new(1));
        let slots = self.listeners.into_iter().zip(self.memories);
        for (number, (listener, memories)) in (0..).zip(slots) {
            let slot = Slot {
                number,
                settings: settings.clone(),
                listener,
                memories,
                desired: desired.clone(),
                statuses: statuses.clone(),
                damaged: damaged.clone(),
                telemetry: telemetry.clone(),
                turn: turn.clone(),
                pace: Pace::default(),
                other: None,
                exclusions: Exclusions::default(),
                good: None,
            };
            tasks.spawn(slot.run(stop.clone()));
        }
        tasks
    }
}

/// The workers of a gateway that was killed may be there for another moment.
async fn wait_until_free(address: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + FREE_WAIT_MAX;
    while is_taken(address)? {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        sleep(FREE_WAIT_STEP).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slots_share_the_port_that_the_first_one_got() {
        let pool = Pool::bind("127.0.0.1:0".parse().unwrap(), 3).await.unwrap();
        assert_ne!(pool.address().port(), 0);
        for listener in &pool.listeners {
            assert_eq!(listener.local_addr().unwrap(), pool.address());
        }
        pool.memories[0][0].add(Counter::Requests, 2);
        pool.memories[2][1].add(Counter::Requests, 3);
        assert_eq!(pool.counters().total(Counter::Requests), 5);
    }

    #[tokio::test]
    async fn address_of_another_gateway_is_refused_and_one_that_gets_free_is_taken() {
        let other = Pool::bind("127.0.0.1:0".parse().unwrap(), 2).await.unwrap();
        let address = other.address();
        let refused = Pool::bind(address, 2).await.err().map(|e| e.kind());
        assert_eq!(refused, Some(io::ErrorKind::AddrInUse));
        let waiting = tokio::spawn(Pool::bind(address, 2));
        tokio::task::yield_now().await;
        drop(other);
        assert_eq!(waiting.await.unwrap().unwrap().address(), address);
    }
}
