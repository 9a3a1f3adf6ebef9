//! What Prometheus would read: metrics by HTTP, held against the text format as strictly as a scraper
//! does.
//!
//! Not here: which metrics there should be. Invariant: a text that breaks the format is an error, not
//! a smaller answer.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};

/// Values by label.
pub type Labels = BTreeMap<String, String>;

/// Labels and value of one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The name, with `_bucket`, `_sum` or `_count` where it belongs to a histogram.
    pub name: String,
    /// Values by label.
    pub labels: Labels,
    /// The value.
    pub value: f64,
}

/// One answer of a metrics endpoint.
#[derive(Debug, Clone, Default)]
pub struct Scrape {
    samples: Vec<Sample>,
    kinds: BTreeMap<String, String>,
    helped: BTreeSet<String>,
}

impl Scrape {
    /// Reads an endpoint such as `http://127.0.0.1:9090/metrics`.
    ///
    /// # Errors
    /// It does not answer with 200 and text of format 0.0.4, or breaks the format.
    pub fn read(url: &str) -> Result<Self> {
        let mut answer = ureq::get(url)
            .call()
            .with_context(|| format!("GET {url}"))?;
        let kind = answer.headers().get("content-type");
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        ensure!(
            kind == "text/plain; version=0.0.4; charset=utf-8",
            "content type {kind:?}"
        );
        Self::parse(&answer.body_mut().read_to_string()?)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// It breaks the format.
    pub fn parse(text: &str) -> Result<Self> {
        ensure!(text.ends_with('\n'), "the last line does not end");
        let mut scrape = Self::default();
        for line in text.lines() {
            scrape
                .line(line)
                .with_context(|| format!("line {line:?}"))?;
        }
        scrape.check_histograms()?;
        Ok(scrape)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').context("HELP without words")?;
            ensure!(!help.trim().is_empty(), "HELP without words");
            ensure!(self.helped.insert(name.to_owned()), "a second HELP");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').context("TYPE without a type")?;
            ensure!(
                ["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind),
                "type {kind}"
            );
            let before = self.kinds.insert(name.to_owned(), kind.to_owned());
            ensure!(before.is_none(), "a second TYPE");
        } else {
            let sample = sample(line)?;
            let family = self.family(&sample.name).context("no TYPE before it")?;
            ensure!(self.helped.contains(family), "no HELP before it");
            let counter = self.kinds[family] == "counter";
            ensure!(
                !counter || family.ends_with("_total"),
                "a counter that does not end in _total"
            );
            let twice = self
                .samples
                .iter()
                .any(|other| other.name == sample.name && other.labels == sample.labels);
            ensure!(!twice, "a second sample of this name and labels");
            self.samples.push(sample);
        }
        Ok(())
    }

    /// The name under which a sample's type is.
    fn family<'n>(&self, name: &'n str) -> Option<&'n str> {
        if self.kinds.contains_key(name) {
            return Some(name);
        }
        let mut parts = ["_bucket", "_sum", "_count"].into_iter();
        parts
            .find_map(|part| name.strip_suffix(part))
            .filter(|family| {
                self.kinds
                    .get(*family)
                    .is_some_and(|kind| kind == "histogram")
            })
    }

    /// Buckets grow, and the last one holds all.
    fn check_histograms(&self) -> Result<()> {
        let mut series: BTreeMap<(String, Labels), Vec<(f64, f64)>> = BTreeMap::new();
        for sample in &self.samples {
            let Some(family) = sample.name.strip_suffix("_bucket") else {
                continue;
            };
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le").context("a bucket without a bound")?;
            let bound = number(&bound)?;
            let buckets = series.entry((family.to_owned(), labels)).or_default();
            buckets.push((bound, sample.value));
        }
        for ((family, labels), buckets) in series {
            let grows = buckets
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            ensure!(grows, "buckets of {family} {labels:?}: {buckets:?}");
            let (bound, all) = buckets.last().copied().unwrap_or_default();
            let labels: Vec<_> = labels
                .iter()
                .map(|(label, value)| (label.as_str(), value.as_str()))
                .collect();
            let counted = self.value(&format!("{family}_count"), &labels);
            ensure!(
                bound == f64::INFINITY && counted == Some(all),
                "{family} {labels:?} counts {counted:?}, its last bucket up to {bound} {all}"
            );
        }
        Ok(())
    }

    /// The value of the one sample with this name and these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: BTreeMap<_, _> = labels
            .iter()
            .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
            .collect();
        self.samples
            .iter()
            .find(|sample| sample.name == name && sample.labels == wanted)
            .map(|sample| sample.value)
    }

    /// The samples of a name, whatever their labels.
    pub fn samples(&self, name: &str) -> Vec<&Sample> {
        let samples = self.samples.iter();
        samples.filter(|sample| sample.name == name).collect()
    }

    /// Every name that has a type.
    pub fn names(&self) -> BTreeSet<&str> {
        self.kinds.keys().map(String::as_str).collect()
    }
}

fn sample(line: &str) -> Result<Sample> {
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .context("no value")?;
    let (name, rest) = line.split_at(end);
    ensure!(
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'),
        "name {name:?}"
    );
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = value
        .strip_prefix(' ')
        .context("no space before the value")?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value: number(value)?,
    })
}

/// Labels up to the closing brace, and what follows it.
fn labels(text: &str) -> Result<(Labels, &str)> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, after) = rest.split_once("=\"").context("a label without a value")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next() {
                Some((at, '"')) => break at,
                Some((_, '\\')) => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => value.push(c),
                    other => bail!("an escape of {other:?}"),
                },
                Some((_, c)) => value.push(c),
                None => bail!("a label that does not end"),
            }
        };
        let before = labels.insert(name.to_owned(), value);
        ensure!(before.is_none(), "label {name} twice");
        let after = &after[end + 1..];
        rest = after.strip_prefix(',').unwrap_or(after);
    }
}

fn number(text: &str) -> Result<f64> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        other => Ok(other.parse()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTOGRAM: &str = "# HELP t_seconds Time.\n# TYPE t_seconds histogram\n\
        t_seconds_bucket{le=\"0.1\",m=\"a\"} 1\nt_seconds_bucket{le=\"+Inf\",m=\"a\"} 2\n\
        t_seconds_sum{m=\"a\"} 3.5\nt_seconds_count{m=\"a\"} 2\n";

    #[test]
    fn text_of_the_format_is_read() {
        let scrape = Scrape::parse(HISTOGRAM).expect("it is of the format");
        assert_eq!(scrape.value("t_seconds_sum", &[("m", "a")]), Some(3.5));
        assert_eq!(scrape.value("t_seconds_sum", &[]), None);
    }

    #[test]
    fn text_that_breaks_the_format_is_refused() {
        let count = "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n";
        assert!(Scrape::parse(count).is_ok());
        for broken in [
            "a_total 1\n".to_owned(),
            count.replace("# HELP a_total A.\n", ""),
            count.replace("a_total", "a"),
            count.replace(" 1\n", " one\n"),
            count.replace(" 1\n", " 1"),
            format!("{count}a_total 2\n"),
            HISTOGRAM.replace("+Inf\",m=\"a\"} 2", "+Inf\",m=\"a\"} 3"),
            HISTOGRAM.replace("le=\"0.1\",m=\"a\"} 1", "le=\"0.1\",m=\"a\"} 9"),
        ] {
            assert!(Scrape::parse(&broken).is_err(), "{broken}");
        }
    }
}
