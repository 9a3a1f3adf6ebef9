//! When a worker is due for replacement, and why: what it has loaded and no longer needs stays in it
//! for ever, so that in the end a new process is cheaper.
//!
//! Invariant: a worker is due only for what a new one would not have: a threshold that the libraries in
//! use exceed on their own does not make workers replace each other for ever.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::ReplaceAt;

/// Waits after replacements that could not take over, doubling.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// As above.
const RETRY_LONGEST: Duration = Duration::from_mins(5);
/// A worker is not replaced for its memory before it has lived so long; doubling while that brings
/// nothing.
const MEMORY_FIRST: Duration = Duration::from_secs(10);
/// As above.
const MEMORY_LONGEST: Duration = Duration::from_hours(1);
/// Libraries that are remembered, at most: numbers beyond are past every threshold.
const LIBRARIES_MAX: usize = 200_000;

/// Why a worker is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Reason {
    /// Many Go libraries that no generation holds.
    StaleGoLibraries,
    /// Many Go libraries, some of them stale.
    GoLibraries,
    /// Many libraries of other languages that no generation holds.
    StaleLibraries,
    /// More memory than it may have.
    Memory,
    /// Its loader does not come back from a library, so it can take no generation over any more.
    LoadStuck,
    /// It leaves out what earlier workers did not survive loading, which is worth another try.
    LoadAgain,
}

impl Reason {
    /// All, in the order of counts.
    pub const ALL: [Self; 6] = [
        Self::StaleGoLibraries,
        Self::GoLibraries,
        Self::StaleLibraries,
        Self::Memory,
        Self::LoadStuck,
        Self::LoadAgain,
    ];

    /// The name in metrics, status and log: that of the threshold, where there is one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StaleGoLibraries => "stale_go_libraries",
            Self::GoLibraries => "go_libraries",
            Self::StaleLibraries => "stale_libraries",
            Self::Memory => "memory_bytes",
            Self::LoadStuck => "load_stuck",
            Self::LoadAgain => "load_again",
        }
    }
}

/// What a worker has loaded, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Burden {
    /// Go libraries.
    pub go: u64,
    /// Those of them that its generation does not hold.
    pub go_stale: u64,
    /// Libraries of other languages.
    pub others: u64,
    /// Those of them that its generation does not hold.
    pub others_stale: u64,
}

impl fmt::Display for Burden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            go,
            go_stale,
            others,
            others_stale,
        } = self;
        write!(
            f,
            "{go} Go libraries, {go_stale} of them stale, and {others} others, {others_stale} of them stale"
        )
    }
}

/// What a worker has loaded, by digest.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    go: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl Loaded {
    /// A library was opened.
    pub(super) fn enter(&mut self, digest: String, go: bool) {
        if self.go.len() + self.others.len() < LIBRARIES_MAX {
            let of_kind = if go { &mut self.go } else { &mut self.others };
            of_kind.insert(digest);
        }
    }

    /// The numbers, beside the libraries that a generation holds.
    pub(super) fn burden(&self, held: &BTreeSet<String>) -> Burden {
        let stale = |all: &BTreeSet<String>| all.difference(held).count() as u64;
        Burden {
            go: self.go.len() as u64,
            go_stale: stale(&self.go),
            others: self.others.len() as u64,
            others_stale: stale(&self.others),
        }
    }
}

/// Whether a worker with this burden is due, its memory aside.
pub(super) fn due(burden: &Burden, at: &ReplaceAt) -> Option<Reason> {
    if burden.go_stale >= at.stale_go_libraries {
        Some(Reason::StaleGoLibraries)
    } else if burden.go >= at.go_libraries && burden.go_stale > 0 {
        Some(Reason::GoLibraries)
    } else if burden.others_stale >= at.stale_libraries {
        Some(Reason::StaleLibraries)
    } else {
        None
    }
}

/// A process's resident memory, bytes, as the kernel says; none for a process that is gone.
pub(super) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// How soon a slot may try again.
#[derive(Debug, Default)]
pub(super) struct Pace {
    failures: u32,
    not_before: Option<Instant>,
    memory_rounds: u32,
}

