//! Handles of calls in progress: numbers that plugins hold instead of pointers.
//!
//! Each thread that calls plugins has a shard of slots. A handle names shard, slot and the slot's
//! generation, which is raised when a call ends; so a handle that outlived its call, was made up, or
//! came to another thread resolves to nothing, and no memory is touched to find that out. Shards
//! outlive their threads and are taken over by new ones, with their generations.
#![expect(unsafe_code, reason = "a slot points at a call on this thread's stack")]

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Mutex;

use gantry_abi::Fault;

use crate::active::ActiveCall;

const SHARD_BITS: u32 = 12;
const SLOT_BITS: u32 = 12;
const GENERATION_BITS: u32 = 64 - SHARD_BITS - SLOT_BITS;
/// Threads that may call plugins at once. The first shard is number 0.
const SHARDS_MAX: u64 = 1 << SHARD_BITS;
/// Calls in progress on one thread.
const SLOTS_MAX: usize = 1 << SLOT_BITS;
const GENERATION_MAX: u64 = (1 << GENERATION_BITS) - 1;

#[derive(Debug)]
struct Slot {
    /// From 1; a slot whose generations are used up is not used again.
    generation: u64,
    active: Option<NonNull<ActiveCall<'static>>>,
}

#[derive(Debug)]
struct Shard {
    id: u64,
    slots: Vec<Slot>,
    /// Slots without a call.
    free: Vec<usize>,
}

// SAFETY: a shard changes threads only when its thread has ended, and so has every call on it: its
// slots are empty then.
unsafe impl Send for Shard {}

/// Shards whose threads have ended, and the number of shards ever made.
static POOL: Mutex<(Vec<Shard>, u64)> = Mutex::new((Vec::new(), 0));

/// A thread's shard; goes back to the pool with the thread.
#[derive(Default)]
struct Lease(Option<Shard>);

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(shard) = self.0.take()
            && let Ok(mut pool) = POOL.lock()
        {
            pool.0.push(shard);
        }
    }
}

thread_local! {
    static LEASE: RefCell<Lease> = const { RefCell::new(Lease(None)) };
}

/// A call in progress. Its handle resolves until this is dropped.
pub(crate) struct Entered<'a> {
    handle: gantry_abi::Call,
    _active: PhantomData<&'a mut ActiveCall<'a>>,
}

impl Entered<'_> {
    pub(crate) const fn handle(&self) -> gantry_abi::Call {
        self.handle
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        with_shard(|shard| shard.leave(self.handle));
    }
}

/// Gives a call its handle, for as long as the result lives; `None` if there are no handles left.
pub(crate) fn enter<'a>(active: &'a mut ActiveCall<'_>) -> Option<Entered<'a>> {
    // The lifetime is erased in the slot; `Entered` borrows the call for as long as it is there.
    let active = NonNull::from(active).cast();
    let handle = with_shard(|shard| shard.enter(active))??;
    Some(Entered {
        handle,
        _active: PhantomData,
    })
}

/// Reads a call of this thread.
pub(crate) fn read<T>(
    handle: gantry_abi::Call,
    run: impl FnOnce(&ActiveCall<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let borrowed = borrow(handle)?;
    // SAFETY: the slot held the pointer, so the call is still entered on this thread; it is out of its
    // slot until `borrowed` is dropped, so nobody else reaches it.
    run(unsafe { borrowed.active.as_ref() })
}

/// Changes a call of this thread. Slices that `read` gave out end here.
pub(crate) fn change<T>(
    handle: gantry_abi::Call,
    run: impl FnOnce(&mut ActiveCall<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut borrowed = borrow(handle)?;
    // SAFETY: as in `read`.
    run(unsafe { borrowed.active.as_mut() })
}

/// A call taken out of its slot, so that it cannot be reached twice at once.
struct Borrowed {
    handle: gantry_abi::Call,
    active: NonNull<ActiveCall<'static>>,
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        with_shard(|shard| {
            if let Some(slot) = shard.slot(self.handle) {
                slot.active = Some(self.active);
            }
        });
    }
}

fn borrow(handle: gantry_abi::Call) -> Result<Borrowed, Fault> {
    let active = LEASE
        .try_with(|lease| {
            lease
                .try_borrow_mut()
                .ok()?
                .0
                .as_mut()?
                .slot(handle)?
                .active
                .take()
        })
        .ok()
        .flatten()
        .ok_or(Fault::DeadHandle)?;
    Ok(Borrowed { handle, active })
}

/// Runs with this thread's shard, made or taken over if it has none yet. Runs no foreign code.
fn with_shard<T>(run: impl FnOnce(&mut Shard) -> T) -> Option<T> {
    LEASE
        .try_with(|lease| {
            let mut lease = lease.try_borrow_mut().ok()?;
            if lease.0.is_none() {
                lease.0 = Shard::obtain();
            }
            lease.0.as_mut().map(run)
        })
        .ok()
        .flatten()
}

impl Shard {
    fn obtain() -> Option<Self> {
        let mut pool = POOL.lock().ok()?;
        if let Some(shard) = pool.0.pop() {
            return Some(shard);
        }
        let id = pool.1;
        if id == SHARDS_MAX {
            return None;
        }
        pool.1 += 1;
        Some(Self {
            id,
            slots: Vec::new(),
            free: Vec::new(),
        })
    }

    fn enter(&mut self, active: NonNull<ActiveCall<'static>>) -> Option<gantry_abi::Call> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < SLOTS_MAX => {
                self.slots.push(Slot {
                    generation: 1,
                    active: None,
                });
                self.slots.len() - 1
            }
            None => return None,
        };
        let slot = &mut self.slots[index];
        slot.active = Some(active);
        Some(encode(self.id, index, slot.generation))
    }

    fn leave(&mut self, handle: gantry_abi::Call) {
        let (_, index, _) = decode(handle);
        if let Some(slot) = self.slot(handle) {
            slot.active = None;
            if slot.generation < GENERATION_MAX {
                slot.generation += 1;
                self.free.push(index);
            }
        }
    }

    fn slot(&mut self, handle: gantry_abi::Call) -> Option<&mut Slot> {
        let (shard, index, generation) = decode(handle);
        if shard != self.id {
            return None;
        }
        self.slots
            .get_mut(index)
            .filter(|slot| slot.generation == generation)
    }
}

