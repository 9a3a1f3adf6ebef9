//! Lines that workers report become log lines with the tenant's name on them, and the library's where no
//! call says whose they are.

use std::borrow::Cow;

use super::culprit::Meanings;
use super::state::Identity;
use crate::protocol::Report;

/// One line with its level, which `tracing` wants to know at compile time.
macro_rules! at_level {
    ($level:expr, $($fields:tt)*) => {
        match $level {
            "error" => tracing::error!($($fields)*),
            "warn" => tracing::warn!($($fields)*),
            "debug" => tracing::debug!($($fields)*),
            _ => tracing::info!($($fields)*),
        }
    };
}

/// Logs what a report says, if it is one of those that say something to people.
pub fn log(slot: u32, identity: &Identity, meanings: &Meanings, report: &Report) {
    let tenant = &identity.tenant;
    match report {
        Report::PluginLog {
            level,
            code,
            message,
            api_id,
            function,
            hook,
            trace_id,
            logged_at,
        } => {
            let library = logged_at.and_then(|address| meanings.library_at(address));
            let message = one_line(message);
            at_level!(
                level.as_str(), code = code.as_str(), tenant.id = %tenant, worker.slot = slot, api.id = api_id.as_deref(),
                function = function.as_deref(), hook = hook.as_deref(), trace_id = trace_id.as_deref(),
                plugin.digest = library, "{message}"
            );
        }
        Report::Note {
            level,
            code,
            message,
        } => {
            let message = one_line(message);
            at_level!(level.as_str(), code = code.as_str(), tenant.id = %tenant, worker.slot = slot, "worker: {message}");
        }
        Report::Applied { .. }
        | Report::KeysLoaded { .. }
        | Report::LibraryLoaded { .. }
        | Report::StoreSession { .. } => {}
    }
}

/// A message on one line. Functions log what clients sent, such as a path with an encoded line break, and
/// that must not look like another line of this gateway's.
fn one_line(message: &str) -> Cow<'_, str> {
    let harmful = |c: char| c.is_control() && c != '\t';
    if !message.contains(harmful) {
        return Cow::Borrowed(message);
    }
    let shown = message.chars().map(|c| match c {
        c if harmful(c) => c.escape_default().to_string(),
        c => c.to_string(),
    });
    Cow::Owned(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_cannot_forge_another_line() {
        let forged = "alice calls /x\n2026-11-30T00:00:00Z ERROR forged\x1b[2J";
        assert_eq!(
            one_line(forged),
            "alice calls /x\\n2026-11-30T00:00:00Z ERROR forged\\u{1b}[2J"
        );
        assert!(matches!(one_line("é\tb"), Cow::Borrowed(_)));
    }
}
