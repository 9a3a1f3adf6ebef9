//! Write plugins for Gantry gateways in safe Rust.
//!
//! A plugin is a `cdylib` with functions, and one [`plugin!`] that names them:
//!
//! ```
//! #![forbid(unsafe_code)]
//! use gantry_plugin::{Answer, Failure, Level, Outcome, RequestCall, RequestFunction, ResponseCall};
//!
//! /// A plain function is enough where there is nothing to configure.
//! fn add_trace_header(call: &mut RequestCall<'_>) -> Result<(), Failure> {
//!     let trace = call.trace_id().to_owned();
//!     call.set_header("x-trace-id", &trace)?;
//!     Ok(())
//! }
//!
//! /// A type is started once per API definition, with that definition's configuration.
//! struct RequireToken {
//!     token: String,
//! }
//!
//! impl RequestFunction for RequireToken {
//!     fn start(config: &str) -> Result<Self, String> {
//!         Ok(Self { token: config.to_owned() })
//!     }
//!
//!     fn call(&self, call: &mut RequestCall<'_>) -> Result<Outcome, Failure> {
//!         if call.header("x-token") != Some(&self.token) {
//!             call.log(Level::Info, "refused a request without its token");
//!             return Ok(Outcome::Answer(Answer::new(401).body("no token\n")));
//!         }
//!         call.set_session(r#"{"alias":"tester"}"#)?;
//!         Ok(Outcome::Continue)
//!     }
//! }
//!
//! fn stamp(call: &mut ResponseCall<'_>) -> Result<(), Failure> {
//!     call.set_response_header("x-stamped-by", "my-plugin")?;
//!     Ok(())
//! }
//!
//! gantry_plugin::plugin! {
//!     name: "my-plugin",
//!     version: "1.0.0",
//!     functions: {
//!         AddTraceHeader: pre | post => fn add_trace_header,
//!         RequireToken: auth => type RequireToken,
//!         Stamp: response => fn stamp,
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! **Borrowing.** What a getter returns borrows the call, and every setter needs it mutably, so a value
//! can never outlive the change that invalidates it; copy what you need afterwards.
//!
//! **Failing.** An `Err` fails the call: its message is logged with the request's trace, and the gateway
//! does what the API definition says (normally it answers 500). A panic does the same; it never leaves
//! the plugin. `panic = "abort"` is refused at compile time, because it would end the gateway.
//!
//! **Waiting.** An `async fn` gets an owned copy of the request, waits without keeping a thread of the
//! gateway, asks for the body if it needs it, and is dropped at its `await` when nobody waits for it any
//! more. Its changes reach the gateway when it ends, all of them or, if it fails, none:
//!
//! ```
//! use std::time::Duration;
//! use gantry_plugin::{AsyncRequestCall, Failure, sleep};
//!
//! async fn slow_down(call: &mut AsyncRequestCall) -> Result<(), Failure> {
//!     sleep(Duration::from_millis(50)).await;
//!     let length = call.body().await?.len();
//!     call.set_header("x-length", length.to_string())?;
//!     Ok(())
//! }
//!
//! gantry_plugin::plugin! {
//!     name: "patience",
//!     version: "1.0.0",
//!     functions: {
//!         SlowDown: post => async_fn slow_down,
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! These functions run on one thread that the library has for them, started by the first such call. It
//! polls futures and keeps time; it does no I/O, because no one runtime suits all. For tokio, reqwest and
//! their like, start a runtime in `start` and await what it spawns: `self.runtime.spawn(work).await`. Work
//! that was spawned elsewhere is not dropped with the call; [`AsyncCall::cancellation`] tells it.
//!
//! **Testing.** With the feature `testing`, `testing::TestCall` runs functions without a gateway.
//!
//! This crate owns the boundary: all of its `unsafe` is in `raw` (calling the host), `entry` and
//! `asynchronous::entry` (being called by it), `export` (the static tables) and the in-memory host of `testing`.

#[cfg(panic = "abort")]
compile_error!(
    "a plugin must unwind: remove panic = \"abort\" from the profile, or a panic ends the gateway"
);

mod function;

mod call;
mod names;
mod outcome;
mod passing;
mod refusal;

mod asynchronous;

mod entry;
mod export;
mod panics;
mod raw;

#[cfg(feature = "testing")]
pub mod testing;

pub use asynchronous::{AsyncCall, Cancellation, Sleep, sleep, timeout};
pub use call::{Call, Headers};
pub use function::{
    AsyncRequestFunction, AsyncResponseFunction, RequestFunction, ResponseFunction,
};
pub use names::{Hook, Level};
pub use outcome::{Answer, Failure, IntoOutcome, Outcome};
pub use passing::{
    AsyncRequestCall, AsyncResponseCall, Changes, Passing, RequestCall, ResponseCall, ToClient,
    ToUpstream,
};
pub use refusal::Refusal;

pub use gantry_abi::Fault;

/// The examples of the README.
#[cfg(all(doctest, feature = "testing"))]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// What [`plugin!`] expands to. Not for authors; may change in any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::export::{FunctionTable, NOTE_HEAD, PluginTable, StaticFunction, checked_name};
    pub use gantry_abi::note::{Note, is_plain, padded_len};
    pub use gantry_abi::{Plugin, flag, hook};
}
