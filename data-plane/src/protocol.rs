//! What the supervisor, its workers and the probe say to each other. Frames of JSON with a length
//! before them, over sockets that only the two ends hold. Both ends are always the same build of one
//! binary, so these shapes may change freely.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The control socket in a worker.
pub const CONTROL_FD: i32 = 3;
/// The listening socket in a worker.
pub const LISTENER_FD: i32 = 4;
/// The shared memory of a worker's slot.
pub const SHARED_FD: i32 = 5;
/// Where the probe writes its [`Verdict`]s, one frame each.
pub const VERDICT_FD: i32 = 3;
/// A line that the probe prints on standard error before it opens a library: what other libraries said
/// ends there. Verdicts come another way, at times before what was printed earlier.
pub const NEXT_LIBRARY: &[u8] = b"-- the probe opens a library --\n";

/// Bytes of one frame, at most.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// Supervisor to worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Once, first: what does not change for the life of a worker.
    Configure(WorkerSettings),
    /// Run this revision from now on. Answered with [`Report::Applied`].
    Apply(Generation),
    /// Use this index of consumer keys from now on. Answered with [`Report::KeysLoaded`].
    Keys {
        /// A file that never changes.
        path: PathBuf,
        /// How far it is.
        epoch: u64,
    },
    /// Sessions that functions stored, in this worker or another, and that no index holds yet.
    Stored {
        /// By the HMAC of their keys; they take the place of those that were told before.
        sessions: Vec<([u8; 32], String)>,
        /// HMACs of those that need not be known any more: the index holds them.
        forgotten: Vec<[u8; 32]>,
    },
    /// Accept connections from now on: to a worker that was started on standby.
    Serve,
    /// Accept no more connections, finish those that are open, exit. Generations and keys still come
    /// meanwhile.
    Drain,
}

/// What does not change for the life of a worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerSettings {
    /// The slot, from 0.
    pub slot: u32,
    /// Accept no connection before [`Order::Serve`]: another worker serves the slot's socket so far.
    pub standby: bool,
    /// Under which consumer keys are hashed (HMAC-SHA256).
    pub key_pepper: Vec<u8>,
    /// Time to connect to an upstream, milliseconds.
    pub upstream_connect_timeout_ms: u64,
    /// Time from the end of the request to the head of the upstream's answer, milliseconds.
    pub upstream_response_timeout_ms: u64,
    /// Idle upstream connections kept per upstream.
    pub upstream_idle_max: usize,
    /// Authorities that TLS upstreams may be certified by, beside the system's: PEM.
    pub upstream_ca_pem: Option<String>,
    /// Time for a client to send a request's head, milliseconds.
    pub header_read_timeout_ms: u64,
    /// Client connections at once.
    pub connections_max: usize,
    /// Bytes of a request's body that a function gets, at most.
    pub request_body_bytes_max: usize,
    /// Bytes of a response's body that a function gets, at most.
    pub response_body_bytes_max: usize,
    /// Time for a call of a function that pends or blocks, milliseconds, where its order says no other.
    pub plugin_deadline_ms: u64,
    /// Calls of one function that pend or were given up, at most.
    pub pending_calls_max: usize,
    /// Time that open connections get when draining, milliseconds.
    pub drain_timeout_ms: u64,
    /// Whether each request is a line of the access log.
    pub access_log: bool,
    /// Whether the line holds the query.
    pub access_log_query: bool,
    /// Which requests are traced, as [`gantry_telemetry::Sampler`] writes it. Without it the gateway
    /// takes no part in traces.
    pub trace_sampler: Option<String>,
}

/// What changes from the generation a worker runs to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Generation {
    /// The revision.
    pub revision: u64,
    /// `apis` are everything; what is not among them goes.
    pub replace: bool,
    /// APIs that are new or other.
    pub apis: Vec<ApiOrder>,
    /// APIs that go.
    pub removed: Vec<String>,
    /// The numbers of `apis` in records and tables. One without a number counts as unknown.
    pub numbers: BTreeMap<String, u32>,
}

/// One API as a worker runs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiOrder {
    /// Its identifier.
    pub api_id: String,
    /// The host it answers to, lower case; any when absent.
    pub domain: Option<String>,
    /// The path prefix without a slash at its end.
    pub prefix: String,
    /// What happens to its requests.
    pub service: Service,
}

/// What happens to an API's requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// They are served.
    Serve(Box<ApiRuntime>),
    /// They are answered 500: the API cannot run here, and nothing may slip past its functions.
    Refuse {
        /// Stable code.
        code: String,
        /// For logs and status; clients do not see it.
        message: String,
    },
}

/// How an API is served. What is held is kept on disk: a build that does not know a field must not serve
/// without what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiRuntime {
    /// `http://host[:port][/path]`.
    pub target_url: String,
    /// Whether the prefix is taken off before the request goes upstream.
    pub strip_listen_path: bool,
    /// Whether there is no authentication.
    pub keyless: bool,
    /// Whether an auth function decides.
    pub plugin_auth: bool,
    /// The header of the consumer key, where one is asked for (after the auth function).
    pub token_header: Option<String>,
    /// The completed definition, canonical JSON, as functions see it.
    pub definition: String,
    /// Its `config_data`, canonical JSON.
    pub config: String,
    /// Its functions, in the order in which a request meets them.
    pub functions: Vec<FunctionOrder>,
    /// The functions of its endpoints, in order.
    #[serde(default)]
    pub endpoints: Vec<EndpointOrder>,
    /// Its `OpenAPI` document in the store, where it has one: a file that never changes, named by its
    /// digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openapi: Option<PathBuf>,
}

