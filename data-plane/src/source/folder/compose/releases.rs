//! The releases that a folder amounts to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use gantry_bundle::BundleSource;
use gantry_domain::release::RELEASE_BYTES_MAX;
use gantry_domain::resolution::matches;
use gantry_domain::{Artifact, BundleName, Digest, FileName, Limits, Release, TenantId};

use super::super::Refused;
use super::super::bundles::Bundle;
use super::super::contents::{Content, Contents};
use super::super::libraries;
use super::super::look::Item;
use super::{Base, Concern};

type Refusals = Vec<(Item, Refused, Concern)>;

/// Releases, and where their files lie.
pub(super) struct Releases {
    /// One for each bundle.
    pub(super) all: BTreeMap<BundleName, Release>,
    /// Those that are as they lie in the folder. The others are kept from before.
    pub(super) fresh: BTreeSet<BundleName>,
    /// Files by digest.
    pub(super) paths: BTreeMap<Digest, PathBuf>,
    /// What keeps unpacked files in place.
    pub(super) sources: Vec<Arc<BundleSource>>,
}

impl Releases {
    /// Reads bundles and libraries out of contents.
    pub(super) fn of(
        contents: &Contents,
        base: &Base<'_>,
        tenant: &TenantId,
        refused: &mut Refusals,
    ) -> Self {
        let mut releases = Self {
            all: BTreeMap::new(),
            fresh: BTreeSet::new(),
            paths: BTreeMap::new(),
            sources: Vec::new(),
        };
        releases.bundles(contents, base, refused);
        releases.libraries(contents, base, tenant, refused);
        releases
    }

    /// Whether a file that is as it lies in the folder answers to a name.
    pub(super) fn answer(&self, path: &FileName) -> bool {
        let fresh = self
            .all
            .iter()
            .filter(|(name, _)| self.fresh.contains(*name));
        let mut files = fresh.flat_map(|(_, release)| &release.artifacts);
        files.any(|file| matches(path, &file.file).is_some())
    }

    fn bundles(&mut self, contents: &Contents, base: &Base<'_>, refused: &mut Refusals) {
        let mut named: BTreeMap<&BundleName, Vec<(&Item, &Bundle)>> = BTreeMap::new();
        let before = refused.len();
        for (item, (_, content)) in contents {
            match &**content {
                Content::Bundle(Ok(bundle)) => match too_large(&bundle.release) {
                    None => named
                        .entry(bundle.release.bundle())
                        .or_default()
                        .push((item, bundle)),
                    Some(why) => refused.push((item.clone(), why, Concern::Bundles)),
                },
                Content::Bundle(Err(why)) => {
                    refused.push((item.clone(), why.clone(), Concern::Bundles));
                }
                _ => {}
            }
        }
        for (name, claims) in named {
            let (first, others) = first_of(&claims, base.releases.get(name));
            for item in others {
                let message = format!("expected one bundle {name} in the folder, found several");
                let why = Refused::new("BUNDLE_DUPLICATE", message);
                refused.push((item.clone(), why, Concern::Bundles));
            }
            if let Some(bundle) = first {
                self.add(bundle);
            }
        }
        // Whose file cannot be read is not known, so none that was there is taken away meanwhile.
        if refused.len() > before {
            for (name, release) in &base.releases {
                if !self.all.contains_key(name) && !libraries::is_release(release) {
                    self.all.insert(name.clone(), release.clone());
                }
            }
        }
    }

    fn add(&mut self, bundle: &Bundle) {
        for artifact in &bundle.release.artifacts {
            let path = bundle.source.path_of(&artifact.file);
            self.paths.insert(artifact.digest, path);
        }
        let name = bundle.release.bundle().clone();
        self.sources.push(bundle.source.clone());
        self.all.insert(name.clone(), bundle.release.clone());
        self.fresh.insert(name);
    }

