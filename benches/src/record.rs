//! What a bench found out: samples of blocks, summed up by medians, and by ratios taken within blocks.
//!
//! Invariant: a ratio compares samples of one block only. The machine's mood changes from block to
//! block, so that samples of different blocks say nothing about each other.

use std::collections::BTreeMap;

use serde::Serialize;

/// Resamplings behind an interval.
const RESAMPLINGS: usize = 2000;

/// One figure of one subject, measured once per block.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Who was measured.
    pub(crate) subject: String,
    /// What was measured.
    pub(crate) metric: String,
    /// Of the samples.
    pub(crate) unit: &'static str,
    /// One per block, in the order of the blocks.
    pub(crate) samples: Vec<f64>,
}

/// A series summed up, as it is printed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record {
    /// The bench.
    pub(crate) bench: &'static str,
    /// Who was measured.
    pub(crate) subject: String,
    /// What was measured.
    pub(crate) metric: String,
    /// Of `median`, `min` and `max`.
    pub(crate) unit: &'static str,
    /// Of the samples.
    pub(crate) median: f64,
    /// Of the samples.
    pub(crate) min: f64,
    /// Of the samples.
    pub(crate) max: f64,
    /// How many samples there are.
    pub(crate) runs: usize,
    /// By peer: the median of the subject's sample over the peer's of the same block.
    pub(crate) ratios: BTreeMap<String, f64>,
    /// By peer: the interval that holds the ratio in 95 of 100 resamplings.
    pub(crate) ratio_intervals: BTreeMap<String, [f64; 2]>,
}

/// Collects samples as blocks go by.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Series>);

impl Samples {
    /// Adds a sample.
    pub(crate) fn add(&mut self, subject: &str, metric: &str, unit: &'static str, sample: f64) {
        let found = self
            .0
            .iter_mut()
            .find(|series| series.subject == subject && series.metric == metric);
        match found {
            Some(series) => series.samples.push(sample),
            None => self.0.push(Series {
                subject: subject.to_owned(),
                metric: metric.to_owned(),
                unit,
                samples: vec![sample],
            }),
        }
    }

    /// The latest sample.
    pub(crate) fn latest(&self, subject: &str, metric: &str) -> Option<f64> {
        let series = self
            .0
            .iter()
            .find(|series| series.subject == subject && series.metric == metric)?;
        series.samples.last().copied()
    }

    /// Sums up, with ratios to every peer that was measured in the same way.
    pub(crate) fn records(&self, bench: &'static str) -> Vec<Record> {
        self.0
            .iter()
            .map(|series| {
                let (mut ratios, mut ratio_intervals) = (BTreeMap::new(), BTreeMap::new());
                for peer in self.peers_of(series) {
                    let quotients: Vec<f64> = series
                        .samples
                        .iter()
                        .zip(&peer.samples)
                        .map(|(ours, theirs)| ours / theirs)
                        .collect();
                    ratios.insert(peer.subject.clone(), median(&quotients));
                    ratio_intervals.insert(peer.subject.clone(), interval(&quotients));
                }
                let extreme =
                    |pick: fn(f64, f64) -> f64| series.samples.iter().copied().reduce(pick);
                Record {
                    bench,
                    subject: series.subject.clone(),
                    metric: series.metric.clone(),
                    unit: series.unit,
                    median: median(&series.samples),
                    min: extreme(f64::min).unwrap_or_default(),
                    max: extreme(f64::max).unwrap_or_default(),
                    runs: series.samples.len(),
                    ratios,
                    ratio_intervals,
                }
            })
            .collect()
    }

    fn peers_of<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = &'a Series> {
        self.0.iter().filter(|peer| {
            peer.metric == series.metric
                && peer.subject != series.subject
                && peer.samples.len() == series.samples.len()
                && peer.samples.iter().all(|sample| *sample > 0.0)
        })
    }
}

/// The middle of the samples; 0 of none.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The bootstrap interval of the median: 95 %, by percentiles, from a fixed seed.
fn interval(samples: &[f64]) -> [f64; 2] {
    let mut random = Random(1);
    let mut medians: Vec<f64> = (0..RESAMPLINGS)
        .map(|_| {
            let again: Vec<f64> = samples
                .iter()
                .map(|_| samples[random.below(samples.len())])
                .collect();
            median(&again)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    [
        medians[RESAMPLINGS / 40],
        medians[RESAMPLINGS - 1 - RESAMPLINGS / 40],
    ]
}

/// A sequence of numbers that is the same in every run (the generator of Steele, Lea and Flood, 2014).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound as u64)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(list: &[(&str, &[f64])]) -> Vec<Record> {
        let mut samples = Samples::default();
        for (subject, values) in list {
            for value in *values {
                samples.add(subject, "cost", "us", *value);
            }
        }
        samples.records("test")
    }

    #[test]
    fn ratio_is_the_median_of_ratios_within_blocks() {
        // The machine was four times slower in the second block, for both.
        let records = samples(&[("ours", &[1.0, 4.0, 1.0]), ("theirs", &[2.0, 8.0, 1.0])]);
        assert!((records[0].ratios["theirs"] - 0.5).abs() < 1e-9);
        assert!((records[1].ratios["ours"] - 2.0).abs() < 1e-9);
        assert!((records[0].median - 1.0).abs() < 1e-9);
        assert_eq!(records[0].runs, 3);
    }

    #[test]
    fn peer_without_as_many_samples_or_with_none_above_zero_gives_no_ratio() {
        let records = samples(&[
            ("ours", &[1.0, 1.0]),
            ("short", &[1.0]),
            ("free", &[0.0, 1.0]),
        ]);
        assert!(records[0].ratios.is_empty());
    }

    #[test]
    fn interval_holds_the_median_and_stays_within_the_samples() {
        let values = [1.0, 1.1, 1.2, 1.3, 9.0];
        let [low, high] = interval(&values);
        assert!(low <= median(&values) && median(&values) <= high);
        assert!(low >= 1.0 && high <= 9.0);
    }

    #[test]
    fn median_of_an_even_number_lies_between_the_middle_two() {
        assert!((median(&[4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }
}
