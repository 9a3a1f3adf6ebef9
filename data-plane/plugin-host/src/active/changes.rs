//! What changes a call: one change at a time, or many at once.
//!
//! Invariant: every change passes [`Mutation`] before it is applied, and of many none is applied unless all
//! pass.

use std::borrow::Borrow;
use std::sync::Arc;

use bytes::Bytes;
use gantry_abi::flat::{Record, Records};
use gantry_abi::{Fault, Mutation, Side, limits, op, rules};
use gantry_domain::session::SessionDocument;
use gantry_domain::{Hook, Limits};
use http::header::{CONTENT_LENGTH, IntoHeaderName};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::ActiveCall;
use crate::exchange::{Exchange, StoredSession};
use crate::logging::{self, LogLevel, PluginLog};
use crate::{names, proved};

/// Sessions that one request may store.
pub(super) const STORED_SESSIONS_MAX: usize = 16;
/// Of the flat mutations given at once, how many are not checked a second time before they are applied.
const CHECKED_KEPT: usize = 4;

/// A change that passed the rules.
#[derive(Clone, Copy)]
struct Checked<'a> {
    mutation: Mutation<'a>,
    /// The header's name, where it is one that is kept.
    kept: Option<&'static HeaderName>,
}

impl<'a> Checked<'a> {
    fn new(hook: Hook, op: u32, key: &'a [u8], value: &'a [u8]) -> Result<Self, Fault> {
        let mut kept = None;
        let header_name = |name| {
            kept = names::find_changeable(name);
            kept.map_or_else(|| rules::header_name(name), |_| Ok(name))
        };
        let mutation = Mutation::check_by(header_name, hook as u32, op, key, value)?;
        Ok(Self { mutation, kept })
    }
}