    fn libraries(
        &mut self,
        contents: &Contents,
        base: &Base<'_>,
        tenant: &TenantId,
        refused: &mut Refusals,
    ) {
        let mut plugins: BTreeMap<BundleName, Vec<(&Item, Artifact)>> = BTreeMap::new();
        for (item, (_, content)) in contents {
            let (Item::Library(name), Content::Library(read)) = (item, &**content) else {
                continue;
            };
            let file: Option<FileName> = name.parse().ok();
            if let Err(why) = read {
                let concern = Concern::File(file.clone());
                refused.push((item.clone(), why.clone(), concern));
            }
            let Some(file) = file else { continue };
            let Some(release) = libraries::release_name(libraries::stem(&file)) else {
                continue;
            };
            let earlier = || {
                let release = base.releases.get(&release)?;
                let mut files = release.artifacts.iter();
                files.find(|earlier| earlier.file == file).cloned()
            };
            let artifact = read.as_ref().ok().cloned().or_else(earlier);
            if let Some(artifact) = artifact {
                plugins.entry(release).or_default().push((item, artifact));
            }
        }
        for (name, files) in plugins {
            self.library(name, files, tenant, refused);
        }
    }

    fn library(
        &mut self,
        name: BundleName,
        files: Vec<(&Item, Artifact)>,
        tenant: &TenantId,
        refused: &mut Refusals,
    ) {
        let artifacts = files.iter().map(|(_, artifact)| artifact.clone()).collect();
        let release = libraries::release(tenant, name.clone(), artifacts);
        let taken = self.all.contains_key(&name).then(|| {
            let message =
                format!("expected no bundle {name}, which is this library's name, found one");
            Refused::new("BUNDLE_DUPLICATE", message)
        });
        if let Some(why) = taken.or_else(|| too_large(&release)) {
            for (item, artifact) in files {
                let concern = Concern::File(Some(artifact.file));
                refused.push((item.clone(), why.clone(), concern));
            }
            return;
        }
        self.all.insert(name.clone(), release);
        self.fresh.insert(name);
    }

    /// Says where libraries lie that are not in bundles.
    pub(super) fn locate(&mut self, root: &std::path::Path) {
        for release in self
            .all
            .values()
            .filter(|release| libraries::is_release(release))
        {
            for artifact in &release.artifacts {
                self.paths.insert(artifact.digest, root.join(&artifact.key));
            }
        }
    }
}

/// Of the bundles of one name the one that counts, if there is one, and the files of the others: a single
/// one, or the one that was there before.
fn first_of<'c>(
    claims: &[(&'c Item, &'c Bundle)],
    earlier: Option<&Release>,
) -> (Option<&'c Bundle>, Vec<&'c Item>) {
    if let [(_, only)] = claims {
        return (Some(only), Vec::new());
    }
    let was_there = |bundle: &Bundle| Some(&bundle.release) == earlier;
    let mut before = claims.iter().filter(|(_, bundle)| was_there(bundle));
    let first = match (before.next(), before.next()) {
        (Some((_, bundle)), None) => Some(*bundle),
        _ => None,
    };
    let others = claims
        .iter()
        .filter(|(_, bundle)| first.is_none() || !was_there(bundle));
    (first, others.map(|(item, _)| *item).collect())
}

/// What would not be read back: as publishing refuses it.
fn too_large(release: &Release) -> Option<Refused> {
    let (files_max, files) = (Limits::default().bundle_files_max, release.artifacts.len());
    if files > files_max {
        let message = format!("expected at most {files_max} files, found {files}");
        return Some(Refused::new("TOO_MANY", message));
    }
    let bytes = release.canonical().len();
    (bytes > RELEASE_BYTES_MAX).then(|| {
        let message = format!(
            "expected at most {RELEASE_BYTES_MAX} bytes of notes and manifest, found {bytes}"
        );
        Refused::new("TOO_LARGE", message)
    })
}
