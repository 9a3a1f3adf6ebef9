//! The runtime thread's end of the ring: records are put together and written here, without a lock and,
//! once the buffers have their size, without an allocation. The ring has one writer, so only the thread
//! that installed it writes; a record from any other is dropped and counted.

use std::cell::RefCell;

use crate::record::Record;
use crate::sys::ring::Producer;
use crate::sys::slot::{Counter, SlotMemory};

#[derive(Default)]
struct Desk {
    producer: Option<Producer>,
    /// Where the bytes of a record are put together.
    buffer: Vec<u8>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

/// From now on this thread writes the ring. Once in a process.
pub fn install(memory: &'static SlotMemory) {
    DESK.with_borrow_mut(|desk| desk.producer = Some(memory.producer()));
}

/// Writes a record, or counts that it was dropped.
pub fn write(memory: &SlotMemory, record: &Record<'_>) {
    let written = DESK.with_borrow_mut(|desk| {
        let Desk { producer, buffer } = desk;
        let Some(producer) = producer else {
            return false;
        };
        buffer.clear();
        record.write(buffer);
        producer.push(buffer)
    });
    if !written {
        memory.add(Counter::RecordsDropped, 1);
    }
}
