//! Sessions that functions stored under their consumer keys, on their way from the worker that stored
//! them to every other worker and to the control plane.
//!
//! Each is told to all workers at once and kept until the index of keys holds it: the control plane keeps
//! it, says at which epoch the key stream has it, and once that epoch is here the session is forgotten.
//! What waits for the control plane is on disk, too, in the directory of its tenant and environment, and
//! waits again after a start. Where there is none a session is kept for as long as the process lives.
//!
//! Invariants: of two sessions of one key the later counts; nothing waits for the control plane but the
//! sessions themselves, and of those at most [`STORED_MAX`]; what finds no room is dropped and counted.

mod journal;
mod keeper;
mod sending;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use gantry_client::Backoff;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::journal::Waiting;
use self::keeper::{AllWaiting, Keeper};
use self::sending::{RETRY_FIRST, RETRY_LONGEST, Sent};
use super::pool::Desired;
use crate::key_index::KeyHash;
use crate::source::{SourceState, Tenancy};
use crate::worker::keys::STORED_MAX;

/// Sessions on their way from the slots to the task, at most.
const QUEUE_MAX: usize = 1024;
/// Time for the last sessions when the gateway ends.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// How long a session may have waited that is sent after a start. Later it would undo what has become of
/// its key since.
const KEPT_MAX: Duration = Duration::from_hours(24);
/// Where they wait, in the directory of an environment.
const FILE: &str = "stored-sessions";

/// What workers are told: sessions by the HMAC of their keys. The number is another one whenever the
/// session is.
pub type StoredView = BTreeMap<KeyHash, (u64, Arc<str>)>;

/// How many sessions functions stored, for metrics.
#[derive(Debug, Default)]
pub struct StoredCounts {
    /// Those that were taken.
    pub taken: AtomicU64,
    /// Those that found no room, or that the control plane refused.
    pub dropped: AtomicU64,
}

/// The slots' end. Clones share it.
#[derive(Debug, Clone)]
pub struct StoredSessions {
    queue: mpsc::Sender<(KeyHash, String)>,
    counts: Arc<StoredCounts>,
}

impl StoredSessions {
    /// The slots' end and the task. Where there is a control plane, what waits for it survives the process.
    pub fn new(
        source: watch::Receiver<SourceState>,
        desired: watch::Sender<Desired>,
        has_control_plane: bool,
    ) -> (Self, StoredTask) {
        let (queue, arrivals) = mpsc::channel(QUEUE_MAX);
        let counts = Arc::<StoredCounts>::default();
        let task = StoredTask {
            arrivals,
            source,
            keys: desired.subscribe(),
            desired,
            counts: counts.clone(),
            entries: BTreeMap::new(),
            keeper: Keeper::default(),
            unread: has_control_plane,
            has_control_plane,
            serial: 0,
            sending: JoinSet::new(),
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            retry_at: None,
            full_said: false,
        };
        (Self { queue, counts }, task)
    }

    /// Takes a session that a worker reports.
    pub fn offer(&self, hmac: KeyHash, session: String) {
        if self.queue.try_send((hmac, session)).is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// How many there were.
    pub fn counts(&self) -> &StoredCounts {
        &self.counts
    }
}

#[derive(Debug)]
struct Entry {
    serial: u64,
    waiting: Waiting,
    /// The epoch from which on the key stream has it, once the control plane keeps it.
    epoch: Option<u64>,
}

/// The task. Owns all that is kept.
#[derive(Debug)]
pub struct StoredTask {
    arrivals: mpsc::Receiver<(KeyHash, String)>,
    source: watch::Receiver<SourceState>,
    desired: watch::Sender<Desired>,
    keys: watch::Receiver<Desired>,
    counts: Arc<StoredCounts>,
    entries: BTreeMap<KeyHash, Entry>,
    keeper: Keeper,
    has_control_plane: bool,
    /// Whether what waits on disk has not been read: it is once it is known whose that is.
    unread: bool,
    serial: u64,
    /// One message at a time, so that a later session cannot overtake an earlier one.
    sending: JoinSet<Sent>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// Whether it was said that there is no room, since there last was some.
    full_said: bool,
}

impl StoredTask {
    /// Runs until told to stop, and sends then what it can.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut arrived = Vec::new();
        let mut sourced = true;
        loop {
            self.recall().await;
            self.send_next();
            self.keeper.write(|| all_waiting(&self.entries));
            tokio::select! {
                count = self.arrivals.recv_many(&mut arrived, QUEUE_MAX) => {
                    if count == 0 {
                        break;
                    }
                    self.take(&mut arrived);
                }
                Some(sent) = self.sending.join_next() => self.sent(sent),
                changed = self.keys.changed() => if changed.is_err() { break },
                // Perhaps there is a control plane again. The source may end before this task does.
                changed = self.source.changed(), if sourced => sourced = changed.is_ok(),
                () = at(self.retry_at) => self.retry_at = None,
                () = self.keeper.turn() => {}
                () = stop.cancelled() => break,
            }
            self.forget();
        }
        self.end(arrived).await;
    }

