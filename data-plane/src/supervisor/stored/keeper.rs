//! When what waits for the control plane is written to disk: what still waits a moment after it came, many
//! at once, and one write after the other. Most sessions are with the control plane before and never get
//! to the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::journal::{Change, Journal, Waiting};
use crate::key_index::KeyHash;

/// How long a session may wait before it is written.
const WRITE_AFTER: Duration = Duration::from_millis(100);
/// How long nothing is written after a write that failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// All sessions that wait.
pub(super) type AllWaiting = Vec<(KeyHash, Waiting)>;

/// The journal, and what it does not say yet.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Away while it is written, and where nothing is kept.
    journal: Option<Journal>,
    writing: JoinSet<(Journal, io::Result<()>)>,
    /// Keys of which something is new, while there is a journal.
    changed: BTreeSet<KeyHash>,
    /// Those of them that are being written.
    in_hand: BTreeSet<KeyHash>,
    due: Option<Instant>,
    failed: bool,
}

impl Keeper {
    /// Opens the journal, and gives what waited when it was last written.
    pub(super) async fn open(&mut self, path: PathBuf) -> BTreeMap<KeyHash, Waiting> {
        let shown = path.display().to_string();
        let opened = spawn_blocking(move || Journal::open(&path)).await;
        let opened = opened.map_err(io::Error::other).and_then(|opened| opened);
        let (journal, waiting, damage) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                tracing::error!(
                    code = "SESSIONS_NOT_ON_DISK",
                    "sessions that functions store are kept in memory only: read {shown}: {e}"
                );
                return BTreeMap::new();
            }
        };
        if let Some(damage) = damage {
            let read = waiting.len();
            tracing::warn!(
                code = "SESSIONS_DAMAGED",
                "{shown} is damaged ({damage}): {read} sessions before that were read"
            );
        }
        self.journal = Some(journal);
        waiting
    }

    /// Whether anything is kept.
    pub(super) fn keeps(&self) -> bool {
        self.journal.is_some() || !self.writing.is_empty()
    }

    /// Something is new of this key's session.
    pub(super) fn changed(&mut self, hmac: KeyHash) {
        if self.keeps() {
            self.changed.insert(hmac);
            let due = || Instant::now() + WRITE_AFTER;
            self.due.get_or_insert_with(due);
        }
    }

    /// Begins to write, if it is time.
    pub(super) fn write(&mut self, all: impl FnOnce() -> AllWaiting) {
        if self.due.is_some_and(|due| due <= Instant::now()) && self.writing.is_empty() {
            self.begin(all);
        }
    }

    fn begin(&mut self, all: impl FnOnce() -> AllWaiting) {
        let Some(mut journal) = self.journal.take() else {
            return;
        };
        self.due = None;
        self.in_hand = std::mem::take(&mut self.changed);
        let all = all();
        let waiting: BTreeMap<_, _> = all.iter().map(|(hmac, waiting)| (hmac, waiting)).collect();
        let changes: Vec<Change> = self
            .in_hand
            .iter()
            .map(|hmac| (*hmac, waiting.get(hmac).map(|waiting| (*waiting).clone())))
            .collect();
        self.writing.spawn_blocking(move || {
            let written = journal.write(&changes, &all);
            (journal, written)
        });
    }

    /// Waits until it is time to write, or until something has been written.
    pub(super) async fn turn(&mut self) {
        if let Some(written) = self.writing.join_next().await {
            self.written(written);
        } else if let Some(due) = self.due {
            sleep_until(due).await;
        } else {
            pending::<()>().await;
        }
    }

    fn written(&mut self, written: Result<(Journal, io::Result<()>), JoinError>) {
        let Ok((journal, written)) = written else {
            // A write that panicked is our own fault, and takes the journal with it.
            tracing::error!(
                code = "SESSIONS_NOT_ON_DISK",
                "sessions that functions store are kept in memory only from now on"
            );
            return;
        };
        self.journal = Some(journal);
        let in_hand = std::mem::take(&mut self.in_hand);
        match written {
            Ok(()) => self.failed = false,
            Err(e) => {
                self.changed.extend(in_hand);
                self.due = Some(Instant::now() + RETRY_AFTER);
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::error!(
                        code = "SESSIONS_NOT_ON_DISK",
                        "write sessions that functions stored: {e}; it is tried again"
                    );
                }
            }
        }
    }

    /// Writes what is new without waiting for its time. `false` if not all that waits is on disk then.
    pub(super) async fn finish(&mut self, all: impl FnOnce() -> AllWaiting) -> bool {
        while let Some(written) = self.writing.join_next().await {
            self.written(written);
        }
        if !self.changed.is_empty() {
            self.begin(all);
            while let Some(written) = self.writing.join_next().await {
                self.written(written);
            }
        }
        self.keeps() && self.changed.is_empty()
    }
}
