//! How long to wait before trying again.

use std::time::Duration;

/// Waits that double up to a bound, each a random part of its step ("full jitter"), so that clients
/// that failed together do not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits between zero and `first` at first, between zero and `longest` in the end.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let step = self
            .first
            .saturating_mul(1 << self.failures.min(16))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        // Without randomness the whole step is right too: it only comes at the same time as others'.
        let part = getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX));
        step.mul_f64(part)
    }

    /// Failures since the last success.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Something worked: begin with short waits again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_begin_again_after_success() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(first, longest);
        assert!(backoff.next_wait() <= first);
        let waits: Vec<_> = (0..200).map(|_| backoff.next_wait()).collect();
        assert!(waits.iter().all(|wait| *wait <= longest));
        assert!(waits.iter().any(|wait| *wait > first), "{waits:?}");
        backoff.reset();
        assert!(backoff.next_wait() <= first);
    }
}
