//! A host in memory: the same table of callbacks that a gateway gives, over one call in plain
//! strings. It serves what the Rust SDK calls; the flat encodings are for other languages.
//!
//! Invariant: a handle is alive between [`with_call`]'s entry and return, on that thread.
#![expect(
    unsafe_code,
    reason = "the SDK reaches its host through C function pointers"
)]

use std::cell::RefCell;

use gantry_abi::constants::{code, is_body, is_reserved_part, is_served_part, level, part};
use gantry_abi::flat::{Record, Records};
use gantry_abi::{ABI_MAJOR, ABI_MINOR, Fault, Host, Mutation, Side, Str, limits, rules};

use crate::raw;
use crate::{Hook, Level};

/// One call in memory.
pub(super) struct Exchange {
    hook: Hook,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) target: String,
    pub(super) host: String,
    pub(super) remote_addr: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) session: Option<String>,
    pub(super) auth_token: Option<String>,
    /// What was to be kept: consumer key and session.
    pub(super) stored: Option<(String, String)>,
    pub(super) openapi: Option<String>,
    pub(super) api_id: String,
    pub(super) definition: String,
    pub(super) config: String,
    pub(super) status: Option<String>,
    pub(super) response_headers: Vec<(String, Vec<u8>)>,
    pub(super) answer_status: Option<u16>,
    pub(super) answer_body: Vec<u8>,
    /// The response headers as they were before an answer began.
    before_answer: Option<Vec<(String, Vec<u8>)>>,
    /// The body of the hook's side; none for a function that does not declare it. An asynchronous
    /// function gets it when it asks.
    pub(super) body: Option<Vec<u8>>,
    replaced_body: bool,
    /// Whether the function asked for the body, and has not got it yet.
    asked: bool,
    pub(super) log: Vec<(Level, String)>,
}

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

impl Exchange {
    pub(super) fn new(hook: Hook) -> Self {
        Self {
            hook,
            method: "GET".to_owned(),
            path: "/".to_owned(),
            query: None,
            target: "/".to_owned(),
            host: "gateway.test".to_owned(),
            remote_addr: "192.0.2.1:4711".to_owned(),
            headers: Vec::new(),
            session: None,
            auth_token: None,
            stored: None,
            openapi: None,
            api_id: "test".to_owned(),
            definition: "{}".to_owned(),
            config: "{}".to_owned(),
            status: (hook == Hook::Response).then(|| "200".to_owned()),
            response_headers: Vec::new(),
            answer_status: None,
            answer_body: Vec::new(),
            before_answer: None,
            body: None,
            replaced_body: false,
            asked: false,
            log: Vec::new(),
        }
    }

    fn get(&self, part: u32, key: &[u8]) -> Result<&[u8], Fault> {
        if let part::REQUEST_HEADER | part::RESPONSE_HEADER = part {
            let mut values = self.values(part, key);
            return values.next().map(|(_, value)| value).ok_or(Fault::Absent);
        }
        if is_body(part) {
            let at_hook = (part == part::RESPONSE_BODY) == (self.hook == Hook::Response);
            let body = self.body.as_deref().filter(|_| at_hook);
            return body.ok_or(Fault::Refused);
        }
        let text = match part {
            part::METHOD => Some(self.method.as_str()),
            part::PATH => Some(self.path.as_str()),
            part::QUERY => self.query.as_deref(),
            part::TARGET => Some(self.target.as_str()),
            part::HOST => Some(self.host.as_str()),
            part::REMOTE_ADDR => Some(self.remote_addr.as_str()),
            part::SESSION => self.session.as_deref(),
            part::API_ID => Some(self.api_id.as_str()),
            part::API_DEFINITION => Some(self.definition.as_str()),
            part::CONFIG_DATA => Some(self.config.as_str()),
            part::TRACE_ID => Some(TRACE_ID),
            part::TRACEPARENT => Some(TRACEPARENT),
            part::HOOK => Some(self.hook.as_str()),
            part::STATUS => self.status.as_deref(),
            part::OPENAPI => self.openapi.as_deref(),
            part::AUTH_TOKEN => self.auth_token.as_deref(),
            _ if is_reserved_part(part) => return Err(Fault::Unsupported),
            _ => return Err(Fault::Unknown),
        };
        text.map(str::as_bytes).ok_or(Fault::Absent)
    }

    fn values(&self, part: u32, name: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
        let side = if part == part::REQUEST_HEADER {
            &self.headers
        } else {
            &self.response_headers
        };
        side.iter()
            .filter(move |(each, _)| name.is_empty() || each.as_bytes().eq_ignore_ascii_case(name))
            .map(|(name, value)| (name.as_bytes(), value.as_slice()))
    }

