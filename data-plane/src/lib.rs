//! The data plane: one binary in three roles. The supervisor talks to the control plane, keeps the
//! library store and the listening sockets, and starts the others; workers serve requests and load
//! native code; the probe tries native code before any worker sees it.
//!
//! Invariant: only workers and the probe load plugins, and only the supervisor holds credentials.

pub mod config;
pub mod source;
pub mod supervisor;

pub mod frames;
pub mod key_index;
pub mod protocol;
pub mod record;
pub mod trust;

pub mod probe;
pub mod worker;

pub mod sys;
