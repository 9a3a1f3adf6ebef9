//! Buffers of a call, kept by the thread so that a call allocates none.

use std::cell::RefCell;

use gantry_abi::limits;

/// Bytes of a snapshot's buffer that a thread keeps.
const KEPT_SNAPSHOT_BYTES_MAX: usize = 64 << 10;

/// The buffers of one call; they go back to the thread when it ends.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The latest snapshot.
    pub(crate) snapshot: Vec<u8>,
    /// Where the plugin writes flat mutations: [`limits::OUT_BYTES`] long.
    pub(crate) out: Vec<u8>,
}

thread_local! {
    static KEPT: RefCell<Vec<Scratch>> = const { RefCell::new(Vec::new()) };
}

impl Scratch {
    pub(crate) fn take() -> Self {
        let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
        let mut scratch = kept.unwrap_or_default();
        scratch.out.resize(limits::OUT_BYTES, 0);
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut buffers = (
            std::mem::take(&mut self.snapshot),
            std::mem::take(&mut self.out),
        );
        buffers.0.clear();
        if buffers.0.capacity() > KEPT_SNAPSHOT_BYTES_MAX {
            buffers.0 = Vec::new();
        }
        if buffers.1.capacity() == 0 {
            return;
        }
        // While the thread ends there is nothing to keep them for.
        let _ = KEPT.try_with(|kept| {
            if let Ok(mut kept) = kept.try_borrow_mut()
                && kept.is_empty()
            {
                kept.push(Scratch {
                    snapshot: buffers.0,
                    out: buffers.1,
                });
            }
        });
    }
}
