//! What is to be said about a plugin's source: places with a code, and functions that no hook can name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something about a place in the source.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Finding {
    /// The file, below the plugin's folder where it lies there.
    pub(crate) file: String,
    /// The line, from 1; 0 where the message names a field instead.
    pub(crate) line: u32,
    /// The column in bytes, from 1.
    pub(crate) column: u32,
    /// A stable code.
    pub(crate) code: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do instead.
    #[serde(default)]
    pub(crate) advice: String,
}

impl Finding {
    /// The place, as compilers write it.
    pub(crate) fn place(&self) -> String {
        match self.line {
            0 => self.file.clone(),
            line => format!("{}:{line}:{}", self.file, self.column),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.place(), self.message, self.code)
    }
}

/// Puts findings in the order of files and lines.
pub(crate) fn in_order(findings: &mut [Finding]) {
    let place = |finding: &Finding| (finding.line, finding.column);
    findings.sort_by(|a, b| a.file.cmp(&b.file).then_with(|| place(a).cmp(&place(b))));
}

/// A function that no hook can name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Skipped {
    /// What it is called.
    pub(crate) name: String,
    /// Its file.
    pub(crate) file: String,
    /// Its line, from 1.
    pub(crate) line: u32,
    /// Why.
    pub(crate) reason: String,
}

/// Everything to be said about a source that was built all the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remarks {
    pub(crate) warnings: Vec<Finding>,
    pub(crate) skipped: Vec<Skipped>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_come_in_the_order_of_files_and_lines() {
        let finding = |(file, line, column): (&str, u32, u32)| Finding {
            file: file.to_owned(),
            line,
            column,
            code: "CODE".to_owned(),
            message: "words".to_owned(),
            advice: String::new(),
        };
        let given = [
            ("b.go", 1, 1),
            ("a.go", 10, 1),
            ("a.go", 9, 4),
            ("a.go", 9, 2),
        ];
        let mut findings: Vec<_> = given.into_iter().map(finding).collect();
        in_order(&mut findings);
        let places: Vec<_> = findings.iter().map(Finding::place).collect();
        assert_eq!(places, ["a.go:9:2", "a.go:9:4", "a.go:10:1", "b.go:1:1"]);
    }
}
