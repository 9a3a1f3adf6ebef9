//! The kinds of function that a library offers to hooks: for requests or responses, at once or later.

use crate::{
    AsyncCall, AsyncRequestCall, AsyncResponseCall, Call, Failure, Outcome, Passing, RequestCall,
    ResponseCall, ToClient, ToUpstream,
};

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

/// A [`RequestFunction`] that may wait without keeping the gateway waiting.
///
/// Implement `call` as an `async fn`. It runs on the one thread that a library has for its asynchronous
/// functions, so it must await and not block; [`sleep`](crate::sleep) and [`timeout`](crate::timeout) are there,
/// and futures of another runtime are awaited as that runtime's handles. When nobody waits for the call
/// any more (the client left, the deadline passed), the future is dropped at its `await`.
pub trait AsyncRequestFunction: Sized + Send + Sync + 'static {
    /// Makes an instance, as [`RequestFunction::start`].
    ///
    /// # Errors
    /// Why the configuration cannot be used; the gateway then does not take the definition over.
    fn start(config: &str) -> Result<Self, String>;

    /// Runs one request. Its changes reach the gateway when it ends.
    ///
    /// # Errors
    /// Fails the call; the message is logged, and nothing has changed.
    fn call(
        &self,
        call: &mut AsyncRequestCall,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send;
}

/// A [`ResponseFunction`] that may wait without keeping the gateway waiting; as [`AsyncRequestFunction`].
pub trait AsyncResponseFunction: Sized + Send + Sync + 'static {
    /// Makes an instance, as [`RequestFunction::start`].
    ///
    /// # Errors
    /// Why the configuration cannot be used; the gateway then does not take the definition over.
    fn start(config: &str) -> Result<Self, String>;

    /// Runs one response. An answer goes out in place of the upstream's.
    ///
    /// # Errors
    /// Fails the call; nothing of the upstream's response leaves the gateway then.
    fn call(
        &self,
        call: &mut AsyncResponseCall,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send;
}

/// [`RequestFunction`] and [`ResponseFunction`] as one: a function on the way `W`.
pub(crate) trait FunctionOn<W>: Sized + Send + Sync + 'static {
    fn start(config: &str) -> Result<Self, String>;
    fn call(&self, call: &mut Passing<W, Call<'_>>) -> Result<Outcome, Failure>;
}

impl<F: RequestFunction> FunctionOn<ToUpstream> for F {
    fn start(config: &str) -> Result<Self, String> {
        <F as RequestFunction>::start(config)
    }

    #[inline]
    fn call(&self, call: &mut RequestCall<'_>) -> Result<Outcome, Failure> {
        <F as RequestFunction>::call(self, call)
    }
}

impl<F: ResponseFunction> FunctionOn<ToClient> for F {
    fn start(config: &str) -> Result<Self, String> {
        <F as ResponseFunction>::start(config)
    }

    #[inline]
    fn call(&self, call: &mut ResponseCall<'_>) -> Result<Outcome, Failure> {
        <F as ResponseFunction>::call(self, call)
    }
}

/// [`AsyncRequestFunction`] and [`AsyncResponseFunction`] as one: a function on the way `W`.
pub(crate) trait AsyncFunctionOn<W>: Sized + Send + Sync + 'static {
    fn start(config: &str) -> Result<Self, String>;
    fn call(
        &self,
        call: &mut Passing<W, AsyncCall>,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send;
}

impl<F: AsyncRequestFunction> AsyncFunctionOn<ToUpstream> for F {
    fn start(config: &str) -> Result<Self, String> {
        <F as AsyncRequestFunction>::start(config)
    }

    fn call(
        &self,
        call: &mut AsyncRequestCall,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send {
        <F as AsyncRequestFunction>::call(self, call)
    }
}

impl<F: AsyncResponseFunction> AsyncFunctionOn<ToClient> for F {
    fn start(config: &str) -> Result<Self, String> {
        <F as AsyncResponseFunction>::start(config)
    }

    fn call(
        &self,
        call: &mut AsyncResponseCall,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send {
        <F as AsyncResponseFunction>::call(self, call)
    }
}
