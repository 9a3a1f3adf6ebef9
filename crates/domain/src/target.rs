//! What a library was built for, and what a gateway offers: the two sides of "does it fit".

use std::fmt;
use std::str::FromStr;

use crate::{GatewayVersion, Platform};

/// The version of the plugin contract. Within major 0 a host takes any minor up to its own; from
/// major 1 on, minors only add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbiVersion {
    /// Changes when compiled plugins break.
    pub major: u32,
    /// Grows with additions.
    pub minor: u32,
}

impl AbiVersion {
    /// Whether a host of this version can run a plugin built for `plugin`.
    pub const fn runs(self, plugin: Self) -> bool {
        self.major == plugin.major && self.minor >= plugin.minor
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

impl FromStr for AbiVersion {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (major, minor) = two_numbers(s)
            .ok_or_else(|| format!("ABI version {s:?}: expected two numbers such as 0.1"))?;
        Ok(Self { major, minor })
    }
}

/// A glibc version: the highest symbol version a library needs, or what a gateway's machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LibcVersion {
    /// 2 for every glibc there is.
    pub major: u32,
    /// Grows with each release.
    pub minor: u32,
}

impl fmt::Display for LibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

impl FromStr for LibcVersion {
    type Err = String;

    /// Reads `2.36`; a third number (`2.2.5`) is read and not kept, since glibc's own rule is that
    /// releases of one minor are compatible.
    fn from_str(s: &str) -> Result<Self, String> {
        let mut parts = s.splitn(3, '.');
        let short = [parts.next(), parts.next()]
            .map(Option::unwrap_or_default)
            .join(".");
        let (major, minor) = two_numbers(&short)
            .ok_or_else(|| format!("glibc version {s:?}: expected two numbers such as 2.36"))?;
        Ok(Self { major, minor })
    }
}

fn two_numbers(s: &str) -> Option<(u32, u32)> {
    let (a, b) = s.split_once('.')?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

/// What a library was built for, read from its bytes; the gateway version from name and note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// From the ELF header.
    pub platform: Platform,
    /// The gateway version it is for; any when absent.
    pub gateway_version: Option<GatewayVersion>,
    /// The highest glibc symbol version it needs; none for a library that needs no glibc.
    pub libc: Option<LibcVersion>,
    /// From the note.
    pub abi: AbiVersion,
}

/// What a gateway offers to libraries, as it reports itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayProfile {
    /// Its version, or the version that its configuration says instead.
    pub version: GatewayVersion,
    /// Where it runs.
    pub platform: Platform,
    /// Its machine's glibc.
    pub libc: LibcVersion,
    /// The contract that it speaks.
    pub abi: AbiVersion,
}

/// The first thing about a target that a gateway cannot serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// Built for another platform.
    Platform {
        /// Of the library.
        built_for: Platform,
    },
    /// Built for another gateway version.
    GatewayVersion {
        /// Of the library.
        built_for: GatewayVersion,
    },
    /// Needs a newer glibc than the gateway's machine has.
    Libc {
        /// What the library needs.
        needs: LibcVersion,
    },
    /// Speaks a contract that the gateway does not.
    Abi {
        /// What the library speaks.
        speaks: AbiVersion,
    },
}

impl Misfit {
    /// A stable code for explanations.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Platform { .. } => "PLATFORM_DIFFERS",
            Self::GatewayVersion { .. } => "GATEWAY_VERSION_DIFFERS",
            Self::Libc { .. } => "LIBC_TOO_OLD",
            Self::Abi { .. } => "ABI_MISMATCH",
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform { built_for } => write!(f, "built for {built_for}"),
            Self::GatewayVersion { built_for } => write!(f, "built for gateway {built_for}"),
            Self::Libc { needs } => write!(f, "needs glibc {needs}"),
            Self::Abi { speaks } => write!(f, "speaks contract {speaks}"),
        }
    }
}

impl GatewayProfile {
    /// Whether this gateway can run a library of this target.
    ///
    /// # Errors
    /// The first misfit, in the order platform, gateway version, glibc, contract.
    pub fn fits(&self, target: &Target) -> Result<(), Misfit> {
        if target.platform != self.platform {
            return Err(Misfit::Platform {
                built_for: target.platform,
            });
        }
        if let Some(built_for) = target.gateway_version
            && built_for != self.version
        {
            return Err(Misfit::GatewayVersion { built_for });
        }
        if let Some(needs) = target.libc
            && needs > self.libc
        {
            return Err(Misfit::Libc { needs });
        }
        if !self.abi.runs(target.abi) {
            return Err(Misfit::Abi { speaks: target.abi });
        }
        Ok(())
    }
}
