//! Buffers of a call, kept by the thread so that a call allocates none.

use std::cell::Cell;

use gantry_abi::limits;

/// Bytes of a snapshot's buffer that a thread keeps.
const KEPT_SNAPSHOT_BYTES_MAX: usize = 64 << 10;

/// The buffers of one call.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// The latest snapshot, and behind it whatever is left of earlier ones.
    pub(crate) snapshot: Vec<u8>,
    /// Where the plugin writes flat mutations: [`limits::OUT_BYTES`] long.
    pub(crate) out: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            snapshot: Vec::new(),
            out: vec![0; limits::OUT_BYTES],
        }
    }
}

thread_local! {
    static KEPT: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Runs with the thread's buffers, or with new ones where it has none: in its first call, in a call
/// within a call, and while it ends.
pub(crate) fn with<T>(run: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = KEPT.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = run(&mut scratch);
    if scratch.snapshot.capacity() > KEPT_SNAPSHOT_BYTES_MAX {
        scratch.snapshot = Vec::new();
    }
    // While the thread ends there is nothing to keep them for.
    let _ = KEPT.try_with(|kept| kept.set(Some(scratch)));
    result
}
