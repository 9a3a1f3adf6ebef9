//! Bounds of the contract. All are inclusive. They are part of the contract: an author may rely on
//! what fits, so they can grow within a major version and never shrink.

/// Bytes of a method.
pub const METHOD_BYTES_MAX: usize = 32;
/// Bytes of a path.
pub const PATH_BYTES_MAX: usize = 8 << 10;
/// Bytes of a query.
pub const QUERY_BYTES_MAX: usize = 8 << 10;
/// Bytes of a header's name.
pub const HEADER_NAME_BYTES_MAX: usize = 256;
/// Bytes of a header's value.
pub const HEADER_VALUE_BYTES_MAX: usize = 16 << 10;
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
/// Bytes of a consumer key: as many as a header carries, since a key may be a whole token.
pub const AUTH_TOKEN_BYTES_MAX: usize = HEADER_VALUE_BYTES_MAX;
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
