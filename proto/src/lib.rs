//! The wire: generated messages and services of `gantry.v1`, their descriptors, and the conversions
//! between messages and the domain's words, which live nowhere else.

/// Messages, clients and servers of `gantry.v1`.
pub mod v1 {
    #![allow(
        missing_docs,
        clippy::pedantic,
        reason = "generated; the .proto files hold the documentation"
    )]
    tonic::include_proto!("gantry.v1");
}

pub mod convert;
pub mod descriptors;

/// Bytes of one message on the wire, at most (the bound of both sides; payload chunks are smaller).
pub const MESSAGE_BYTES_MAX: usize = (1 << 20) + (64 << 10);