impl ActiveCall<'_> {
    /// Checks and applies one change.
    pub(crate) fn mutate(&mut self, op: u32, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        // By reference: what was just written in parts is slow to move as a whole.
        match &Checked::new(self.hook, op, key, value) {
            Ok(checked) => {
                self.check(&checked.mutation, false)?;
                self.commit(checked)
            }
            Err(fault) => Err(*fault),
        }
    }

    /// Checks all flat mutations and then applies all; a refusal leaves everything as it was.
    pub(crate) fn apply(&mut self, mutations: &[u8]) -> Result<(), Fault> {
        let mut checked = [const { None }; CHECKED_KEPT];
        let mut places = checked.iter_mut();
        let mut request = self.exchange.headers.len();
        let mut response = self.exchange.response_headers.len();
        let mut added = self.exchange.added_headers.len();
        let mut sessions = self.exchange.stored_sessions.len();
        let mut answers = false;
        for record in Records::new(mutations) {
            let record = record?;
            let change = Checked::new(self.hook, record.op, record.key, record.value)?;
            self.check(&change.mutation, answers)?;
            answers |= matches!(change.mutation, Mutation::AnswerStatus(_));
            if let Some(place) = places.next() {
                *place = Some(change);
            }
            match change.mutation.adds_header() {
                Some(Side::Request) => request += 1,
                Some(Side::Response) => response += 1,
                Some(Side::Added) => added += 1,
                None if matches!(change.mutation, Mutation::StoreSession(..)) => sessions += 1,
                None => continue,
            }
            if request.max(response).max(added) > limits::HEADERS_MAX
                || sessions > STORED_SESSIONS_MAX
            {
                return Err(Fault::TooLarge);
            }
        }
        for change in checked.iter().flatten() {
            self.commit(change)?;
        }
        for record in Records::new(mutations).skip(CHECKED_KEPT) {
            let record = record?;
            self.commit(&Checked::new(
                self.hook,
                record.op,
                record.key,
                record.value,
            )?)?;
        }
        Ok(())
    }

    /// Applies what the plugin left in the output buffer. The error says in words what is wrong.
    pub(crate) fn apply_out(&mut self, len: usize) -> Result<(), String> {
        if len == 0 {
            return Ok(());
        }
        let out = std::mem::take(&mut self.scratch.out);
        let applied = match out.get(..len) {
            Some(out) => self.apply_last(out),
            None => Err(format!("{len} bytes in a buffer of {}", out.len())),
        };
        self.scratch.out = out;
        applied
    }

    /// Applies what a call ended with. The error says in words what is wrong: the plugin has returned, so
    /// its author's log is all that is left to tell it to.
    pub(crate) fn apply_last(&mut self, mutations: &[u8]) -> Result<(), String> {
        self.apply(mutations)
            .map_err(|fault| self.complaint(mutations, fault))
    }

    /// [`apply`](Self::apply) for a plugin, which gets a number: a log line says what is wrong.
    pub(crate) fn apply_and_tell(&mut self, mutations: &[u8]) -> Result<(), Fault> {
        let applied = self.apply(mutations);
        if let Err(fault) = applied {
            let what = self.complaint(mutations, fault);
            logging::write(&PluginLog {
                level: LogLevel::Warn,
                message: &format!("changes are refused: {what}"),
                origin: Some(self.origin()),
                logged_at: None,
            });
        }
        applied
    }

    fn complaint(&self, mutations: &[u8], fault: Fault) -> String {
        let passes = |record: &Record<'_>| {
            Checked::new(self.hook, record.op, record.key, record.value)
                .and_then(|change| self.check(&change.mutation, true))
                .is_ok()
        };
        let records = Records::new(mutations).map_while(Result::ok);
        match records.clone().find(|record| !passes(record)) {
            Some(culprit) => format!("{}: {fault}{}", what(&culprit), limit(&culprit, fault)),
            None => format!(
                "{} changes in {} bytes: {fault}",
                records.count(),
                mutations.len()
            ),
        }
    }

    /// Begins an answer or, the second time, changes its status: headers set in between are its own.
    fn answer_with(&mut self, status: StatusCode) {
        if self.draft.answer_status.replace(status).is_some() {
            return;
        }
        let added = self.exchange.added_headers.clone();
        let headers = &mut self.exchange.response_headers;
        self.draft.before_answer = Some(Box::new((headers.clone(), added)));
        if self.hook == Hook::Response {
            for name in rules::REPRESENTATION_HEADERS {
                headers.remove(name);
            }
        }
    }

    /// Copies the value before it lets go of the old one: a plugin may pass back what it got.
    fn commit(&mut self, checked: &Checked<'_>) -> Result<(), Fault> {
        let exchange = &mut *self.exchange;
        match checked.mutation {
            Mutation::SetMethod(method) => {
                exchange.method =
                    Method::from_bytes(method.as_bytes()).map_err(|_| Fault::Invalid)?;
            }
            // Not `clone_into`: the value may be the old path itself.
            Mutation::SetPath(path) => exchange.path = String::from(path),
            Mutation::SetQuery(query) => exchange.query = query.map(str::to_owned),
            Mutation::SetRemoteAddr(addr) => exchange.remote_addr = Arc::from(addr),
            Mutation::SetHeader(side, name, value) => {
                let headers = side_of(exchange, side);
                match checked.kept {
                    Some(name) => set(headers, name, value)?,
                    None => set(headers, names::make(name)?, value)?,
                }
            }
            Mutation::AddHeader(side, name, value) => {
                let headers = side_of(exchange, side);
                match checked.kept {
                    Some(name) => add(headers, name, value)?,
                    None => add(headers, names::make(name)?, value)?,
                }
            }
            Mutation::RemoveHeader(side, name) => {
                side_of(exchange, side).remove(proved::text(name)?);
            }
            Mutation::SetStatus(status) => exchange.status = Some(status_code(status)?),
            Mutation::SetSession(key, session) => set_session(exchange, key, session),
            Mutation::StoreSession(key, session) => {
                if exchange.stored_sessions.len() >= STORED_SESSIONS_MAX {
                    return Err(Fault::TooLarge);
                }
                set_session(exchange, Some(key), session);
                let document = exchange.session.clone().unwrap_or_default();
                let key = key.to_owned();
                exchange
                    .stored_sessions
                    .push(StoredSession { key, document });
            }
            Mutation::AnswerStatus(status) => self.answer_with(status_code(status)?),
            Mutation::AnswerBody(body) => {
                self.draft.answer_body = Some(Bytes::copy_from_slice(body));
            }
            Mutation::AnswerLength(length) => {
                set(&mut exchange.response_headers, CONTENT_LENGTH, length)?;
            }
            Mutation::SetBody(side, body) => self.replace_body(side, Bytes::copy_from_slice(body)),
        }
        Ok(())
    }

    /// Puts another body in place. The second time in a call, headers set in between are its own.
    fn replace_body(&mut self, side: Side, body: Bytes) {
        self.exchange.body = Some(body);
        if !std::mem::replace(&mut self.draft.replaced_body, true) {
            let headers = side_of(self.exchange, side);
            for name in rules::BODY_HEADERS {
                headers.remove(name);
            }
        }
    }

    /// Proves what the pure rules cannot: that a session is a JSON object, that the function declared
    /// the body, that a length is that of an answer to `HEAD`, which an earlier change of the same batch may
    /// have begun.
    fn check(&self, mutation: &Mutation<'_>, answers: bool) -> Result<(), Fault> {
        match mutation {
            Mutation::SetSession(_, session) | Mutation::StoreSession(_, session) => {
                SessionDocument::parse(session.as_bytes(), &Limits::default())
                    .map_err(|_| Fault::Invalid)?;
                Ok(())
            }
            Mutation::SetBody(side, _) => self.check_body(*side, self.bodies.replace),
            Mutation::AnswerLength(_)
                if self.exchange.method != Method::HEAD
                    || !(answers || self.draft.answer_status.is_some()) =>
            {
                Err(Fault::Refused)
            }
            _ => Ok(()),
        }
    }
}

