//! `[log]`: how lines are written. Which ones are is `GANTRY_LOG`'s to say, a filter like
//! `info,gantry_control_plane=debug`.

use gantry_telemetry::Format;

use super::source::Source;

/// How it logs.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// `format`: `text` or `json`.
    pub format: Format,
}

impl LogConfig {
    pub(super) fn read(source: &mut Source) -> Self {
        Self {
            format: source.setting("log.format", Format::default()),
        }
    }
}