    fn mutate(&mut self, mutation: &Mutation<'_>) -> Result<(), Fault> {
        match *mutation {
            Mutation::SetMethod(method) => method.clone_into(&mut self.method),
            Mutation::SetPath(path) => path.clone_into(&mut self.path),
            Mutation::SetRemoteAddr(addr) => addr.clone_into(&mut self.remote_addr),
            Mutation::SetQuery(query) => self.query = query.map(str::to_owned),
            Mutation::SetHeader(side, name, value) => {
                self.headers_of(side)
                    .retain(|(each, _)| !each.as_bytes().eq_ignore_ascii_case(name));
                self.add_header(side, name, value)?;
            }
            Mutation::AddHeader(side, name, value) => self.add_header(side, name, value)?,
            Mutation::RemoveHeader(side, name) => {
                self.headers_of(side)
                    .retain(|(each, _)| !each.as_bytes().eq_ignore_ascii_case(name));
            }
            Mutation::SetStatus(status) => self.status = Some(status.to_string()),
            Mutation::SetSession(key, session) => self.set_session(key, session)?,
            Mutation::StoreSession(key, session) => {
                self.set_session(Some(key), session)?;
                self.stored = Some((key.to_owned(), session.to_owned()));
            }
            Mutation::AnswerStatus(status) => self.answer_with(status),
            Mutation::AnswerBody(body) => self.answer_body = body.to_vec(),
            Mutation::AnswerLength(length) => {
                if self.method != "HEAD" || self.answer_status.is_none() {
                    return Err(Fault::Refused);
                }
                let name = "content-length";
                self.response_headers.retain(|(each, _)| each != name);
                self.add_header(Side::Response, name.as_bytes(), length)?;
            }
            Mutation::SetBody(side, body) => self.replace_body(side, body)?,
        }
        Ok(())
    }

    fn set_session(&mut self, key: Option<&str>, session: &str) -> Result<(), Fault> {
        check_session(session)?;
        self.session = Some(session.to_owned());
        if let Some(key) = key {
            self.auth_token = Some(key.to_owned());
        }
        Ok(())
    }

    fn replace_body(&mut self, side: Side, body: &[u8]) -> Result<(), Fault> {
        let place = self.body.as_mut().ok_or(Fault::Refused)?;
        *place = body.to_vec();
        if !std::mem::replace(&mut self.replaced_body, true) {
            self.headers_of(side)
                .retain(|(name, _)| !rules::BODY_HEADERS.contains(&name.as_str()));
        }
        Ok(())
    }

    fn answer_with(&mut self, status: u16) {
        if self.answer_status.replace(status).is_some() {
            return;
        }
        self.before_answer = Some(self.response_headers.clone());
        if self.hook == Hook::Response {
            self.response_headers
                .retain(|(name, _)| !rules::REPRESENTATION_HEADERS.contains(&name.as_str()));
        }
    }

    /// As a gateway does when the call fails.
    pub(super) fn withdraw_answer(&mut self) {
        if let Some(headers) = self.before_answer.take() {
            self.response_headers = headers;
        }
    }

    fn headers_of(&mut self, side: Side) -> &mut Vec<(String, Vec<u8>)> {
        match side {
            Side::Request => &mut self.headers,
            // Functions of this SDK see them together.
            Side::Response | Side::Added => &mut self.response_headers,
        }
    }

    fn add_header(&mut self, side: Side, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        let name = std::str::from_utf8(name).map_err(|_| Fault::Invalid)?;
        let headers = self.headers_of(side);
        if headers.len() >= limits::HEADERS_MAX {
            return Err(Fault::TooLarge);
        }
        headers.push((name.to_ascii_lowercase(), value.to_vec()));
        Ok(())
    }
}

fn check_session(text: &str) -> Result<(), Fault> {
    fn depth(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            serde_json::Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    match serde_json::from_str(text) {
        Ok(value @ serde_json::Value::Object(_)) if depth(&value) <= limits::SESSION_DEPTH_MAX => {
            Ok(())
        }
        _ => Err(Fault::Invalid),
    }
}

thread_local! {
    /// The calls that this thread is in, innermost last. Boxed, so that growing moves no exchange.
    #[expect(clippy::vec_box, reason = "slices into an exchange must survive growth")]
    static CALLS: RefCell<Vec<Box<Exchange>>> = const { RefCell::new(Vec::new()) };
}

static TABLE: Host = Host {
    #[expect(clippy::cast_possible_truncation, reason = "the table has 88 bytes")]
    size: size_of::<Host>() as u32,
    abi_major: ABI_MAJOR,
    abi_minor: ABI_MINOR,
    flags: 0,
    get: Some(get),
    next: Some(next),
    mutate: Some(mutate),
    snapshot: None,
    apply: None,
    log: Some(log),
    resume: None,
    body: None,
    ask: Some(ask),
};

/// Runs something with a call of this host; gives back the exchange as it was left.
pub(super) fn with_call<T>(
    exchange: Exchange,
    run: impl FnOnce(&'static Host, gantry_abi::Call) -> T,
) -> (Exchange, T) {
    /// Takes the call off the stack also when a test fails in it.
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            CALLS.with_borrow_mut(Vec::pop);
        }
    }
    let handle = CALLS.with_borrow_mut(|calls| {
        calls.push(Box::new(exchange));
        calls.len() as u64
    });
    let leave = Leave;
    let result = run(&TABLE, handle);
    std::mem::forget(leave);
    let exchange = CALLS
        .with_borrow_mut(Vec::pop)
        .expect("pushed above, and only this pops");
    (*exchange, result)
}

