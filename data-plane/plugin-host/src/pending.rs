//! Calls that pend: from before `call` runs until `resume`, which may come from any thread, and before
//! `call` has returned.
//!
//! A table maps handles to records. Whoever takes a record out of the table has ended the call; there is
//! one who does, so a second `resume`, one of a call that is over, and one of a made-up number find
//! nothing and touch nothing. A slot's generation grows with each use and is part of the handle. A call
//! that was given up stays in the table until its `resume`: the record keeps its instance, and what the
//! request carried for the library, alive until then.
//!
//! Invariant: no lock of this module is held while plugin code runs or a waker is woken, and a record is
//! dropped (which may end an instance or give back a carry) outside of them.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use gantry_abi::constants::{is_body, is_reserved_part, is_served_part, part};
use gantry_abi::{Call, Fault, verdict};
use gantry_domain::Hook;

use crate::carry::Carry;
use crate::exchange::{ApiContext, Exchange, Trace};
use crate::instance::Instance;
use crate::logging::LogOrigin;
use crate::wakes;

/// The bit that tells these handles from those of other calls.
const PENDING: Call = 1 << 63;
const SLOT_BITS: u32 = 20;
const GENERATION_BITS: u32 = 63 - SLOT_BITS;
/// Calls that pend or were given up, in the whole process.
const CALLS_MAX: usize = 1 << SLOT_BITS;
/// Uses of a slot. The first is number 1; a slot that is used up is not used again.
const GENERATION_MAX: u64 = (1 << GENERATION_BITS) - 1;

/// What keeps an instance alive: `Arc<Instance>`, or something that owns or shares one.
pub type Keeper = Arc<dyn AsRef<Instance> + Send + Sync>;

/// How a plugin ended a call.
#[derive(Debug)]
pub(crate) struct Resumption {
    pub(crate) verdict: i32,
    pub(crate) mutations: Vec<u8>,
}

/// A call that may pend.
pub(crate) struct Record {
    handle: Call,
    keeper: Keeper,
    hook: Hook,
    api: Arc<ApiContext>,
    trace: Trace,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    resumption: Option<Resumption>,
    /// The body was asked for.
    asked: bool,
    /// Who waits.
    waker: Option<Waker>,
    carry: Option<Arc<Carry>>,
}

impl Record {
    /// A call that is about to begin, under a new handle; `None` if there are too many.
    pub(crate) fn open(keeper: Keeper, hook: Hook, exchange: &Exchange) -> Option<Arc<Self>> {
        let (api, trace) = (Arc::clone(&exchange.api), exchange.trace.clone());
        let mut table = table();
        let handle = table.reserve()?;
        let record = Arc::new(Self {
            handle,
            keeper,
            hook,
            api,
            trace,
            state: Mutex::default(),
        });
        table.slots[slot(handle)].record = Some(Arc::clone(&record));
        Some(record)
    }

    pub(crate) const fn handle(&self) -> Call {
        self.handle
    }

    pub(crate) fn instance(&self) -> &Instance {
        (*self.keeper).as_ref()
    }

    /// Ends a call that does not pend after all; `false` if the plugin resumed it, too.
    pub(crate) fn close(&self) -> bool {
        let record = table().take(self.handle);
        record.is_some()
    }

    /// From now on the call holds what the request carries for the library.
    pub(crate) fn hold(&self, carry: Option<Arc<Carry>>) {
        let before = mem::replace(&mut self.state().carry, carry);
        drop(before);
    }

    /// Where a log line of this call comes from.
    pub(crate) fn origin(&self) -> LogOrigin<'_> {
        LogOrigin {
            api_id: self.api.api_id.as_str(),
            function: self.instance().function().name.as_str(),
            hook: self.hook,
            trace_id: self.trace.trace_id(),
        }
    }

    /// Says that the body is wanted; for `ask`.
    pub(crate) fn ask(&self, part: u32) -> Result<(), Fault> {
        if !is_body(part) {
            return Err(match part {
                _ if is_reserved_part(part) => Fault::Unsupported,
                _ if is_served_part(part) => Fault::Invalid,
                _ => Fault::Unknown,
            });
        }
        if (part == part::RESPONSE_BODY) != (self.hook == Hook::Response) {
            return Err(Fault::Refused);
        }
        let waker = {
            let mut state = self.state();
            if mem::replace(&mut state.asked, true) {
                return Err(Fault::Refused);
            }
            state.waker.take()
        };
        wakes::wake(waker);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The live call of a handle, from any thread.
pub(crate) fn find(handle: Call) -> Result<Arc<Record>, Fault> {
    let table = table();
    table.get(handle).map(Arc::clone).ok_or(Fault::DeadHandle)
}

/// Ends a call; for `resume`. The bytes are read only if the handle is alive, and no longer than this
/// runs.
pub(crate) fn resume(
    handle: Call,
    verdict: i32,
    mutations: impl FnOnce() -> Result<Vec<u8>, Fault>,
) -> Result<(), Fault> {
    drop(find(handle)?);
    if verdict > verdict::RESPOND {
        return Err(Fault::Invalid);
    }
    let resumption = Resumption {
        verdict,
        mutations: mutations()?,
    };
    let record = table().take(handle).ok_or(Fault::DeadHandle)?;
    let (waker, carry) = {
        let mut state = record.state();
        state.resumption = Some(resumption);
        (state.waker.take(), state.carry.take())
    };
    wakes::wake(waker);
    // Where the call was given up, its instance and what it carried may end here.
    drop((carry, record));
    Ok(())
}

/// What a pending call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The body of the message that its hook is about: [`PendingCall::give_body`].
    Body,
    /// Nothing more, it was resumed: [`PendingCall::finish`].
    End,
}

