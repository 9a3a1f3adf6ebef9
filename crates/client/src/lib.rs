//! The client of the control plane, for the command line and for gateways.
//!
//! A [`Client`] knows where the control plane is, how it is trusted and who is asking. Generated
//! services are reached through it ([`Client::deploy`], [`Client::sync`], …); [`Client::call`] adds
//! what every unary call wants: a deadline, and repetition where that is safe. [`upload`] brings a
//! bundle in, [`download`] brings one back, from wherever an earlier attempt stopped. Whatever goes
//! wrong is a [`ClientError`] that says what the caller can do.
//!
//! Invariants: a token never travels in plain text to another machine unless that was asked for in so
//! many words, and never shows in `Debug` output; nothing is repeated that could happen twice; every
//! wait is bounded.
//!
//! Not here: what the messages mean, and what is printed.

pub mod download;
pub mod upload;

mod backoff;
mod client;
mod error;
mod options;
mod stall;
mod traced;

pub use backoff::Backoff;
pub use client::{Client, Repeat, Service};
pub use error::{ClientError, Kind, Violation};
pub use options::{AccessToken, ClientOptions, ConnectError};

#[cfg(test)]
mod tests;
