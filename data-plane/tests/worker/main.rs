//! Workers and probes as real processes: the gateway's own binary, real libraries, real sockets.
#![expect(clippy::unwrap_used, reason = "a test may stop where it fails")]

mod callgrind;
mod library;
mod orders;
mod upstream;
mod wire;
mod worker;

mod accounts;
mod bodies;
mod drain;
mod endpoints;
mod faults;
mod generations;
mod guards;
mod hooks;
mod http;
mod pending;
mod probe;
mod threads;
mod tls;
mod traps;
