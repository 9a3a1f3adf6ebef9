//! Published versions, as several verbs name, filter and show them.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use gantry_client::Repeat;
use gantry_domain::{BundleName, BundleVersion, GatewayVersion, Platform};
use gantry_proto::v1;
use serde::Serialize;

use crate::view::{Shown, given, moment, or_dash, short, size};

/// Whether a change of a version may be tried again. With an etag a second try would find the version
/// changed, by the first one.
pub(super) const fn repeat_with(etag: &str) -> Repeat {
    if etag.is_empty() {
        Repeat::Safe
    } else {
        Repeat::Never
    }
}

/// A version by name: `hooks@1.2.0`.
#[derive(Debug, Clone)]
pub(super) struct ReleaseName {
    pub(super) bundle: BundleName,
    pub(super) version: BundleVersion,
}

impl FromStr for ReleaseName {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (bundle, version) = s
            .split_once('@')
            .ok_or("expected BUNDLE@VERSION, such as hooks@1.2.0")?;
        Ok(Self {
            bundle: bundle.parse().map_err(|e| format!("{e}"))?,
            version: version.parse().map_err(|e| format!("{e}"))?,
        })
    }
}

/// Whether yanked versions are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Yanked {
    /// Yanked and others.
    Include,
    /// Yanked ones alone.
    Only,
    /// The others alone.
    Exclude,
}

/// Which versions a listing shows.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// With a file for this platform, such as linux/arm64.
    #[arg(long)]
    platform: Option<Platform>,
    /// With a file for this gateway version, or for any; and for the platform, if one is given.
    #[arg(long, value_name = "VERSION")]
    gateway_version: Option<GatewayVersion>,
    /// What to do with yanked versions.
    #[arg(long, value_enum, default_value_t = Yanked::Include)]
    yanked: Yanked,
}

impl Filter {
    pub(super) fn to_wire(&self) -> v1::ReleaseFilter {
        let yanked = match self.yanked {
            Yanked::Include => v1::YankedFilter::Unspecified,
            Yanked::Only => v1::YankedFilter::Only,
            Yanked::Exclude => v1::YankedFilter::Excluded,
        };
        v1::ReleaseFilter {
            platform: self.platform.map(|p| p.to_string()).unwrap_or_default(),
            gateway_version: self
                .gateway_version
                .map(|version| version.to_string())
                .unwrap_or_default(),
            yanked: yanked.into(),
        }
    }
}

/// One file of a version.
#[derive(Debug, Serialize)]
pub(super) struct FileView {
    name: String,
    sha256: String,
    size_bytes: u64,
    platform: String,
    gateway_version: Option<String>,
    libc: Option<String>,
    abi: String,
    functions: Vec<String>,
    key: String,
}

impl From<v1::ReleaseFile> for FileView {
    fn from(file: v1::ReleaseFile) -> Self {
        Self {
            name: file.name,
            sha256: file.sha256,
            size_bytes: file.size_bytes,
            platform: file.platform,
            gateway_version: given(file.gateway_version),
            libc: given(file.libc),
            abi: file.abi,
            functions: file.functions,
            key: file.key,
        }
    }
}

/// A published version.
#[derive(Debug, Serialize)]
pub(super) struct ReleaseView {
    pub(super) bundle: String,
    pub(super) version: String,
    pub(super) digest: String,
    pub(super) published_at: Option<String>,
    pub(super) files: Vec<FileView>,
}

impl From<v1::Release> for ReleaseView {
    fn from(release: v1::Release) -> Self {
        Self {
            bundle: release.bundle,
            version: release.version,
            digest: release.digest,
            published_at: moment(release.published_at_ms),
            files: release.files.into_iter().map(FileView::from).collect(),
        }
    }
}

impl ReleaseView {
    /// Its files for people.
    pub(super) fn table(&self) -> Shown {
        let row = |file: &FileView| {
            vec![
                file.name.clone(),
                file.platform.clone(),
                file.gateway_version.clone().unwrap_or_else(|| "any".into()),
                or_dash(file.libc.as_ref()),
                size(file.size_bytes),
                short(&file.sha256),
                file.functions.join(","),
            ]
        };
        Shown::Table {
            head: vec![
                "FILE",
                "PLATFORM",
                "GATEWAY",
                "GLIBC",
                "SIZE",
                "SHA256",
                "FUNCTIONS",
            ],
            rows: self.files.iter().map(row).collect(),
        }
    }
}

/// That a version was withdrawn.
#[derive(Debug, Serialize)]
pub(super) struct YankView {
    pub(super) at: Option<String>,
    pub(super) reason: Option<String>,
}

impl From<v1::YankState> for YankView {
    fn from(yank: v1::YankState) -> Self {
        Self {
            at: moment(yank.at_ms),
            reason: given(yank.reason),
        }
    }
}
