//! The supervisor through its public surface: real processes, real files, no control plane but
//! one whose every word is in the test's hands.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking"
)]

mod configuration;
mod control;
mod gateway;
mod last_known_good;
mod libraries;
mod sync;
mod telemetry;
