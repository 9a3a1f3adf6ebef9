//! The subscriber that every process installs once, first.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::Format;

/// The variables that hold the filter (`info,gantry_control_plane=debug`); the first one set wins.
pub const FILTER_VARIABLES: [&str; 2] = ["GANTRY_LOG", "RUST_LOG"];

/// What is logged where no variable says otherwise.
const FILTER_DEFAULT: &str = "info";

/// Why logging does not start.
#[derive(Debug, Error)]
pub enum InitError {
    /// A variable holds no filter.
    #[error("{variable} holds no log filter ({cause}); expected one such as info or gantry=debug")]
    Filter {
        /// The variable.
        variable: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// It was started before in this process.
    #[error("logging was started before in this process")]
    Started,
}

/// Starts logging to standard error.
///
/// # Errors
/// A filter that does not parse, or a second call in one process.
pub fn init(format: Format) -> Result<(), InitError> {
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter()?);
    let installed = match format {
        Format::Text => builder.with_target(false).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|_| InitError::Started)
}

fn filter() -> Result<EnvFilter, InitError> {
    let set = FILTER_VARIABLES
        .into_iter()
        .find_map(|variable| std::env::var(variable).ok().map(|value| (variable, value)));
    match set {
        Some((variable, value)) => EnvFilter::try_new(value).map_err(|e| InitError::Filter {
            variable,
            cause: e.to_string(),
        }),
        None => Ok(EnvFilter::new(FILTER_DEFAULT)),
    }
}
