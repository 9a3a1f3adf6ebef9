//! Lines that would be written at every request, while something lasts, are written once a second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Nanoseconds between two lines.
const PAUSE: u64 = 1_000_000_000;

/// One kind of line.
#[derive(Debug, Default)]
pub struct Seldom {
    said: AtomicU64,
    left_out: AtomicU64,
}

impl Seldom {
    /// Whether to write a line now, by the monotonic clock; then how many were left out since the last.
    pub fn due(&self, now: u64) -> Option<u64> {
        let said = self.said.load(Relaxed);
        let due = said == 0 || now.saturating_sub(said) >= PAUSE;
        let mine = due
            && self
                .said
                .compare_exchange(said, now, Relaxed, Relaxed)
                .is_ok();
        if mine {
            return Some(self.left_out.swap(0, Relaxed));
        }
        self.left_out.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_between_two_are_counted() {
        let seldom = Seldom::default();
        assert_eq!(seldom.due(5), Some(0));
        assert_eq!(seldom.due(6), None);
        assert_eq!(seldom.due(4), None, "another thread's earlier look");
        assert_eq!(seldom.due(5 + PAUSE), Some(2));
        assert_eq!(seldom.due(6 + PAUSE), None);
    }
}
