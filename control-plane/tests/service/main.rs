//! The control plane through its public surface: real gRPC over a real socket, a real SQLite file, a
//! real object directory. One file per behaviour; one binary, so that it is linked once.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be prepared fails where it cannot"
)]

mod support;

mod apis;
mod catalog;
mod deploy;
mod housekeeping;
mod http;
mod keys;
mod openapi;
mod publish;
mod rights;
mod serve;
mod sessions;
mod sync;
mod tokens;
