//! Unit tests of plugin functions without a gateway.
//!
//! [`TestCall`] is a request or response in memory; running a function on it gives a [`Finished`],
//! which says how the function ended and what it changed. Names, values, sizes and hooks are held
//! against the same rules as in a gateway. A panic is not caught: it fails the test where it happened.
//!
//! ```
//! use gantry_plugin::testing::TestCall;
//! use gantry_plugin::{Failure, Hook, RequestCall};
//!
//! fn greet(call: &mut RequestCall<'_>) -> Result<(), Failure> {
//!     let name = call.header("x-name").unwrap_or("nobody").to_owned();
//!     call.set_response_header("x-greeting", format!("hello {name}"))?;
//!     Ok(())
//! }
//!
//! let done = TestCall::new(Hook::Pre).header("X-Name", "ada").run_fn(greet);
//! assert!(done.continued());
//! assert_eq!(done.response_header("x-greeting"), Some("hello ada"));
//! ```

mod asynchronous;
mod memory;

use gantry_abi::verdict;

use crate::raw::Gate;
use crate::{
    Call, Failure, Hook, IntoOutcome, Level, Outcome, RequestCall, RequestFunction, ResponseCall,
    ResponseFunction, entry,
};

use memory::Exchange;

/// A request or response in memory, before a function ran on it.
pub struct TestCall {
    hook: Hook,
    exchange: Exchange,
    leaves: bool,
}

impl TestCall {
    /// `GET /` from `192.0.2.1:4711` to `gateway.test`, or the upstream's 200 to it.
    pub fn new(hook: Hook) -> Self {
        Self {
            hook,
            exchange: Exchange::new(hook),
            leaves: false,
        }
    }

