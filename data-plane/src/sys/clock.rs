//! The clocks as plain numbers: what a worker writes down the supervisor can compare with its own.
#![expect(unsafe_code, reason = "the standard library's instants have no number")]

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds of `CLOCK_MONOTONIC`: the same clock in every process since the machine started. Read
/// through the vDSO, without a system call.
pub fn monotonic_nanos() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a local of the right type. The clock always exists, so the call
    // cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let (seconds, nanos) = (time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned());
    seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos)
}

/// Nanoseconds since 1970; 0 before that.
pub fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_clock_is_the_one_of_instants_and_never_goes_back() {
        let (before, from) = (monotonic_nanos(), std::time::Instant::now());
        std::thread::yield_now();
        let (passed, after) = (from.elapsed(), monotonic_nanos());
        assert!(after >= before);
        assert!(u128::from(after - before) >= passed.as_nanos());
    }

    #[test]
    fn wall_clock_is_later_than_2020() {
        assert!(unix_nanos() > 1_577_836_800_000_000_000);
    }
}
