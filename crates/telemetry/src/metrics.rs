//! Metrics: the library that holds them, their text for Prometheus, and the figures of the process.
//!
//! Every process of Gantry that has a metrics endpoint uses these, so that all of them answer alike.
//! What cannot be counted where it happens (shared memory, a pool's state) is read when somebody
//! looks, by a [`Collector`](prometheus_client::collector::Collector). Not here: which metrics there
//! are, and the endpoint.

mod process;

use std::fmt;

pub use prometheus_client;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;

pub use process::ProcessCollector;

/// The content type of [`encode`]'s text.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Bounds of buckets for the durations of calls, in seconds: from a millisecond to a minute.
pub const CALL_SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// Everything in the registry as Prometheus text, format 0.0.4.
///
/// # Errors
/// A collector failed.
pub fn encode(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    prometheus_text::encode(&mut text, registry)?;
    Ok(text)
}
