//! The task that keeps a conversation with the control plane going: begins it, and begins it again
//! whenever it ends, less and less often, saying once per outage why.
//!
//! Invariant: whatever ends a conversation, what it yielded stays.

use std::sync::Arc;
use std::time::Duration;

use gantry_client::Backoff;
use gantry_proto::v1;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::error::SessionError;
use super::link::Link;
use super::session::Session;
use super::{SourceState, Trouble};
use crate::config::Token;
use crate::supervisor::state::StateDir;

/// Waits between attempts.
const RECONNECT_FIRST: Duration = Duration::from_millis(250);
/// As above.
const RECONNECT_LONGEST: Duration = Duration::from_secs(15);
/// Wait after a refusal that will not change by itself.
const REFUSED_WAIT: Duration = Duration::from_secs(15);

/// The task's parts.
pub struct Sync {
    /// The way to the control plane.
    pub link: Link,
    /// What the token is, for remembering whom it works for.
    pub token: Token,
    /// Who this gateway is.
    pub profile: v1::GatewayProfile,
    /// Where state is kept.
    pub state: Arc<StateDir>,
    /// What is yielded. What is in it at the start is what the gateway has.
    pub output: watch::Sender<SourceState>,
    /// What is reported.
    pub reports: watch::Receiver<v1::GatewayReport>,
}

impl Sync {
    /// Runs until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_LONGEST);
        let mut session = Session::new(self);
        let mut said = None;
        loop {
            let ended = tokio::select! {
                ended = session.run() => ended,
                () = stop.cancelled() => return,
            };
            if session.was_welcomed() {
                backoff.reset();
                said = None;
            }
            let wait = if ended.is_lasting() {
                REFUSED_WAIT
            } else {
                backoff.next_wait()
            };
            lost(&session.task.output, &ended, &mut said, wait);
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Says once per outage what happened; an absence is nothing that a gateway cannot bear.
fn lost(
    output: &watch::Sender<SourceState>,
    ended: &SessionError,
    said: &mut Option<&'static str>,
    wait: Duration,
) {
    let code = ended.code();
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    if *said == Some(code) {
        tracing::debug!(code, wait_ms, "still without the control plane: {ended}");
    } else if ended.is_absence() {
        tracing::warn!(
            code,
            wait_ms,
            "without the control plane, going on with what is here: {ended}"
        );
    } else {
        tracing::error!(
            code,
            wait_ms,
            "not accepted by the control plane, going on with what is here: {ended}"
        );
    }
    *said = Some(code);
    let trouble = Trouble {
        code,
        message: ended.to_string(),
    };
    output.send_modify(|state| {
        state.origin = None;
        state.trouble = Some(trouble);
    });
}
