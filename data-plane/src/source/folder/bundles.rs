//! One bundle, from a folder or an archive, admitted as publishing admits it: complete, and every
//! library what its name says.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use gantry_bundle::{BundleError, BundleSource};
use gantry_domain::admission::{check_entries, shadowed};
use gantry_domain::{Artifact, FieldWarning, Limits, Release, TenantId};

use super::Refused;
use super::definitions::join;
use super::look::BUNDLES;

/// A bundle that was read.
#[derive(Debug, Clone)]
pub(super) struct Bundle {
    /// As a control plane would have published it.
    pub(super) release: Release,
    /// The files; with it goes what was unpacked.
    pub(super) source: Arc<BundleSource>,
    /// What its author should know.
    pub(super) warnings: Vec<FieldWarning>,
}

/// Reads a bundle; archives are unpacked below `unpacked`.
pub(super) fn read(
    root: &Path,
    name: &str,
    tenant: &TenantId,
    unpacked: &Path,
) -> Result<Bundle, Refused> {
    let path = root.join(BUNDLES).join(name);
    let source = open(&path, unpacked).map_err(|e| refuse(&e))?;
    let mut artifacts = Vec::new();
    let mut wrong = Vec::new();
    let inspected = source.inspect().map_err(|e| refuse(&e))?;
    for (file, inspected) in source.files().iter().zip(inspected) {
        match inspected {
            Ok(inspection) => artifacts.push(Artifact {
                file: file.name.clone(),
                digest: file.digest,
                size_bytes: file.size_bytes,
                target: inspection.target,
                note: inspection.note,
                key: format!("{BUNDLES}/{name}/{}", file.name),
            }),
            Err(e) => wrong.push(e.to_string()),
        }
    }
    if !wrong.is_empty() {
        return Err(Refused::new("LIBRARY_REFUSED", wrong.join("; ")));
    }
    let middleware = &source.manifest().middleware;
    let unfit = check_entries("custom_middleware", middleware, &&artifacts);
    if !unfit.is_empty() {
        return Err(Refused::new("MANIFEST_INVALID", join(&unfit)));
    }
    let warnings = source.warnings().iter().cloned();
    let warnings = warnings.chain(shadowed(&artifacts)).collect();
    let release = Release {
        tenant: tenant.clone(),
        manifest: source.manifest().clone(),
        artifacts,
    };
    Ok(Bundle {
        release,
        warnings,
        source: Arc::new(source),
    })
}

fn open(path: &Path, unpacked: &Path) -> Result<BundleSource, BundleError> {
    let limits = Limits::default();
    if path.is_dir() {
        return BundleSource::open(path, &limits);
    }
    let unreadable = |source| BundleError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let archive = File::open(path).map_err(unreadable)?;
    BundleSource::unpack(archive, path, unpacked, &limits)
}

fn refuse(error: &BundleError) -> Refused {
    let source = std::error::Error::source(error);
    let message = match source {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Refused::new(error.code(), message)
}
