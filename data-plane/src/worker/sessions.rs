//! What happens to sessions beside authentication: the checks after the Post-Auth hook, and those that
//! functions want to be kept.
//!
//! A session of a consumer key comes with what it says already read (`key_index`); one that a function
//! set is read here. Without a session nothing is read and nothing is asked.
//!
//! Invariant: the session that is checked is the one that the upstream's request goes out with; where a
//! function's session took the place of a key's, the key's own is checked as well, because both were
//! asked for.

use bytes::Bytes;
use gantry_domain::{ApiId, Limits, SessionFacts, SessionRefusal, SessionRules};
use gantry_plugin_host::{Exchange, StoredSession};

use super::context::Worker;
use super::respond::Refusal;
use crate::key_index::KnownKey;
use crate::protocol::Report;
use crate::sys::clock::unix_nanos;

/// Checks the session in effect. `key` is the consumer key that was asked for, if one was; `plugin` says
/// that an auth function had to agree as well, so that its session stands in front of the key's.
///
/// # Errors
/// The session does not pass at this API.
pub fn check(
    worker: &Worker,
    api: &ApiId,
    key: Option<&KnownKey>,
    session: Option<&Bytes>,
    plugin: bool,
) -> Result<(), Refusal> {
    if let Some(key) = key {
        // Equal addresses: nobody replaced the key's session. What is the same need not be read.
        let in_effect = session.is_none_or(|session| same(session, &key.session));
        if in_effect || plugin {
            check_known(worker, api, key)?;
        }
        if in_effect {
            return Ok(());
        }
    }
    match session {
        Some(session) => check_document(worker, api, session),
        None => Ok(()),
    }
}

fn check_known(worker: &Worker, api: &ApiId, known: &KnownKey) -> Result<(), Refusal> {
    let Some(rules) = &known.rules else {
        return check_document(worker, api, &known.session);
    };
    note_limits(worker, api, rules.facts());
    rules.check(api, now_s).map_err(refusal)
}

fn check_document(worker: &Worker, api: &ApiId, document: &[u8]) -> Result<(), Refusal> {
    let rules = SessionRules::read(document, &Limits::default());
    note_limits(worker, api, rules.facts);
    rules.check(api, now_s).map_err(refusal)
}

/// After a function ran: refuses the session that it set if that names policies, and keeps those that it
/// stored. `before` is the session from before the call, still alive, so that no other has its address.
///
/// # Errors
/// The session names policies, or cannot be read.
pub fn after_call(
    worker: &Worker,
    before: Option<Bytes>,
    exchange: &mut Exchange,
) -> Result<(), Refusal> {
    if let Some(session) = &exchange.session
        && !before.is_some_and(|before| same(&before, session))
    {
        let rules = SessionRules::read(session, &Limits::default());
        rules.facts.check_policies().map_err(refusal)?;
    }
    store(worker, exchange);
    Ok(())
}

/// Hands sessions that functions stored to the supervisor, and knows them at once.
pub fn store(worker: &Worker, exchange: &mut Exchange) {
    if exchange.stored_sessions.is_empty() {
        return;
    }
    let mut dropped = 0;
    for session in std::mem::take(&mut exchange.stored_sessions) {
        dropped += u32::from(!store_one(worker, &session));
    }
    if dropped > 0 {
        let message = format!(
            "API {}: {dropped} sessions were not stored, because too many wait to be",
            exchange.api.api_id
        );
        worker.reporter.note("warn", "SESSION_NOT_STORED", message);
    }
}

/// Whether the session is on its way, or there already.
fn store_one(worker: &Worker, session: &StoredSession) -> bool {
    let (key, document) = (session.key.as_bytes(), &session.document);
    let Ok(stored) = worker.keys.store(key, document) else {
        return false;
    };
    let Some(hmac) = stored else {
        return true;
    };
    // A session is UTF-8, because it is JSON.
    let session = String::from_utf8_lossy(document).into_owned();
    let taken = worker
        .reporter
        .try_send(Report::StoreSession { hmac, session });
    if !taken {
        worker.keys.take_back(&hmac);
    }
    taken
}

/// Says once per API that limits are not enforced.
fn note_limits(worker: &Worker, api: &ApiId, facts: SessionFacts) {
    if facts.unenforced && worker.keys.notes_limits(api) {
        let message = format!(
            "API {api}: sessions have rate, quota, throttle or depth limits, which are kept and not enforced"
        );
        worker
            .reporter
            .note("warn", "SESSION_LIMITS_NOT_ENFORCED", message);
    }
}

fn same(a: &Bytes, b: &Bytes) -> bool {
    std::ptr::eq(a.as_ptr(), b.as_ptr()) && a.len() == b.len()
}

fn now_s() -> u64 {
    unix_nanos() / 1_000_000_000
}

const fn refusal(refusal: SessionRefusal) -> Refusal {
    match refusal {
        SessionRefusal::Malformed => Refusal::SessionMalformed,
        SessionRefusal::PolicyUnknown => Refusal::PolicyUnknown,
        SessionRefusal::Inactive => Refusal::KeyInactive,
        SessionRefusal::Expired => Refusal::KeyExpired,
        SessionRefusal::Disallowed => Refusal::AccessDisallowed,
    }
}
