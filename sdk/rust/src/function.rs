//! The two kinds of function that a library offers to hooks.

use crate::{Failure, Outcome, RequestCall, ResponseCall};

/// A function for the hooks `pre`, `auth`, `post_auth` and `post`.
///
/// An instance serves all requests of one place in one API definition, on several threads at once.
pub trait RequestFunction: Sized + Send + Sync + 'static {
    /// Makes an instance. `config` is the `config_data` of the API definition: a JSON text, `{}` if
    /// there is none.
    ///
    /// # Errors
    /// Why the configuration cannot be used; the gateway then does not take the definition over.
    fn start(config: &str) -> Result<Self, String>;

    /// Runs one request.
    ///
    /// # Errors
    /// Fails the call; the message is logged.
    fn call(&self, call: &mut RequestCall<'_>) -> Result<Outcome, Failure>;
}

/// A function for the hook `response`.
///
/// An instance serves all responses of one place in one API definition, on several threads at once.
pub trait ResponseFunction: Sized + Send + Sync + 'static {
    /// Makes an instance, as [`RequestFunction::start`].
    ///
    /// # Errors
    /// Why the configuration cannot be used; the gateway then does not take the definition over.
    fn start(config: &str) -> Result<Self, String>;

    /// Runs one response. An answer goes out in place of the upstream's.
    ///
    /// # Errors
    /// Fails the call; nothing of the upstream's response leaves the gateway then.
    fn call(&self, call: &mut ResponseCall<'_>) -> Result<Outcome, Failure>;
}