/// A change in words. The key of a session is a consumer's secret, and no change's value is told.
fn what(record: &Record<'_>) -> String {
    let number = i64::from(record.op);
    let known = op::C_NAMES.iter().find(|(_, each)| *each == number);
    let name = known.map_or_else(
        || format!("operation {number}"),
        |(name, _)| (*name).to_owned(),
    );
    let key = match record.op {
        op::SET_SESSION | op::STORE_SESSION => String::new(),
        _ if record.key.is_empty() => String::new(),
        _ => {
            let shown = &record.key[..record.key.len().min(limits::HEADER_NAME_BYTES_MAX)];
            format!(" of {:?}", String::from_utf8_lossy(shown))
        }
    };
    format!("{name}{key} with {} bytes", record.value.len())
}

fn limit(record: &Record<'_>, fault: Fault) -> String {
    let max = limits::value_bytes_max(record.op).filter(|_| fault == Fault::TooLarge);
    max.map_or_else(String::new, |max| format!(", {max} bytes"))
}

fn set_session(exchange: &mut Exchange, key: Option<&str>, session: &str) {
    if let Some(key) = key {
        exchange.token = Some(key.to_owned());
    }
    exchange.session = Some(Bytes::copy_from_slice(session.as_bytes()));
}

fn side_of(exchange: &mut Exchange, side: Side) -> &mut HeaderMap {
    match side {
        Side::Request => &mut exchange.headers,
        Side::Response => &mut exchange.response_headers,
        Side::Added => &mut exchange.added_headers,
    }
}

fn set<N>(headers: &mut HeaderMap, name: N, value: &[u8]) -> Result<(), Fault>
where
    N: IntoHeaderName + Borrow<HeaderName>,
{
    let value = proved::value(value);
    if headers.len() >= limits::HEADERS_MAX && !headers.contains_key(name.borrow()) {
        return Err(Fault::TooLarge);
    }
    headers
        .try_insert(name, value)
        .map_err(|_| Fault::TooLarge)?;
    Ok(())
}

fn add(headers: &mut HeaderMap, name: impl IntoHeaderName, value: &[u8]) -> Result<(), Fault> {
    let value = proved::value(value);
    if headers.len() >= limits::HEADERS_MAX {
        return Err(Fault::TooLarge);
    }
    headers
        .try_append(name, value)
        .map_err(|_| Fault::TooLarge)?;
    Ok(())
}

fn status_code(status: u16) -> Result<StatusCode, Fault> {
    StatusCode::from_u16(status).map_err(|_| Fault::Invalid)
}
