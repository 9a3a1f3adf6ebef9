//! What a gateway refused, in words.
//!
//! The words are made only when something was refused, from what every change has: operation, key and
//! value.

use std::fmt;

use gantry_abi::constants::{op, part};
use gantry_abi::{Fault, Side};

/// A change that the gateway refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    action: String,
    fault: Fault,
}

impl Refusal {
    pub(crate) const fn new(action: String, fault: Fault) -> Self {
        Self { action, fault }
    }

    /// Of one change.
    #[cold]
    pub(crate) fn of_change(op: u32, key: &str, value: &[u8], fault: Fault) -> Self {
        let len = value.len();
        let text = String::from_utf8_lossy(value);
        let action = match op {
            op::SET_METHOD => format!("set method {text:?}"),
            op::SET_PATH => format!("set path {text:?}"),
            op::SET_REMOTE_ADDR => format!("set the client's address {text:?}"),
            op::SET_QUERY => format!("set query {text:?}"),
            op::SET_REQUEST_HEADER | op::SET_RESPONSE_HEADER => format!("set header {key:?}"),
            op::ADD_REQUEST_HEADER | op::ADD_RESPONSE_HEADER => format!("add header {key:?}"),
            op::REMOVE_REQUEST_HEADER | op::REMOVE_RESPONSE_HEADER => {
                format!("remove header {key:?}")
            }
            op::SET_STATUS => format!("set status {text}"),
            op::SET_SESSION => "set session".to_owned(),
            op::STORE_SESSION => "store session".to_owned(),
            op::SET_REQUEST_BODY => {
                format!("set the {} to {len} bytes", body(Side::Request, fault))
            }
            op::SET_RESPONSE_BODY => {
                format!("set the {} to {len} bytes", body(Side::Response, fault))
            }
            op::ANSWER_STATUS => format!("answer with status {text}"),
            op::ANSWER_BODY => format!("answer with {len} bytes"),
            _ => format!("change number {op}"),
        };
        Self { action, fault }
    }

    /// Of reading a body.
    #[cold]
    pub(crate) fn of_body(part: u32, fault: Fault) -> Self {
        let side = match part {
            part::RESPONSE_BODY => Side::Response,
            _ => Side::Request,
        };
        let action = format!("read the {}", body(side, fault));
        Self { action, fault }
    }

    /// Why.
    pub const fn fault(&self) -> Fault {
        self.fault
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} ({})",
            self.action,
            self.fault,
            self.fault.as_str()
        )
    }
}

impl std::error::Error for Refusal {}

/// A body, and the flag that its function lacks where it may not have it.
const fn body(side: Side, fault: Fault) -> &'static str {
    match (side, fault) {
        (Side::Request, Fault::Refused) => "request body (flag `wants_request_body`)",
        (Side::Response | Side::Added, Fault::Refused) => {
            "response body (flag `wants_response_body`)"
        }
        (Side::Request, _) => "request body",
        (Side::Response | Side::Added, _) => "response body",
    }
}
