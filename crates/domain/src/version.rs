//! Versions: of gateways (three numbers, pre-release cut) and of bundles (semantic versions).

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Why a version was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} {value:?} is malformed; expected {expected}")]
pub struct VersionError {
    kind: &'static str,
    value: String,
    expected: &'static str,
}

/// The version of a gateway: `v5.3.0`. A leading `v` is optional when read; a pre-release or build
/// suffix (`-rc1`, `+abc`) is cut, because alphas and candidates of a release share its plugins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl GatewayVersion {
    /// A version from its three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl FromStr for GatewayVersion {
    type Err = VersionError;

    fn from_str(s: &str) -> Result<Self, VersionError> {
        let error = || VersionError {
            kind: "gateway version",
            value: s.to_owned(),
            expected: "three numbers such as v5.3.0",
        };
        let bare = s.strip_prefix('v').unwrap_or(s);
        let release = bare.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = release.split('.').map(number);
        let mut next = || numbers.next().flatten().ok_or_else(error);
        let version = Self::new(next()?, next()?, next()?);
        if numbers.next().is_some() {
            return Err(error());
        }
        Ok(version)
    }
}

/// A decimal number without sign or leading zeros, so that one version has one spelling.
fn number(s: &str) -> Option<u32> {
    let canonical = s == "0" || (!s.starts_with('0') && s.bytes().all(|b| b.is_ascii_digit()));
    if canonical { s.parse().ok() } else { None }
}

impl fmt::Display for GatewayVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}.{}.{}", self.major, self.minor, self.patch))
    }
}

impl fmt::Debug for GatewayVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GatewayVersion({self})")
    }
}

/// The version of a bundle: a semantic version (semver.org 2.0.0) without build metadata, since two
/// versions that differ in metadata alone would be equal in precedence and two things in storage.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleVersion(semver::Version);

impl FromStr for BundleVersion {
    type Err = VersionError;

    fn from_str(s: &str) -> Result<Self, VersionError> {
        match semver::Version::parse(s) {
            Ok(version) if version.build.is_empty() && s.len() <= 64 => Ok(Self(version)),
            _ => Err(VersionError {
                kind: "bundle version",
                value: s.chars().take(80).collect(),
                expected: "a semantic version such as 1.2.0 or 1.2.0-rc.1, without build metadata",
            }),
        }
    }
}

impl fmt::Display for BundleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl fmt::Debug for BundleVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BundleVersion({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gateway(s: &str) -> GatewayVersion {
        s.parse().unwrap()
    }

    #[test]
    fn leading_v_is_optional_and_a_pre_release_is_cut() {
        assert_eq!(gateway("v5.3.0"), gateway("5.3.0"));
        assert_eq!(gateway("v5.15.0-alpha14"), gateway("5.15.0"));
        assert_eq!(gateway("5.3.0+build-7"), gateway("5.3.0"));
    }

    #[test]
    fn malformed_gateway_versions_are_refused() {
        for bad in [
            "", "v", "5", "5.3", "5.3.0.1", "5.03.0", "vv5.3.0", "5.3.x", "-5.3.0", "+1.2.3",
        ] {
            assert!(
                bad.parse::<GatewayVersion>().is_err(),
                "{bad:?} was accepted"
            );
        }
    }

    #[test]
    fn bundle_version_with_build_metadata_is_refused() {
        assert!("1.0.0+abc".parse::<BundleVersion>().is_err());
        assert!("1.0".parse::<BundleVersion>().is_err());
        assert_eq!(
            "1.0.0-rc.1".parse::<BundleVersion>().unwrap().to_string(),
            "1.0.0-rc.1"
        );
    }

    proptest! {
        #[test]
        fn gateway_version_round_trips(a: u32, b: u32, c: u32) {
            let version = GatewayVersion::new(a, b, c);
            prop_assert_eq!(gateway(&version.to_string()), version);
        }

        #[test]
        fn no_text_panics(s in "\\PC{0,40}") {
            let _ = s.parse::<GatewayVersion>();
            let _ = s.parse::<BundleVersion>();
        }
    }
}
