//! Functions that answer later: what an `async fn` gets, and how its calls are kept and ended.
//!
//! The gateway's thread copies what the function may read, hands the future to the executor and goes on
//! with other requests. When the future is done, its changes go to the gateway in one piece.
//!
//! Invariant: each call that pended is ended exactly once, by the value [`pending::Running`] that owns its
//! future; the future is gone before the call ends, so that `stop` finds none.

mod call;
mod copy;
mod entry;
mod executor;
mod pending;
mod timer;

#[cfg(test)]
mod tests;

pub use call::{AsyncCall, Cancellation};
pub use timer::{Sleep, sleep, timeout};

pub(crate) use entry::{Later, event};

/// For the host in memory.
#[cfg(feature = "testing")]
pub(crate) mod for_testing {
    pub(crate) use super::copy::{Copy, Documents};
    pub(crate) use super::pending::{Conclusion, Shared};
}
