//! The system calls that the standard library does not offer: the data plane's only `unsafe`.
//!
//! Each file is one mechanism behind a small safe API; policy (when to start what, what a fault means)
//! is with the callers. Only Linux is served.

pub mod clock;
pub mod counters;
pub mod in_flight;
pub mod ring;
pub mod slot;

pub mod fault;
pub mod preemption;

pub mod spawn;

pub mod cures;
pub mod descriptors;
pub mod dispositions;
pub mod mapping;
pub mod process;
pub mod scheduling;
