//! The control plane through its public surface: real gRPC over a real socket, a real SQLite file, a
//! real object directory. One file per behaviour; one binary, so that it is linked once.

mod support;

mod apis;
mod deploy;
mod keys;
mod publish;
mod rights;
mod serve;
mod sync;
mod tokens;
