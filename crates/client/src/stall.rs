//! When a transfer that gets no further is given up: not after so many attempts, but after so long
//! without a step, since what is awaited is a control plane that is being replaced.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::error::ClientError;

/// The longest first pause after a failure; it doubles from there.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long there has been nothing but failures.
pub(crate) struct Stall {
    since: Instant,
    patience: Duration,
    backoff: Backoff,
}

impl Stall {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            since: Instant::now(),
            patience,
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_MAX),
        }
    }

    /// Something got further.
    pub(crate) fn over(&mut self) {
        self.since = Instant::now();
        self.backoff.reset();
    }

    /// Waits before the next attempt, or gives the error back when patience is at its end.
    pub(crate) async fn wait(&mut self, error: ClientError) -> Result<(), ClientError> {
        if self.since.elapsed() >= self.patience {
            return Err(error);
        }
        let wait = error
            .retry_after
            .unwrap_or_else(|| self.backoff.next_wait());
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
