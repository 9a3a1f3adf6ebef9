//! Which functions have calls that no thread of the worker stands in: those that pend, and those that
//! were given up and not resumed yet. Their code runs on threads that the gateway does not know, so when
//! a worker dies there, these are the suspects.
//!
//! Invariant: counts are hints. A function without a place of its own (the table is bounded) is not
//! named, and one that takes another's place at the same moment as a third may be counted wrongly.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Functions that can be named at once.
const FUNCTIONS_MAX: usize = 256;

/// The table; all zero is empty.
#[derive(Debug)]
#[repr(C)]
pub struct InFlight {
    cells: [Cell; FUNCTIONS_MAX],
}

#[derive(Debug)]
#[repr(C)]
struct Cell {
    function: AtomicU32,
    count: AtomicU32,
}

/// Where a call was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

impl InFlight {
    /// A call of a function begins; none if the table is full.
    pub fn enter(&self, function: u32) -> Option<Place> {
        let from = function as usize % FUNCTIONS_MAX;
        let places = || (from..FUNCTIONS_MAX).chain(0..from);
        let own = |place: &usize| {
            let cell = &self.cells[*place].function;
            cell.load(Relaxed) == function
                || cell.compare_exchange(0, function, Relaxed, Relaxed).is_ok()
        };
        // Only where all places are taken, one of a function without calls is taken over.
        let idle = |place: &usize| self.cells[*place].count.load(Relaxed) == 0;
        let place = places().find(own).or_else(|| places().find(idle))?;
        self.cells[place].function.store(function, Relaxed);
        self.cells[place].count.fetch_add(1, Relaxed);
        Some(Place(place))
    }

    /// The call is over.
    pub fn leave(&self, place: Place) {
        self.cells[place.0].count.fetch_sub(1, Relaxed);
    }

    /// The functions that have calls.
    pub fn functions(&self) -> Vec<u32> {
        let busy = self
            .cells
            .iter()
            .filter(|cell| cell.count.load(Relaxed) > 0);
        busy.map(|cell| cell.function.load(Relaxed)).collect()
    }

    /// No calls any more.
    pub fn clear(&self) {
        for cell in &self.cells {
            cell.function.store(0, Relaxed);
            cell.count.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sys::slot::SlotMemory;

    #[test]
    fn function_is_named_as_long_as_it_has_calls() {
        let memory = SlotMemory::create().unwrap();
        let table = memory.in_flight();
        let first = table.enter(7).unwrap();
        let second = table.enter(7).unwrap();
        table.leave(first);
        assert_eq!(table.functions(), [7]);
        table.leave(second);
        assert_eq!(table.functions(), [0; 0]);
    }

    #[test]
    fn full_table_names_no_more_until_a_function_has_no_calls() {
        let memory = SlotMemory::create().unwrap();
        let table = memory.in_flight();
        let places: Vec<_> = (1..=256).map(|n| table.enter(n).unwrap()).collect();
        assert_eq!(table.enter(257), None);
        table.leave(places[3]);
        assert!(table.enter(257).is_some());
        assert!(table.functions().contains(&257) && !table.functions().contains(&4));
        table.clear();
        assert_eq!(table.functions(), [0; 0]);
    }
}
