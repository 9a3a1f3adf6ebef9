//! How much is tested: what every change is held against, or also what takes long.
//!
//! What more there is, and how long it took on two busy cores: 200 swaps of a Go plugin in place of 20, 187 s;
//! 230 Go libraries in one worker, with and without the room they need, 17 s; the Rust example under
//! emulation, 160 s; handlers in Go from a second folder for both platforms and not for one.

/// Set to `1`, it asks for all; `cargo xtask test --full` does.
pub const VARIABLE: &str = "GANTRY_TEST_FULL";

/// Whether what takes long is asked for: long soaks, more libraries than a process holds by itself, every
/// plugin on every platform.
pub fn full() -> bool {
    std::env::var(VARIABLE).is_ok_and(|value| value == "1")
}
