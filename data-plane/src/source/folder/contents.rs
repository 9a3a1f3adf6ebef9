//! What the items of a look hold. An item that looks as it did is not read again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gantry_domain::{Artifact, TenantId};

use super::bundles::{self, Bundle};
use super::definitions::{self, BadDefinition, Definition};
use super::keys::{self, KeyFile};
use super::look::{Item, Look, Print};
use super::{Refused, libraries};

/// What one item holds, or why it is refused.
pub(super) enum Content {
    Api(Result<Definition, BadDefinition>),
    Bundle(Result<Bundle, Refused>),
    Library(Result<Artifact, Refused>),
    Keys(Result<KeyFile, Refused>),
}

/// What all items hold, each with the print that it had before it was read.
pub(super) type Contents = BTreeMap<Item, (Print, Arc<Content>)>;

/// Reads what is new since `known`. Blocks.
pub(super) fn read(
    root: &Path,
    look: &Look,
    known: &Contents,
    tenant: &TenantId,
    unpacked: &Path,
) -> Contents {
    let content = |item: &Item| match item {
        Item::Api(name) => Content::Api(definitions::read(root, name)),
        Item::Bundle(name) => Content::Bundle(bundles::read(root, name, tenant, unpacked)),
        Item::Library(name) => Content::Library(libraries::read(root, name)),
        Item::Keys => Content::Keys(keys::read(root)),
    };
    let taken = |(item, print): (&Item, &Print)| {
        let known = known.get(item).filter(|(before, _)| before == print);
        let content = known.map_or_else(|| Arc::new(content(item)), |(_, content)| content.clone());
        (item.clone(), (print.clone(), content))
    };
    look.iter().map(taken).collect()
}
