//! Libraries that lie in the folder by themselves and are named by definitions, as gateways that load
//! plugins from files have it. Those of one plugin, by the naming convention, are put together to a
//! release that nobody can name as a bundle.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::Path;

use gantry_bundle::hash::hash_reader;
use gantry_bundle::inspect_reader;
use gantry_domain::json::Findings;
use gantry_domain::resolution::Convention;
use gantry_domain::{
    Artifact, BundleName, Digest, FileName, Limits, Manifest, Middleware, Release, TenantId,
};
use serde_json::{Map, Value, json};

use super::Refused;
use super::look::LIBRARIES;

/// What the names of these releases begin with.
const PREFIX: &str = "lib-";
/// Characters of a plugin's name in that of its release.
const NAME_CHARS_MAX: usize = 40;
/// Characters of a digest that keep releases of similar names apart.
const DIGEST_CHARS: usize = 8;

/// Reads a library in place, without mapping it.
pub(super) fn read(root: &Path, name: &str) -> Result<Artifact, Refused> {
    let file: FileName = name
        .parse()
        .map_err(|e| Refused::new("FILE_NAME", format!("{e}")))?;
    let unreadable = |e: std::io::Error| Refused::unreadable(&e);
    let mut opened = File::open(root.join(LIBRARIES).join(name)).map_err(unreadable)?;
    if !opened.metadata().map_err(unreadable)?.is_file() {
        return Err(Refused::new("FILE_UNREADABLE", "expected a regular file"));
    }
    let hashed = hash_reader(&mut opened, Limits::default().file_bytes_max).map_err(unreadable)?;
    opened.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let inspection = inspect_reader(opened, &file)
        .map_err(|e| Refused::new("LIBRARY_REFUSED", e.to_string()))?;
    Ok(Artifact {
        key: format!("{LIBRARIES}/{file}"),
        file,
        digest: hashed.digest,
        size_bytes: hashed.size_bytes,
        target: inspection.target,
        note: inspection.note,
    })
}

/// The plugin that a file is a build of.
pub(super) fn stem(file: &FileName) -> &str {
    let bare = file.as_str().strip_suffix(".so").unwrap_or(file.as_str());
    Convention::of(file).map_or(bare, |convention| convention.stem)
}

/// The name of the release of a plugin.
pub(super) fn release_name(stem: &str) -> Option<BundleName> {
    let fit = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '-' | '_') => c,
        _ => '-',
    };
    let fitted: String = stem.chars().take(NAME_CHARS_MAX).map(fit).collect();
    let apart = if fitted == stem {
        String::new()
    } else {
        format!("-{}", &Digest::of(stem).to_string()[..DIGEST_CHARS])
    };
    format!("{PREFIX}{fitted}{apart}").parse().ok()
}

/// Whether a release is one of these.
pub(super) fn is_release(release: &Release) -> bool {
    release.manifest.middleware == no_hooks()
}

/// The release of the files of one plugin.
pub(super) fn release(tenant: &TenantId, name: BundleName, artifacts: Vec<Artifact>) -> Release {
    let noted = artifacts
        .iter()
        .find_map(|file| file.note.version.parse().ok());
    let files = artifacts
        .iter()
        .map(|file| (file.file.clone(), file.digest));
    Release {
        tenant: tenant.clone(),
        manifest: Manifest {
            name,
            version: noted.unwrap_or_else(unversioned),
            files: files.collect(),
            middleware: no_hooks(),
            checksum: None,
        },
        artifacts,
    }
}

fn unversioned() -> gantry_domain::BundleVersion {
    "0.0.0".parse().expect("three numbers are a version")
}

/// A manifest must hook something, and these hook nothing by themselves. A definition that names one as
/// its bundle would run without functions, so what is hooked is a file that no release has: such a
/// definition is refused.
fn no_hooks() -> Middleware {
    let entry = json!({"name": "NotABundle", "path": "name-this-library-in-custom_middleware"});
    let map: Map<String, Value> = [
        ("driver".to_owned(), json!("native")),
        ("pre".to_owned(), json!([entry])),
    ]
    .into_iter()
    .collect();
    let mut findings = Findings::default();
    Middleware::read("custom_middleware", map, &Limits::default(), &mut findings)
}

#[cfg(test)]
mod tests {
    use gantry_domain::Hook;

    use super::*;

    #[test]
    fn builds_of_one_plugin_share_a_name_and_similar_names_do_not() {
        let stem_of = |name: &str| stem(&name.parse().unwrap()).to_owned();
        assert_eq!(stem_of("hooks.so"), "hooks");
        assert_eq!(stem_of("hooks_v5.3.0_linux_amd64.so"), "hooks");
        let name = |stem| release_name(stem).unwrap().to_string();
        assert_eq!(name("hooks"), "lib-hooks");
        assert_ne!(name("Hooks"), name("hooks"));
        assert_ne!(name(&"x".repeat(100)), name(&"x".repeat(101)));
    }

    #[test]
    fn release_hooks_something_that_it_does_not_have() {
        let release = release(
            &"local".parse().unwrap(),
            "lib-x".parse().unwrap(),
            Vec::new(),
        );
        assert!(is_release(&release));
        let entry = &release.manifest.middleware.entries(Hook::Pre)[0];
        assert!(!entry.disabled && !entry.path.as_str().contains('.'));
    }
}
