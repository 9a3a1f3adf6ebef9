//! A call in progress as the callbacks see it: reads parts, steps through headers, applies changes.
//! Safe code over an [`Exchange`].

mod changes;

use bytes::Bytes;
use gantry_abi::constants::{is_body, is_reserved_part, is_served_part, part};
use gantry_abi::{Fault, Side};
use gantry_domain::Hook;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::exchange::{Answer, Exchange};
use crate::logging::LogOrigin;
use crate::scratch::Scratch;
use crate::{names, proved, snapshot};

/// One call of one function.
pub(crate) struct ActiveCall<'a> {
    hook: Hook,
    function: &'a str,
    bodies: Bodies,
    exchange: &'a mut Exchange,
    scratch: &'a mut Scratch,
    draft: Draft,
}

impl Draft {
    /// Takes back what an answer did to the response headers.
    pub(crate) fn withdraw(self, exchange: &mut Exchange) {
        if let Some(before) = self.before_answer {
            let (headers, added) = *before;
            exchange.response_headers = headers;
            exchange.added_headers = added;
        }
    }
}

/// What a function may do with the body of its hook's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bodies {
    /// It declares that it wants it, so it is there.
    pub(crate) read: bool,
    /// It may put another in its place.
    pub(crate) replace: bool,
}

/// What a call has begun and not finished: the part of it that outlives `call` where it pends.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    answer_status: Option<StatusCode>,
    answer_body: Option<Bytes>,
    /// The response headers as they were before an answer began, and the added ones.
    before_answer: Option<Box<(HeaderMap, HeaderMap)>>,
    replaced_body: bool,
}

impl<'a> ActiveCall<'a> {
    pub(crate) fn new(
        hook: Hook,
        function: &'a str,
        bodies: Bodies,
        exchange: &'a mut Exchange,
        scratch: &'a mut Scratch,
        draft: Draft,
    ) -> Self {
        Self {
            hook,
            function,
            bodies,
            exchange,
            scratch,
            draft,
        }
    }

    /// What the call has begun, when it goes on later.
    pub(crate) fn into_draft(self) -> Draft {
        self.draft
    }

    /// The request.
    pub(crate) const fn exchange(&mut self) -> &mut Exchange {
        self.exchange
    }

