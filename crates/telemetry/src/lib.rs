//! Log lines for people and machines, and values that cannot be logged.
//!
//! Every process of Gantry starts its logging here, so that all of them write the same way: to
//! standard error (standard output belongs to data), as text or as one JSON object per line. Not
//! here: what is logged, and where. Invariant: a [`Secret`] never prints its value.

mod format;
mod secret;
mod subscriber;

pub use format::{Format, FormatError};
pub use secret::Secret;
pub use subscriber::{FILTER_VARIABLES, InitError, init};
