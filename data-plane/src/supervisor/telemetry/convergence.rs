//! How long the newest revision has been here without being in effect in all workers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::source::{Snapshot, SourceState};
use crate::supervisor::progress::Progress;

/// Since when the newest revision is waited for.
#[derive(Debug, Clone, Default)]
pub struct Convergence(Arc<Mutex<Option<Instant>>>);

impl Convergence {
    /// The time since the newest revision came; nothing once it is in effect.
    pub fn lag(&self) -> Duration {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Watches until told to stop.
    pub async fn run(
        self,
        mut source: watch::Receiver<SourceState>,
        mut progress: watch::Receiver<Progress>,
        stop: CancellationToken,
    ) {
        let mut newest: Option<Arc<Snapshot>> = None;
        loop {
            let snapshot = source.borrow_and_update().snapshot.clone();
            if let Some(snapshot) = snapshot
                && newest
                    .as_ref()
                    .is_none_or(|newest| !Arc::ptr_eq(newest, &snapshot))
            {
                newest = Some(snapshot);
                self.set(Some(Instant::now()));
            }
            let in_effect = progress.borrow_and_update().in_effect.clone();
            if let (Some(newest), Some(effective)) = (&newest, in_effect)
                && newest.revision.number == effective.revision
            {
                self.set(None);
            }
            tokio::select! {
                changed = source.changed() => if changed.is_err() { return },
                changed = progress.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }
}
