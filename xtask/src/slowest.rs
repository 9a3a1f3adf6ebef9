//! Which tests take longest, told from what the standard test harness prints: the first place to look
//! when the tests outgrow their time.

use std::fmt;
use std::time::Duration;

/// The slowest tests seen so far.
#[derive(Debug)]
pub(crate) struct Slowest {
    most: usize,
    tests: Vec<(Duration, String)>,
}

impl Slowest {
    /// Keeps that many.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            most,
            tests: Vec::new(),
        }
    }

    /// Takes a line of the harness; lines that say nothing about a test's time change nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let Some(timed) = timed(line) else { return };
        self.tests.push(timed);
        self.tests.sort_by(|a, b| b.cmp(a));
        self.tests.truncate(self.most);
    }
}

impl fmt::Display for Slowest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} slowest tests:", self.tests.len())?;
        for (time, name) in &self.tests {
            write!(f, "\n{:>9.3} s  {name}", time.as_secs_f64())?;
        }
        Ok(())
    }
}

/// `test NAME ... ok <1.234s>`
fn timed(line: &str) -> Option<(Duration, String)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let (_, time) = outcome.split_once('<')?;
    let seconds: f64 = time.strip_suffix("s>")?.parse().ok()?;
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    Some((time, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slowest_tests_are_named_first_and_others_dropped() {
        let mut slowest = Slowest::new(2);
        for line in [
            "running 4 tests",
            "test a::quick ... ok <0.001s>",
            "test b::slow ... ok <2.500s>",
            "test c::broken ... FAILED <1.000s>",
            "test d::untimed ... ok",
            "test result: ok. 3 passed; 1 failed; finished in 2.50s",
        ] {
            slowest.read(line);
        }
        assert_eq!(
            slowest.to_string(),
            "the 2 slowest tests:\n    2.500 s  b::slow\n    1.000 s  c::broken"
        );
    }
}