/// A call that returned pending. Dropping it gives the call up, as [`PendingCall::cancel`] does.
pub struct PendingCall {
    record: Arc<Record>,
    /// What the function had made of an answer when it returned.
    draft: crate::active::Draft,
    /// The body was asked for and is not given yet.
    asked: bool,
    ended: bool,
}

impl PendingCall {
    pub(crate) const fn new(record: Arc<Record>, draft: crate::active::Draft) -> Self {
        Self {
            record,
            draft,
            asked: false,
            ended: false,
        }
    }

    /// Waits for the plugin. [`Wish::Body`] comes once.
    pub fn poll_wish(&mut self, cx: &mut Context<'_>) -> Poll<Wish> {
        let mut state = self.record.state();
        if state.resumption.is_some() {
            return Poll::Ready(Wish::End);
        }
        if state.asked && !self.asked {
            drop(state);
            self.asked = true;
            return Poll::Ready(Wish::Body);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Tells the plugin that the body is there. Runs plugin code.
    pub fn give_body(&self, body: &Bytes) {
        self.tell(gantry_abi::event::BODY, body);
    }

    /// Gives the call up, and takes the answer back that it had begun in the exchange. Runs plugin code, unless it was
    /// resumed. `true` if its `resume` is still owed;
    /// until then the instance's keeper is kept.
    pub fn cancel(mut self, exchange: Option<&mut Exchange>) -> bool {
        if let Some(exchange) = exchange {
            mem::take(&mut self.draft).withdraw(exchange);
        }
        self.give_up()
    }

    /// Applies what the plugin resumed with. Without a [`Wish::End`] before it, the call has failed and
    /// is given up.
    pub fn finish(mut self, exchange: &mut Exchange) -> crate::Verdict {
        let resumption = self.record.state().resumption.take();
        self.ended = resumption.is_some();
        let draft = mem::take(&mut self.draft);
        let instance = self.record.instance();
        instance.conclude_pending(draft, exchange, resumption)
    }

    fn give_up(&mut self) -> bool {
        if mem::replace(&mut self.ended, true) {
            return false;
        }
        let waker = self.record.state().waker.take();
        drop(waker);
        self.tell(gantry_abi::event::CANCEL, &[]);
        self.record.state().resumption.is_none()
    }

    fn tell(&self, event: u32, detail: &[u8]) {
        // One that resumes at the same moment is told all the same, and has to know its handles.
        if find(self.record.handle).is_ok() {
            let instance = self.record.instance();
            instance.tell(self.record.handle, event, detail);
        }
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl std::fmt::Debug for PendingCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pending call of {:?}", self.record.instance())
    }
}

#[derive(Default)]
struct Slot {
    generation: u64,
    record: Option<Arc<Record>>,
}

struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    slots: Vec::new(),
    free: Vec::new(),
});

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of a handle; perhaps beyond the table.
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most SLOT_BITS bits are left"
)]
const fn slot(handle: Call) -> usize {
    (handle & (CALLS_MAX as u64 - 1)) as usize
}

impl Table {
    /// A new handle, whose slot is still empty.
    fn reserve(&mut self) -> Option<Call> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.slots.len() < CALLS_MAX => {
                self.slots.push(Slot::default());
                self.slots.len() - 1
            }
            None => return None,
        };
        let generation = &mut self.slots[place].generation;
        *generation += 1;
        Some(PENDING | *generation << SLOT_BITS | place as u64)
    }

    fn get(&self, handle: Call) -> Option<&Arc<Record>> {
        let record = self.slots.get(slot(handle))?.record.as_ref()?;
        (record.handle == handle).then_some(record)
    }

    fn take(&mut self, handle: Call) -> Option<Arc<Record>> {
        self.get(handle)?;
        let place = slot(handle);
        let slot = &mut self.slots[place];
        let record = slot.record.take();
        if slot.generation < GENERATION_MAX {
            self.free.push(place);
        }
        record
    }
}
