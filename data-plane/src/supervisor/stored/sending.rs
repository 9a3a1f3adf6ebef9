//! How sessions get to the control plane: several in one message, one message at a time, and again until
//! it has answered.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use gantry_proto::v1;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::{StoredTask, now_ms};
use crate::key_index::KeyHash;
use crate::source::link::LinkError;
use crate::source::{Link, Origin};

/// Sessions in one message to the control plane, at most.
const SENT_MAX: usize = 128;
/// Bytes of sessions in one message, at most.
const SENT_BYTES_MAX: usize = 512 << 10;
/// Waits before sessions are sent again that could not be.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(250);
/// As above.
pub(super) const RETRY_LONGEST: Duration = Duration::from_secs(15);

/// What was sent, by key and number, and what came of it.
pub(super) type Sent = (
    Vec<(KeyHash, u64)>,
    Result<v1::StoreSessionsResponse, LinkError>,
);

impl StoredTask {
    /// Sends what the control plane does not have, unless something is on its way or it is too early.
    pub(super) fn send_next(&mut self) {
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

    pub(super) fn batch(&self) -> (Vec<(KeyHash, u64)>, Vec<v1::StoredSession>) {
        let (mut sent, mut sessions, mut bytes) = (Vec::new(), Vec::new(), 0);
        let now = now_ms();
        let waiting = self.entries.iter().filter(|(_, e)| e.epoch.is_none());
        for (hmac, entry) in waiting.take(SENT_MAX) {
            bytes += entry.waiting.session.len();
            if bytes > SENT_BYTES_MAX && !sent.is_empty() {
                break;
            }
            sent.push((*hmac, entry.serial));
            sessions.push(v1::StoredSession {
                hmac: hmac.to_vec(),
                session: entry.waiting.session.as_bytes().to_vec(),
                age_ms: now.saturating_sub(entry.waiting.since_ms),
            });
        }
        (sent, sessions)
    }

    pub(super) fn sent(&mut self, sent: Result<Sent, JoinError>) {
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
            self.keeper.changed(*hmac);
        }
        if self.entries.len() != before {
            self.tell();
        }
    }
}

async fn send(link: Link, sent: Vec<(KeyHash, u64)>, sessions: Vec<v1::StoredSession>) -> Sent {
    let answer = link.store_sessions(sessions).await;
    (sent, answer)
}
