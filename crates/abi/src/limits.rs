//! Bounds of the contract. All are inclusive. They are part of the contract: an author may rely on
//! what fits, so they can grow within a major version and never shrink.

use crate::op;

/// Bytes of a method.
pub const METHOD_BYTES_MAX: usize = 32;
/// Bytes of a path and a query together, the `?` between them included: as many as the gateway takes from
/// clients.
pub const TARGET_BYTES_MAX: usize = 65_534;
/// Bytes of a path.
pub const PATH_BYTES_MAX: usize = TARGET_BYTES_MAX;
/// Bytes of a query.
pub const QUERY_BYTES_MAX: usize = TARGET_BYTES_MAX - 2;
/// Bytes of a client's address, in words of a function's own.
pub const REMOTE_ADDR_BYTES_MAX: usize = 256;
/// Bytes of a header's name.
pub const HEADER_NAME_BYTES_MAX: usize = 256;
/// Bytes of a header's value: no head that comes to the gateway is longer, so what came can be set again.
pub const HEADER_VALUE_BYTES_MAX: usize = 128 << 10;
/// Header values of one side (request or response) after a plugin added to them.
pub const HEADERS_MAX: usize = 256;
/// Bytes of a session document.
pub const SESSION_BYTES_MAX: usize = 16 << 10;
/// Depth of a session document.
pub const SESSION_DEPTH_MAX: usize = 32;
/// Bytes of a direct answer's body.
pub const ANSWER_BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of a request's or response's body that a function gets or sets. How much it gets is the
/// gateway's setting, up to this; beyond 2 MiB it is set by `mutate` alone.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Bytes of flat mutations in one `apply`, or in one call's output.
pub const MUTATIONS_BYTES_MAX: usize = 2 << 20;
/// Bytes of flat mutations in one `resume`: a body of the largest size, and headers.
pub const RESUME_BYTES_MAX: usize = 18 << 20;
/// Bytes of a consumer key, which may be a whole token.
pub const AUTH_TOKEN_BYTES_MAX: usize = 16 << 10;
/// Bytes of a log message; what is beyond is cut off.
pub const LOG_MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Functions of a library.
pub const FUNCTIONS_MAX: usize = 256;
/// Bytes of a plugin's name or version, or of a function's name.
pub const NAME_BYTES_MAX: usize = 128;
/// Bytes at `gantry_start.error`.
pub const START_ERROR_BYTES: usize = 1 << 10;
/// Bytes at `gantry_frame.out`.
pub const OUT_BYTES: usize = 4 << 10;

/// Bytes of what an operation sets, where there is a bound.
pub const fn value_bytes_max(op: u32) -> Option<usize> {
    Some(match op {
        op::SET_METHOD => METHOD_BYTES_MAX,
        op::SET_PATH => PATH_BYTES_MAX,
        op::SET_REMOTE_ADDR => REMOTE_ADDR_BYTES_MAX,
        op::SET_QUERY => QUERY_BYTES_MAX,
        op::SET_REQUEST_HEADER
        | op::ADD_REQUEST_HEADER
        | op::SET_RESPONSE_HEADER
        | op::ADD_RESPONSE_HEADER
        | op::SET_ADDED_HEADER
        | op::ADD_ADDED_HEADER => HEADER_VALUE_BYTES_MAX,
        op::SET_SESSION | op::STORE_SESSION => SESSION_BYTES_MAX,
        op::ANSWER_BODY => ANSWER_BODY_BYTES_MAX,
        op::SET_REQUEST_BODY | op::SET_RESPONSE_BODY => BODY_BYTES_MAX,
        _ => return None,
    })
}
