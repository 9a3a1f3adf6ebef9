//! A started function: calling it, and stopping it.
#![expect(
    unsafe_code,
    reason = "the function is called through a C function pointer"
)]

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use gantry_abi::{Frame, Str, verdict};
use gantry_domain::{FunctionFlag, Hook, NotedFunction};

use crate::active::ActiveCall;
use crate::callbacks::HOST;
use crate::error::CallFailure;
use crate::exchange::Exchange;
use crate::library::Library;
use crate::{handles, scratch};

/// A function started for one place in one API definition. Dropping it stops it.
pub struct Instance {
    library: Arc<Library>,
    index: usize,
    hook: Hook,
    wants_body: bool,
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

impl Instance {
    pub(crate) fn new(library: Arc<Library>, index: usize, hook: Hook, state: *mut c_void) -> Self {
        let wanted = match hook {
            Hook::Response => FunctionFlag::WantsResponseBody,
            Hook::Pre | Hook::Auth | Hook::PostAuth | Hook::Post => FunctionFlag::WantsRequestBody,
        };
        let flags = &library.descriptor().functions[index].flags;
        let wants_body = flags.contains(&wanted);
        Self {
            library,
            index,
            hook,
            wants_body,
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
        self.wants_body
    }

    /// Runs the function on this thread. It may be called on several threads at once, each with an
    /// exchange of its own.
    pub fn call(&self, hook: Hook, exchange: &mut Exchange) -> Verdict {
        exchange.answer = None;
        if hook != self.hook {
            let message = format!("{self:?} was called at hook {hook}");
            return Verdict::Failed(CallFailure::new("HOOK_MISMATCH", message));
        }
        let name = self.function().name.as_str();
        scratch::with(|scratch| {
            let mut active = ActiveCall::new(hook, name, self.wants_body, exchange, scratch);
            let result = self.enter(&mut active).and_then(|(returned, out_len)| {
                conclude(&mut active, returned, out_len).map_err(|(code, what)| {
                    CallFailure::new(code, format!("function {name}: {what}"))
                })
            });
            result.unwrap_or_else(|failure| {
                active.withdraw_answer();
                Verdict::Failed(failure)
            })
        })
    }

    /// Crosses into the plugin; gives what it returned and how much it wrote.
    fn enter(&self, active: &mut ActiveCall<'_>) -> Result<(i32, usize), CallFailure> {
        let functions = self.library.functions(self.index);
        let snapshot = match functions.want_parts {
            0 => Str::EMPTY,
            parts => active.snapshot(parts).map(Str::new).map_err(|fault| {
                CallFailure::new("SNAPSHOT_FAILED", format!("snapshot for {self:?}: {fault}"))
            })?,
        };
        let out = active.out();
        let (out, out_cap) = (out.as_mut_ptr(), out.len());
        let mut frame = Frame {
            #[expect(clippy::cast_possible_truncation, reason = "the struct has 88 bytes")]
            size: size_of::<Frame>() as u32,
            hook: self.hook as u32,
            flags: 0,
            reserved: 0,
            call: 0,
            host: &raw const HOST,
            snapshot,
            out,
            out_cap,
            out_len: 0,
            carry: 0,
            definition: 0,
        };
        let returned = handles::enter(active, |handle| {
            frame.call = handle;
            // SAFETY: the plugin keeps the contract of `call`; state and library live as long as `self`,
            // frame and buffers until it returns.
            unsafe { (functions.call)(self.state, &raw mut frame) }
        });
        let Some(returned) = returned else {
            let message = format!("{self:?}: too many threads are in calls");
            return Err(CallFailure::new("HANDLES_EXHAUSTED", message));
        };
        Ok((returned, frame.out_len))
    }
}

/// Holds what a function returned against what it did.
fn conclude(
    active: &mut ActiveCall<'_>,
    returned: i32,
    out_len: usize,
) -> Result<Verdict, (&'static str, String)> {
    let fail = |code, what: &str| Err((code, what.to_owned()));
    match returned {
        verdict::CONTINUE | verdict::RESPOND => {}
        verdict::PENDING => {
            return fail(
                "PENDING_UNSUPPORTED",
                "returned pending, which this gateway does not offer",
            );
        }
        verdict::PANICKED => return fail("PLUGIN_PANICKED", "panicked"),
        ..0 => return Err(("PLUGIN_FAILED", format!("failed with {returned}"))),
        _ => {
            return Err((
                "VERDICT_UNKNOWN",
                format!("returned {returned}, which is no verdict"),
            ));
        }
    }
    active.apply_out(out_len).map_err(|fault| {
        (
            "MUTATIONS_REFUSED",
            format!("left {out_len} bytes of mutations: {fault}"),
        )
    })?;
    match returned {
        verdict::RESPOND if active.give_answer() => Ok(Verdict::Respond),
        verdict::RESPOND => fail(
            "RESPOND_WITHOUT_ANSWER",
            "responds without an answer's status",
        ),
        // The author meant to answer and forgot to say so; going on could let through what was to
        // be refused.
        _ if active.has_answer() => fail("ANSWER_WITHOUT_RESPOND", "set an answer, but continues"),
        _ => Ok(Verdict::Continue),
    }
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
