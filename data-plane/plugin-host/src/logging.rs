//! Log lines of plugins: handed to one sink per process, together with where they came from.

use std::sync::OnceLock;

use gantry_abi::level;
use gantry_domain::Hook;

/// A line that a plugin logged.
#[derive(Debug, Clone, Copy)]
pub struct PluginLog<'a> {
    /// How much it matters.
    pub level: LogLevel,
    /// At most 8 KiB, as the plugin wrote it: may hold line breaks and control characters.
    pub message: &'a str,
    /// The call it belongs to; `None` for lines outside of calls.
    pub origin: Option<LogOrigin<'a>>,
    /// An address in the code of whoever logged it, where it belongs to no call: it is in a library.
    pub logged_at: Option<u64>,
}

/// The call that a line belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOrigin<'a> {
    /// Identifier of the API definition.
    pub api_id: &'a str,
    /// Name of the function.
    pub function: &'a str,
    /// The hook.
    pub hook: Hook,
    /// Trace id of the request.
    pub trace_id: &'a str,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// A person must look.
    Error,
    /// Something is wrong and was coped with.
    Warn,
    /// Worth knowing in production.
    Info,
    /// For those who debug the plugin.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            level::ERROR => Self::Error,
            level::WARN => Self::Warn,
            level::INFO => Self::Info,
            level::DEBUG => Self::Debug,
            level::TRACE => Self::Trace,
            _ => return None,
        })
    }
}

type Sink = Box<dyn Fn(&PluginLog<'_>) + Send + Sync>;

static SINK: OnceLock<Sink> = OnceLock::new();

/// Says where the lines of all plugins go. The first sink of a process stays; without one, lines are
/// dropped. It runs on the plugin's thread and must neither block nor call plugins.
pub fn set_log_sink(sink: Box<dyn Fn(&PluginLog<'_>) + Send + Sync>) {
    // A second sink would have to be swapped under the feet of running plugins.
    let _ = SINK.set(sink);
}

pub(crate) fn write(line: &PluginLog<'_>) {
    if let Some(sink) = SINK.get() {
        sink(line);
    }
}
