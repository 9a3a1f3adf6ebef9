//! Handles of calls in progress: numbers that plugins hold instead of pointers.
//!
//! A handle names the shard of its thread and the number of the call on it; no two calls ever have the
//! same. A thread runs one call at a time (one within another at most, should a callback ever call
//! plugin code), so it keeps no table: a handle is alive if it is that of the thread's innermost call.
//! A handle that outlived its call, was made up, or came to another thread is none, and no memory is
//! touched to find that out. Shards outlive their threads and are taken over by new ones, which number
//! on.
#![expect(
    unsafe_code,
    reason = "the innermost call stands on this thread's stack"
)]

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Mutex;

use gantry_abi::Fault;

use crate::active::ActiveCall;

const SHARD_BITS: u32 = 12;
const CALL_BITS: u32 = 64 - SHARD_BITS;
/// Threads that may call plugins at once. The first shard is number 0. The top bit stays free: with it
/// begin the handles of calls that may pend (`pending`).
const SHARDS_MAX: u64 = 1 << (SHARD_BITS - 1);
/// Calls of one shard, over all its threads. The first is number 1.
const CALLS_MAX: u64 = (1 << CALL_BITS) - 1;

/// The innermost call of a thread.
#[derive(Clone, Copy)]
struct Current {
    /// 0, which is no handle, while there is none.
    handle: gantry_abi::Call,
    /// Absent while a callback works on it.
    active: Option<NonNull<ActiveCall<'static>>>,
}

const NOBODY: Current = Current {
    handle: 0,
    active: None,
};

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(NOBODY) };
    /// The handle that was given out last; 0 while the thread has no shard.
    static LATEST: Cell<gantry_abi::Call> = const { Cell::new(0) };
    static LEASE: Cell<Option<Lease>> = const { Cell::new(None) };
}

/// The latest handles of shards whose threads have ended, and the number of shards ever made.
static POOL: Mutex<(Vec<gantry_abi::Call>, u64)> = Mutex::new((Vec::new(), 0));

/// A thread's hold on its shard, which goes back to the pool with the thread. A shard without numbers
/// left is not used again.
struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        let latest = LATEST.replace(0);
        if has_more(latest)
            && let Ok(mut pool) = POOL.lock()
        {
            pool.0.push(latest);
        }
    }
}

/// Gives a call its handle and makes it the thread's innermost, while `run` runs; `None` if there are
/// no handles left.
pub(crate) fn enter<T>(
    active: &mut ActiveCall<'_>,
    run: impl FnOnce(gantry_abi::Call) -> T,
) -> Option<T> {
    let handle = number()?;
    Some(enter_as(handle, active, run))
}

/// [`enter`] with a handle that comes from elsewhere and that no other call has.
pub(crate) fn enter_as<T>(
    handle: gantry_abi::Call,
    active: &mut ActiveCall<'_>,
    run: impl FnOnce(gantry_abi::Call) -> T,
) -> T {
    // The lifetime is erased here; `active` is borrowed for as long as the pointer is there.
    let active = Some(NonNull::from(active).cast());
    let _outer = Restored(CURRENT.replace(Current { handle, active }));
    run(handle)
}

