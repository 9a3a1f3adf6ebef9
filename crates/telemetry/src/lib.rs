//! Log lines for people and machines, traces, metrics, and values that cannot be logged.
//!
//! Every process of Gantry starts its telemetry here ([`init`]), so that all of them speak the same
//! way: log lines to standard error (standard output belongs to data), as text or as one JSON object
//! per line; traces to where the standard `OTEL_*` variables say, and nowhere without them. This
//! crate is the only one that names OpenTelemetry's. Not here: what is logged, traced and counted,
//! and where. Invariants: a [`Secret`] never prints its value; telemetry never fails or delays the
//! work it watches.

mod correlate;
mod export;
mod format;
pub mod metrics;
pub mod propagation;
mod queue;
pub mod rpc;
mod sampler;
mod secret;
pub mod spans;
mod subscriber;
mod variables;

pub use format::{Format, FormatError};
pub use sampler::{Sampler, SamplerError};
pub use secret::Secret;
pub use subscriber::{FILTER_VARIABLES, InitError, Process, Telemetry, init};
