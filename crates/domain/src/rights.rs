//! What a token may do within its tenant.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One right. Rights do not contain each other, except that `admin` contains all but `gateway`:
/// a token that people hold must not be able to pose as a gateway and read consumer keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Right {
    /// Upload and publish bundles.
    Publish = 0,
    /// Move pins, write API definitions and consumer keys.
    Deploy = 1,
    /// Run as a gateway of one environment.
    Gateway = 2,
    /// Manage environments and tokens.
    Admin = 3,
}

/// A name that is no right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("right {0:?} is unknown; expected publish, deploy, gateway or admin")]
pub struct RightError(String);

impl Right {
    /// Every right.
    pub const ALL: [Self; 4] = [Self::Publish, Self::Deploy, Self::Gateway, Self::Admin];

    /// The name on the wire and in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Deploy => "deploy",
            Self::Gateway => "gateway",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Right {
    type Err = RightError;

    fn from_str(s: &str) -> Result<Self, RightError> {
        Self::ALL
            .into_iter()
            .find(|right| right.as_str() == s)
            .ok_or_else(|| RightError(s.chars().take(40).collect()))
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The rights of a token.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct RightSet(u8);

impl RightSet {
    /// Adds a right.
    #[must_use]
    pub const fn with(self, right: Right) -> Self {
        Self(self.0 | 1 << right as u8)
    }

    /// Whether exactly this right is in the set.
    pub const fn contains(self, right: Right) -> bool {
        self.0 & 1 << right as u8 != 0
    }

    /// Whether these rights allow what `right` allows.
    pub const fn allows(self, right: Right) -> bool {
        self.contains(right) || (self.contains(Right::Admin) && !matches!(right, Right::Gateway))
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rights in the set.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL
            .into_iter()
            .filter(move |right| self.contains(*right))
    }
}

impl FromIterator<Right> for RightSet {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        rights.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Display for RightSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Right::as_str).collect();
        f.pad(&names.join(","))
    }
}

impl fmt::Debug for RightSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_allows_all_but_posing_as_a_gateway() {
        let admin = RightSet::default().with(Right::Admin);
        assert!(admin.allows(Right::Publish) && admin.allows(Right::Deploy));
        assert!(!admin.allows(Right::Gateway));
    }
}
