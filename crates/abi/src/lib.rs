//! The plugin contract between a gateway and native libraries: C types, numbers, layout, and the
//! rules that need nothing but bytes.
//!
//! The contract is a C ABI. What an author of a C plugin reads is `sdk/c/include/gantry_plugin.h`;
//! this crate is the same contract in Rust, for the host (`gantry-plugin-host`) and for the Rust SDK
//! (`gantry-plugin`). `tests/header.rs` compiles the header against the tables in [`layout`] and
//! [`constants`], so the two cannot drift.
//!
//! Not here: loading, handles, anything that follows a pointer. This crate has no dependency, no
//! `unsafe` and no allocation.
//!
//! Invariants, for ever within one major version: every struct begins with its size and grows only at
//! its end; a number, once given, keeps its meaning; a reserved number is answered with
//! [`Fault::Unsupported`], an unknown one with [`Fault::Unknown`].

#![no_std]

pub mod constants;
pub mod types;

pub mod layout;

pub mod limits;
pub mod rules;

pub mod flat;
pub mod mutation;

mod fault;
pub mod note;

pub use constants::{event, flag, hook, level, op, part, verdict};
pub use fault::Fault;
pub use mutation::{Mutation, Side};
pub use types::{Call, Frame, Function, Host, Plugin, Start, Str};

/// Major version of the contract. It is 0 while the contract may still change; a host loads only
/// libraries of its own major version.
pub const ABI_MAJOR: u32 = 0;

/// Minor version of the contract. A host loads libraries of its own or a lower minor version: a
/// higher one may rely on what this host does not have.
pub const ABI_MINOR: u32 = 3;

/// The one symbol that a library exports: a function without arguments that returns its
/// [`Plugin`] table, the same one each time.
pub const SYMBOL: &str = "gantry_plugin_v0";
