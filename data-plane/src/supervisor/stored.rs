//! Sessions that functions stored under their consumer keys, on their way from the worker that stored
//! them to every other worker and to the control plane.
//!
//! Each is told to all workers at once and kept until the index of keys holds it: the control plane keeps
//! it, says at which epoch the key stream has it, and once that epoch is here the session is forgotten.
//! Without a control plane it is kept for as long as the process lives.
//!
//! Invariants: of two sessions of one key the later counts; nothing waits for the control plane but the
//! sessions themselves, and of those at most [`STORED_MAX`]; what finds no room is dropped and counted.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use gantry_client::Backoff;
use gantry_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::pool::Desired;
use crate::key_index::KeyHash;
use crate::source::link::LinkError;
use crate::source::{Link, Origin, SourceState};
use crate::worker::keys::STORED_MAX;

/// Sessions on their way from the slots to the task, at most.
const QUEUE_MAX: usize = 1024;
/// Sessions in one message to the control plane, at most.
const SENT_MAX: usize = 128;
/// Bytes of sessions in one message, at most.
const SENT_BYTES_MAX: usize = 512 << 10;
/// Waits before sessions are sent again that could not be.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// As above.
const RETRY_LONGEST: Duration = Duration::from_secs(15);
/// Time for the last sessions when the gateway ends.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

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
    /// The slots' end and the task.
    pub fn new(
        source: watch::Receiver<SourceState>,
        desired: watch::Sender<Desired>,
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
    session: Arc<str>,
    /// The epoch from which on the key stream has it, once the control plane keeps it.
    epoch: Option<u64>,
}

/// What was sent, by key and number, and what came of it.
type Sent = (
    Vec<(KeyHash, u64)>,
    Result<v1::StoreSessionsResponse, LinkError>,
);

