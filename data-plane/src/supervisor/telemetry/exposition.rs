//! Figures in the shapes that Prometheus knows. The figures come from shared memory, where native code
//! can write, so nothing here may overflow, whatever they are.

use std::fmt;

use gantry_telemetry::metrics::prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric,
};
use gantry_telemetry::metrics::prometheus_client::metrics::MetricType;
use gantry_telemetry::metrics::prometheus_client::metrics::counter::ConstCounter;
use gantry_telemetry::metrics::prometheus_client::metrics::gauge::ConstGauge;

use crate::sys::counters::Histogram;

/// No labels but those of all series.
pub(super) type NoLabels = [(&'static str, &'static str); 0];

/// The series of one metric: labels and figure.
pub(super) type Samples<L, T> = Vec<(L, T)>;

/// In one bucket, at most: all of them together fit into a number.
const BUCKET_MAX: u64 = u64::MAX >> 8;

/// A histogram in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    sum: f64,
    count: u64,
    buckets: Vec<(f64, u64)>,
}

impl Sample {
    /// A histogram with its bounds in nanoseconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus has nothing but floating point"
    )]
    pub(super) fn of(histogram: &Histogram, bounds: &[u64]) -> Self {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let bounds = bounds.iter().map(|bound| seconds(*bound));
        let counts = histogram.buckets.map(|count| count.min(BUCKET_MAX));
        Self {
            sum: seconds(histogram.sum_nanos),
            count: counts.iter().sum(),
            buckets: bounds.chain([f64::INFINITY]).zip(counts).collect(),
        }
    }
}

/// A counter. The encoder adds `_total` to its name.
pub(super) fn counter<L: EncodeLabelSet>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: Samples<L, u64>,
) -> fmt::Result {
    let mut encoder = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in samples {
        ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A gauge.
pub(super) fn gauge<L: EncodeLabelSet>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: Samples<L, f64>,
) -> fmt::Result {
    let mut encoder = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

/// A histogram.
pub(super) fn histogram<L: EncodeLabelSet>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: Samples<L, Sample>,
) -> fmt::Result {
    let mut encoder = to.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, sample) in samples {
        let mut encoder = encoder.encode_family(&labels)?;
        encoder.encode_histogram::<NoLabels>(sample.sum, sample.count, &sample.buckets, None)?;
    }
    Ok(())
}

/// Facts as labels of a constant. The encoder adds `_info` to the name.
pub(super) fn info(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    facts: impl IntoIterator<Item = Vec<(&'static str, String)>>,
) -> fmt::Result {
    let mut encoder = to.encode_descriptor(name, help, None, MetricType::Info)?;
    for labels in facts {
        encoder
            .encode_family::<NoLabels>(&[])?
            .encode_info(&labels)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scribbled_histogram_does_not_overflow() {
        let mut histogram = Histogram::EMPTY;
        histogram.buckets.fill(u64::MAX);
        histogram.sum_nanos = u64::MAX;
        let sample = Sample::of(&histogram, &[1; 16]);
        let added = sample.buckets.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(added, sample.count);
        assert!(sample.buckets.last().unwrap().0.is_infinite());
    }
}
