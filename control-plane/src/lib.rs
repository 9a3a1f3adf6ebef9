//! The control plane of Gantry: takes bundles in, keeps what environments run, tells gateways.
//!
//! Read it in this order. [`app`] wires everything. [`grpc`] lets callers in and translates; the
//! HTTP door beside it takes bundles from those who have `curl`.
//! [`publish`] takes a bundle from its first byte to its release. [`deploy`] decides what an
//! environment says; [`sync`] tells each gateway what it lacks of that. [`blob`] and [`metadata`] keep
//! bytes and rows. Invariants: the tenant comes from the token and is the first part of every key;
//! bytes come first, the commit object next, the row last; nothing that was published changes.

pub mod app;
pub mod config;

pub mod grpc;
mod http;

pub mod admin;
pub mod bundles;
pub mod deploy;
pub mod housekeeping;
pub mod keys;
pub mod publish;
pub mod sync;

pub mod access_token;
pub mod catalog;
pub mod links;
pub mod principal;
pub mod refusal;
pub mod signals;

pub mod blob;
pub mod metadata;

pub mod metrics;

mod incoming;
mod random;
