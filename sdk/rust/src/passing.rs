//! What a function changes: one set of setters, for functions that run at once and for those that answer
//! later.
//!
//! The two differ in where a change goes: the gateway takes it at once, or the call keeps it until its
//! end. That is [`Changes`]; what may be changed is a matter of the way: [`ToUpstream`], [`ToClient`].
//!
//! Invariant: every setter borrows mutably, so no value that a getter lent out outlives a change.

use std::marker::PhantomData;
use std::ops::Deref;

use gantry_abi::constants::{op, part};

use crate::{AsyncCall, Call, Refusal};

/// A request on its way to the upstream.
pub type RequestCall<'a> = Passing<ToUpstream, Call<'a>>;

/// The upstream's answer on its way to the client.
pub type ResponseCall<'a> = Passing<ToClient, Call<'a>>;

/// A request on its way to the upstream, for an asynchronous function. Its changes reach the gateway when
/// the call ends.
pub type AsyncRequestCall = Passing<ToUpstream, AsyncCall>;

/// The upstream's answer on its way to the client, for an asynchronous function. Its changes reach the
/// gateway when the call ends.
pub type AsyncResponseCall = Passing<ToClient, AsyncCall>;

/// A call on something that passes through the gateway: what the call `C` can read, and the setters of
/// its way `W`.
///
/// Functions name it by its four uses: [`RequestCall`], [`ResponseCall`], [`AsyncRequestCall`] and
/// [`AsyncResponseCall`]. What several of them share can be written once:
///
/// ```
/// use gantry_plugin::{Changes, Passing, Refusal};
///
/// fn stamp<W, C: Changes>(call: &mut Passing<W, C>) -> Result<(), Refusal> {
///     call.set_response_header("x-stamped-by", "my-plugin")
/// }
/// ```
pub struct Passing<W, C> {
    call: C,
    /// A function pointer, so that the call is `Send` whatever `W` is.
    way: PhantomData<fn() -> W>,
}

/// The way of a request, which request functions are on.
#[derive(Debug)]
pub enum ToUpstream {}

/// The way of a response, which response functions are on.
#[derive(Debug)]
pub enum ToClient {}

/// A call that takes changes: [`Call`], which the gateway takes at once, and [`AsyncCall`], which keeps
/// them until its end.
pub trait Changes: sealed::Change {}

impl Changes for Call<'_> {}
impl Changes for AsyncCall {}

pub(crate) mod sealed {
    //! The half of [`Changes`](super::Changes) that is no matter of authors.

    use gantry_abi::Fault;

    use crate::Refusal;

    /// Where a change goes.
    pub trait Change {
        /// Makes one change, if the rules let it.
        fn try_change(&mut self, op: u32, key: &[u8], value: &[u8]) -> Result<(), Fault>;

        /// The same, with words for a refusal.
        #[inline]
        fn change(&mut self, op: u32, key: &str, value: &[u8]) -> Result<(), Refusal> {
            self.try_change(op, key.as_bytes(), value)
                .map_err(|fault| Refusal::of_change(op, key, value, fault))
        }
    }
}

impl<W, C> Passing<W, C> {
    pub(crate) const fn new(call: C) -> Self {
        Self {
            call,
            way: PhantomData,
        }
    }

    pub(crate) fn into_inner(self) -> C {
        self.call
    }
}

impl<W, C> Deref for Passing<W, C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.call
    }
}

/// Both ways.
impl<W, C: Changes> Passing<W, C> {
    /// Replaces all values of a response header. In request hooks it is put on the response to come,
    /// whoever gives it.
    #[inline]
    pub fn set_response_header(
        &mut self,
        name: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<(), Refusal> {
        self.call
            .change(op::SET_RESPONSE_HEADER, name, value.as_ref())
    }

    /// Adds a value to a response header, in request hooks to one of the response to come.
    #[inline]
    pub fn add_response_header(
        &mut self,
        name: &str,
        value: impl AsRef<[u8]>,
    ) -> Result<(), Refusal> {
        self.call
            .change(op::ADD_RESPONSE_HEADER, name, value.as_ref())
    }

    /// Removes a response header; that it is absent is no error. In request hooks it takes back what a
    /// plugin put on the response to come.
    #[inline]
    pub fn remove_response_header(&mut self, name: &str) -> Result<(), Refusal> {
        self.call.change(op::REMOVE_RESPONSE_HEADER, name, b"")
    }
}

/// Requests.
impl<C: Changes> Passing<ToUpstream, C> {
    /// Sets the method. `CONNECT` is refused.
    pub fn set_method(&mut self, method: &str) -> Result<(), Refusal> {
        self.call.change(op::SET_METHOD, "", method.as_bytes())
    }

    /// Sets the path. It never selects another API.
    pub fn set_path(&mut self, path: &str) -> Result<(), Refusal> {
        self.call.change(op::SET_PATH, "", path.as_bytes())
    }

    /// Sets the query, without `?`; an empty one removes it.
    pub fn set_query(&mut self, query: &str) -> Result<(), Refusal> {
        self.call.change(op::SET_QUERY, "", query.as_bytes())
    }

    /// Sets what later functions see as the client's address. The upstream's `X-Forwarded-For` and the
    /// gateway's records have the connection's.
    pub fn set_remote_addr(&mut self, address: &str) -> Result<(), Refusal> {
        self.call
            .change(op::SET_REMOTE_ADDR, "", address.as_bytes())
    }