impl Pace {
    /// Whether it may be tried now.
    pub(super) fn permits(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// Whether a worker of this age may be replaced for its memory.
    pub(super) fn permits_for_memory(&self, age: Duration) -> bool {
        age >= self.memory_wait()
    }

    /// The replacement took over from a worker of this age.
    pub(super) fn succeeded(&mut self, reason: Reason, age: Duration) {
        (self.failures, self.not_before) = (0, None);
        if reason == Reason::Memory {
            let brought_nothing = age < self.memory_wait().saturating_mul(8);
            self.memory_rounds = if brought_nothing {
                self.memory_rounds + 1
            } else {
                0
            };
        }
    }

    /// The replacement did not take over. Gives the wait.
    pub(super) fn failed(&mut self, now: Instant) -> Duration {
        let wait = doubled(RETRY_FIRST, self.failures, RETRY_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + wait);
        wait
    }

    fn memory_wait(&self) -> Duration {
        doubled(MEMORY_FIRST, self.memory_rounds, MEMORY_LONGEST)
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burden(go: u64, go_stale: u64, others_stale: u64) -> Burden {
        Burden {
            go,
            go_stale,
            others: others_stale,
            others_stale,
        }
    }

    #[test]
    fn worker_is_due_at_each_threshold_and_not_below() {
        let at = ReplaceAt::default();
        for (burden, expected) in [
            (burden(127, 7, 199), None),
            (burden(8, 8, 0), Some(Reason::StaleGoLibraries)),
            (burden(128, 1, 0), Some(Reason::GoLibraries)),
            (burden(0, 0, 200), Some(Reason::StaleLibraries)),
        ] {
            assert_eq!(due(&burden, &at), expected, "{burden}");
        }
    }

    #[test]
    fn worker_is_not_due_for_libraries_that_its_successor_would_load_too() {
        assert_eq!(due(&burden(500, 0, 0), &ReplaceAt::default()), None);
    }

    #[test]
    fn library_is_stale_once_its_generation_does_not_hold_it() {
        let mut loaded = Loaded::default();
        for (digest, go) in [("a", true), ("b", true), ("b", true), ("c", false)] {
            loaded.enter(digest.to_owned(), go);
        }
        let held = BTreeSet::from(["b".to_owned()]);
        let expected = Burden {
            go: 2,
            go_stale: 1,
            others: 1,
            others_stale: 1,
        };
        assert_eq!(loaded.burden(&held), expected);
    }

    #[test]
    fn replacements_that_fail_are_tried_ever_more_seldom_within_a_bound() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert!(pace.permits(now));
        let waits: Vec<_> = (0..12).map(|_| pace.failed(now).as_secs()).collect();
        assert_eq!(waits[..4], [1, 2, 4, 8]);
        assert_eq!(waits[11], RETRY_LONGEST.as_secs());
        assert!(!pace.permits(now));
        assert!(pace.permits(now + RETRY_LONGEST));
        pace.succeeded(Reason::StaleLibraries, Duration::ZERO);
        assert!(pace.permits(now));
    }

    #[test]
    fn worker_that_is_large_from_the_start_is_replaced_ever_more_seldom() {
        let mut pace = Pace::default();
        assert!(!pace.permits_for_memory(Duration::from_secs(9)));
        assert!(pace.permits_for_memory(MEMORY_FIRST));
        pace.succeeded(Reason::Memory, MEMORY_FIRST);
        assert!(!pace.permits_for_memory(MEMORY_FIRST));
        assert!(pace.permits_for_memory(MEMORY_FIRST * 2));
        pace.succeeded(Reason::Memory, MEMORY_LONGEST);
        assert!(pace.permits_for_memory(MEMORY_FIRST));
    }

    #[test]
    fn resident_memory_of_this_process_is_read() {
        assert!(resident_bytes(std::process::id()).unwrap() > 1 << 20);
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
