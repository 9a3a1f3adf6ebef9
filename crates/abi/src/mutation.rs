//! One change that a plugin asks for, checked: the single place where operation, hook, key and value
//! are held against the rules. `mutate` and flat mutations both come through here.

use crate::{Fault, constants, hook, limits, op, rules};

/// The headers that a plugin can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What goes to the upstream.
    Request,
    /// What goes to the client.
    Response,
    /// What functions add to what goes to the client, while it is apart.
    Added,
}

/// A change that passed the rules. Header names are tokens, so ASCII, in the case in which the plugin
/// wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation<'a> {
    /// Request method.
    SetMethod(&'a str),
    /// Request path.
    SetPath(&'a str),
    /// Query without `?`, or none.
    SetQuery(Option<&'a str>),
    /// The client's address, for later functions.
    SetRemoteAddr(&'a str),
    /// Replaces all values of a header.
    SetHeader(Side, &'a [u8], &'a [u8]),
    /// Adds a value to a header.
    AddHeader(Side, &'a [u8], &'a [u8]),
    /// Removes a header.
    RemoveHeader(Side, &'a [u8]),
    /// Status of the answer.
    SetStatus(u16),
    /// Session; that it is a JSON object is still to be proved. With the consumer key that it belongs to,
    /// where one is named.
    SetSession(Option<&'a str>, &'a str),
    /// Session that is stored under its consumer key, too.
    StoreSession(&'a str, &'a str),
    /// Status of a direct answer.
    AnswerStatus(u16),
    /// Body of a direct answer.
    AnswerBody(&'a [u8]),
    /// The `Content-Length` of a direct answer to `HEAD`: how long the body would be that it has not. That
    /// an answer has begun, and to `HEAD`, is still to be proved.
    AnswerLength(&'a [u8]),
    /// The whole body of one side, in place of what it was.
    SetBody(Side, &'a [u8]),
}

impl<'a> Mutation<'a> {
    /// Checks one change at a hook.
    ///
    /// # Errors
    /// [`Fault::Unknown`] or [`Fault::Unsupported`] for the operation, [`Fault::Refused`] if it has no
    /// place at this hook or touches what belongs to the gateway, [`Fault::Invalid`] or
    /// [`Fault::TooLarge`] for the key or value.
    pub fn check(hook: u32, op: u32, key: &'a [u8], value: &'a [u8]) -> Result<Self, Fault> {
        Self::check_by(rules::header_name, hook, op, key, value)
    }

    /// The same for a caller that remembers names of headers: `header_name` says what
    /// [`rules::header_name`] said or would say.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_by(
        header_name: impl FnOnce(&'a [u8]) -> Result<&'a [u8], Fault>,
        hook: u32,
        op: u32,
        key: &'a [u8],
        value: &'a [u8],
    ) -> Result<Self, Fault> {
        if constants::is_reserved_op(op) {
            return Err(Fault::Unsupported);
        }
        if !(op::SET_METHOD..=op::SET_REMOTE_ADDR).contains(&op) {
            return Err(Fault::Unknown);
        }
        if !allowed_at(hook, op) {
            return Err(Fault::Refused);
        }
        if !takes_key(op) && !key.is_empty() {
            return Err(Fault::Invalid);
        }
        let removes = matches!(
            op,
            op::REMOVE_REQUEST_HEADER | op::REMOVE_RESPONSE_HEADER | op::REMOVE_ADDED_HEADER
        );
        if removes && !value.is_empty() {
            return Err(Fault::Invalid);
        }
        Self::read(|| header_name(key), op, key, value)
    }

    fn read(
        name: impl FnOnce() -> Result<&'a [u8], Fault>,
        op: u32,
        key: &'a [u8],
        value: &'a [u8],
    ) -> Result<Self, Fault> {
        use Side::{Added, Request, Response};
        Ok(match op {
            op::SET_METHOD => Self::SetMethod(rules::method(value)?),
            op::SET_PATH => Self::SetPath(rules::path(value)?),
            op::SET_QUERY => Self::SetQuery(rules::query(value)?),
            op::SET_REMOTE_ADDR => Self::SetRemoteAddr(rules::remote_addr(value)?),
            op::SET_REQUEST_HEADER => {
                Self::SetHeader(Request, name()?, rules::header_value(value)?)
            }
            op::ADD_REQUEST_HEADER => {
                Self::AddHeader(Request, name()?, rules::header_value(value)?)
            }
            op::REMOVE_REQUEST_HEADER => Self::RemoveHeader(Request, name()?),
            op::SET_RESPONSE_HEADER if rules::is_content_length(key) => {
                Self::AnswerLength(rules::length(value)?)
            }
            op::SET_RESPONSE_HEADER => {
                Self::SetHeader(Response, name()?, rules::header_value(value)?)
            }
            op::ADD_RESPONSE_HEADER => {
                Self::AddHeader(Response, name()?, rules::header_value(value)?)
            }
            op::REMOVE_RESPONSE_HEADER => Self::RemoveHeader(Response, name()?),
            op::SET_ADDED_HEADER => Self::SetHeader(Added, name()?, rules::header_value(value)?),
            op::ADD_ADDED_HEADER => Self::AddHeader(Added, name()?, rules::header_value(value)?),
            op::REMOVE_ADDED_HEADER => Self::RemoveHeader(Added, name()?),
            op::SET_STATUS => Self::SetStatus(rules::status(value)?),
            op::SET_SESSION if key.is_empty() => Self::SetSession(None, rules::session(value)?),
            op::SET_SESSION => {
                Self::SetSession(Some(rules::auth_token(key)?), rules::session(value)?)
            }
            op::STORE_SESSION => {
                Self::StoreSession(rules::auth_token(key)?, rules::session(value)?)
            }
            op::ANSWER_STATUS => Self::AnswerStatus(rules::status(value)?),
            op::ANSWER_BODY if value.len() > limits::ANSWER_BODY_BYTES_MAX => {
                return Err(Fault::TooLarge);
            }
            op::ANSWER_BODY => Self::AnswerBody(value),
            op::SET_REQUEST_BODY | op::SET_RESPONSE_BODY
                if value.len() > limits::BODY_BYTES_MAX =>
            {
                return Err(Fault::TooLarge);
            }
            op::SET_REQUEST_BODY => Self::SetBody(Request, value),
            op::SET_RESPONSE_BODY => Self::SetBody(Response, value),
            _ => return Err(Fault::Unknown),
        })
    }

    /// The side whose number of headers this change can raise.
    pub const fn adds_header(&self) -> Option<Side> {
        match self {
            Self::SetHeader(side, ..) | Self::AddHeader(side, ..) => Some(*side),
            Self::AnswerLength(_) => Some(Side::Response),
            _ => None,
        }
    }
}

fn takes_key(op: u32) -> bool {
    (op::SET_REQUEST_HEADER..=op::REMOVE_RESPONSE_HEADER).contains(&op)
        || (op::SET_ADDED_HEADER..=op::REMOVE_ADDED_HEADER).contains(&op)
        || matches!(op, op::SET_SESSION | op::STORE_SESSION)
}

/// Where an operation has a place. A session set before authentication could stand in for it, so
/// `pre` may not set one.
fn allowed_at(at: u32, op: u32) -> bool {
    let in_request = matches!(at, hook::PRE | hook::AUTH | hook::POST_AUTH | hook::POST);
    match op {
        op::SET_RESPONSE_HEADER
        | op::ADD_RESPONSE_HEADER
        | op::REMOVE_RESPONSE_HEADER
        | op::ANSWER_STATUS
        | op::ANSWER_BODY => in_request || at == hook::RESPONSE,
        op::SET_STATUS
        | op::SET_RESPONSE_BODY
        | op::SET_ADDED_HEADER
        | op::ADD_ADDED_HEADER
        | op::REMOVE_ADDED_HEADER => at == hook::RESPONSE,
        op::SET_SESSION | op::STORE_SESSION => {
            matches!(at, hook::AUTH | hook::POST_AUTH | hook::POST)
        }
        _ => in_request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(hook: u32, op: u32, key: &str, value: &str) -> Option<Fault> {
        Mutation::check(hook, op, key.as_bytes(), value.as_bytes()).err()
    }

    #[test]
    fn operation_outside_its_hooks_is_refused() {
        let refused = Some(Fault::Refused);
        assert_eq!(fault(hook::RESPONSE, op::SET_PATH, "", "/a"), refused);
        assert_eq!(
            fault(hook::RESPONSE, op::SET_REQUEST_HEADER, "x-a", "1"),
            refused
        );
        assert_eq!(fault(hook::RESPONSE, op::SET_SESSION, "", "{}"), refused);
        assert_eq!(fault(hook::PRE, op::SET_SESSION, "", "{}"), refused);
        assert_eq!(fault(hook::PRE, op::SET_STATUS, "", "200"), refused);
        assert_eq!(fault(hook::PRE, op::SET_RESPONSE_HEADER, "x-a", "1"), None);
        assert_eq!(fault(99, op::SET_PATH, "", "/a"), refused);
    }

    #[test]
    fn answer_has_a_place_at_every_hook_and_nowhere_else() {
        for (_, hook) in hook::C_NAMES {
            let hook = u32::try_from(*hook).unwrap();
            assert_eq!(fault(hook, op::ANSWER_STATUS, "", "200"), None);
            assert_eq!(fault(hook, op::ANSWER_BODY, "", "body"), None);
        }
        let refused = Some(Fault::Refused);
        assert_eq!(fault(99, op::ANSWER_STATUS, "", "200"), refused);
        assert_eq!(fault(99, op::ANSWER_BODY, "", "body"), refused);
    }

    #[test]
    fn length_is_an_answers_alone() {
        let set = |name: &str, value| fault(hook::PRE, op::SET_RESPONSE_HEADER, name, value);
        for good in ["0", "31", "18446744073709551615"] {
            assert_eq!(set("Content-Length", good), None, "{good}");
        }
        for bad in ["", "-1", "+1", "1, 1", "0x1", "18446744073709551616"] {
            let found = set("content-length", bad);
            assert_eq!(found, Some(Fault::Invalid), "{bad}");
        }
        for op in [op::SET_REQUEST_HEADER, op::ADD_RESPONSE_HEADER] {
            let found = fault(hook::PRE, op, "content-length", "3");
            assert_eq!(found, Some(Fault::Refused));
        }
    }

    #[test]
    fn body_is_set_on_the_side_of_its_hook_and_up_to_its_limit() {
        static LARGE: [u8; limits::BODY_BYTES_MAX + 1] = [0; limits::BODY_BYTES_MAX + 1];
        let refused = Some(Fault::Refused);
        assert_eq!(fault(hook::POST, op::SET_REQUEST_BODY, "", "b"), None);
        assert_eq!(
            fault(hook::RESPONSE, op::SET_REQUEST_BODY, "", "b"),
            refused
        );
        assert_eq!(fault(hook::RESPONSE, op::SET_RESPONSE_BODY, "", "b"), None);
        assert_eq!(fault(hook::POST, op::SET_RESPONSE_BODY, "", "b"), refused);
        let set = |value| Mutation::check(hook::PRE, op::SET_REQUEST_BODY, b"", value);
        assert_eq!(
            set(&LARGE[1..]),
            Ok(Mutation::SetBody(Side::Request, &LARGE[1..]))
        );
        assert_eq!(set(&LARGE), Err(Fault::TooLarge));
    }

    #[test]
    fn reserved_and_unknown_operations_are_told_apart() {
        assert_eq!(
            fault(hook::PRE, op::SET_TIMER, "", ""),
            Some(Fault::Unsupported)
        );
        assert_eq!(
            fault(hook::PRE, op::SEND_OUTBOUND, "", ""),
            Some(Fault::Unsupported)
        );
        assert_eq!(fault(hook::PRE, 21, "", ""), Some(Fault::Unknown));
        assert_eq!(fault(hook::PRE, 0, "", ""), Some(Fault::Unknown));
        assert_eq!(fault(hook::PRE, u32::MAX, "", ""), Some(Fault::Unknown));
    }

    #[test]
    fn consumer_key_is_what_a_header_carries() {
        static LONG: [u8; limits::AUTH_TOKEN_BYTES_MAX + 1] =
            [b'x'; limits::AUTH_TOKEN_BYTES_MAX + 1];
        let key = |key: &str| fault(hook::AUTH, op::STORE_SESSION, key, "{}");
        let long = |key| Mutation::check(hook::AUTH, op::STORE_SESSION, key, b"{}").err();
        for good in ["k", "Bearer k", "Schlüssel"] {
            assert_eq!(key(good), None, "{good}");
        }
        assert_eq!(long(&LONG[1..]), None);
        assert_eq!(long(&LONG), Some(Fault::TooLarge));
        assert_eq!(key(""), Some(Fault::Invalid));
        assert_eq!(key("a\nb"), Some(Fault::Invalid));
        assert_eq!(fault(hook::AUTH, op::SET_SESSION, "", "{}"), None);
    }

    #[test]
    fn key_or_value_where_none_belongs_is_invalid() {
        assert_eq!(
            fault(hook::PRE, op::SET_PATH, "x", "/a"),
            Some(Fault::Invalid)
        );
        assert_eq!(
            fault(hook::PRE, op::REMOVE_REQUEST_HEADER, "x-a", "1"),
            Some(Fault::Invalid)
        );
        assert_eq!(
            fault(hook::PRE, op::SET_REQUEST_HEADER, "", "1"),
            Some(Fault::Invalid)
        );
    }
}
