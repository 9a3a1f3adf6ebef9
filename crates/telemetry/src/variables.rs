//! The standard `OTEL_*` variables: what they say about where traces go, and what is wrong with
//! them.
//!
//! Whatever is read here is given to the SDK explicitly, so that a bad value has one place that
//! complains. Invariant: a bad value never stops a process; it is named, and what holds without it
//! is used, as the OpenTelemetry specification asks.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, Uri};

use crate::Sampler;

/// How many spans may wait for the exporter (`OTEL_BSP_MAX_QUEUE_SIZE`) at most: each takes about a
/// kilobyte, and the room is reserved at start.
const QUEUE_MAX: usize = 262_144;

/// The path that `OTEL_EXPORTER_OTLP_ENDPOINT` stands for with http/protobuf.
const TRACES_PATH: &str = "v1/traces";

/// What the variables say.
#[derive(Debug, PartialEq)]
pub(crate) struct Variables {
    /// Where traces go; `None` where they go nowhere.
    pub(crate) export: Option<Export>,
    /// Which traces are recorded.
    pub(crate) sampler: Sampler,
    /// `OTEL_SERVICE_NAME`.
    pub(crate) service: Option<String>,
    /// Values that were not taken.
    pub(crate) complaints: Vec<Complaint>,
}

/// Where traces go, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) protocol: Protocol,
    /// With its path.
    pub(crate) endpoint: String,
    /// Authorities that the collector's certificate may be signed by, PEM.
    pub(crate) ca_file: Option<PathBuf>,
    /// How long the collector may take for one batch.
    pub(crate) timeout: Duration,
    pub(crate) batches: Batches,
}

/// OTLP's ways over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
}

/// How spans are put together (`OTEL_BSP_*`).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batches {
    pub(crate) queue_max: usize,
    pub(crate) spans_max: usize,
    pub(crate) delay: Duration,
}

/// A value that was not taken. Never holds values of headers, which are secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) variable: &'static str,
    /// What was expected, what came, and what holds instead.
    pub(crate) text: String,
}

impl Variables {
    /// From the environment of the process.
    pub(crate) fn read() -> Self {
        Self::from(&|name| std::env::var(name).ok())
    }

    /// From any source of variables.
    fn from(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader {
            lookup,
            complaints: Vec::new(),
        };
        let export = reader.export();
        let sampler = match export {
            Some(_) => reader.sampler(),
            None => Sampler::OFF,
        };
        if export.is_some() {
            reader.check_headers();
            reader.check_attributes();
            reader.check_compression();
        }
        Self {
            export,
            sampler,
            service: reader.text("OTEL_SERVICE_NAME"),
            complaints: reader.complaints,
        }
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    complaints: Vec<Complaint>,
}

impl Reader<'_> {
    fn export(&mut self) -> Option<Export> {
        if self.disabled() {
            return None;
        }
        let exporter = self.text("OTEL_TRACES_EXPORTER");
        match exporter.as_deref() {
            None | Some("otlp") => {}
            Some("none") => return None,
            Some(other) => {
                let text = format!("expected otlp or none, not {other:?}; no traces are exported");
                self.complain("OTEL_TRACES_EXPORTER", text);
                return None;
            }
        }
        let protocol = self.protocol()?;
        let endpoint = self.endpoint(protocol, exporter.is_some())?;
        Some(Export {
            protocol,
            endpoint,
            ca_file: self
                .first([
                    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                    "OTEL_EXPORTER_OTLP_CERTIFICATE",
                ])
                .map(|(_, file)| file.into()),
            timeout: self.timeout(),
            batches: self.batches(),
        })
    }

    fn disabled(&mut self) -> bool {
        let value = self.text("OTEL_SDK_DISABLED").unwrap_or_default();
        let disabled = value.eq_ignore_ascii_case("true");
        if !disabled && !value.is_empty() && !value.eq_ignore_ascii_case("false") {
            let text = format!("expected true or false, not {value:?}; false holds");
            self.complain("OTEL_SDK_DISABLED", text);
        }
        disabled
    }

    fn protocol(&mut self) -> Option<Protocol> {
        let given = self.first([
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ]);
        match given
            .as_ref()
            .map(|(variable, value)| (*variable, value.as_str()))
        {
            None | Some((_, "grpc")) => Some(Protocol::Grpc),
            Some((_, "http/protobuf")) => Some(Protocol::Http),
            Some((variable, other)) => {
                let text = format!(
                    "expected grpc or http/protobuf, not {other:?}; no traces are exported"
                );
                self.complain(variable, text);
                None
            }
        }
    }

