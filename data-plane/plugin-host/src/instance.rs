//! A started function: calling it, and stopping it.
#![expect(
    unsafe_code,
    reason = "the function is called through a C function pointer"
)]

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gantry_abi::{Call, Frame, Str, limits, part, verdict};
use gantry_domain::{FunctionFlag, Hook, NotedFunction};

use crate::active::{ActiveCall, Bodies, Draft};
use crate::callbacks::HOST;
use crate::error::CallFailure;
use crate::exchange::Exchange;
use crate::handles;
use crate::library::Library;
use crate::pending::{PendingCall, Record, Resumption};
use crate::scratch::{self, Scratch};

/// A function started for one place in one API definition. Dropping it stops it.
pub struct Instance {
    library: Arc<Library>,
    index: usize,
    hook: Hook,
    bodies: Bodies,
    may_pend: bool,
    state: *mut c_void,
}

// SAFETY: the contract demands that an instance may be called and stopped on any thread; the state
// is the plugin's and this crate never looks into it.
unsafe impl Send for Instance {}
// SAFETY: the contract demands that `call` is safe on several threads at once with one instance.
unsafe impl Sync for Instance {}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The request goes on.
    Continue,
    /// The function answered: `Exchange::answer` holds it.
    Respond,
    /// The call failed. Changes that the function made before it are still in the exchange, without
    /// those that belonged to an answer.
    Failed(CallFailure),
}

/// How `call` returned.
#[derive(Debug)]
pub enum Called {
    /// The call has ended.
    Ended(Verdict),
    /// It goes on. The exchange stays with the caller, who may put the body into it and nothing else.
    Pending(PendingCall),
}

/// What `call` left in the frame.
struct Returned {
    verdict: i32,
    out_len: usize,
}

impl AsRef<Self> for Instance {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Instance {
    pub(crate) fn new(library: Arc<Library>, index: usize, hook: Hook, state: *mut c_void) -> Self {
        let wanted = match hook {
            Hook::Response => FunctionFlag::WantsResponseBody,
            Hook::Pre | Hook::Auth | Hook::PostAuth | Hook::Post => FunctionFlag::WantsRequestBody,
        };
        let flags = &library.descriptor().functions[index].flags;
        let may_pend = flags.contains(&FunctionFlag::MayPend);
        let read = flags.contains(&wanted);
        let replace = read || may_pend;
        Self {
            library,
            index,
            hook,
            bodies: Bodies { read, replace },
            may_pend,
            state,
        }
    }

    /// The function, as its library declares it.
    pub fn function(&self) -> &NotedFunction {
        &self.library.descriptor().functions[self.index]
    }

    /// The hook that it was started for.
    pub const fn hook(&self) -> Hook {
        self.hook
    }

    /// Whether it reads or replaces the body of the message that its hook is about. [`Exchange::body`]
    /// must then hold it before each call.
    pub const fn wants_body(&self) -> bool {
        self.bodies.read
    }

    /// Whether a call of it may pend: only [`Instance::begin`] calls it.
    pub const fn may_pend(&self) -> bool {
        self.may_pend
    }

    /// Runs a function that does not pend on this thread. It may be called on several threads at once,
    /// each with an exchange of its own.
    pub fn call(&self, hook: Hook, exchange: &mut Exchange) -> Verdict {
        exchange.answer = None;
        if let Err(failure) = self.check(hook, self.may_pend) {
            return Verdict::Failed(failure);
        }
        scratch::with(|scratch| {
            let mut active = self.active(exchange, scratch, Draft::default());
            let entered = self.enter(&mut active, None, 0);
            self.settle(&mut active, entered)
        })
    }

    /// Runs a function on this thread that may pend. `keeper` is kept until the plugin has ended the
    /// call; the instance is the one that it gives. `patience` is what the plugin is told of how long it
    /// may take; who waits for it keeps to that.
    pub fn begin<K>(
        keeper: &Arc<K>,
        hook: Hook,
        exchange: &mut Exchange,
        patience: Duration,
    ) -> Called
    where
        K: AsRef<Self> + Send + Sync + 'static,
    {
        let this = (**keeper).as_ref();
        if !this.may_pend {
            return Called::Ended(this.call(hook, exchange));
        }
        exchange.answer = None;
        if let Err(failure) = this.check(hook, false) {
            return Called::Ended(Verdict::Failed(failure));
        }
        let Some(record) = Record::open(Arc::clone(keeper) as _, hook, exchange) else {
            let failure = this.failure("HANDLES_EXHAUSTED", "too many calls pend");
            return Called::Ended(Verdict::Failed(failure));
        };
        scratch::with(|scratch| {
            let mut active = this.active(exchange, scratch, Draft::default());
            let entered = this.enter(&mut active, Some(record.handle()), milliseconds(patience));
            this.pend_or_settle(record, active, entered)
        })
    }

