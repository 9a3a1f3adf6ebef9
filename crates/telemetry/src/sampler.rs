//! Which traces are recorded: the samplers of `OTEL_TRACES_SAMPLER`, as a value that decides from
//! plain data.
//!
//! A worker that has only a `traceparent` and this value decides as the SDK of the supervisor
//! would, without any of the SDK on its request path. Invariant: for one trace id, every process
//! with the same ratio decides alike.

use std::fmt;
use std::str::FromStr;

use opentelemetry_sdk::trace::Sampler as SdkSampler;
use thiserror::Error;

/// A sampler. Its text is that of the variables: `parentbased_traceidratio` with its argument
/// behind a colon, `parentbased_traceidratio:0.25`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether a caller's decision is followed where there is a caller.
    parent_based: bool,
    root: Root,
}

/// What decides where no caller does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Root {
    On,
    Off,
    /// A share of all trace ids, from 0 to 1.
    Ratio(f64),
}

/// A text that is no sampler.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no sampler; expected always_on, always_off, traceidratio, or one of these after \
     parentbased_, and for traceidratio a share from 0 to 1"
)]
pub struct SamplerError(String);

impl Sampler {
    /// Records nothing.
    pub const OFF: Self = Self {
        parent_based: false,
        root: Root::Off,
    };

    /// Follows the caller, and records what has none: the default of the specification.
    pub const PARENT_OR_ON: Self = Self {
        parent_based: true,
        root: Root::On,
    };

    /// From the name in `OTEL_TRACES_SAMPLER` and the argument in `OTEL_TRACES_SAMPLER_ARG`, which
    /// is 1 where it is not given.
    ///
    /// # Errors
    /// An unknown name, or a share that is not from 0 to 1.
    pub fn new(name: &str, argument: Option<&str>) -> Result<Self, SamplerError> {
        let refused = || {
            SamplerError(
                [Some(name), argument]
                    .map(Option::unwrap_or_default)
                    .join(":"),
            )
        };
        let (parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let root = match root {
            "always_on" => Root::On,
            "always_off" => Root::Off,
            "traceidratio" => Root::Ratio(
                argument
                    .map_or(Ok(1.0), str::parse)
                    .ok()
                    .filter(|share| (0.0..=1.0).contains(share))
                    .ok_or_else(refused)?,
            ),
            _ => return Err(refused()),
        };
        Ok(Self { parent_based, root })
    }

    /// Whether a trace is recorded. `parent` is the sampled flag of the caller's valid
    /// `traceparent`, `None` without one.
    pub fn samples(&self, parent: Option<bool>, trace_id: [u8; 16]) -> bool {
        if let (true, Some(sampled)) = (self.parent_based, parent) {
            return sampled;
        }
        match self.root {
            Root::On => true,
            Root::Off => false,
            Root::Ratio(share) => below(trace_id, share),
        }
    }

    /// The same as the SDK's sampler.
    pub(crate) fn to_sdk(self) -> SdkSampler {
        let root = match self.root {
            Root::On => SdkSampler::AlwaysOn,
            Root::Off => SdkSampler::AlwaysOff,
            Root::Ratio(share) => SdkSampler::TraceIdRatioBased(share),
        };
        if self.parent_based {
            SdkSampler::ParentBased(Box::new(root))
        } else {
            root
        }
    }
}

/// Whether the trace id lies in the share, by its last 63 bits: the measure that the SDKs share, so
/// that services with one ratio record the same traces.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the share is from 0 to 1, so that the bound lies within 63 bits"
)]
fn below(trace_id: [u8; 16], share: f64) -> bool {
    if share >= 1.0 {
        return true;
    }
    // The low half of the 128 bits: the cast cuts the high one off.
    let low = (u128::from_be_bytes(trace_id) as u64) >> 1;
    low < (share * (1_u64 << 63) as f64) as u64
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.parent_based {
            f.write_str("parentbased_")?;
        }
        match self.root {
            Root::On => f.write_str("always_on"),
            Root::Off => f.write_str("always_off"),
            Root::Ratio(share) => write!(f, "traceidratio:{share}"),
        }
    }
}

impl FromStr for Sampler {
    type Err = SamplerError;

    fn from_str(text: &str) -> Result<Self, SamplerError> {
        match text.split_once(':') {
            Some((name, argument)) => Self::new(name, Some(argument)),
            None => Self::new(text, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanKind, TraceId};
    use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample as _};

    use super::*;

    #[test]
    fn samplers_round_trip_and_others_are_refused() {
        for text in [
            "always_on",
            "always_off",
            "traceidratio:0.25",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio:0.001",
        ] {
            let sampler: Sampler = text.parse().expect("these are samplers");
            assert_eq!(sampler.to_string(), text);
        }
        for text in [
            "",
            "on",
            "traceidratio:2",
            "traceidratio:-0.1",
            "traceidratio:NaN",
            "xray",
        ] {
            assert!(text.parse::<Sampler>().is_err(), "{text}");
        }
    }

    #[test]
    fn parent_based_samplers_follow_the_caller_and_others_do_not() {
        let id = [0xff; 16];
        for (text, parent, sampled) in [
            ("parentbased_always_on", Some(false), false),
            ("parentbased_always_on", None, true),
            ("parentbased_always_off", Some(true), true),
            ("parentbased_always_off", None, false),
            ("parentbased_traceidratio:0.5", Some(true), true),
            ("parentbased_traceidratio:0.5", None, false),
            ("always_on", Some(false), true),
            ("always_off", Some(true), false),
        ] {
            let sampler: Sampler = text.parse().expect("these are samplers");
            assert_eq!(sampler.samples(parent, id), sampled, "{text} {parent:?}");
        }
    }

    #[test]
    fn ratio_decides_as_the_sdk_does() {
        // A fixed walk over trace ids, so that a failure comes back.
        let mut state = 0x9e37_79b9_7f4a_7c15_u128;
        for share in [0.0, 0.001, 0.25, 0.5, 0.999, 1.0] {
            let sampler = Sampler::new("traceidratio", Some(&share.to_string()))
                .expect("the share is from 0 to 1");
            for _ in 0..2_000 {
                state = state.wrapping_mul(0xda94_2042_e4dd_58b5_da94_2042_e4dd_58b5) | 1;
                let id = (state >> 1).to_be_bytes();
                let theirs = sampler.to_sdk().should_sample(
                    None,
                    TraceId::from_bytes(id),
                    "",
                    &SpanKind::Internal,
                    &[],
                    &[],
                );
                assert_eq!(
                    sampler.samples(None, id),
                    theirs.decision == SamplingDecision::RecordAndSample,
                    "{share} {id:02x?}"
                );
            }
        }
    }
}
