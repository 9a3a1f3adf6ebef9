//! The worker role: serves requests and runs plugins. It holds no credentials, opens no listening
//! socket and takes orders from its supervisor alone.
//!
//! One thread runs one runtime, which serves all requests; a second one (the loader) opens libraries
//! and starts instances; a pool runs functions that may block. What requests need is an immutable
//! table, swapped as a whole; a request takes no lock unless the pool is needed.

pub mod control;

pub mod account;
pub mod chain;
pub mod connection;
pub mod records;
pub mod run;
pub mod server;

pub mod headers;
pub mod inbound;
pub mod keys;
pub mod path;
pub mod respond;
pub mod router;
pub mod trace;

pub mod body;
pub mod upstream;
pub mod whole;

pub mod api;
pub mod blocking;
pub mod context;
pub mod endpoints;
pub mod generation;
pub mod library;
pub mod loader;
pub mod pending;
pub mod reports;
pub mod seldom;
pub mod sessions;
pub mod signals;
pub mod threads;

use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use anyhow::Context as _;

use crate::protocol::{CONTROL_FD, LISTENER_FD, SHARED_FD};
use crate::sys::descriptors::take_inherited;
use crate::sys::slot::SlotMemory;
use crate::sys::{dispositions, fault};

/// Threads for name resolution.
const RESOLVER_THREADS: usize = 4;

/// Runs the role, to its end. To be called before anything else of the process opens descriptors.
///
/// # Errors
/// The supervisor left no sockets, or sent nonsense.
pub fn run() -> anyhow::Result<()> {
    let control = UnixStream::from(take_inherited(CONTROL_FD)?);
    let listener = TcpListener::from(take_inherited(LISTENER_FD)?);
    let memory = SlotMemory::open(take_inherited(SHARED_FD)?).context("open slot memory")?;
    // Requests, threads and the fault handler use it until the very end.
    let memory: &'static SlotMemory = Box::leak(Box::new(memory));
    memory.begin(std::process::id());
    dispositions::ignore_termination();
    fault::install(Some(memory)).context("install fault handler")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVER_THREADS)
        .build()
        .context("start runtime")?;
    let result = runtime.block_on(control::serve(control, listener, memory));
    // Threads in plugin code may never end; the process ends without them.
    runtime.shutdown_background();
    Ok(result?)
}