    fn pend_or_settle(
        &self,
        record: Arc<Record>,
        mut active: ActiveCall<'_>,
        entered: Result<Returned, CallFailure>,
    ) -> Called {
        let pends = matches!(&entered, Ok(returned) if returned.verdict == verdict::PENDING);
        if !pends {
            let entered = if record.close() {
                entered
            } else {
                Err(self.failure("RESUMED_AND_RETURNED", "was resumed and returned, too"))
            };
            return Called::Ended(self.settle(&mut active, entered));
        }
        let out_len = entered.map_or(0, |returned| returned.out_len);
        record.hold(active.exchange().carries.hold(&self.library));
        if let Err(what) = active.apply_out(out_len) {
            active.withdraw_answer();
            drop(PendingCall::new(record, Draft::default()));
            return Called::Ended(Verdict::Failed(self.refused(&what)));
        }
        Called::Pending(PendingCall::new(record, active.into_draft()))
    }

    /// Applies what a call was resumed with.
    pub(crate) fn conclude_pending(
        &self,
        draft: Draft,
        exchange: &mut Exchange,
        resumption: Option<Resumption>,
    ) -> Verdict {
        scratch::with(|scratch| {
            let mut active = self.active(exchange, scratch, draft);
            let concluded = match resumption {
                None => Err(self.failure("NOT_RESUMED", "was not resumed")),
                Some(Resumption { verdict, mutations }) => {
                    self.conclude(&mut active, verdict, |active| active.apply_last(&mutations))
                }
            };
            concluded.unwrap_or_else(|failure| {
                active.withdraw_answer();
                Verdict::Failed(failure)
            })
        })
    }

    /// Tells the plugin something about a call. Runs plugin code.
    pub(crate) fn tell(&self, call: Call, event: u32, detail: &[u8]) {
        if let Some(tell) = self.library.functions(self.index).event {
            // SAFETY: the plugin keeps the contract of `event`; state and library live as long as
            // `self`, the detail until it returns.
            unsafe { tell(self.state, call, event, Str::new(detail)) };
        }
    }

    fn check(&self, hook: Hook, unawaited: bool) -> Result<(), CallFailure> {
        if hook != self.hook {
            let message = format!("{self:?} was called at hook {hook}");
            return Err(CallFailure::new("HOOK_MISMATCH", message));
        }
        if unawaited {
            return Err(self.failure("PENDING_UNAWAITED", "may pend, and nobody would wait"));
        }
        Ok(())
    }