    fn endpoint(&mut self, protocol: Protocol, asked_for: bool) -> Option<String> {
        let given = self.first([
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ]);
        let (variable, given) = match (given, protocol) {
            (Some(given), _) => given,
            (None, _) if !asked_for => return None,
            (None, Protocol::Grpc) => (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "http://localhost:4317".into(),
            ),
            (None, Protocol::Http) => (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "http://localhost:4318".into(),
            ),
        };
        let uri: Option<Uri> = given.parse().ok();
        let scheme = uri.as_ref().and_then(Uri::scheme_str).unwrap_or_default();
        let expected = match (protocol, scheme) {
            (_, "http") | (Protocol::Grpc, "https") => None,
            (Protocol::Grpc, _) => Some("http://HOST:PORT or https://HOST:PORT"),
            (Protocol::Http, "https") => Some("http://HOST:PORT (with TLS, use the protocol grpc)"),
            (Protocol::Http, _) => Some("http://HOST:PORT"),
        };
        if let Some(expected) = expected {
            let text = format!("expected {expected}, not {given:?}; no traces are exported");
            self.complain(variable, text);
            return None;
        }
        // The general variable names the collector, that for traces its very address.
        let whole = protocol == Protocol::Grpc || variable == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        Some(if whole {
            given
        } else {
            format!("{}/{TRACES_PATH}", given.trim_end_matches('/'))
        })
    }

    fn timeout(&mut self) -> Duration {
        let (variable, given) = self
            .first([
                "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
                "OTEL_EXPORTER_OTLP_TIMEOUT",
            ])
            .unwrap_or(("OTEL_EXPORTER_OTLP_TIMEOUT", String::new()));
        Duration::from_millis(self.number(variable, &given, 1..=600_000, 10_000))
    }

    fn batches(&mut self) -> Batches {
        let mut number = |variable, range, default| {
            let given = self.text(variable).unwrap_or_default();
            self.number(variable, &given, range, default)
        };
        let queue_max = number("OTEL_BSP_MAX_QUEUE_SIZE", 1..=QUEUE_MAX, 2_048);
        let spans_default = queue_max.min(512);
        Batches {
            queue_max,
            spans_max: number(
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                1..=queue_max,
                spans_default,
            ),
            delay: Duration::from_millis(
                number("OTEL_BSP_SCHEDULE_DELAY", 1..=3_600_000, 5_000)
                    .try_into()
                    .unwrap_or(5_000),
            ),
        }
    }

    fn sampler(&mut self) -> Sampler {
        let Some(name) = self.text("OTEL_TRACES_SAMPLER") else {
            return Sampler::PARENT_OR_ON;
        };
        let argument = self.text("OTEL_TRACES_SAMPLER_ARG");
        match Sampler::new(&name, argument.as_deref()) {
            Ok(sampler) => sampler,
            Err(error) => {
                let default = Sampler::PARENT_OR_ON;
                self.complain("OTEL_TRACES_SAMPLER", format!("{error}; {default} holds"));
                default
            }
        }
    }

    fn check_headers(&mut self) {
        for variable in [
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "OTEL_EXPORTER_OTLP_HEADERS",
        ] {
            let given = self.text(variable).unwrap_or_default();
            let bad = pairs(&given)
                .position(|pair| pair.is_none_or(|(name, _)| HeaderName::from_str(name).is_err()));
            if let Some(position) = bad {
                // Not the text: headers hold the credentials for the collector.
                let text = format!(
                    "expected name=value pairs with commas between; pair {} is none and is not sent",
                    position + 1
                );
                self.complain(variable, text);
            }
        }
    }

    fn check_attributes(&mut self) {
        let given = self.text("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        if pairs(&given).any(|pair| pair.is_none()) {
            let text = format!("expected key=value pairs with commas between, not {given:?}");
            self.complain("OTEL_RESOURCE_ATTRIBUTES", text);
        }
    }

    fn check_compression(&mut self) {
        let given = self.first([
            "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
            "OTEL_EXPORTER_OTLP_COMPRESSION",
        ]);
        if let Some((variable, value)) = given.filter(|(_, value)| value != "none") {
            let text = format!("expected none, not {value:?}; traces are sent as they are");
            self.complain(variable, text);
        }
    }

    /// The value of a variable; one that is empty is not set, as the specification says.
    fn text(&self, variable: &str) -> Option<String> {
        let value = (self.lookup)(variable)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn first(&self, variables: [&'static str; 2]) -> Option<(&'static str, String)> {
        variables
            .into_iter()
            .find_map(|variable| Some((variable, self.text(variable)?)))
    }

    fn number<T>(
        &mut self,
        variable: &'static str,
        given: &str,
        range: std::ops::RangeInclusive<T>,
        default: T,
    ) -> T
    where
        T: FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        if given.is_empty() {
            return default;
        }
        let number = given.parse::<T>().ok();
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return number;
        }
        let (low, high) = (range.start(), range.end());
        let text =
            format!("expected a whole number from {low} to {high}, not {given:?}; {default} holds");
        self.complain(variable, text);
        default
    }

    fn complain(&mut self, variable: &'static str, text: String) {
        self.complaints.push(Complaint { variable, text });
    }
}

fn pairs(list: &str) -> impl Iterator<Item = Option<(&str, &str)>> {
    let parts = list
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts.map(|part| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim(), value.trim())).filter(|(name, _)| !name.is_empty())
    })
}

#[cfg(test)]
mod tests;
