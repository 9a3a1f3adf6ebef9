//! Every number of the contract, each family in its own module, with the name it has in the header.

/// Declares a family of numbers and the table that the header is checked against.
macro_rules! family {
    ($(#[$doc:meta])* $family:ident: $ty:ty, $prefix:literal,
     { $( $(#[$each:meta])* $name:ident = $value:expr; )* }) => {
        $(#[$doc])*
        pub mod $family {
            $( $(#[$each])* pub const $name: $ty = $value; )*

            /// Names in the C header, and values.
            pub const C_NAMES: &[(&str, i64)] =
                &[$((concat!($prefix, stringify!($name)), $name as i64)),*];
        }
    };
}

family! {
    /// Hooks, in the order of a request.
    hook: u32, "GANTRY_HOOK_", {
        /// Before everything else.
        PRE = 0;
        /// Custom authentication.
        AUTH = 1;
        /// After authentication.
        POST_AUTH = 2;
        /// Last before the upstream.
        POST = 3;
        /// On the upstream's answer.
        RESPONSE = 4;
    }
}

family! {
    /// What `get`, `next` and snapshots read.
    part: u32, "GANTRY_PART_", {
        /// Request method.
        METHOD = 1;
        /// Request path, with the listen path in request hooks, without it in response hooks if the
        /// definition strips it.
        PATH = 2;
        /// Query without `?`; absent if there is no `?`.
        QUERY = 3;
        /// Host that the client asked for, without port.
        HOST = 4;
        /// The client's address and port, `192.0.2.1:4711` or `[2001:db8::1]:4711`.
        REMOTE_ADDR = 5;
        /// Request headers; the key is a name.
        REQUEST_HEADER = 6;
        /// Session, a JSON object; absent before authentication.
        SESSION = 7;
        /// Identifier of the API definition.
        API_ID = 8;
        /// The API definition, JSON.
        API_DEFINITION = 9;
        /// Its `config_data`, JSON.
        CONFIG_DATA = 10;
        /// Trace id, 32 lower-case hexadecimal characters.
        TRACE_ID = 11;
        /// W3C `traceparent` for calls that the plugin makes.
        TRACEPARENT = 12;
        /// Name of the hook: `pre`, `auth`, `post_auth`, `post` or `response`.
        HOOK = 13;
        /// Status of the upstream's answer, three digits; absent in request hooks.
        STATUS = 14;
        /// Response headers; the key is a name. In request hooks those that plugins set already.
        RESPONSE_HEADER = 15;
        /// The `OpenAPI` document that the API definition was made from, JSON; absent without one.
        OPENAPI = 16;
        /// The consumer key that the session belongs to, as the client sent it or a function set it;
        /// absent before authentication.
        AUTH_TOKEN = 17;
        /// Response headers that functions added, apart from the upstream's, which they join in the end; the
        /// key is a name. In response hooks, for functions whose `want_parts` names it: for the others
        /// they are among the [`RESPONSE_HEADER`] already.
        ADDED_HEADER = 18;
        /// The request's target as the client sent it, whatever functions changed.
        TARGET = 19;
        /// Request body, whole, as it was transferred: a `Content-Encoding` is not undone. Request
        /// hooks, for functions that declare [`WANTS_REQUEST_BODY`](super::flag::WANTS_REQUEST_BODY).
        REQUEST_BODY = 24;
        /// Response body, likewise. Response hooks, for functions that declare
        /// [`WANTS_RESPONSE_BODY`](super::flag::WANTS_RESPONSE_BODY).
        RESPONSE_BODY = 25;
        /// Reserved: what fired, in a call made for a timer.
        TIMER = 28;
        /// Reserved: answer to an outbound request.
        OUTBOUND_RESPONSE = 29;
        /// Reserved: value of shared state; the key is its name.
        SHARED_VALUE = 30;
    }
}

family! {
    /// What `mutate` and flat mutations change.
    op: u32, "GANTRY_OP_", {
        /// Request method. Request hooks.
        SET_METHOD = 1;
        /// Path of the request to the upstream. Request hooks.
        SET_PATH = 2;
        /// Query without `?`; empty removes it. Request hooks.
        SET_QUERY = 3;
        /// Replaces all values of a request header. Request hooks.
        SET_REQUEST_HEADER = 4;
        /// Adds a value to a request header. Request hooks.
        ADD_REQUEST_HEADER = 5;
        /// Removes a request header. Request hooks.
        REMOVE_REQUEST_HEADER = 6;
        /// Replaces all values of a response header. All hooks.
        SET_RESPONSE_HEADER = 7;
        /// Adds a value to a response header. All hooks.
        ADD_RESPONSE_HEADER = 8;
        /// Removes a response header. All hooks.
        REMOVE_RESPONSE_HEADER = 9;
        /// Status of the answer, three digits. Response hooks.
        SET_STATUS = 10;
        /// Session, a JSON object, for this request. The key, which may be empty, is the consumer key
        /// that it belongs to. Auth, post-auth and post hooks.
        SET_SESSION = 11;
        /// Begins a direct answer with its status, three digits. All hooks. In response hooks it drops
        /// the [headers](crate::rules::REPRESENTATION_HEADERS) that describe the upstream's body.
        ANSWER_STATUS = 12;
        /// Body of a direct answer. All hooks.
        ANSWER_BODY = 13;
        /// Request body, whole. Request hooks, for functions that declare
        /// [`WANTS_REQUEST_BODY`](super::flag::WANTS_REQUEST_BODY). The first one of a call drops the
        /// [headers](crate::rules::BODY_HEADERS) that hold for the old bytes only.
        SET_REQUEST_BODY = 14;
        /// Response body, likewise. Response hooks, for functions that declare
        /// [`WANTS_RESPONSE_BODY`](super::flag::WANTS_RESPONSE_BODY).
        SET_RESPONSE_BODY = 15;
        /// [`SET_SESSION`], and stores the session under its consumer key, for all gateways of the
        /// environment. The key must not be empty.
        STORE_SESSION = 16;
        /// Replaces all values of an [`ADDED_HEADER`](super::part::ADDED_HEADER). Response hooks.
        SET_ADDED_HEADER = 17;
        /// Adds a value to one. Response hooks.
        ADD_ADDED_HEADER = 18;
        /// Removes one. Response hooks.
        REMOVE_ADDED_HEADER = 19;
        /// What later functions see as the client's address. Request hooks. Headers for the upstream and
        /// records keep the connection's.
        SET_REMOTE_ADDR = 20;
        /// Reserved: a piece of the request body.
        REQUEST_BODY_CHUNK = 32;
        /// Reserved: a piece of the response body.
        RESPONSE_BODY_CHUNK = 33;
        /// Reserved: starts a timer.
        SET_TIMER = 40;
        /// Reserved: stops a timer.
        CANCEL_TIMER = 41;
        /// Reserved: sends a request through the host.
        SEND_OUTBOUND = 48;
        /// Reserved: writes shared state.
        SET_SHARED_VALUE = 56;
        /// Reserved: compares and writes shared state.
        SWAP_SHARED_VALUE = 57;
    }
}

family! {
    /// What callbacks and `start` return.
    code: i32, "GANTRY_", {
        /// Done.
        OK = 0;
        /// The part has no value here, or an iteration is at its end.
        E_ABSENT = -1;
        /// The handle names no call that this thread is in.
        E_DEAD_HANDLE = -2;
        /// No such part, operation or level.
        E_UNKNOWN = -3;
        /// Reserved in this contract, not served by this host.
        E_UNSUPPORTED = -4;
        /// Not allowed at this hook, not declared by the function, or it belongs to the gateway.
        E_REFUSED = -5;
        /// Malformed name, value or pointer.
        E_INVALID = -6;
        /// Beyond a limit.
        E_TOO_LARGE = -7;
        /// The host failed; its log says why.
        E_INTERNAL = -8;
    }
}

family! {
    /// What `call` returns. Any other value is a failed call.
    verdict: i32, "GANTRY_", {
        /// Go on with the request.
        CONTINUE = 0;
        /// Send the answer that was set; no later function runs. In response hooks it goes out in place
        /// of the upstream's.
        RESPOND = 1;
        /// The call ends later with `resume`. For functions that declare
        /// [`MAY_PEND`](super::flag::MAY_PEND).
        PENDING = 2;
        /// The function failed; what the gateway does is the API definition's choice.
        FAILED = -1;
        /// The function failed by a panic or an uncaught exception.
        PANICKED = -2;
    }
}

family! {
    /// Properties of a function.
    flag: u32, "GANTRY_FLAG_", {
        /// It may wait for network, disk or locks: the host runs it where that hurts nobody else.
        MAY_BLOCK = 1;
        /// It reads or replaces the request body: the host has it whole before the call. Only for
        /// functions with a request hook.
        WANTS_REQUEST_BODY = 2;
        /// It reads or replaces the response body. Only for functions with the response hook.
        WANTS_RESPONSE_BODY = 4;
        /// It may return [`PENDING`](super::verdict::PENDING). It may also ask for the body that its hook
        /// is about, and replace it, without declaring that it wants it.
        MAY_PEND = 8;
    }
}

family! {
    /// What a plugin is told about a call of its own, by [`Function::event`](crate::Function::event).
    event: u32, "GANTRY_EVENT_", {
        /// Nobody waits for the call any more: the client left, or its deadline passed. It is still to
        /// be ended with `resume`, which changes nothing then.
        CANCEL = 1;
        /// The body that the call asked for is there: `detail` is all of it.
        BODY = 2;
    }
}

family! {
    /// Levels of log lines.
    level: u32, "GANTRY_LOG_", {
        /// A person must look.
        ERROR = 1;
        /// Something is wrong and was coped with.
        WARN = 2;
        /// Worth knowing in production.
        INFO = 3;
        /// For those who debug the plugin.
        DEBUG = 4;
        /// Everything.
        TRACE = 5;
    }
}

/// Parts that are reserved but not served by this version of the contract.
pub const fn is_reserved_part(part: u32) -> bool {
    matches!(part, 26..=31)
}

/// Parts that are served.
pub const fn is_served_part(part: u32) -> bool {
    matches!(part, part::METHOD..=part::TARGET) || is_body(part)
}

/// Parts that are bodies. No snapshot holds them: that would be a copy of each.
pub const fn is_body(part: u32) -> bool {
    matches!(part, part::REQUEST_BODY | part::RESPONSE_BODY)
}

/// Operations that are reserved but not served by this version of the contract.
pub const fn is_reserved_op(op: u32) -> bool {
    matches!(op, 32..=63)
}

/// Bits of all parts that a snapshot can hold.
pub const SNAPSHOT_PARTS: u64 = (1 << (part::TARGET + 1)) - (1 << part::METHOD);