    fn active<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        scratch: &'a mut Scratch,
        draft: Draft,
    ) -> ActiveCall<'a> {
        let name = self.function().name.as_str();
        ActiveCall::new(self.hook, name, self.bodies, exchange, scratch, draft)
    }

    fn settle(
        &self,
        active: &mut ActiveCall<'_>,
        entered: Result<Returned, CallFailure>,
    ) -> Verdict {
        let concluded = entered.and_then(|returned| {
            self.conclude(active, returned.verdict, |active| {
                active.apply_out(returned.out_len)
            })
        });
        concluded.unwrap_or_else(|failure| {
            active.withdraw_answer();
            Verdict::Failed(failure)
        })
    }

    /// Crosses into the plugin; gives what it left.
    fn enter(
        &self,
        active: &mut ActiveCall<'_>,
        handle: Option<Call>,
        patience: u32,
    ) -> Result<Returned, CallFailure> {
        let functions = self.library.functions(self.index);
        if functions.want_parts & 1 << part::ADDED_HEADER == 0 {
            active.exchange().join_added();
        }
        let snapshot = match functions.want_parts {
            0 => Str::EMPTY,
            parts => active.snapshot(parts).map(Str::new).map_err(|fault| {
                CallFailure::new("SNAPSHOT_FAILED", format!("snapshot for {self:?}: {fault}"))
            })?,
        };
        let (carry, definition) = {
            let exchange = active.exchange();
            let carry = exchange.carries.of(&self.library);
            (carry, exchange.api.serial.number())
        };
        let out = active.out();
        let (out, out_cap) = (out.as_mut_ptr(), out.len());
        let mut frame = Frame {
            #[expect(clippy::cast_possible_truncation, reason = "the struct has 88 bytes")]
            size: size_of::<Frame>() as u32,
            hook: self.hook as u32,
            flags: 0,
            deadline_ms: patience,
            call: 0,
            host: &raw const HOST,
            snapshot,
            out,
            out_cap,
            out_len: 0,
            carry,
            definition,
        };
        let run = |handle| {
            frame.call = handle;
            // SAFETY: the plugin keeps the contract of `call`; state and library live as long as `self`,
            // frame and buffers until it returns.
            unsafe { (functions.call)(self.state, &raw mut frame) }
        };
        let returned = match handle {
            None => handles::enter(active, run),
            Some(handle) => Some(handles::enter_as(handle, active, run)),
        };
        let Some(verdict) = returned else {
            let message = format!("{self:?}: too many threads are in calls");
            return Err(CallFailure::new("HANDLES_EXHAUSTED", message));
        };
        let left = frame.carry;
        if left != carry {
            active.exchange().carries.keep(&self.library, left);
        }
        Ok(Returned {
            verdict,
            out_len: frame.out_len,
        })
    }

    /// Holds what a function returned, or was resumed with, against what it did.
    fn conclude(
        &self,
        active: &mut ActiveCall<'_>,
        returned: i32,
        apply: impl FnOnce(&mut ActiveCall<'_>) -> Result<(), String>,
    ) -> Result<Verdict, CallFailure> {
        match returned {
            verdict::CONTINUE | verdict::RESPOND => {}
            verdict::PENDING => {
                let what = "returned pending, which it does not declare";
                return Err(self.failure("PENDING_UNDECLARED", what));
            }
            verdict::PANICKED => return Err(self.failure("PLUGIN_PANICKED", "panicked")),
            ..0 => {
                return Err(self.failure("PLUGIN_FAILED", &format!("failed with {returned}")));
            }
            _ => {
                let what = format!("returned {returned}, which is no verdict");
                return Err(self.failure("VERDICT_UNKNOWN", &what));
            }
        }
        apply(active).map_err(|what| self.refused(&what))?;
        let target = active.exchange().target_len();
        if target > limits::TARGET_BYTES_MAX {
            let max = limits::TARGET_BYTES_MAX;
            return Err(self.refused(&format!("path and query have {target} bytes, of {max}")));
        }
        match returned {
            verdict::RESPOND if active.give_answer() => Ok(Verdict::Respond),
            verdict::RESPOND => {
                let what = "responds without an answer's status";
                Err(self.failure("RESPOND_WITHOUT_ANSWER", what))
            }
            // The author meant to answer and forgot to say so; going on could let through what was to
            // be refused.
            _ if active.has_answer() => {
                Err(self.failure("ANSWER_WITHOUT_RESPOND", "set an answer, but continues"))
            }
            _ => Ok(Verdict::Continue),
        }
    }

    fn refused(&self, what: &str) -> CallFailure {
        let what = format!("left changes that the gateway does not take: {what}");
        self.failure("MUTATIONS_REFUSED", &what)
    }

    fn failure(&self, code: &'static str, what: &str) -> CallFailure {
        CallFailure::new(code, format!("function {}: {what}", self.function().name))
    }
}

/// As the contract tells it: never 0, which would say that the call may not pend.
fn milliseconds(patience: Duration) -> u32 {
    u32::try_from(patience.as_millis())
        .unwrap_or(u32::MAX)
        .max(1)
}

impl Drop for Instance {
    fn drop(&mut self) {
        let stop = self.library.functions(self.index).stop;
        // SAFETY: `&mut self` proves that no call runs; this is the one stop of the state.
        unsafe { stop(self.state) };
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "function {} at {}", self.function().name, self.hook)
    }
}
