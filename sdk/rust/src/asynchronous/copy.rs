//! What a pending call owns of its request: a copy of all that a function may read, and the changes that
//! go to the gateway at the end.
//!
//! Invariant: the copy is as the gateway's side will be once the changes are applied, and each change has
//! passed the same rules as there.

use std::sync::Arc;

use gantry_abi::{Fault, Mutation, Side, limits, rules};

use crate::{Call, Hook};

/// Name in lower case, and value.
pub(crate) type Header = (String, Vec<u8>);

/// The documents of an API definition. They change seldom, so calls share them.
pub(crate) struct Documents {
    pub(crate) definition: String,
    pub(crate) config: String,
    pub(crate) openapi: Option<String>,
}

impl Documents {
    pub(crate) fn of(call: &Call<'_>) -> Self {
        Self {
            definition: call.api_definition().to_owned(),
            config: call.config_data().to_owned(),
            openapi: call.openapi().map(str::to_owned),
        }
    }
}

/// A request or response, owned.
pub(crate) struct Copy {
    pub(crate) hook: Hook,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) remote_addr: String,
    pub(crate) headers: Vec<Header>,
    pub(crate) response_headers: Vec<Header>,
    pub(crate) session: Option<String>,
    pub(crate) auth_token: Option<String>,
    pub(crate) api_id: String,
    pub(crate) trace_id: String,
    pub(crate) traceparent: String,
    pub(crate) status: Option<u16>,
    pub(crate) documents: Arc<Documents>,
    /// The body as it is after the last change; none before it was asked for or set.
    pub(crate) body: Option<Vec<u8>>,
    replaced_body: bool,
    mutations: Vec<u8>,
}

impl Copy {
    pub(crate) fn of(call: &Call<'_>, documents: Arc<Documents>) -> Self {
        let owned = |(name, value): (&str, &[u8])| (name.to_owned(), value.to_vec());
        Self {
            hook: call.hook(),
            method: call.method().to_owned(),
            path: call.path().to_owned(),
            query: call.query().map(str::to_owned),
            target: call.target().to_owned(),
            host: call.host().to_owned(),
            remote_addr: call.remote_addr().to_owned(),
            headers: call.headers().map(owned).collect(),
            response_headers: call.response_headers().map(owned).collect(),
            session: call.session().map(str::to_owned),
            auth_token: call.auth_token().map(str::to_owned),
            api_id: call.api_id().to_owned(),
            trace_id: call.trace_id().to_owned(),
            traceparent: call.traceparent().to_owned(),
            status: call.upstream_status(),
            documents,
            body: None,
            replaced_body: false,
            mutations: Vec::new(),
        }
    }

    /// The changes as flat mutations.
    pub(crate) fn into_mutations(self) -> Vec<u8> {
        self.mutations
    }

    /// Makes one change, here and for the gateway.
    pub(crate) fn mutate(&mut self, op: u32, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let mutation = Mutation::check(self.hook as u32, op, key, value)?;
        let op = u8::try_from(op).map_err(|_| Fault::Unknown)?;
        let key_len = u16::try_from(key.len()).map_err(|_| Fault::TooLarge)?;
        let value_len = u32::try_from(value.len()).map_err(|_| Fault::TooLarge)?;
        let grown =
            self.mutations.len() + gantry_abi::flat::MUTATION_HEAD + key.len() + value.len();
        if grown > limits::RESUME_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        self.apply(&mutation)?;
        self.mutations.extend_from_slice(&[op, 0]);
        self.mutations.extend_from_slice(&key_len.to_le_bytes());
        self.mutations.extend_from_slice(&value_len.to_le_bytes());
        self.mutations.extend_from_slice(key);
        self.mutations.extend_from_slice(value);
        Ok(())
    }

    fn apply(&mut self, mutation: &Mutation<'_>) -> Result<(), Fault> {
        match *mutation {
            Mutation::SetMethod(method) => method.clone_into(&mut self.method),
            Mutation::SetPath(path) => path.clone_into(&mut self.path),
            Mutation::SetRemoteAddr(addr) => addr.clone_into(&mut self.remote_addr),
            Mutation::SetQuery(query) => self.query = query.map(str::to_owned),
            Mutation::SetHeader(side, name, value) => self.add_header(side, name, value, true)?,
            Mutation::AddHeader(side, name, value) => self.add_header(side, name, value, false)?,
            Mutation::RemoveHeader(side, name) => self
                .side(side)
                .retain(|(each, _)| !each.as_bytes().eq_ignore_ascii_case(name)),
            Mutation::SetStatus(status) => self.status = Some(status),
            Mutation::SetSession(key, session) => {
                session.clone_into(self.session.get_or_insert_default());
                if let Some(key) = key {
                    self.auth_token = Some(key.to_owned());
                }
            }
            Mutation::StoreSession(key, session) => {
                self.session = Some(session.to_owned());
                self.auth_token = Some(key.to_owned());
            }
            Mutation::SetBody(side, body) => {
                self.body = Some(body.to_vec());
                if !std::mem::replace(&mut self.replaced_body, true) {
                    self.side(side)
                        .retain(|(name, _)| !rules::BODY_HEADERS.contains(&name.as_str()));
                }
            }
            // The last changes of a call: nobody reads after them.
            Mutation::AnswerStatus(_) | Mutation::AnswerBody(_) | Mutation::AnswerLength(_) => {}
        }
        Ok(())
    }

    fn add_header(
        &mut self,
        side: Side,
        name: &[u8],
        value: &[u8],
        replaces: bool,
    ) -> Result<(), Fault> {
        let name = std::str::from_utf8(name)
            .map_err(|_| Fault::Invalid)?
            .to_ascii_lowercase();
        let headers = self.side(side);
        let stays = |(each, _): &Header| !replaces || *each != name;
        if headers.iter().filter(|header| stays(header)).count() >= limits::HEADERS_MAX {
            return Err(Fault::TooLarge);
        }
        headers.retain(stays);
        headers.push((name, value.to_vec()));
        Ok(())
    }

    fn side(&mut self, side: Side) -> &mut Vec<Header> {
        match side {
            Side::Request => &mut self.headers,
            // Functions of this SDK see them together.
            Side::Response | Side::Added => &mut self.response_headers,
        }
    }
}
