//! The only loader of native code: opens libraries, holds them against the plugin contract, starts
//! instances and calls them.
//!
//! ```text
//! Library::open ── start ──> Instance ── call(hook, &mut Exchange) ──> Verdict
//!                                            │  ▲                  or PendingCall ── resume ──> Verdict
//!                                     plugin ▼  │ callbacks (get, next, mutate, …) by handle
//! ```
//!
//! Not here: where libraries come from and whether they may be trusted (the supervisor and the probe),
//! when they are called and what a verdict means for a request (the worker).
//!
//! Invariants:
//! - Raw pointers do not leave this crate, and nothing a plugin passes is believed: null, misaligned,
//!   over-long and malformed arguments are refusals, a dead handle touches no memory.
//! - While plugin code runs, this crate holds no lock and no borrow of thread-local state. (The
//!   constructors of a library run inside `dlopen`, one library at a time.)
//! - A library is never unloaded: its code may be on a stack, in a thread or in a destructor list.

pub mod exchange;
pub mod logging;

pub mod descriptor;
pub mod error;

mod library;
mod table;

mod instance;

mod active;
mod handles;
mod scratch;
mod snapshot;

pub mod added;
mod target;

mod carry;
mod pending;
mod wakes;

mod callbacks;
mod foreign;
mod names;
mod proved;

pub use carry::Carries;
pub use descriptor::Descriptor;
pub use error::{CallFailure, LoadError, StartError};
pub use exchange::{Answer, ApiContext, Exchange, Serial, StoredSession, Trace};
pub use instance::{Called, Instance, Verdict};
pub use library::{Library, StartContext};
pub use logging::{LogLevel, LogOrigin, PluginLog, set_log_sink};
pub use pending::{Keeper, PendingCall, Wish};
pub use target::RequestTarget;
pub use wakes::Dispatcher;
