//! The rule that answers "which file runs here", and its explanation.
//!
//! A function is configured with a file name. Among the files of a release, that very name comes
//! first; if no fitting file has it, `{plugin-name}_{gateway-version}_{os}_{arch}.so` does, with the
//! `v` before the version and then without. A candidate counts only when its verified target fits
//! the gateway. An environment may choose the other order (`versioned_first`), which is what some
//! gateways do in fact: a stale plain file can then not shadow the right one after an upgrade.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::target::Misfit;
use crate::{Artifact, FileName, GatewayProfile, GatewayVersion, Platform};

/// The order in which names are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lookup {
    /// The name given, then the versioned names.
    #[default]
    Documented,
    /// The versioned names, then the name given.
    VersionedFirst,
}

/// A name that is no lookup order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("lookup {0:?} is unknown; expected documented or versioned_first")]
pub struct LookupError(String);

impl Lookup {
    /// The name in documents and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::VersionedFirst => "versioned_first",
        }
    }
}

impl FromStr for Lookup {
    type Err = LookupError;

    fn from_str(s: &str) -> Result<Self, LookupError> {
        match s {
            "documented" => Ok(Self::Documented),
            "versioned_first" => Ok(Self::VersionedFirst),
            other => Err(LookupError(other.chars().take(40).collect())),
        }
    }
}

/// A file name read by the convention, from the right, so that the plugin's own name may hold
/// underscores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convention<'n> {
    /// The plugin's name.
    pub stem: &'n str,
    /// The gateway version.
    pub gateway_version: GatewayVersion,
    /// Whether the version was written with a `v`.
    pub prefixed: bool,
    /// The platform.
    pub platform: Platform,
}

impl<'n> Convention<'n> {
    /// Reads a name; `None` for one that does not follow the convention.
    pub fn of(name: &'n FileName) -> Option<Self> {
        let bare = name.as_str().strip_suffix(".so")?;
        let mut parts = bare.rsplitn(4, '_');
        let (arch, os, version, stem) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            stem: Some(stem).filter(|stem| !stem.is_empty())?,
            gateway_version: version.parse().ok()?,
            prefixed: version.starts_with('v'),
            platform: format!("{os}_{arch}").parse().ok()?,
        })
    }
}

/// How a candidate's name answers to the name that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// It is that name.
    Exact,
    /// By the convention, with `v`.
    Versioned,
    /// By the convention, without `v`.
    VersionedPlain,
}

impl Match {
    /// The name in explanations.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact_name",
            Self::Versioned => "versioned_name",
            Self::VersionedPlain => "versioned_name_without_v",
        }
    }
}

/// Why a candidate was taken or passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This one runs.
    Taken,
    /// It would fit, but another comes first.
    Preceded {
        /// By this file.
        by: FileName,
    },
    /// It does not fit the gateway.
    Unfit(Misfit),
}

impl Verdict {
    /// A stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Taken => "TAKEN",
            Self::Preceded { .. } => "PRECEDED",
            Self::Unfit(misfit) => misfit.code(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("taken"),
            Self::Preceded { by } => write!(f, "fits, but {by} comes first"),
            Self::Unfit(misfit) => misfit.fmt(f),
        }
    }
}

/// One file that answers to the name, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The file.
    pub artifact: &'a Artifact,
    /// How its name answers.
    pub matched: Match,
    /// What became of it.
    pub verdict: Verdict,
}

/// The answer: every candidate in the order in which they were tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution<'a> {
    /// Tried in this order; at most one is taken.
    pub candidates: Vec<Candidate<'a>>,
}

impl<'a> Resolution<'a> {
    /// The file that runs.
    pub fn taken(&self) -> Option<&'a Artifact> {
        self.candidates
            .iter()
            .find(|candidate| candidate.verdict == Verdict::Taken)
            .map(|candidate| candidate.artifact)
    }
}

/// How a file answers to a name, if it does.
pub fn matches(requested: &FileName, file: &FileName) -> Option<Match> {
    if requested == file {
        return Some(Match::Exact);
    }
    let stem = requested
        .as_str()
        .strip_suffix(".so")
        .unwrap_or(requested.as_str());
    let convention = Convention::of(file).filter(|convention| convention.stem == stem)?;
    Some(if convention.prefixed {
        Match::Versioned
    } else {
        Match::VersionedPlain
    })
}

