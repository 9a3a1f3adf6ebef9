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
//! **Testing.** With the feature `testing`, `testing::TestCall` runs functions without a gateway.
//!
//! This crate owns the boundary: all of its `unsafe` is in `raw` (calling the host), `entry` (being
//! called by it), `export` (the static tables) and the in-memory host of `testing`.

#[cfg(panic = "abort")]
compile_error!(
    "a plugin must unwind: remove panic = \"abort\" from the profile, or a panic ends the gateway"
);

mod call;
mod function;
mod outcome;

mod entry;
mod export;
mod panics;
mod raw;

#[cfg(feature = "testing")]
pub mod testing;

pub use call::{Call, Headers, Hook, Level, Refusal, RequestCall, ResponseCall};
pub use function::{RequestFunction, ResponseFunction};
pub use outcome::{Answer, Failure, IntoOutcome, Outcome};

pub use gantry_abi::Fault;

/// What [`plugin!`] expands to. Not for authors; may change in any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::export::{FunctionTable, NOTE_HEAD, PluginTable, StaticFunction, checked_name};
    pub use gantry_abi::note::{Note, is_plain, padded_len};
    pub use gantry_abi::{Plugin, flag, hook};
}
