//! From what the folder holds to a revision, over the revision that was composed before: what is refused
//! keeps the place that it had, and what was there first keeps a place that two claim.
//!
//! Invariant: a function of contents and the revision before; nothing is read or executed.

mod claims;
mod releases;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gantry_domain::api_definition::Plugins;
use gantry_domain::resolution::{Lookup, matches};
use gantry_domain::{
    ApiDefinition, ApiId, BundleName, Digest, FieldWarning, FileName, Limits, Pin, Release,
    Revision,
};

use super::Refused;
use super::contents::{Content, Contents};
use super::files::FolderFiles;
use super::look::Item;
use crate::config::Folder;
use crate::source::{Complaint, Snapshot};
use releases::Releases;

/// A revision with what belongs to it.
pub(super) struct Composed {
    /// The revision: the one before, if nothing is different.
    pub(super) snapshot: Snapshot,
    /// Where its libraries lie.
    pub(super) files: FolderFiles,
    /// What is refused, in order.
    pub(super) complaints: Vec<Complaint>,
    /// What authors should know, by file.
    pub(super) warnings: Vec<(String, FieldWarning)>,
}

/// What an item that is refused stands in the way of.
#[derive(Debug, Clone)]
enum Concern {
    /// This API.
    Api(Option<ApiId>),
    /// Whatever uses a bundle that is not as it lies in the folder.
    Bundles,
    /// Whatever names this file.
    File(Option<FileName>),
}

/// The revision before, read.
struct Base<'b> {
    snapshot: Option<&'b Snapshot>,
    definitions: BTreeMap<ApiId, (Arc<[u8]>, ApiDefinition)>,
    releases: BTreeMap<BundleName, Release>,
}

impl<'b> Base<'b> {
    fn of(snapshot: Option<&'b Snapshot>) -> Self {
        let mut base = Self {
            snapshot,
            definitions: BTreeMap::new(),
            releases: BTreeMap::new(),
        };
        let Some(Snapshot {
            revision,
            documents,
        }) = snapshot
        else {
            return base;
        };
        for (id, digest) in &revision.apis {
            let text = documents.get(digest);
            let parsed = text.and_then(|text| ApiDefinition::parse(text, &Limits::default()).ok());
            if let (Some(text), Some((definition, _))) = (text, parsed)
                && definition.api_id == *id
            {
                base.definitions
                    .insert(id.clone(), (text.clone(), definition));
            }
        }
        for (bundle, pins) in &revision.pins {
            let text = pins.first().and_then(|pin| documents.get(&pin.release));
            if let Some(release) = text.and_then(|text| Release::parse(text).ok()) {
                base.releases.insert(bundle.clone(), release);
            }
        }
        base
    }
}

/// Composes.
pub(super) fn compose(contents: &Contents, before: Option<&Snapshot>, folder: &Folder) -> Composed {
    let base = Base::of(before);
    let mut refused: Vec<(Item, Refused, Concern)> = Vec::new();
    let mut releases = Releases::of(contents, &base, &folder.tenant, &mut refused);
    releases.locate(&folder.path);
    let definitions = definitions(contents, &base, &mut refused);
    let mut documents = BTreeMap::new();
    let mut apis = BTreeMap::new();
    for (id, (text, definition)) in &definitions {
        let digest = Digest::of(text);
        apis.insert(id.clone(), digest);
        documents.insert(digest, text.clone());
        let openapi = definition
            .as_ref()
            .and_then(|definition| definition.openapi.as_ref());
        if let Some(openapi) = openapi {
            let before = before.and_then(|before| before.documents.get(&openapi.digest).cloned());
            let read = || Some(openapi.document.as_ref()?.as_bytes().into());
            if let Some(document) = before.or_else(read) {
                documents.insert(openapi.digest, document);
            }
        }
    }
    let mut pins = BTreeMap::new();
    for (bundle, release) in &releases.all {
        let text: Arc<[u8]> = release.canonical().into_bytes().into();
        let pin = Pin {
            version: release.version().clone(),
            release: Digest::of(&text),
            weight: 100,
        };
        documents.insert(pin.release, text);
        pins.insert(bundle.clone(), vec![pin]);
    }
    let complaints = refused.iter().map(|(item, why, concern)| Complaint {
        file: item.file(),
        code: why.code,
        message: why.message.clone(),
        apis: concerned(concern, &definitions, &releases),
    });
    let mut complaints: Vec<_> = complaints.collect();
    complaints.sort();
    Composed {
        snapshot: Snapshot {
            revision: numbered(&base, folder.lookup, apis, pins),
            documents,
        },
        files: FolderFiles::new(releases.paths, releases.sources),
        complaints,
        warnings: warnings(contents),
    }
}