const fn encode(shard: u64, slot: usize, generation: u64) -> gantry_abi::Call {
    shard << (SLOT_BITS + GENERATION_BITS) | (slot as u64) << GENERATION_BITS | generation
}

const fn decode(handle: gantry_abi::Call) -> (u64, usize, u64) {
    let slot = handle >> GENERATION_BITS & (SLOTS_MAX as u64 - 1);
    (
        handle >> (SLOT_BITS + GENERATION_BITS),
        slot as usize,
        handle & GENERATION_MAX,
    )
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
        let entered = enter(&mut active).unwrap();
        let handle = entered.handle();
        assert_ne!(handle, 0);
        assert!(alive(handle));
        assert!(!alive(0) && !alive(handle + 1) && !alive(u64::MAX));
        drop(entered);
        assert!(!alive(handle));
        let again = enter(&mut active).unwrap();
        assert_ne!(again.handle(), handle);
        assert!(!alive(handle) && alive(again.handle()));
    }

    #[test]
    fn handle_is_dead_on_another_thread_and_in_its_successor() {
        let mut exchange = exchange();
        let mut active = call_of(&mut exchange);
        let entered = enter(&mut active).unwrap();
        let handle = entered.handle();
        assert!(!std::thread::spawn(move || alive(handle)).join().unwrap());

        let old = std::thread::spawn(|| {
            let mut exchange = crate::active::tests::exchange();
            let mut active = call_of(&mut exchange);
            enter(&mut active).unwrap().handle()
        });
        let old = old.join().unwrap();
        let in_successor = std::thread::spawn(move || {
            let mut exchange = crate::active::tests::exchange();
            let mut active = call_of(&mut exchange);
            let entered = enter(&mut active).unwrap();
            alive(old) || !alive(entered.handle())
        });
        assert!(!in_successor.join().unwrap());
    }

    #[test]
    fn call_in_use_cannot_be_reached_twice() {
        let mut exchange = exchange();
        let mut active = call_of(&mut exchange);
        let entered = enter(&mut active).unwrap();
        let handle = entered.handle();
        assert_eq!(
            change(handle, |_| read(handle, |_| Ok(()))),
            Err(Fault::DeadHandle)
        );
        assert!(alive(handle));
    }

    #[test]
    fn slot_without_generations_left_is_retired() {
        let mut shard = Shard {
            id: 3,
            slots: Vec::new(),
            free: Vec::new(),
        };
        let active = NonNull::dangling();
        let first = shard.enter(active).unwrap();
        shard.slots[0].generation = GENERATION_MAX;
        shard.leave(encode(3, 0, GENERATION_MAX));
        let second = shard.enter(active).unwrap();
        assert_eq!(decode(second), (3, 1, 1));
        assert!(shard.slot(first).is_none());
    }

    proptest! {
        #[test]
        fn handles_round_trip_and_random_ones_are_dead(shard in 0..SHARDS_MAX, slot in 0..SLOTS_MAX, generation in 1..=GENERATION_MAX) {
            let handle = encode(shard, slot, generation);
            prop_assert_eq!(decode(handle), (shard, slot, generation));
            prop_assert!(!alive(handle));
        }
    }
}
