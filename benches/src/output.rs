//! Records as JSON for programs, and as Markdown tables for people and for the page on performance.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::record::Record;

/// Records as JSON.
///
/// # Errors
/// A figure is no number.
pub(crate) fn json(records: &[Record]) -> Result<String> {
    Ok(serde_json::to_string_pretty(records)?)
}

/// One table per metric, in the order of the records: subjects down, ratios to `peers` across.
pub(crate) fn tables(records: &[Record], peers: &[&str]) -> String {
    let mut metrics: Vec<&str> = Vec::new();
    for record in records {
        if !metrics.contains(&record.metric.as_str()) {
            metrics.push(&record.metric);
        }
    }
    let table_of = |metric: &str| {
        let rows: Vec<_> = records
            .iter()
            .filter(|each| each.metric == metric)
            .collect();
        table(metric, &rows, peers)
    };
    metrics
        .into_iter()
        .map(table_of)
        .collect::<Vec<_>>()
        .join("\n")
}

fn table(metric: &str, rows: &[&Record], peers: &[&str]) -> String {
    let peers: Vec<&str> = peers
        .iter()
        .copied()
        .filter(|peer| rows.iter().any(|row| row.ratios.contains_key(*peer)))
        .collect();
    let unit = rows.first().map_or("", |row| row.unit);
    let runs = rows.first().map_or(0, |row| row.runs);
    let mut text = format!("**{metric}** ({unit}; {runs} blocks)\n\n| | median | min – max |");
    for peer in &peers {
        let _ = write!(text, " × {peer} |");
    }
    let _ = writeln!(text, "\n|---|---|---|{}", "---|".repeat(peers.len()));
    for row in rows {
        let (median, min, max) = (figure(row.median), figure(row.min), figure(row.max));
        let _ = write!(text, "| {} | {median} | {min} – {max} |", row.subject);
        for peer in &peers {
            let cell = match (row.ratios.get(*peer), row.ratio_intervals.get(*peer)) {
                (Some(ratio), Some([low, high])) => format!("{ratio:.2} ({low:.2} – {high:.2})"),
                _ => String::new(),
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}

/// Three digits that mean something.
fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Puts text in the place of what stands between a bench's marks in a page.
///
/// # Errors
/// The page cannot be read or written, or has no such marks.
pub(crate) fn replace_in(page: &Path, bench: &str, text: &str) -> Result<()> {
    let before = fs::read_to_string(page).with_context(|| format!("read {}", page.display()))?;
    let after = replaced(&before, bench, text)
        .with_context(|| format!("{} has no marks of {bench}", page.display()))?;
    fs::write(page, after).with_context(|| format!("write {}", page.display()))
}

fn replaced(page: &str, bench: &str, text: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- {bench} -->\n"),
        format!("<!-- end of {bench} -->"),
    );
    let (head, rest) = page.split_once(&begin)?;
    let (_, tail) = rest.split_once(&end)?;
    Some(format!("{head}{begin}\n{}\n\n{end}{tail}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Samples;

    #[test]
    fn table_has_a_row_per_subject_and_a_column_per_peer() {
        let mut samples = Samples::default();
        samples.add("ours", "cost", "us", 12.0);
        samples.add("theirs", "cost", "us", 10.0);
        let text = tables(&samples.records("test"), &["theirs", "absent"]);
        assert!(
            text.contains("| | median | min – max | × theirs |"),
            "{text}"
        );
        assert!(
            text.contains("| ours | 12.0 | 12.0 – 12.0 | 1.20 (1.20 – 1.20) |"),
            "{text}"
        );
        assert!(
            text.contains("| theirs | 10.0 | 10.0 – 10.0 |  |"),
            "{text}"
        );
    }

    #[test]
    fn page_keeps_what_stands_outside_of_the_marks() {
        let page = "head\n<!-- a -->\nold\n<!-- end of a -->\ntail\n";
        let expected = "head\n<!-- a -->\n\nnew\n\n<!-- end of a -->\ntail\n";
        assert_eq!(replaced(page, "a", "new\n").as_deref(), Some(expected));
        assert_eq!(replaced(page, "b", "new"), None);
    }
}