    /// Replaces all values of a request header.
    #[inline]
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Refusal> {
        self.call
            .change(op::SET_REQUEST_HEADER, name, value.as_ref())
    }

    /// Adds a value to a request header.
    #[inline]
    pub fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Refusal> {
        self.call
            .change(op::ADD_REQUEST_HEADER, name, value.as_ref())
    }

    /// Removes a request header; that it is absent is no error.
    #[inline]
    pub fn remove_header(&mut self, name: &str) -> Result<(), Refusal> {
        self.call.change(op::REMOVE_REQUEST_HEADER, name, b"")
    }

    /// Replaces the body, at most 16 MiB; the gateway makes the length right. The first time in a call
    /// it drops the headers that held for the old bytes only (`Content-Encoding`, digests, …), so set
    /// headers of the new body after it. `Content-Type` stays.
    ///
    /// # Errors
    /// [`Fault::Refused`](crate::Fault::Refused), unless the function declares `[wants_request_body]` in
    /// [`plugin!`](crate::plugin!) or is asynchronous; [`Fault::TooLarge`](crate::Fault::TooLarge).
    pub fn set_body(&mut self, body: impl AsRef<[u8]>) -> Result<(), Refusal> {
        self.call.change(op::SET_REQUEST_BODY, "", body.as_ref())
    }

    /// Sets the session for this request: a JSON object of at most 16 KiB. Not in `pre`, where it could
    /// stand in for authentication. An asynchronous function learns at its end if it is no object.
    pub fn set_session(&mut self, session: &str) -> Result<(), Refusal> {
        self.set_session_of("", session)
    }

    /// Sets the session for this request and names the consumer key that it belongs to, as a header
    /// carries it: 1 byte to 16 KiB without control characters.
    pub fn set_session_of(&mut self, key: &str, session: &str) -> Result<(), Refusal> {
        self.call.change(op::SET_SESSION, key, session.as_bytes())
    }

    /// Sets the session, and keeps it under its consumer key for all gateways of the environment.
    pub fn store_session(&mut self, key: &str, session: &str) -> Result<(), Refusal> {
        self.call.change(op::STORE_SESSION, key, session.as_bytes())
    }
}

/// Responses.
impl<C: Changes> Passing<ToClient, C> {
    /// Sets the status, 200 to 599.
    pub fn set_status(&mut self, status: u16) -> Result<(), Refusal> {
        self.call
            .change(op::SET_STATUS, "", status.to_string().as_bytes())
    }

    /// Replaces the body, at most 16 MiB; the gateway makes the length right. The first time in a call
    /// it drops the headers that held for the old bytes only (`Content-Encoding`, `ETag`, digests, …),
    /// so set headers of the new body after it. `Content-Type` stays. What may not have a body (the
    /// answer to `HEAD`, 204, 205, 304) goes out without one.
    ///
    /// # Errors
    /// [`Fault::Refused`](crate::Fault::Refused), unless the function declares `[wants_response_body]` in
    /// [`plugin!`](crate::plugin!) or is asynchronous; [`Fault::TooLarge`](crate::Fault::TooLarge).
    pub fn set_body(&mut self, body: impl AsRef<[u8]>) -> Result<(), Refusal> {
        self.call.change(op::SET_RESPONSE_BODY, "", body.as_ref())
    }
}

/// Requests, at once.
impl Passing<ToUpstream, Call<'_>> {
    /// The whole body, as the client sent it: if it is compressed, `Content-Encoding` says so. It can
    /// be read any number of times, and is empty where the request has none.
    ///
    /// # Errors
    /// [`Fault::Refused`](crate::Fault::Refused), unless the function declares `[wants_request_body]` in
    /// [`plugin!`](crate::plugin!).
    pub fn body(&self) -> Result<&[u8], Refusal> {
        self.call.body_of(part::REQUEST_BODY)
    }
}

/// Responses, at once.
impl Passing<ToClient, Call<'_>> {
    /// Status of the answer.
    pub fn status(&self) -> u16 {
        self.call.upstream_status().unwrap_or(0)
    }

    /// The whole body, as the upstream sent it: if it is compressed, `Content-Encoding` says so. It can
    /// be read any number of times, and is empty where the response has none (to `HEAD`, 204, 304).
    ///
    /// # Errors
    /// [`Fault::Refused`](crate::Fault::Refused), unless the function declares `[wants_response_body]` in
    /// [`plugin!`](crate::plugin!).
    pub fn body(&self) -> Result<&[u8], Refusal> {
        self.call.body_of(part::RESPONSE_BODY)
    }
}

/// Requests, later.
impl Passing<ToUpstream, AsyncCall> {
    /// The whole body, as the client sent it, or as it was set. The first time it is asked for, and comes
    /// when the gateway has it; what no function asks for streams past. It is empty where the request
    /// has none. A body beyond the gateway's limit ends the request, and this future is dropped.
    ///
    /// # Errors
    /// The gateway does not give it.
    pub async fn body(&mut self) -> Result<&[u8], Refusal> {
        self.call.body_of(part::REQUEST_BODY).await
    }
}

/// Responses, later.
impl Passing<ToClient, AsyncCall> {
    /// Status of the answer.
    pub fn status(&self) -> u16 {
        self.call.copy.status.unwrap_or(0)
    }

    /// The whole body, as the upstream sent it, or as it was set; as [`AsyncRequestCall::body`].
    ///
    /// # Errors
    /// The gateway does not give it.
    pub async fn body(&mut self) -> Result<&[u8], Refusal> {
        self.call.body_of(part::RESPONSE_BODY).await
    }
}
