//! One library to build: a platform and perhaps a gateway version, and what each toolchain calls them.
//!
//! Invariant: the file name of a target reads back as that target by the naming convention.

use std::fmt;

use gantry_domain::id::NameError;
use gantry_domain::resolution::Convention;
use gantry_domain::{Arch, FileName, GatewayVersion, LibcVersion, Platform};

use super::BuildError;

/// The oldest glibc that what is built here needs: that of the oldest machines that gateways run on.
pub(crate) const GLIBC_FLOOR: LibcVersion = LibcVersion {
    major: 2,
    minor: 17,
};

/// What one library is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BuildTarget {
    pub(crate) platform: Platform,
    /// The gateway version; any without it.
    pub(crate) gateway_version: Option<GatewayVersion>,
}

impl BuildTarget {
    /// What the library for it is called: `{plugin}_{gateway-version}_{os}_{arch}.so`, and `{plugin}.so`
    /// for any gateway version, which is the name that hooks give.
    pub(crate) fn file_name(&self, plugin: &str) -> Result<FileName, BuildError> {
        let name = match self.gateway_version {
            Some(version) => format!("{plugin}_{version}_{}.so", self.platform),
            None => format!("{plugin}.so"),
        };
        let refused = |expected: String| BuildError::Name {
            name: plugin.to_owned(),
            expected,
        };
        let file: FileName = name.parse().map_err(|e| refused(rule(&e)))?;
        // `hooks_v5.3.0_linux_amd64` as a name for any gateway would say what it does not mean.
        let said = Convention::of(&file).map(|said| (said.stem, said.gateway_version));
        if said == self.gateway_version.map(|version| (plugin, version)) {
            Ok(file)
        } else {
            let expected = "a name that does not itself end in a version and a platform";
            Err(refused(expected.to_owned()))
        }
    }

    /// The gateway version as it is handed to sources: without `v`.
    pub(super) fn gateway_variable(&self) -> Option<String> {
        let version = self.gateway_version?.to_string();
        Some(version.trim_start_matches('v').to_owned())
    }

    /// A name for folders, one per target.
    pub(super) fn folder(&self) -> String {
        format!("{}-{}", self.platform, gateway_folder(self.gateway_version))
    }
}

impl fmt::Display for BuildTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gateway_version {
            Some(version) => write!(f, "{} for gateway {version}", self.platform),
            None => write!(f, "{} for any gateway version", self.platform),
        }
    }
}

/// What a name must be, without what came: a refusal of the plugin's name says that.
fn rule(error: &NameError) -> String {
    match error {
        NameError::Empty { expected, .. } | NameError::Malformed { expected, .. } => {
            (*expected).to_owned()
        }
        NameError::TooLong { max, length, .. } => {
            format!("a name that makes a file name of at most {max} characters and not {length}")
        }
    }
}

/// A name for folders, one per gateway version.
pub(super) fn gateway_folder(version: Option<GatewayVersion>) -> String {
    version.map_or_else(|| "any".to_owned(), |version| version.to_string())
}

/// What Rust calls a platform.
pub(super) const fn rust_triple(platform: Platform) -> &'static str {
    match platform.arch {
        Arch::Amd64 => "x86_64-unknown-linux-gnu",
        Arch::Arm64 => "aarch64-unknown-linux-gnu",
    }
}

/// What zig calls a platform, with the glibc to link against.
pub(super) fn zig_triple(platform: Platform) -> String {
    let arch = match platform.arch {
        Arch::Amd64 => "x86_64",
        Arch::Arm64 => "aarch64",
    };
    format!("{arch}-linux-gnu.{GLIBC_FLOOR}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_not_read_back_are_refused() {
        let target = |version: Option<&str>| BuildTarget {
            platform: Platform::current(),
            gateway_version: version.map(|version| version.parse().unwrap()),
        };
        for plugin in ["", "a/b", "..", "späße", "p_v5.3.0_linux_amd64"] {
            let refusal = target(None).file_name(plugin).unwrap_err();
            assert_eq!(refusal.code(), "NAME_INVALID", "{plugin}");
            let words = refusal.to_string();
            assert_eq!(words.matches("expected").count(), 1, "{words}");
            assert!(words.starts_with(&format!("plugin name {plugin:?}: expected a")));
        }
        let file = target(Some("5.3.0")).file_name("my_plug-in").unwrap();
        assert!(file.as_str().starts_with("my_plug-in_v5.3.0_linux_"));
        assert_eq!(
            target(Some("5.3.0")).file_name("").unwrap_err().code(),
            "NAME_INVALID"
        );
    }
}
