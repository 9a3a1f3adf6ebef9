//! Where everything lies in object storage. One `match` spells the paths; one parser reads them back.
//!
//! ```text
//! t/{tenant}/{vX.Y.Z|any}/{os}_{arch}/{bundle}/{version}/{sha256}/{file}    a library
//! t/{tenant}/published/{bundle}/{version}.json                              the commit of a release
//! t/{tenant}/yanked/{bundle}/{version}.json                                 the tombstone of a yanked one
//! t/{tenant}/staging/{upload}/{file}                                        bytes of an upload
//! ```
//!
//! Invariant: the tenant is the first variable part of every path, and every part is a parsed name,
//! so that no path can leave its tenant.

use std::fmt;
use std::str::FromStr;

use gantry_domain::{
    BundleName, BundleVersion, Digest, FileName, GatewayVersion, Platform, TenantId, UploadId,
};
use thiserror::Error;

/// The name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKey {
    /// A library, under the release that first brought it.
    Artifact {
        /// Its owner.
        tenant: TenantId,
        /// The gateway version that it was built for; any where there is none.
        gateway_version: Option<GatewayVersion>,
        /// The platform that it was built for.
        platform: Platform,
        /// The bundle of the release.
        bundle: BundleName,
        /// The version of the release.
        version: BundleVersion,
        /// Of its bytes.
        digest: Digest,
        /// Its name in the bundle.
        file: FileName,
    },
    /// The release document: a release exists from the moment in which this object does.
    Published {
        /// Its owner.
        tenant: TenantId,
        /// The bundle.
        bundle: BundleName,
        /// The version.
        version: BundleVersion,
    },
    /// The tombstone of a yanked version: it is yanked as long as this object exists.
    Yanked {
        /// Its owner.
        tenant: TenantId,
        /// The bundle.
        bundle: BundleName,
        /// The version.
        version: BundleVersion,
    },
    /// The bytes of an upload so far.
    Staged {
        /// Its owner.
        tenant: TenantId,
        /// The upload.
        upload: UploadId,
        /// The file's name in the bundle.
        file: FileName,
    },
}

/// Objects that are listed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobPrefix {
    /// Everything.
    All,
    /// Everything of a tenant.
    Tenant(TenantId),
    /// Every release document of a tenant.
    Published(TenantId),
    /// Every tombstone of a tenant.
    Yanked(TenantId),
    /// Every staged file of a tenant.
    Staging(TenantId),
    /// Every staged file of one upload.
    Upload(TenantId, UploadId),
}

/// A path that no key spells.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("object key {0:?} is none of ours")]
pub struct KeyError(String);

impl BlobKey {
    /// The path in the store.
    pub fn path(&self) -> String {
        match self {
            Self::Artifact {
                tenant,
                gateway_version,
                platform,
                bundle,
                version,
                digest,
                file,
            } => {
                let target = gateway_version.map_or_else(|| "any".to_owned(), |v| v.to_string());
                format!("t/{tenant}/{target}/{platform}/{bundle}/{version}/{digest}/{file}")
            }
            Self::Published {
                tenant,
                bundle,
                version,
            } => format!("t/{tenant}/published/{bundle}/{version}.json"),
            Self::Yanked {
                tenant,
                bundle,
                version,
            } => format!("t/{tenant}/yanked/{bundle}/{version}.json"),
            Self::Staged {
                tenant,
                upload,
                file,
            } => format!("t/{tenant}/staging/{upload}/{file}"),
        }
    }
}

impl BlobPrefix {
    /// The path that all of them begin with, ending at a slash.
    pub fn path(&self) -> String {
        match self {
            Self::All => "t/".to_owned(),
            Self::Tenant(tenant) => format!("t/{tenant}/"),
            Self::Published(tenant) => format!("t/{tenant}/published/"),
            Self::Yanked(tenant) => format!("t/{tenant}/yanked/"),
            Self::Staging(tenant) => format!("t/{tenant}/staging/"),
            Self::Upload(tenant, upload) => format!("t/{tenant}/staging/{upload}/"),
        }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.path())
    }
}

impl FromStr for BlobKey {
    type Err = KeyError;

    fn from_str(s: &str) -> Result<Self, KeyError> {
        read(s).ok_or_else(|| KeyError(s.chars().take(400).collect()))
    }
}

fn read(path: &str) -> Option<BlobKey> {
    let parts: Vec<_> = path.split('/').collect();
    match parts[..] {
        ["t", tenant, "published", bundle, document] => Some(BlobKey::Published {
            tenant: tenant.parse().ok()?,
            bundle: bundle.parse().ok()?,
            version: document.strip_suffix(".json")?.parse().ok()?,
        }),
        ["t", tenant, "yanked", bundle, document] => Some(BlobKey::Yanked {
            tenant: tenant.parse().ok()?,
            bundle: bundle.parse().ok()?,
            version: document.strip_suffix(".json")?.parse().ok()?,
        }),
        ["t", tenant, "staging", upload, file] => Some(BlobKey::Staged {
            tenant: tenant.parse().ok()?,
            upload: upload.parse().ok()?,
            file: file.parse().ok()?,
        }),
        ["t", tenant, target, platform, bundle, version, digest, file] => Some(BlobKey::Artifact {
            tenant: tenant.parse().ok()?,
            gateway_version: match target {
                "any" => None,
                version => Some(version.parse().ok()?),
            },
            platform: platform.parse().ok()?,
            bundle: bundle.parse().ok()?,
            version: version.parse().ok()?,
            digest: digest.parse().ok()?,
            file: file.parse().ok()?,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str) {
        assert_eq!(path.parse::<BlobKey>().unwrap().path(), path);
    }

    #[test]
    fn paths_are_spelled_as_documented_and_read_back() {
        let digest = Digest::of("x");
        check(&format!(
            "t/acme/v5.3.0/linux_amd64/hooks/1.0.0/{digest}/hooks_v5.3.0_linux_amd64.so"
        ));
        check(&format!(
            "t/acme/any/linux_arm64/hooks/1.0.0-rc.1/{digest}/hooks.so"
        ));
        check("t/acme/published/hooks/1.0.0.json");
        check("t/acme/yanked/hooks/1.0.0.json");
        check("t/acme/staging/0a1b/hooks.so");
    }

    #[test]
    fn paths_that_would_leave_their_tenant_are_no_keys() {
        for path in [
            "t/../published/hooks/1.0.0.json",
            "t/acme/staging/0a1b/../../x.so",
            "t/acme/staging/0a1b/..",
            "/t/acme/staging/0a1b/x.so",
            "t//staging/0a1b/x.so",
            "x/acme/staging/0a1b/x.so",
        ] {
            assert!(path.parse::<BlobKey>().is_err(), "{path} was accepted");
        }
    }
}
