//! What workers do against the harm that libraries do each other, and how tests show that it is needed:
//! a test that passes without the cure shows nothing.
//!
//! Invariant: a build without debug assertions has every cure, whatever its environment says; and no
//! configuration can set that environment, since names of ours are refused there.

/// Names the cures that are left out, separated by commas. For tests.
pub const VARIABLE: &str = "GANTRY_TEST_WITHOUT_CURES";

/// Something that workers do against harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// `SIGURG` reaches the runtimes of all libraries.
    SharedPreemption,
    /// `SIGURG` comes to threads that run functions again and again.
    RepeatedPreemption,
    /// Signals that ask to end stay ignored, whatever libraries do.
    GuardedSignals,
}

impl Cure {
    /// The name in [`VARIABLE`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SharedPreemption => "shared-preemption",
            Self::RepeatedPreemption => "repeated-preemption",
            Self::GuardedSignals => "guarded-signals",
        }
    }

    /// Whether it is applied.
    pub fn is_on(self) -> bool {
        if !cfg!(debug_assertions) {
            return true;
        }
        let without = std::env::var(VARIABLE).unwrap_or_default();
        !without.split(',').any(|name| name == self.as_str())
    }
}
