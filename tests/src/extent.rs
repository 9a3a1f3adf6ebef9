//! How much is tested: what every change is held against, or also what takes long.

/// Set to `1`, it asks for all; `cargo xtask test --full` does.
pub const VARIABLE: &str = "GANTRY_TEST_FULL";

/// Whether what takes long is asked for: long soaks, more libraries than a process holds by itself, every
/// plugin on every platform.
pub fn full() -> bool {
    std::env::var(VARIABLE).is_ok_and(|value| value == "1")
}
