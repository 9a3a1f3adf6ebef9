//! Numbers of the contract as types with names: hooks, and the levels of log lines.

use gantry_abi::{hook, level};

/// Where in a request a function runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Hook {
    /// Before everything else.
    Pre = hook::PRE,
    /// Custom authentication.
    Auth = hook::AUTH,
    /// After authentication.
    PostAuth = hook::POST_AUTH,
    /// Last before the upstream.
    Post = hook::POST,
    /// On the upstream's answer.
    Response = hook::RESPONSE,
}

impl Hook {
    /// The name in API definitions' terms: `pre`, `auth`, `post_auth`, `post`, `response`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Auth => "auth",
            Self::PostAuth => "post_auth",
            Self::Post => "post",
            Self::Response => "response",
        }
    }

    /// The hook behind a number, if this SDK knows it.
    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            hook::PRE => Self::Pre,
            hook::AUTH => Self::Auth,
            hook::POST_AUTH => Self::PostAuth,
            hook::POST => Self::Post,
            hook::RESPONSE => Self::Response,
            _ => return None,
        })
    }
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Level {
    /// A person must look.
    Error = level::ERROR,
    /// Something is wrong and was coped with.
    Warn = level::WARN,
    /// Worth knowing in production.
    Info = level::INFO,
    /// For those who debug the plugin.
    Debug = level::DEBUG,
    /// Everything.
    Trace = level::TRACE,
}