/// The task. Owns all that is kept.
#[derive(Debug)]
pub struct StoredTask {
    arrivals: mpsc::Receiver<(KeyHash, String)>,
    source: watch::Receiver<SourceState>,
    desired: watch::Sender<Desired>,
    keys: watch::Receiver<Desired>,
    counts: Arc<StoredCounts>,
    entries: BTreeMap<KeyHash, Entry>,
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
            self.send_next();
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
                () = stop.cancelled() => break,
            }
            self.forget();
        }
        if timeout(FAREWELL_MAX, self.farewell(arrived)).await.is_err() {
            let waiting = self.waiting();
            tracing::warn!(
                code = "SESSIONS_LOST",
                "{waiting} sessions that functions stored did not get to the control plane"
            );
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
            self.serial += 1;
            let entry = Entry {
                serial: self.serial,
                session: session.into(),
                epoch: None,
            };
            self.entries.insert(hmac, entry);
        }
        self.tell();
    }

    fn tell(&self) {
        let view = self.entries.iter();
        let view = view.map(|(hmac, entry)| (*hmac, (entry.serial, entry.session.clone())));
        let view: Arc<StoredView> = Arc::new(view.collect());
        self.desired.send_modify(|desired| desired.stored = view);
    }

    /// Sends what the control plane does not have, unless something is on its way or it is too early.
    fn send_next(&mut self) {
        if !self.sending.is_empty() || self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let Some(Origin::ControlPlane(link)) = self.source.borrow().origin.clone() else {
            return;
        };
        let (sent, sessions) = self.batch();
        if !sent.is_empty() {
            self.sending.spawn(send(link, sent, sessions));
        }
    }

    fn batch(&self) -> (Vec<(KeyHash, u64)>, Vec<v1::StoredSession>) {
        let (mut sent, mut sessions, mut bytes) = (Vec::new(), Vec::new(), 0);
        let waiting = self.entries.iter().filter(|(_, e)| e.epoch.is_none());
        for (hmac, entry) in waiting.take(SENT_MAX) {
            bytes += entry.session.len();
            if bytes > SENT_BYTES_MAX && !sent.is_empty() {
                break;
            }
            sent.push((*hmac, entry.serial));
            sessions.push(v1::StoredSession {
                hmac: hmac.to_vec(),
                session: entry.session.as_bytes().to_vec(),
            });
        }
        (sent, sessions)
    }

    fn sent(&mut self, sent: Result<Sent, JoinError>) {
        let Ok((sent, answer)) = sent else {
            return;
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(e) => {
                let wait = self.backoff.next_wait();
                tracing::debug!(code = "SESSIONS_WAIT", "store sessions: {e}");
                self.retry_at = Some(Instant::now() + wait);
                return;
            }
        };
        self.backoff.reset();
        let mut refused: BTreeMap<usize, &v1::RefusedSession> = BTreeMap::new();
        for refusal in &answer.refused {
            refused.insert(refusal.index as usize, refusal);
        }
        let before = self.entries.len();
        for (place, (hmac, serial)) in sent.iter().enumerate() {
            // Another session of this key may have come since.
            let entry = self.entries.get_mut(hmac);
            let Some(entry) = entry.filter(|entry| entry.serial == *serial) else {
                continue;
            };
            if let Some(refusal) = refused.get(&place) {
                tracing::warn!(
                    code = "SESSION_REFUSED",
                    "the control plane does not keep a session that a function stored: {} ({})",
                    refusal.message,
                    refusal.code
                );
                self.counts.dropped.fetch_add(1, Relaxed);
                self.entries.remove(hmac);
            } else {
                entry.epoch = Some(answer.keys_epoch);
            }
        }
        if self.entries.len() != before {
            self.tell();
        }
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

    /// Sends all that the workers still said, as long as the control plane takes it.
    async fn farewell(&mut self, mut arrived: Vec<(KeyHash, String)>) {
        self.arrivals.close();
        while self.arrivals.recv_many(&mut arrived, QUEUE_MAX).await > 0 {}
        if !arrived.is_empty() {
            self.take(&mut arrived);
        }
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

async fn send(link: Link, sent: Vec<(KeyHash, u64)>, sessions: Vec<v1::StoredSession>) -> Sent {
    let answer = link.store_sessions(sessions).await;
    (sent, answer)
}

/// Waits until a moment, or for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::source::KeyIndex;

    fn session(view: &StoredView, hmac: u8) -> Option<&str> {
        view.get(&[hmac; 32]).map(|(_, session)| &**session)
    }

    fn task() -> (watch::Receiver<Desired>, StoredSessions, StoredTask) {
        let (_, source) = watch::channel(SourceState::default());
        let (desired, told) = watch::channel(Desired::default());
        let (stored, task) = StoredSessions::new(source, desired);
        (told, stored, task)
    }

    #[tokio::test]
    async fn sessions_are_told_the_later_one_counts_and_they_stay_without_a_control_plane() {
        let (mut told, stored, task) = task();
        let stop = CancellationToken::new();
        let running = tokio::spawn(task.run(stop.clone()));
        stored.offer([1; 32], "{}".into());
        stored.offer([1; 32], r#"{"a":1}"#.into());
        stored.offer([2; 32], "{}".into());
        let all = |desired: &Desired| {
            let view = &desired.stored;
            session(view, 1) == Some(r#"{"a":1}"#) && session(view, 2) == Some("{}")
        };
        let waited = timeout(Duration::from_secs(10), told.wait_for(all)).await;
        assert!(waited.unwrap().is_ok());
        stop.cancel();
        running.await.unwrap();
        assert!(all(&told.borrow()));
        assert_eq!(stored.counts().dropped.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn session_is_forgotten_when_the_index_of_its_epoch_is_here() {
        let (told, _stored, mut task) = task();
        task.take(&mut vec![([1; 32], "{}".into()), ([2; 32], "{}".into())]);
        let (sent, _) = task.batch();
        // The second key's session is another one by the time of the answer.
        task.take(&mut vec![([2; 32], r#"{"a":1}"#.into())]);
        let answer = v1::StoreSessionsResponse {
            keys_epoch: 5,
            refused: Vec::new(),
        };
        task.sent(Ok((sent, Ok(answer))));
        let at_epoch = |epoch| {
            let path = PathBuf::new();
            let keys = Some(KeyIndex { path, epoch });
            move |desired: &mut Desired| desired.keys = keys
        };
        task.desired.send_modify(at_epoch(4));
        task.forget();
        assert_eq!(session(&told.borrow().stored, 1), Some("{}"));
        task.desired.send_modify(at_epoch(5));
        task.forget();
        assert_eq!(session(&told.borrow().stored, 1), None);
        assert_eq!(session(&told.borrow().stored, 2), Some(r#"{"a":1}"#));
        assert_eq!(task.waiting(), 1);
    }

    #[tokio::test]
    async fn refused_sessions_go_and_those_that_find_no_room_are_dropped() {
        let (told, stored, mut task) = task();
        task.take(&mut vec![([1; 32], "{}".into())]);
        let (sent, _) = task.batch();
        let answer = v1::StoreSessionsResponse {
            keys_epoch: 5,
            refused: vec![v1::RefusedSession {
                index: 0,
                code: "KEYS_TOO_MANY".into(),
                message: String::new(),
            }],
        };
        task.sent(Ok((sent, Ok(answer))));
        assert!(told.borrow().stored.is_empty());
        let hmac = |n: usize| {
            let mut hmac = [0; 32];
            hmac[..8].copy_from_slice(&n.to_le_bytes());
            hmac
        };
        let mut many = (0..=STORED_MAX)
            .map(|n| (hmac(n), "{}".to_owned()))
            .collect();
        task.take(&mut many);
        assert_eq!(told.borrow().stored.len(), STORED_MAX);
        assert_eq!(stored.counts().dropped.load(Relaxed), 2);
        // A key that is here already still gets its session.
        task.take(&mut vec![(hmac(0), r#"{"a":1}"#.into())]);
        assert_eq!(stored.counts().dropped.load(Relaxed), 2);
    }
}