/// Reads the innermost call of this thread.
pub(crate) fn read<T>(
    handle: gantry_abi::Call,
    run: impl FnOnce(&ActiveCall<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (active, _borrowed) = borrow(handle)?;
    // SAFETY: the pointer stood in `CURRENT`, so `enter` of this thread still borrows the call; it is
    // out of there until `_borrowed` is dropped, so nobody else reaches it.
    run(unsafe { active.as_ref() })
}

/// Changes the innermost call of this thread. Slices that `read` gave out end here.
pub(crate) fn change<T>(
    handle: gantry_abi::Call,
    run: impl FnOnce(&mut ActiveCall<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (mut active, _borrowed) = borrow(handle)?;
    // SAFETY: as in `read`.
    run(unsafe { active.as_mut() })
}

/// Takes the call out of `CURRENT`, so that it cannot be reached twice at once.
fn borrow(handle: gantry_abi::Call) -> Result<(NonNull<ActiveCall<'static>>, Restored), Fault> {
    let current = CURRENT.get();
    match current.active {
        Some(active) if current.handle == handle => {
            CURRENT.set(Current {
                active: None,
                ..current
            });
            Ok((active, Restored(current)))
        }
        _ => Err(Fault::DeadHandle),
    }
}

/// Puts back what was the innermost call, when it is dropped.
struct Restored(Current);

impl Drop for Restored {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// The next handle of this thread.
fn number() -> Option<gantry_abi::Call> {
    let mut latest = LATEST.get();
    if !has_more(latest) {
        latest = lease()?;
    }
    LATEST.set(latest + 1);
    Some(latest + 1)
}

const fn has_more(latest: gantry_abi::Call) -> bool {
    latest != 0 && latest & CALLS_MAX < CALLS_MAX
}

/// Takes over a shard, or makes one; gives the latest handle of it.
#[cold]
fn lease() -> Option<gantry_abi::Call> {
    // A shard that is used up goes first. A thread that ends takes no shard any more.
    LEASE.try_with(|lease| drop(lease.take())).ok()?;
    let latest = {
        let mut pool = POOL.lock().ok()?;
        match pool.0.pop() {
            Some(latest) => latest,
            None if pool.1 < SHARDS_MAX => {
                pool.1 += 1;
                (pool.1 - 1) << CALL_BITS
            }
            None => return None,
        }
    };
    LEASE.try_with(|lease| lease.set(Some(Lease))).ok()?;
    Some(latest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::active::tests::{call_of, exchange};
    use proptest::prelude::*;

    fn alive(handle: gantry_abi::Call) -> bool {
        read(handle, |_| Ok(())).is_ok()
    }

    #[test]
    fn handle_lives_exactly_as_long_as_its_call() {
        let mut exchange = exchange();
        let mut active = call_of(&mut exchange);
        let first = enter(&mut active, |handle| {
            assert_ne!(handle, 0);
            assert!(alive(handle));
            assert!(!alive(0) && !alive(handle + 1) && !alive(u64::MAX));
            handle
        });
        let first = first.unwrap();
        assert!(!alive(first) && !alive(0));
        enter(&mut active, |again| {
            assert_ne!(again, first);
            assert!(!alive(first) && alive(again));
        })
        .unwrap();
    }

    #[test]
    fn handle_is_dead_on_another_thread_and_in_its_successor() {
        let mut exchange = exchange();
        let mut active = call_of(&mut exchange);
        enter(&mut active, |handle| {
            assert!(!std::thread::spawn(move || alive(handle)).join().unwrap());
        })
        .unwrap();

        let old = std::thread::spawn(|| {
            let mut exchange = crate::active::tests::exchange();
            let mut active = call_of(&mut exchange);
            enter(&mut active, |handle| handle).unwrap()
        });
        let old = old.join().unwrap();
        let in_successor = std::thread::spawn(move || {
            let mut exchange = crate::active::tests::exchange();
            let mut active = call_of(&mut exchange);
            enter(&mut active, |handle| alive(old) || !alive(handle)).unwrap()
        });
        assert!(!in_successor.join().unwrap());
    }

    #[test]
    fn call_in_use_cannot_be_reached_twice() {
        let mut exchange = exchange();
        let mut active = call_of(&mut exchange);
        enter(&mut active, |handle| {
            assert_eq!(
                change(handle, |_| read(handle, |_| Ok(()))),
                Err(Fault::DeadHandle)
            );
            assert!(alive(handle));
        })
        .unwrap();
    }

    #[test]
    fn call_within_a_call_is_the_only_one_in_reach_until_it_ends() {
        let (mut outer_exchange, mut inner_exchange) = (exchange(), exchange());
        let (mut outer, mut inner) = (call_of(&mut outer_exchange), call_of(&mut inner_exchange));
        enter(&mut outer, |outside| {
            enter(&mut inner, |inside| {
                assert!(!alive(outside) && alive(inside));
            })
            .unwrap();
            assert!(alive(outside));
        })
        .unwrap();
    }

    #[test]
    fn shard_without_numbers_left_is_retired() {
        let retired = std::thread::spawn(|| {
            let mut exchange = exchange();
            let mut active = call_of(&mut exchange);
            let shard = enter(&mut active, |handle| handle >> CALL_BITS).unwrap();
            LATEST.set(shard << CALL_BITS | (CALLS_MAX - 1));
            let last = enter(&mut active, |handle| handle).unwrap();
            assert_eq!(last, shard << CALL_BITS | CALLS_MAX);
            let next = enter(&mut active, |handle| handle >> CALL_BITS).unwrap();
            assert_ne!(next, shard);
            shard
        });
        let retired = retired.join().unwrap();
        let pool = POOL.lock().unwrap();
        assert!(pool.0.iter().all(|latest| latest >> CALL_BITS != retired));
    }

    proptest! {
        #[test]
        fn random_handles_are_dead(handle: u64) {
            let mut exchange = exchange();
            let mut active = call_of(&mut exchange);
            let dead = enter(&mut active, |own| handle == own || !alive(handle));
            prop_assert_eq!(dead, Some(true));
        }
    }
}