/// The revision before if it says the same, else the one after it.
fn numbered(
    base: &Base<'_>,
    lookup: Lookup,
    apis: BTreeMap<ApiId, Digest>,
    pins: BTreeMap<BundleName, Vec<Pin>>,
) -> Revision {
    let empty = Revision::empty();
    let before = base.snapshot.map(|snapshot| &snapshot.revision);
    let next = Revision {
        lookup,
        apis,
        pins,
        ..before.unwrap_or(&empty).next()
    };
    match before {
        Some(before) if before.root() == next.root() => before.clone(),
        _ => next,
    }
}

/// A document, and what it says where that can be read.
type Definitions = BTreeMap<ApiId, (Arc<[u8]>, Option<ApiDefinition>)>;

fn definitions(
    contents: &Contents,
    base: &Base<'_>,
    refused: &mut Vec<(Item, Refused, Concern)>,
) -> Definitions {
    let mut all = Definitions::new();
    let before = |id: &ApiId| {
        let (text, definition) = base.definitions.get(id)?;
        Some((text.clone(), Some(definition.clone())))
    };
    for (item, (_, content)) in contents {
        match &**content {
            Content::Api(Ok(found)) => {
                let definition = found.read.clone();
                all.insert(
                    definition.api_id.clone(),
                    (found.text.clone(), Some(definition)),
                );
            }
            Content::Api(Err(bad)) => {
                let concern = Concern::Api(bad.id.clone());
                refused.push((item.clone(), bad.refused.clone(), concern));
                // As it was before; else as it is, which will be refused where its requests arrive.
                let kept = |id: &ApiId| before(id).or_else(|| Some((bad.raw.clone()?, None)));
                if let Some((id, kept)) = bad.id.as_ref().and_then(|id| Some((id, kept(id)?))) {
                    all.insert(id.clone(), kept);
                }
            }
            _ => {}
        }
    }
    for (id, why) in claims::newcomers(&all, &base.definitions) {
        match before(&id) {
            Some(kept) => drop(all.insert(id.clone(), kept)),
            None => drop(all.remove(&id)),
        }
        let item = Item::Api(format!("{id}.json"));
        refused.push((item, why, Concern::Api(Some(id))));
    }
    all
}

/// The APIs that something stands in the way of.
fn concerned(concern: &Concern, definitions: &Definitions, releases: &Releases) -> BTreeSet<ApiId> {
    let names =
        |definition: &ApiDefinition, file: &dyn Fn(&FileName) -> bool| definition.files().any(file);
    let is_concerned = |definition: &ApiDefinition| match concern {
        Concern::Api(_) | Concern::File(None) => false,
        Concern::File(Some(file)) => names(definition, &|path| matches(path, file).is_some()),
        Concern::Bundles => match &definition.plugins {
            Plugins::Bundle(bundle) => !releases.fresh.contains(bundle),
            _ => names(definition, &|path| !releases.answer(path)),
        },
    };
    if let Concern::Api(id) = concern {
        return id.iter().cloned().collect();
    }
    definitions
        .iter()
        .filter(|(_, (_, definition))| definition.as_ref().is_some_and(is_concerned))
        .map(|(id, _)| id.clone())
        .collect()
}

fn warnings(contents: &Contents) -> Vec<(String, FieldWarning)> {
    let of = |(item, (_, content)): (&Item, &(_, Arc<Content>))| {
        let warnings = match &**content {
            Content::Api(Ok(read)) => read.warnings.clone(),
            Content::Bundle(Ok(bundle)) => bundle.warnings.clone(),
            _ => Vec::new(),
        };
        let file = item.file();
        warnings
            .into_iter()
            .map(move |warning| (file.clone(), warning))
    };
    contents.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests;
