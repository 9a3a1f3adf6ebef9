//! The control plane.
pub mod access_token;
pub mod admin;
pub mod blob;
pub mod catalog;
pub mod deploy;
pub mod keys;
pub mod links;
pub mod metadata;
pub mod principal;
pub mod publish;
pub mod refusal;
pub mod signals;
pub mod sync;
mod random;
