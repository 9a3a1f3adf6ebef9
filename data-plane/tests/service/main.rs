//! The supervisor through its public surface: real processes, real files, no control plane.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail by panicking")]

mod configuration;
mod gateway;
mod last_known_good;
