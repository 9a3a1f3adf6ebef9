//! Bundles as bytes: what may come in, and what it is.
//!
//! [`hash`] counts and hashes while bytes pass. [`mod@inspect`] decides from a library's bytes alone
//! whether a gateway could load it, and for which target. [`source`] reads a bundle from a folder or a
//! zip archive under [`Limits`](gantry_domain::Limits), and [`mod@pack`] writes the archive.
//!
//! Invariants: nothing here runs or maps a library; no input, however hostile, panics or takes more
//! memory or disk than the limits say; a refusal names the file and what was expected.
//!
//! Not here: what a manifest means (the domain), where bytes are kept (the planes), signatures.

pub mod hash;
pub mod inspect;

#[cfg(test)]
mod fixture;

mod archive;
pub mod pack;
pub mod source;

pub use hash::{Hashed, HashingReader, StreamHasher, TooLong};
pub use inspect::{InspectError, Inspection, InspectionWarning, Refusal, inspect, inspect_reader};
pub use pack::pack;
pub use source::{BundleError, BundleFile, BundleSource};
