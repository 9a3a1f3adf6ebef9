//! Operating systems and processor architectures that gateways run on.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Why a platform was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("platform {0:?} is not supported; expected linux_amd64 or linux_arm64")]
pub struct PlatformError(String);

/// An operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Os {
    /// Linux with glibc.
    Linux,
}

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// `AArch64`.
    Arm64,
}

impl Os {
    /// The name used in file names and storage keys (Go's `GOOS`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "linux",
        }
    }
}

impl Arch {
    /// The name used in file names and storage keys (Go's `GOARCH`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Operating system and architecture together: `linux_amd64`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// The operating system.
    pub os: Os,
    /// The architecture.
    pub arch: Arch,
}

impl Platform {
    /// The platform that this program was built for.
    pub const fn current() -> Self {
        let arch = if cfg!(target_arch = "aarch64") {
            Arch::Arm64
        } else {
            Arch::Amd64
        };
        Self {
            os: Os::Linux,
            arch,
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Reads `linux_amd64` and `linux/amd64`, with the compilers' names `x86_64` and `aarch64` too.
    fn from_str(s: &str) -> Result<Self, PlatformError> {
        let arch = s
            .strip_prefix("linux_")
            .or_else(|| s.strip_prefix("linux/"));
        let arch = match arch {
            Some("amd64" | "x86_64") => Arch::Amd64,
            Some("arm64" | "aarch64") => Arch::Arm64,
            _ => return Err(PlatformError(s.chars().take(80).collect())),
        };
        Ok(Self {
            os: Os::Linux,
            arch,
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}_{}", self.os.as_str(), self.arch.as_str()))
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Platform({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_mean_the_same_and_print_as_in_file_names() {
        for spelling in [
            "linux_arm64",
            "linux/arm64",
            "linux_aarch64",
            "linux/aarch64",
        ] {
            assert_eq!(
                spelling.parse::<Platform>().unwrap().to_string(),
                "linux_arm64"
            );
        }
        assert!("darwin_arm64".parse::<Platform>().is_err());
        assert!("linux".parse::<Platform>().is_err());
    }
}
