//! Idle connections, by upstream, of one runtime.
//!
//! The pool is the thread's: a connection is driven by the runtime that made it, so no other could use
//! it well, and a request takes no lock. Last in, first out, so that what is not needed grows old; age
//! is counted in sweeps, so that a request reads no clock.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::time::{MissedTickBehavior, interval};

use crate::worker::body::RequestBody;

/// Time between two sweeps.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Sweeps that an idle connection survives. Upstreams commonly close after 60 s or more; whoever closes
/// first avoids the race with the next request.
const SWEEPS_SURVIVED: u64 = 6;

/// An upstream's place in the pools; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UpstreamId(usize);

impl UpstreamId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

struct Idle {
    sender: SendRequest<RequestBody>,
    /// The sweep during which it became idle.
    since: u64,
}

#[derive(Default)]
struct Pool {
    sweep: u64,
    /// By upstream. A place of an upstream that is gone stays empty: 24 bytes.
    idle: Vec<Vec<Idle>>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// An idle connection that is ready; closed ones on the way are thrown away.
pub(super) fn take(id: UpstreamId) -> Option<SendRequest<RequestBody>> {
    POOL.with_borrow_mut(|pool| {
        let idle = pool.idle.get_mut(id.0)?;
        while let Some(last) = idle.pop_if(|idle| idle.sender.is_ready() || idle.sender.is_closed())
        {
            if !last.sender.is_closed() {
                return Some(last.sender);
            }
        }
        // The last one is still finishing its request's body: an older one may do.
        let ready = idle.iter().rposition(|idle| idle.sender.is_ready())?;
        Some(idle.remove(ready).sender)
    })
}

/// Keeps a connection, unless there are enough.
pub(super) fn put(id: UpstreamId, sender: SendRequest<RequestBody>, idle_max: usize) {
    if sender.is_closed() {
        return;
    }
    POOL.with_borrow_mut(|pool| {
        if pool.idle.len() <= id.0 {
            pool.idle.resize_with(id.0 + 1, Vec::new);
        }
        let since = pool.sweep;
        let idle = &mut pool.idle[id.0];
        if idle.len() < idle_max {
            idle.push(Idle { sender, since });
        }
    });
}

/// Throws away connections of this runtime that have been idle for long, for as long as it is polled.
pub async fn sweep() {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        POOL.with_borrow_mut(Pool::sweep);
    }
}

impl Pool {
    fn sweep(&mut self) {
        self.sweep += 1;
        for idle in &mut self.idle {
            idle.retain(|idle| {
                !idle.sender.is_closed() && self.sweep - idle.since <= SWEEPS_SURVIVED
            });
            if idle.is_empty() {
                *idle = Vec::new();
            }
        }
    }
}