/// Resolves a name among files for a gateway.
pub fn resolve<'a>(
    requested: &FileName,
    files: impl IntoIterator<Item = &'a Artifact>,
    profile: &GatewayProfile,
    lookup: Lookup,
) -> Resolution<'a> {
    let mut matched: Vec<_> = files
        .into_iter()
        .filter_map(|artifact| {
            matches(requested, &artifact.file).map(|matched| (matched, artifact))
        })
        .collect();
    matched.sort_by_key(|(matched, artifact)| {
        let exact_last = lookup == Lookup::VersionedFirst && *matched == Match::Exact;
        (exact_last, *matched, artifact.file.clone())
    });
    let mut taken: Option<FileName> = None;
    let candidates = matched
        .into_iter()
        .map(|(matched, artifact)| {
            let verdict = match (profile.fits(&artifact.target), &taken) {
                (Err(misfit), _) => Verdict::Unfit(misfit),
                (Ok(()), Some(by)) => Verdict::Preceded { by: by.clone() },
                (Ok(()), None) => {
                    taken = Some(artifact.file.clone());
                    Verdict::Taken
                }
            };
            Candidate {
                artifact,
                matched,
                verdict,
            }
        })
        .collect();
    Resolution { candidates }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AbiVersion, Digest, LibcVersion, PluginNote, Target};

    fn artifact(file: &str, arch: &str, version: Option<&str>) -> Artifact {
        let note = br#"{"abi":{"major":0,"minor":1},"name":"n","version":"1","functions":[{"name":"A","hooks":["pre"],"flags":[]}]}"#;
        Artifact {
            file: file.parse().unwrap(),
            digest: Digest::of(file),
            size_bytes: 1,
            target: Target {
                platform: format!("linux_{arch}").parse().unwrap(),
                gateway_version: version.map(|version| version.parse().unwrap()),
                libc: Some(LibcVersion {
                    major: 2,
                    minor: 17,
                }),
                abi: AbiVersion { major: 0, minor: 1 },
            },
            note: PluginNote::parse(note).unwrap(),
            key: String::new(),
        }
    }

    fn gateway(version: &str) -> GatewayProfile {
        GatewayProfile {
            version: version.parse().unwrap(),
            platform: "linux_amd64".parse().unwrap(),
            libc: LibcVersion {
                major: 2,
                minor: 36,
            },
            abi: AbiVersion { major: 0, minor: 1 },
        }
    }

    fn check(lookup: Lookup, version: &str, files: &[Artifact], expected: &[(&str, &str)]) {
        let resolution = resolve(&"p_q.so".parse().unwrap(), files, &gateway(version), lookup);
        let got: Vec<_> = resolution
            .candidates
            .iter()
            .map(|c| (c.artifact.file.as_str(), c.verdict.code()))
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn name_given_comes_first_then_versioned_with_v_then_without() {
        let files = [
            artifact("p_q_5.3.0_linux_amd64.so", "amd64", Some("5.3.0")),
            artifact("p_q_v5.3.0_linux_amd64.so", "amd64", Some("5.3.0")),
            artifact("p_q.so", "amd64", None),
            artifact("q.so", "amd64", None),
        ];
        let documented = [
            ("p_q.so", "TAKEN"),
            ("p_q_v5.3.0_linux_amd64.so", "PRECEDED"),
            ("p_q_5.3.0_linux_amd64.so", "PRECEDED"),
        ];
        check(Lookup::Documented, "v5.3.0-rc1", &files, &documented);
        let versioned = [
            ("p_q_v5.3.0_linux_amd64.so", "TAKEN"),
            ("p_q_5.3.0_linux_amd64.so", "PRECEDED"),
            ("p_q.so", "PRECEDED"),
        ];
        check(Lookup::VersionedFirst, "5.3.0", &files, &versioned);
    }

    #[test]
    fn candidate_counts_only_when_its_target_fits() {
        let mut newer = artifact("p_q.so", "amd64", None);
        newer.target.libc = Some(LibcVersion {
            major: 2,
            minor: 38,
        });
        let files = [
            newer,
            artifact("p_q_v5.2.5_linux_amd64.so", "amd64", Some("5.2.5")),
            artifact("p_q_v5.3.0_linux_amd64.so", "amd64", Some("5.3.0")),
            artifact("p_q_v5.3.0_linux_arm64.so", "arm64", Some("5.3.0")),
        ];
        let expected = [
            ("p_q.so", "LIBC_TOO_OLD"),
            ("p_q_v5.2.5_linux_amd64.so", "GATEWAY_VERSION_DIFFERS"),
            ("p_q_v5.3.0_linux_amd64.so", "TAKEN"),
            ("p_q_v5.3.0_linux_arm64.so", "PLATFORM_DIFFERS"),
        ];
        check(Lookup::Documented, "5.3.0", &files, &expected);
    }

    #[test]
    fn a_suffixed_name_that_is_asked_for_must_fit_too() {
        let files = [artifact("p_v5.0.0_linux_amd64.so", "amd64", Some("5.0.0"))];
        let requested = "p_v5.0.0_linux_amd64.so".parse().unwrap();
        let resolution = resolve(&requested, &files, &gateway("5.3.0"), Lookup::Documented);
        assert_eq!(resolution.taken(), None);
        assert_eq!(
            resolution.candidates[0].verdict.code(),
            "GATEWAY_VERSION_DIFFERS"
        );
    }
}
