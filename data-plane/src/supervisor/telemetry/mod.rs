//! What workers wrote down becomes what operators read: access lines, metrics, spans. Workers export
//! nothing; the supervisor drains their rings on a thread of its own, so that a slow reader of the
//! access log holds up nothing but the access log.
//!
//! Invariant: everything that stands in shared memory is a claim of a process that runs native code.
//! Numbers are looked up, never used as an index; what means nothing is counted and skipped.

pub mod directory;
pub mod drain;

pub mod access_log;
pub mod line;
pub mod spans;

pub mod convergence;
mod exposition;
pub mod metrics;

use std::sync::Arc;

use gantry_telemetry::Sampler;

pub use directory::Directory;
pub use drain::Telemetry;
pub use metrics::Metrics;

use super::stored::StoredSessions;

/// What slots need so that their workers' words have a meaning.
#[derive(Debug, Clone)]
pub struct SlotTelemetry {
    /// What numbers mean; slots enter what they tell their workers.
    pub directory: Arc<Directory>,
    /// Which requests are traced; without one the gateway takes no part in traces.
    pub sampler: Option<Sampler>,
    /// Where sessions go that functions stored.
    pub stored: StoredSessions,
}