fn with_exchange<T>(
    call: gantry_abi::Call,
    run: impl FnOnce(&mut Exchange) -> Result<T, Fault>,
) -> Result<T, Fault> {
    CALLS.with_borrow_mut(|calls| {
        let index = usize::try_from(call)
            .ok()
            .and_then(|call| call.checked_sub(1));
        run(index
            .and_then(|index| calls.get_mut(index))
            .ok_or(Fault::DeadHandle)?)
    })
}

/// The body that a call asked for since this was last called.
pub(super) fn take_asked(call: gantry_abi::Call) -> Option<Vec<u8>> {
    with_exchange(call, |exchange| {
        let asked = std::mem::replace(&mut exchange.asked, false);
        Ok(asked.then(|| exchange.body.clone().unwrap_or_default()))
    })
    .unwrap_or_default()
}

/// Applies what an asynchronous function changed, up to the first change that is refused.
pub(super) fn apply(call: gantry_abi::Call, mutations: &[u8]) -> Result<(), Fault> {
    with_exchange(call, |exchange| {
        exchange.body.get_or_insert_default();
        for record in Records::new(mutations) {
            let Record { op, key, value } = record?;
            exchange.mutate(&Mutation::check(exchange.hook as u32, op, key, value)?)?;
        }
        Ok(())
    })
}

unsafe extern "C" fn ask(call: gantry_abi::Call, part: u32) -> i32 {
    answer(with_exchange(call, |exchange| {
        if (part == part::RESPONSE_BODY) != (exchange.hook == Hook::Response) {
            return Err(Fault::Refused);
        }
        exchange.asked = true;
        Ok(())
    }))
}

fn answer(result: Result<(), Fault>) -> i32 {
    result.map_or_else(Fault::code, |()| code::OK)
}

unsafe extern "C" fn get(call: gantry_abi::Call, part: u32, key: Str, out: *mut Str) -> i32 {
    // SAFETY: the SDK passes valid bytes.
    let key = unsafe { raw::slice(key) };
    answer(with_exchange(call, |exchange| {
        let value = Str::new(exchange.get(part, key)?);
        // SAFETY: the SDK passes a place for one string.
        unsafe { out.write(value) };
        Ok(())
    }))
}

unsafe extern "C" fn next(
    call: gantry_abi::Call,
    part: u32,
    key: Str,
    cursor: *mut u64,
    name: *mut Str,
    value: *mut Str,
) -> i32 {
    // SAFETY: the SDK passes valid bytes.
    let key = unsafe { raw::slice(key) };
    answer(with_exchange(call, |exchange| {
        if !matches!(part, part::REQUEST_HEADER | part::RESPONSE_HEADER) {
            return Err(if is_served_part(part) {
                Fault::Invalid
            } else {
                Fault::Unknown
            });
        }
        // SAFETY: the SDK passes a cursor.
        let at = unsafe { cursor.read() };
        let index = usize::try_from(at).map_err(|_| Fault::Absent)?;
        let header = exchange.values(part, key).nth(index).ok_or(Fault::Absent)?;
        // SAFETY: as above.
        unsafe { cursor.write(at + 1) };
        // SAFETY: the SDK passes a place for one string.
        unsafe { name.write(Str::new(header.0)) };
        // SAFETY: the SDK passes a place for one string.
        unsafe { value.write(Str::new(header.1)) };
        Ok(())
    }))
}

unsafe extern "C" fn mutate(call: gantry_abi::Call, op: u32, key: Str, value: Str) -> i32 {
    // SAFETY: the SDK passes valid bytes.
    let key = unsafe { raw::slice(key) };
    // SAFETY: the SDK passes valid bytes.
    let value = unsafe { raw::slice(value) };
    answer(with_exchange(call, |exchange| {
        exchange.mutate(&Mutation::check(exchange.hook as u32, op, key, value)?)
    }))
}

unsafe extern "C" fn log(call: gantry_abi::Call, level: u32, message: Str) -> i32 {
    // SAFETY: the SDK passes valid bytes.
    let message = rules::cut_message(unsafe { raw::slice(message) });
    answer(with_exchange(call, |exchange| {
        let level = match level {
            level::ERROR => Level::Error,
            level::WARN => Level::Warn,
            level::INFO => Level::Info,
            level::DEBUG => Level::Debug,
            level::TRACE => Level::Trace,
            _ => return Err(Fault::Unknown),
        };
        exchange
            .log
            .push((level, String::from_utf8_lossy(message).into_owned()));
        Ok(())
    }))
}
