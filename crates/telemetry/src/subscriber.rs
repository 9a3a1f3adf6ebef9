//! The subscriber that every process installs once, first.

use std::io::IsTerminal;
use std::time::Duration;

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::correlate::Correlated;
use crate::export::Exporter;
use crate::spans::SpanSink;
use crate::variables::{Complaint, Variables};
use crate::{Format, Sampler};

/// The variables that hold the filter (`info,gantry_control_plane=debug`); the first one set wins.
pub const FILTER_VARIABLES: [&str; 2] = ["GANTRY_LOG", "RUST_LOG"];

/// How long traces may take to leave at the end where the process does not say.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// Who starts.
#[derive(Debug, Clone, Copy)]
pub struct Process {
    /// `service.name` in traces, where no variable names another.
    pub service: &'static str,
    /// `service.version`.
    pub version: &'static str,
    /// How log lines are written.
    pub format: Format,
    /// Whether this is a command, which ends soon and writes for a person: it logs nothing that is
    /// not asked for but what is wrong with its telemetry, and does not repeat what cannot be
    /// delivered.
    pub is_command: bool,
}

impl Process {
    /// What is logged where no variable says otherwise.
    const fn filter(&self) -> &'static str {
        if self.is_command {
            "off,gantry_telemetry=warn"
        } else {
            "info"
        }
    }
}

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

/// The running telemetry of a process. Dropping it delivers what waits, within two seconds.
#[derive(Debug)]
#[must_use = "traces are delivered when this ends"]
pub struct Telemetry {
    exporter: Option<Exporter>,
    sampler: Sampler,
}

impl Telemetry {
    /// Which traces are recorded; [`Sampler::OFF`] where they go nowhere.
    pub const fn sampler(&self) -> Sampler {
        self.sampler
    }

    /// Where spans of other processes go; `None` where no traces are exported.
    pub fn spans(&self) -> Option<SpanSink> {
        self.exporter
            .as_ref()
            .map(|exporter| exporter.sink().clone())
    }

    /// Delivers what waits, for at most that long, and ends. The calling thread waits.
    pub fn finish(mut self, within: Duration) {
        self.end(within);
    }

    fn end(&mut self, within: Duration) {
        if let Some(mut exporter) = self.exporter.take() {
            exporter.finish(within);
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.end(FINISH_MAX);
    }
}

/// Starts logging to standard error, and the export of traces where the `OTEL_*` variables ask for
/// it. What is wrong with those is logged and never stops a process.
///
/// # Errors
/// A filter that does not parse, or a second call in one process.
pub fn init(process: &Process) -> Result<Telemetry, InitError> {
    let filter = filter(process)?;
    let mut variables = Variables::read();
    let exporter = variables
        .export
        .take()
        .and_then(|export| start(process, &mut variables, &export));
    let traces = exporter.as_ref().map(|exporter| {
        tracing_opentelemetry::layer()
            .with_tracer(exporter.tracer(process))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            // Whatever the log filter is, a trace is whole; and only our own spans are in it, so
            // that the exporter's calls are not traced and exported in turn.
            .with_filter(Targets::new().with_target("gantry", LevelFilter::INFO))
    });
    Registry::default()
        .with(traces)
        .with(lines(process.format).with_filter(filter))
        .try_init()
        .map_err(|_| InitError::Started)?;
    for Complaint { variable, text } in &variables.complaints {
        tracing::warn!(
            code = "OTEL_VARIABLE_INVALID",
            variable,
            "{variable}: {text}"
        );
    }
    let sampler = match &exporter {
        Some(_) => variables.sampler,
        None => Sampler::OFF,
    };
    Ok(Telemetry { exporter, sampler })
}

fn start(
    process: &Process,
    variables: &mut Variables,
    export: &crate::variables::Export,
) -> Option<Exporter> {
    match Exporter::start(process, variables, export) {
        Ok(exporter) => Some(exporter),
        Err(error) => {
            variables.complaints.push(Complaint {
                variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
                text: format!("{error}; no traces are exported"),
            });
            None
        }
    }
}

type Lines<S> = Box<dyn Layer<S> + Send + Sync>;

fn lines<S>(format: Format) -> Lines<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        Format::Text => layer.with_target(false).boxed(),
        Format::Json => layer
            .json()
            .map_event_format(|format| Correlated(format.flatten_event(true)))
            .boxed(),
    }
}

fn filter(process: &Process) -> Result<EnvFilter, InitError> {
    let set = FILTER_VARIABLES
        .into_iter()
        .find_map(|variable| std::env::var(variable).ok().map(|value| (variable, value)));
    match set {
        Some((variable, value)) => EnvFilter::try_new(value).map_err(|e| InitError::Filter {
            variable,
            cause: e.to_string(),
        }),
        None => Ok(EnvFilter::new(process.filter())),
    }
}