/// A function that runs for one endpoint, before those at `post`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointOrder {
    /// The method, in capitals.
    pub method: String,
    /// The path, as [`gantry_domain::PathPattern`] writes it.
    pub path: String,
    /// What happens to the endpoint's requests.
    pub function: EndpointFunction,
}

/// What happens to an endpoint's requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointFunction {
    /// The function runs.
    Run(FunctionOrder),
    /// They are answered 500: the function cannot run here.
    Refuse {
        /// Stable code.
        code: String,
        /// For logs and status; clients do not see it.
        message: String,
    },
}

/// One function in its place. Two orders that are equal but for `number` are one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionOrder {
    /// `pre`, `auth`, `post_auth`, `post` or `response`.
    pub hook: String,
    /// Whether it belongs to an endpoint.
    #[serde(default)]
    pub endpoint: bool,
    /// Its position among the entries of the hook, or of the endpoints.
    pub position: usize,
    /// Its name.
    pub function: String,
    /// The library's digest.
    pub digest: String,
    /// The verified library in the store.
    pub library: PathBuf,
    /// Whether it declares that it may block.
    pub may_block: bool,
    /// Time for a call that pends or blocks, milliseconds; the worker's own where absent.
    #[serde(default)]
    pub deadline_ms: Option<u64>,
    /// What stands in the slot record while it runs; the supervisor knows what it means. Never 0.
    pub number: u32,
}

/// Worker to supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// An [`Order::Apply`] is in effect.
    Applied {
        /// The revision.
        revision: u64,
        /// APIs that this worker could not bring to it.
        failures: Vec<ApiFailure>,
    },
    /// An [`Order::Keys`] is in effect.
    KeysLoaded {
        /// How far the index is.
        epoch: u64,
    },
    /// A library was opened. Where its code lies tells which library a thread was in when it faulted,
    /// also if it was a thread that the library started.
    LibraryLoaded {
        /// The library's digest.
        digest: String,
        /// Where its code begins and ends.
        code: Vec<(u64, u64)>,
        /// Whether a Go runtime came with it.
        go: bool,
    },
    /// A function stored a session under a consumer key. Answered with [`Order::Stored`].
    StoreSession {
        /// HMAC-SHA256 of the key under the pepper.
        hmac: [u8; 32],
        /// The document, JSON.
        session: String,
    },
    /// A line that a plugin logged, or about a call of it that failed.
    PluginLog {
        /// `error`, `warn`, `info` or `debug`.
        level: String,
        /// `PLUGIN_LOG`, or why the call failed.
        code: String,
        /// The text.
        message: String,
        /// The API, where the line belongs to a call.
        api_id: Option<String>,
        /// The function.
        function: Option<String>,
        /// The hook.
        hook: Option<String>,
        /// The request's trace, 32 hexadecimal characters.
        trace_id: Option<String>,
        /// An address in the code of whoever logged it, where the line belongs to no call.
        logged_at: Option<u64>,
    },
    /// Something in the worker's own work that an operator should see.
    Note {
        /// `warn` or `error`.
        level: String,
        /// Stable code.
        code: String,
        /// The text.
        message: String,
    },
}

/// An API that a worker could not bring to a revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiFailure {
    /// The API.
    pub api_id: String,
    /// Whether its earlier instances go on (`held`); otherwise it answers 500.
    pub held: bool,
    /// Whether it is served but for requests to an endpoint, which are answered 500.
    pub endpoint: bool,
    /// The library in question, where there is one.
    pub digest: Option<String>,
    /// Stable code.
    pub code: String,
    /// The text.
    pub message: String,
}

/// What the probe is asked, as one JSON document on its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// In order.
    pub libraries: Vec<ProbeLibrary>,
}

/// One library to try.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProbeLibrary {
    /// Its digest.
    pub digest: String,
    /// The verified file in the store.
    pub library: PathBuf,
    /// The note that was admitted, JSON.
    pub note: String,
    /// The uses to start.
    pub uses: Vec<ProbeUse>,
}

/// One use of a function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProbeUse {
    /// The API.
    pub api_id: String,
    /// The hook.
    pub hook: String,
    /// The function.
    pub function: String,
    /// The configuration, canonical JSON.
    pub config: String,
}

/// What the probe says, one after the other. A library or use that was begun and has no verdict when
/// the probe is gone is what killed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// This library, or this use of it, is being tried now.
    Begun {
        /// Its position in the request.
        library: usize,
        /// The position of the use; none while the library itself is opened.
        r#use: Option<usize>,
    },
    /// It works.
    Passed {
        /// As above.
        library: usize,
        /// As above.
        r#use: Option<usize>,
    },
    /// It does not.
    Failed {
        /// As above.
        library: usize,
        /// As above.
        r#use: Option<usize>,
        /// Stable code.
        code: String,
        /// The text.
        message: String,
    },
}
