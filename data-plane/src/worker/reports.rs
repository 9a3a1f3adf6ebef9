//! What a worker tells its supervisor, through one bounded queue.
//!
//! Lines of plugins are dropped and counted when the supervisor does not keep up: a plugin that logs
//! much must not slow requests down. What the supervisor waits for is never dropped.

use gantry_domain::Hook;
use gantry_plugin_host::{LogLevel, PluginLog};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::frames::{FrameError, FrameWriter};
use crate::protocol::Report;
use crate::sys::slot::{Counter, SlotMemory};

/// Reports that wait for the supervisor, at most.
const QUEUE_MAX: usize = 1024;

/// The near end of the queue.
#[derive(Debug, Clone)]
pub struct Reporter {
    queue: mpsc::Sender<Report>,
    memory: &'static SlotMemory,
}

/// The far end of the queue.
pub type Reports = mpsc::Receiver<Report>;

/// A queue.
pub fn queue(memory: &'static SlotMemory) -> (Reporter, Reports) {
    let (queue, reports) = mpsc::channel(QUEUE_MAX);
    (Reporter { queue, memory }, reports)
}

/// Writes reports; after `farewell` those that wait, and no more.
///
/// # Errors
/// The supervisor is gone.
pub async fn write(
    mut reports: Reports,
    mut writer: FrameWriter<impl AsyncWrite + Unpin>,
    farewell: CancellationToken,
) -> Result<(), FrameError> {
    loop {
        let report = tokio::select! {
            biased;
            () = farewell.cancelled(), if !reports.is_closed() => {
                reports.close();
                continue;
            }
            report = reports.recv() => report,
        };
        match report {
            Some(report) => writer.send(&report).await?,
            None => return Ok(()),
        }
    }
}

impl Reporter {
    /// Reports what the supervisor waits for.
    pub async fn send(&self, report: Report) {
        // The queue's other end is gone when the supervisor is, and then the worker is about to exit.
        let _ = self.queue.send(report).await;
    }

    /// As [`Reporter::send`], from a thread outside the runtime.
    pub fn send_blocking(&self, report: Report) {
        let _ = self.queue.blocking_send(report);
    }

    /// Reports what the sender can do without; gives whether there was room for it.
    pub fn try_send(&self, report: Report) -> bool {
        self.queue.try_send(report).is_ok()
    }

    /// Reports what may be lost.
    fn offer(&self, report: Report) {
        if self.queue.try_send(report).is_err() {
            self.memory.add(Counter::PluginLogsDropped, 1);
        }
    }

    /// Something in the worker's own work that an operator should see.
    pub fn note(&self, level: &str, code: &str, message: impl Into<String>) {
        self.offer(Report::Note {
            level: level.to_owned(),
            code: code.to_owned(),
            message: message.into(),
        });
    }

    /// A line that a plugin logged.
    pub fn plugin_log(&self, line: &PluginLog<'_>) {
        let level = match line.level {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug | LogLevel::Trace => "debug",
        };
        let origin = line.origin;
        self.offer(Report::PluginLog {
            level: level.to_owned(),
            code: "PLUGIN_LOG".to_owned(),
            message: line.message.to_owned(),
            api_id: origin.map(|origin| origin.api_id.to_owned()),
            function: origin.map(|origin| origin.function.to_owned()),
            hook: origin.map(|origin| origin.hook.as_str().to_owned()),
            trace_id: origin.map(|origin| origin.trace_id.to_owned()),
            logged_at: line.logged_at,
        });
    }

    /// A call that failed, in words for the log.
    pub fn call_failed(
        &self,
        api_id: &str,
        function: &str,
        hook: Hook,
        trace_id: &str,
        (code, cause): (&str, &str),
    ) {
        self.offer(Report::PluginLog {
            level: "error".to_owned(),
            code: code.to_owned(),
            message: format!("{code}: {cause}"),
            api_id: Some(api_id.to_owned()),
            function: Some(function.to_owned()),
            hook: Some(hook.as_str().to_owned()),
            trace_id: Some(trace_id.to_owned()),
            logged_at: None,
        });
    }
}