    /// Reads what waited when the gateway ended, once it is known whom it works for.
    async fn recall(&mut self) {
        let tenancy: Option<Arc<Tenancy>> = self.source.borrow().tenancy.clone();
        let (true, Some(tenancy)) = (self.unread, tenancy) else {
            return;
        };
        self.unread = false;
        let oldest = now_ms().saturating_sub(millis(KEPT_MAX));
        let (mut waited, mut outdated) = (0, 0);
        for (hmac, waiting) in self.keeper.open(tenancy.store.file(FILE)).await {
            if waiting.since_ms < oldest {
                outdated += 1;
            } else if !self.entries.contains_key(&hmac) {
                waited += 1;
                self.keep(hmac, waiting);
            }
        }
        if outdated > 0 {
            tracing::warn!(
                code = "SESSIONS_LOST",
                "{outdated} sessions that functions stored have waited for the control plane for more than a day"
            );
        }
        if waited > 0 {
            tracing::info!(
                code = "SESSIONS_KEPT",
                "{waited} sessions that functions stored still wait for the control plane"
            );
            self.tell();
        }
    }

    /// Keeps what came, and tells the workers.
    fn take(&mut self, arrived: &mut Vec<(KeyHash, String)>) {
        for (hmac, session) in arrived.drain(..) {
            if self.entries.len() >= STORED_MAX && !self.entries.contains_key(&hmac) {
                self.counts.dropped.fetch_add(1, Relaxed);
                if !std::mem::replace(&mut self.full_said, true) {
                    tracing::error!(
                        code = "SESSIONS_NOT_STORED",
                        "no more sessions of new keys are stored: {STORED_MAX} are kept already"
                    );
                }
                continue;
            }
            self.counts.taken.fetch_add(1, Relaxed);
            let (session, since_ms) = (session.into(), now_ms());
            self.keep(hmac, Waiting { session, since_ms });
            self.keeper.changed(hmac);
        }
        self.tell();
    }

    fn keep(&mut self, hmac: KeyHash, waiting: Waiting) {
        self.serial += 1;
        let entry = Entry {
            serial: self.serial,
            waiting,
            epoch: None,
        };
        self.entries.insert(hmac, entry);
    }

    fn tell(&self) {
        let view = self.entries.iter();
        let view = view.map(|(hmac, entry)| (*hmac, (entry.serial, entry.waiting.session.clone())));
        let view: Arc<StoredView> = Arc::new(view.collect());
        self.desired.send_modify(|desired| desired.stored = view);
    }

    /// Forgets what the workers' index holds.
    fn forget(&mut self) {
        let keys = self.keys.borrow_and_update().keys.clone();
        let Some(here) = keys.map(|keys| keys.epoch) else {
            return;
        };
        let before = self.entries.len();
        self.entries
            .retain(|_, entry| entry.epoch.is_none_or(|epoch| here < epoch));
        if self.entries.len() != before {
            self.full_said = false;
            self.tell();
        }
    }

    fn waiting(&self) -> usize {
        let waiting = self.entries.values().filter(|entry| entry.epoch.is_none());
        waiting.count()
    }

    /// Takes all that the workers still said, and leaves on disk what the control plane does not take.
    async fn end(&mut self, mut arrived: Vec<(KeyHash, String)>) {
        self.arrivals.close();
        while self.arrivals.recv_many(&mut arrived, QUEUE_MAX).await > 0 {}
        if !arrived.is_empty() {
            self.take(&mut arrived);
        }
        // First: there may be little time.
        self.keeper.finish(|| all_waiting(&self.entries)).await;
        let _ = timeout(FAREWELL_MAX, self.farewell()).await;
        let kept = self.keeper.finish(|| all_waiting(&self.entries)).await;
        let waiting = self.waiting();
        if waiting == 0 || !self.has_control_plane {
            return;
        }
        if kept {
            tracing::info!(
                code = "SESSIONS_KEPT",
                "{waiting} sessions that functions stored wait on disk for the control plane"
            );
        } else {
            tracing::warn!(
                code = "SESSIONS_LOST",
                "{waiting} sessions that functions stored did not get to the control plane"
            );
        }
    }

    /// Sends what waits, as long as the control plane takes it.
    async fn farewell(&mut self) {
        self.retry_at = None;
        while self.retry_at.is_none() {
            self.send_next();
            let Some(sent) = self.sending.join_next().await else {
                return;
            };
            self.sent(sent);
        }
    }
}

fn all_waiting(entries: &BTreeMap<KeyHash, Entry>) -> AllWaiting {
    let waiting = entries.iter().filter(|(_, entry)| entry.epoch.is_none());
    waiting
        .map(|(hmac, entry)| (*hmac, entry.waiting.clone()))
        .collect()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    millis(since.unwrap_or_default())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Waits until a moment, or for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