    /// Sets the request method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.exchange.method);
        self
    }

    /// Sets the path.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.exchange.path);
        self.targeted()
    }

    /// Sets the query, without `?`.
    #[must_use]
    pub fn query(mut self, query: &str) -> Self {
        self.exchange.query = Some(query.to_owned());
        self.targeted()
    }

    /// The client asked for path and query as they are.
    fn targeted(mut self) -> Self {
        let query = self.exchange.query.as_ref();
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        self.exchange.target = format!("{}{query}", self.exchange.path);
        self
    }

    /// Sets the host that the client asked for.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.exchange.host);
        self
    }

    /// Sets the client's address and port.
    #[must_use]
    pub fn remote_addr(mut self, addr: std::net::SocketAddr) -> Self {
        self.exchange.remote_addr = addr.to_string();
        self
    }

    /// Adds a request header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.exchange
            .headers
            .push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Adds a response header: one of the upstream's, or in request hooks one that an earlier
    /// function put there.
    #[must_use]
    pub fn response_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.exchange
            .response_headers
            .push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Declares that the function wants the body of its hook's side, and what that is: the request's
    /// in request hooks, the response's in the response hook. Without it, the function's own
    /// declaration is taken to be without the flag, and bodies are refused.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.exchange.body = Some(body.into());
        self
    }

    /// Sets the upstream's status, for the response hook.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.exchange.status = Some(status.to_string());
        self
    }

    /// Sets the session that an earlier function or the gateway left: JSON.
    #[must_use]
    pub fn session(mut self, session: &str) -> Self {
        self.exchange.session = Some(session.to_owned());
        self
    }

    /// Sets the consumer key that the session belongs to.
    #[must_use]
    pub fn auth_token(mut self, key: &str) -> Self {
        self.exchange.auth_token = Some(key.to_owned());
        self
    }

    /// Sets the `OpenAPI` document that the API definition was made from: JSON.
    #[must_use]
    pub fn openapi(mut self, document: &str) -> Self {
        self.exchange.openapi = Some(document.to_owned());
        self
    }

    /// Sets identifier and text (JSON) of the API definition.
    #[must_use]
    pub fn api(mut self, api_id: &str, definition: &str) -> Self {
        api_id.clone_into(&mut self.exchange.api_id);
        definition.clone_into(&mut self.exchange.definition);
        self
    }

    /// Sets `config_data`: JSON. What `start` gets is the test's own argument.
    #[must_use]
    pub fn config(mut self, config: &str) -> Self {
        config.clone_into(&mut self.exchange.config);
        self
    }

    /// Runs a request function.
    ///
    /// # Panics
    /// If the hook is `response`, or the function panics.
    pub fn run<F: RequestFunction>(self, function: &F) -> Finished {
        self.run_fn(|call| function.call(call))
    }

    /// Runs a plain function.
    ///
    /// # Panics
    /// If the hook is `response`, or the function panics.
    pub fn run_fn<O: IntoOutcome>(
        self,
        function: impl FnOnce(&mut RequestCall<'_>) -> O,
    ) -> Finished {
        assert_ne!(
            self.hook,
            Hook::Response,
            "a request function runs at a request hook"
        );
        self.enter(|call| {
            let mut call = RequestCall::new(call);
            let result = function(&mut call).into_outcome();
            (call.into_inner(), result)
        })
    }

    /// Runs a response function.
    ///
    /// # Panics
    /// If the hook is not `response`, or the function panics.
    pub fn run_response<F: ResponseFunction>(self, function: &F) -> Finished {
        self.run_response_fn(|call| function.call(call))
    }

    /// Runs a plain response function.
    ///
    /// # Panics
    /// If the hook is not `response`, or the function panics.
    pub fn run_response_fn<O: IntoOutcome>(
        self,
        function: impl FnOnce(&mut ResponseCall<'_>) -> O,
    ) -> Finished {
        assert_eq!(
            self.hook,
            Hook::Response,
            "a response function runs at the response hook"
        );
        self.enter(|call| {
            let mut call = ResponseCall::new(call);
            let result = function(&mut call).into_outcome();
            (call.into_inner(), result)
        })
    }

    fn enter(
        self,
        run: impl for<'c> FnOnce(Call<'c>) -> (Call<'c>, Result<Outcome, Failure>),
    ) -> Finished {
        let hook = self.hook;
        let (exchange, (verdict, failure)) = memory::with_call(self.exchange, |host, handle| {
            let (call, result) = run(Call::new(Gate::new(host, handle), hook));
            let failure = result.as_ref().err().map(|f| f.message().to_owned());
            (entry::conclude(call, result), failure)
        });
        Finished::new(exchange, verdict, failure)
    }
}

/// A request or response after a function ran on it.
pub struct Finished {
    exchange: Exchange,
    answered: bool,
    failure: Option<String>,
}

impl Finished {
    /// `failure` is what the function said; without it the last line that it logged.
    fn new(mut exchange: Exchange, verdict: i32, failure: Option<String>) -> Self {
        let refused = || {
            exchange
                .log
                .last()
                .map(|(_, line)| line.clone())
                .unwrap_or_default()
        };
        let failure = match verdict {
            verdict::CONTINUE | verdict::RESPOND => None,
            _ => Some(failure.unwrap_or_else(refused)),
        };
        if failure.is_some() {
            exchange.withdraw_answer();
        }
        Self {
            exchange,
            answered: verdict == verdict::RESPOND,
            failure,
        }
    }

    /// Whether the request goes on, or the upstream's response.
    pub fn continued(&self) -> bool {
        !self.answered && self.failure.is_none()
    }

    /// Status and body of the answer that the function gave, if it did.
    pub fn answer(&self) -> Option<(u16, &str)> {
        let status = self.exchange.answer_status.filter(|_| self.answered)?;
        Some((
            status,
            std::str::from_utf8(&self.exchange.answer_body).unwrap_or_default(),
        ))
    }

    /// The body that goes on; `None` where the test gave none.
    pub fn body(&self) -> Option<&[u8]> {
        self.exchange.body.as_deref()
    }

    /// Why the function failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Request method.
    pub fn method(&self) -> &str {
        &self.exchange.method
    }

    /// Request path.
    pub fn path(&self) -> &str {
        &self.exchange.path
    }

    /// Query.
    pub fn query(&self) -> Option<&str> {
        self.exchange.query.as_deref()
    }

    /// First value of a request header, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).into_iter().next()
    }

    /// All values of a request header that are UTF-8.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        values(&self.exchange.headers, name)
    }

    /// First value of a response header, if it is UTF-8; also the headers of an answer.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        self.response_header_values(name).into_iter().next()
    }

    /// All values of a response header that are UTF-8.
    pub fn response_header_values(&self, name: &str) -> Vec<&str> {
        values(&self.exchange.response_headers, name)
    }

    /// Status of the upstream's response; `None` in request hooks. An answer has its own.
    pub fn status(&self) -> Option<u16> {
        self.exchange
            .status
            .as_deref()
            .and_then(|status| status.parse().ok())
    }

    /// The consumer key that the session belongs to.
    pub fn auth_token(&self) -> Option<&str> {
        self.exchange.auth_token.as_deref()
    }

    /// Consumer key and session (JSON) that the function had kept, if it did.
    pub fn stored_session(&self) -> Option<(&str, &str)> {
        let (key, session) = self.exchange.stored.as_ref()?;
        Some((key, session))
    }

    /// The session: JSON.
    pub fn session(&self) -> Option<&str> {
        self.exchange.session.as_deref()
    }

    /// The lines that the function logged.
    pub fn log(&self) -> &[(Level, String)] {
        &self.exchange.log
    }
}

fn values<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Vec<&'a str> {
    headers
        .iter()
        .filter(|(each, _)| each.eq_ignore_ascii_case(name))
        .filter_map(|(_, value)| std::str::from_utf8(value).ok())
        .collect()
}
