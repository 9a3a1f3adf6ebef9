//! The five places in a request where plugin functions run.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A hook, in the order of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Hook {
    /// Before everything else.
    Pre = 0,
    /// Custom authentication; must set a session or answer.
    Auth = 1,
    /// After authentication.
    PostAuth = 2,
    /// Last, before the request goes upstream.
    Post = 3,
    /// On the upstream's answer.
    Response = 4,
}

/// A name that is no hook.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("hook {0:?} is unknown; expected pre, auth, post_auth, post or response")]
pub struct HookError(String);

impl Hook {
    /// All hooks in the order in which a request meets them.
    pub const ALL: [Self; 5] = [
        Self::Pre,
        Self::Auth,
        Self::PostAuth,
        Self::Post,
        Self::Response,
    ];

    /// The name in notes, plans, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Auth => "auth",
            Self::PostAuth => "post_auth",
            Self::Post => "post",
            Self::Response => "response",
        }
    }

    /// The name of this hook's field in `custom_middleware`.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Auth => "auth_check",
            Self::PostAuth => "post_key_auth",
            other => other.as_str(),
        }
    }
}

impl FromStr for Hook {
    type Err = HookError;

    fn from_str(s: &str) -> Result<Self, HookError> {
        Self::ALL
            .into_iter()
            .find(|hook| hook.as_str() == s)
            .ok_or_else(|| HookError(s.chars().take(40).collect()))
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of hooks: those that a function may run at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct HookSet(u8);

impl HookSet {
    /// Bits of a set, bit n for the nth hook in request order; `None` if a bit names no hook.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits < 1 << 5 {
            #[expect(clippy::cast_possible_truncation, reason = "it was just compared")]
            let bits = bits as u8;
            Some(Self(bits))
        } else {
            None
        }
    }

    /// Adds a hook.
    #[must_use]
    pub const fn with(self, hook: Hook) -> Self {
        Self(self.0 | 1 << hook as u8)
    }

    /// Whether the hook is in the set.
    pub const fn contains(self, hook: Hook) -> bool {
        self.0 & 1 << hook as u8 != 0
    }

    /// Whether no hook is.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The hooks of the set in request order.
    pub fn iter(self) -> impl Iterator<Item = Hook> {
        Hook::ALL
            .into_iter()
            .filter(move |hook| self.contains(*hook))
    }
}

impl FromIterator<Hook> for HookSet {
    fn from_iter<I: IntoIterator<Item = Hook>>(hooks: I) -> Self {
        hooks.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Display for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Hook::as_str).collect();
        f.pad(&names.join(", "))
    }
}

impl fmt::Debug for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_in_request_order() {
        for hook in Hook::ALL {
            assert_eq!(hook.as_str().parse::<Hook>().unwrap(), hook);
        }
        let set: HookSet = [Hook::Response, Hook::Pre].into_iter().collect();
        assert_eq!(set.to_string(), "pre, response");
        assert_eq!(HookSet::from_bits(0b10001), Some(set));
        assert_eq!(HookSet::from_bits(1 << 5), None);
    }
}