    /// Where a log line of this call comes from.
    pub(crate) fn origin(&self) -> LogOrigin<'_> {
        LogOrigin {
            api_id: self.exchange.api.api_id.as_str(),
            function: self.function,
            hook: self.hook,
            trace_id: self.exchange.trace.trace_id(),
        }
    }

    /// The value of a part; for header parts the first value of the name `key`.
    pub(crate) fn get(&self, part: u32, key: &[u8]) -> Result<&[u8], Fault> {
        if let Some(headers) = self.headers(part) {
            let value = match names::find(key) {
                Some(name) => headers.get(name),
                None => look_up(headers, key)?,
            };
            return value.map(HeaderValue::as_bytes).ok_or(Fault::Absent);
        }
        let value = self.value(part)?;
        if !key.is_empty() {
            return Err(Fault::Invalid);
        }
        value.ok_or(Fault::Absent)
    }

    /// The value of a part that has no key.
    pub(crate) fn value(&self, part: u32) -> Result<Option<&[u8]>, Fault> {
        let exchange = &*self.exchange;
        Ok(match part {
            part::METHOD => Some(exchange.method.as_str().as_bytes()),
            part::PATH => Some(exchange.path.as_bytes()),
            part::QUERY => exchange.query.as_deref().map(str::as_bytes),
            part::HOST => Some(exchange.host.as_bytes()),
            part::REMOTE_ADDR => Some(exchange.remote_addr.as_bytes()),
            part::SESSION => exchange.session.as_deref(),
            part::API_ID => Some(exchange.api.api_id.as_str().as_bytes()),
            part::API_DEFINITION => Some(&exchange.api.definition),
            part::CONFIG_DATA => Some(&exchange.api.config),
            part::TRACE_ID => Some(exchange.trace.trace_id().as_bytes()),
            part::TRACEPARENT => Some(exchange.trace.traceparent().as_bytes()),
            part::TARGET => Some(exchange.target.as_str().as_bytes()),
            part::HOOK => Some(self.hook.as_str().as_bytes()),
            part::STATUS => exchange
                .status
                .as_ref()
                .map(|status| status.as_str().as_bytes()),
            part::OPENAPI => exchange.api.openapi.as_deref(),
            part::AUTH_TOKEN => exchange.token.as_deref().map(str::as_bytes),
            part::REQUEST_BODY => Some(self.body(Side::Request)?),
            part::RESPONSE_BODY => Some(self.body(Side::Response)?),
            _ if is_reserved_part(part) => return Err(Fault::Unsupported),
            _ => return Err(Fault::Unknown),
        })
    }

    /// A body from `offset` on.
    pub(crate) fn body_from(&self, part: u32, offset: u64) -> Result<&[u8], Fault> {
        if is_served_part(part) && !is_body(part) {
            return Err(Fault::Invalid);
        }
        let body = self.value(part)?.unwrap_or_default();
        usize::try_from(offset)
            .ok()
            .and_then(|offset| body.get(offset..))
            .filter(|rest| !rest.is_empty())
            .ok_or(Fault::Absent)
    }

    fn body(&self, side: Side) -> Result<&[u8], Fault> {
        self.check_body(side, self.bodies.read)?;
        // Who calls a function that wants a body has put it there.
        self.exchange.body.as_deref().ok_or(Fault::Internal)
    }

    /// Refuses the body that is not this hook's, and what the function may not do.
    fn check_body(&self, side: Side, may: bool) -> Result<(), Fault> {
        let at_hook = (side == Side::Response) == (self.hook == Hook::Response);
        if at_hook && may {
            Ok(())
        } else {
            Err(Fault::Refused)
        }
    }

    /// The headers behind a header part.
    pub(crate) fn headers(&self, part: u32) -> Option<&HeaderMap> {
        match part {
            part::REQUEST_HEADER => Some(&self.exchange.headers),
            part::RESPONSE_HEADER => Some(&self.exchange.response_headers),
            part::ADDED_HEADER => Some(&self.exchange.added_headers),
            _ => None,
        }
    }

    /// The header at `index`: of all of a side if `key` is empty, else of the values of one name.
    ///
    /// Finding the nth costs n steps; a function that reads many headers takes a snapshot.
    pub(crate) fn next(&self, part: u32, key: &[u8], index: u64) -> Result<(&[u8], &[u8]), Fault> {
        let Some(headers) = self.headers(part) else {
            return Err(self.value(part).err().unwrap_or(Fault::Invalid));
        };
        let name = proved::text(key)?;
        let index = usize::try_from(index).map_err(|_| Fault::Absent)?;
        let (name, value) = headers
            .iter()
            .filter(|(each, _)| name.is_empty() || each.as_str().eq_ignore_ascii_case(name))
            .nth(index)
            .ok_or(Fault::Absent)?;
        Ok((name.as_str().as_bytes(), value.as_bytes()))
    }

    /// Encodes parts as a snapshot, in this call's buffer.
    pub(crate) fn snapshot(&mut self, parts: u64) -> Result<&[u8], Fault> {
        let mut buffer = std::mem::take(&mut self.scratch.snapshot);
        let encoded = snapshot::encode(self, parts, &mut buffer);
        self.scratch.snapshot = buffer;
        encoded.map(|len| &self.scratch.snapshot[..len])
    }

    /// The buffer for the plugin's flat mutations.
    pub(crate) fn out(&mut self) -> &mut [u8] {
        &mut self.scratch.out
    }

    /// Whether the function set a part of an answer.
    pub(crate) fn has_answer(&self) -> bool {
        self.draft.answer_status.is_some() || self.draft.answer_body.is_some()
    }

    /// Moves the answer to the exchange; `false` if there is none, or a body without a status.
    pub(crate) fn give_answer(&mut self) -> bool {
        let body = self.draft.answer_body.take().unwrap_or_default();
        self.exchange.answer = self
            .draft
            .answer_status
            .take()
            .map(|status| Answer { status, body });
        self.exchange.answer.is_some()
    }

    /// Puts the response headers back as they were before an answer began: a failed call gives none, and
    /// the upstream's body must not go out without the headers that describe it.
    pub(crate) fn withdraw_answer(&mut self) {
        std::mem::take(&mut self.draft).withdraw(self.exchange);
    }
}

/// The first value of a name that is not kept, or not yet.
fn look_up<'h>(headers: &'h HeaderMap, key: &[u8]) -> Result<Option<&'h HeaderValue>, Fault> {
    let name = proved::text(key)?;
    if name.is_empty() {
        return Err(Fault::Invalid);
    }
    names::ask(key);
    Ok(headers.get(name))
}

#[cfg(test)]
#[path = "active/tests.rs"]
pub(crate) mod tests;
