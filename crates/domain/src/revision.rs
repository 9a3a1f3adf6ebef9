//! Revisions: everything an environment says at one moment, immutable and numbered. The root digest
//! covers 256 buckets of API identifier and definition digest, the pins and the lookup order, so two
//! sides can tell with 32 bytes whether they agree. Each revision carries its parent's digest.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::json::{Fields, Findings, canonical, canonical_digest};
use crate::resolution::Lookup;
use crate::{ApiId, BundleName, BundleVersion, Digest, FieldError};

/// One version that runs for a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The version.
    pub version: BundleVersion,
    /// The digest of its release document.
    pub release: Digest,
    /// Its share of requests, in percent. The shares of a bundle add up to 100.
    pub weight: u32,
}

/// A revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Counts up by one within an environment; 0 is the empty beginning.
    pub number: u64,
    /// The digest of the revision before; none for 0.
    pub parent: Option<Digest>,
    /// The order in which file names are tried.
    pub lookup: Lookup,
    /// Definitions by digest of their canonical text.
    pub apis: BTreeMap<ApiId, Digest>,
    /// Pins by bundle.
    pub pins: BTreeMap<BundleName, Vec<Pin>>,
}

/// What changes between two revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionDelta {
    /// The revision that the receiver has; none when everything is sent.
    pub from: Option<u64>,
    /// The revision that it has then.
    pub number: u64,
    /// Its parent.
    pub parent: Option<Digest>,
    /// Its root digest: what the receiver must arrive at.
    pub root: Digest,
    /// Its lookup order.
    pub lookup: Lookup,
    /// Definitions that are new or other.
    pub apis_changed: BTreeMap<ApiId, Digest>,
    /// Definitions that are gone.
    pub apis_removed: Vec<ApiId>,
    /// Pins that are new or other.
    pub pins_changed: BTreeMap<BundleName, Vec<Pin>>,
    /// Bundles that are no longer pinned.
    pub pins_removed: Vec<BundleName>,
}

/// Why differences do not apply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeltaError {
    /// They start from another revision: ask for everything.
    #[error("differences start from revision {expected:?}, but revision {found} is here")]
    OtherBase {
        /// Where they start.
        expected: Option<u64>,
        /// What is here.
        found: u64,
    },
    /// The result is not what the sender has: ask for everything.
    #[error("differences lead to root {found:?}, but revision {number} has root {expected:?}")]
    RootDiffers {
        /// The revision.
        number: u64,
        /// Its root.
        expected: Digest,
        /// What came out.
        found: Digest,
    },
}

impl Revision {
    /// The beginning of every environment: nothing.
    pub fn empty() -> Self {
        Self {
            number: 0,
            parent: None,
            lookup: Lookup::default(),
            apis: BTreeMap::new(),
            pins: BTreeMap::new(),
        }
    }

    /// The revision after this one, with the same content until it is changed.
    #[must_use]
    pub fn next(&self) -> Self {
        Self {
            number: self.number + 1,
            parent: Some(self.digest()),
            ..self.clone()
        }
    }

    /// The root digest over definitions, pins and lookup order; not over number and parent.
    pub fn root(&self) -> Digest {
        let mut buckets: Vec<Map<String, Value>> = vec![Map::new(); 256];
        for (api, digest) in &self.apis {
            let bucket = usize::from(Digest::of(api.as_str()).as_bytes()[0]);
            buckets[bucket].insert(api.to_string(), json!(digest.to_string()));
        }
        let mut bytes = Vec::with_capacity(257 * 32);
        for bucket in buckets {
            bytes.extend_from_slice(canonical_digest(&Value::Object(bucket)).as_bytes());
        }
        let rest = json!({"pins": pins_to_json(&self.pins), "lookup": self.lookup.as_str()});
        bytes.extend_from_slice(canonical_digest(&rest).as_bytes());
        Digest::of(bytes)
    }

    /// The identity of this revision: number, parent and root.
    pub fn digest(&self) -> Digest {
        canonical_digest(&json!({
            "number": self.number, "parent": self.parent.map(|parent| parent.to_string()),
            "root": self.root().to_string(),
        }))
    }

    /// The revision as a document.
    pub fn to_json(&self) -> Value {
        let apis: Map<_, _> = self
            .apis
            .iter()
            .map(|(api, digest)| (api.to_string(), json!(digest.to_string())))
            .collect();
        json!({
            "number": self.number, "parent": self.parent.map(|parent| parent.to_string()),
            "lookup": self.lookup.as_str(), "apis": apis, "pins": pins_to_json(&self.pins),
        })
    }

    /// The canonical text.
    pub fn canonical(&self) -> String {
        canonical(&self.to_json())
    }

    /// Reads the canonical text.
    ///
    /// # Errors
    /// Every mistake, with its path.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<FieldError>> {
        let map = crate::json::parse_object(bytes, 64 << 20, 8).map_err(|e| vec![e])?;
        let mut findings = Findings::default();
        let mut fields = Fields::new("", map, &mut findings);
        let number = fields.unsigned("number");
        let parent = fields.parsed("parent");
        let lookup = fields.required("lookup", "the lookup order");
        let apis = read_apis(&mut fields);
        let pins = read_pins(&mut fields);
        fields.finish();
        match (number, lookup) {
            (Some(number), Some(lookup)) if findings.errors.is_empty() => Ok(Self {
                number,
                parent,
                lookup,
                apis,
                pins,
            }),
            _ => {
                findings.error("number", "FIELD_MISSING", "a revision", "an incomplete one");
                Err(findings.errors)
            }
        }
    }

    /// What a receiver that has `from` (or nothing) must change to arrive here.
    pub fn delta_from(&self, from: Option<&Self>) -> RevisionDelta {
        let empty = Self::empty();
        let base = from.unwrap_or(&empty);
        let changed = |id: &ApiId, digest: &Digest| base.apis.get(id) != Some(digest);
        RevisionDelta {
            from: from.map(|from| from.number),
            number: self.number,
            parent: self.parent,
            root: self.root(),
            lookup: self.lookup,
            apis_changed: self
                .apis
                .iter()
                .filter(|(id, digest)| changed(id, digest))
                .map(|(id, digest)| (id.clone(), *digest))
                .collect(),
            apis_removed: base
                .apis
                .keys()
                .filter(|id| !self.apis.contains_key(id))
                .cloned()
                .collect(),
            pins_changed: self
                .pins
                .iter()
                .filter(|(name, pins)| base.pins.get(name) != Some(pins))
                .map(|(name, pins)| (name.clone(), pins.clone()))
                .collect(),
            pins_removed: base
                .pins
                .keys()
                .filter(|name| !self.pins.contains_key(name))
                .cloned()
                .collect(),
        }
    }

    /// Applies differences. Differences without a base replace everything.
    ///
    /// # Errors
    /// They start elsewhere, or do not lead to the root they promise. Nothing is changed then.
    pub fn apply(&self, delta: &RevisionDelta) -> Result<Self, DeltaError> {
        if delta.from.is_some_and(|from| from != self.number) {
            return Err(DeltaError::OtherBase {
                expected: delta.from,
                found: self.number,
            });
        }
        let mut next = if delta.from.is_some() {
            self.clone()
        } else {
            Self::empty()
        };
        next.apis.extend(delta.apis_changed.clone());
        next.apis.retain(|id, _| !delta.apis_removed.contains(id));
        next.pins.extend(delta.pins_changed.clone());
        next.pins
            .retain(|name, _| !delta.pins_removed.contains(name));
        let next = Self {
            number: delta.number,
            parent: delta.parent,
            lookup: delta.lookup,
            ..next
        };
        let found = next.root();
        if found != delta.root {
            return Err(DeltaError::RootDiffers {
                number: delta.number,
                expected: delta.root,
                found,
            });
        }
        Ok(next)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} %)", self.version, self.weight)
    }
}

fn pins_to_json(pins: &BTreeMap<BundleName, Vec<Pin>>) -> Value {
    let pin = |pin: &Pin| json!({"version": pin.version.to_string(), "release": pin.release.to_string(), "weight": pin.weight});
    let map: Map<_, _> = pins
        .iter()
        .map(|(name, pins)| {
            (
                name.to_string(),
                Value::Array(pins.iter().map(pin).collect()),
            )
        })
        .collect();
    Value::Object(map)
}

fn read_apis(fields: &mut Fields<'_>) -> BTreeMap<ApiId, Digest> {
    let mut apis = BTreeMap::new();
    for (name, digest) in fields.object("apis").unwrap_or_default() {
        match (
            name.parse(),
            digest.as_str().and_then(|digest| digest.parse().ok()),
        ) {
            (Ok(id), Some(digest)) => drop(apis.insert(id, digest)),
            _ => fields.error("apis", "FIELD_INVALID", "API identifiers and digests", name),
        }
    }
    apis
}

fn read_pins(fields: &mut Fields<'_>) -> BTreeMap<BundleName, Vec<Pin>> {
    let mut all = BTreeMap::new();
    for (name, list) in fields.object("pins").unwrap_or_default() {
        let pins: Option<Vec<Pin>> = list
            .as_array()
            .map(|list| list.iter().map(read_pin).collect())
            .unwrap_or_default();
        match (name.parse(), pins) {
            (Ok(bundle), Some(pins)) => drop(all.insert(bundle, pins)),
            _ => fields.error(
                "pins",
                "FIELD_INVALID",
                "bundles with version, release and weight",
                name,
            ),
        }
    }
    all
}

fn read_pin(value: &Value) -> Option<Pin> {
    Some(Pin {
        version: value.get("version")?.as_str()?.parse().ok()?,
        release: value.get("release")?.as_str()?.parse().ok()?,
        weight: u32::try_from(value.get("weight")?.as_u64()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn revision(number: u64, apis: &BTreeMap<u8, u8>, pins: &BTreeMap<u8, u8>) -> Revision {
        let pin = |n: u8| {
            vec![Pin {
                version: format!("1.0.{n}").parse().unwrap(),
                release: Digest::of([n]),
                weight: 100,
            }]
        };
        Revision {
            number,
            apis: apis
                .iter()
                .map(|(id, n)| (format!("api{id}").parse().unwrap(), Digest::of([*n])))
                .collect(),
            pins: pins
                .iter()
                .map(|(id, n)| (format!("b{id}").parse().unwrap(), pin(*n)))
                .collect(),
            ..Revision::empty()
        }
    }

    proptest! {
        #[test]
        fn differences_lead_from_any_revision_to_any_other(
            a: BTreeMap<u8, u8>, b: BTreeMap<u8, u8>, p: BTreeMap<u8, u8>, q: BTreeMap<u8, u8>,
        ) {
            let (from, to) = (revision(3, &a, &p), revision(9, &b, &q));
            prop_assert_eq!(&from.apply(&to.delta_from(Some(&from))).unwrap(), &to);
            prop_assert_eq!(&from.apply(&to.delta_from(None)).unwrap(), &to);
            prop_assert_eq!(&Revision::parse(to.canonical().as_bytes()).unwrap(), &to);
        }
    }

    #[test]
    fn differences_from_another_base_or_to_another_root_are_refused() {
        let (a, b) = (BTreeMap::from([(1, 1)]), BTreeMap::from([(1, 2)]));
        let (from, to) = (revision(3, &a, &a), revision(4, &b, &a));
        let mut delta = to.delta_from(Some(&from));
        let elsewhere = Revision {
            number: 2,
            ..from.clone()
        };
        assert!(matches!(
            elsewhere.apply(&delta),
            Err(DeltaError::OtherBase { .. })
        ));
        delta.apis_changed.clear();
        assert!(matches!(
            from.apply(&delta),
            Err(DeltaError::RootDiffers { .. })
        ));
    }

    #[test]
    fn number_and_parent_are_part_of_the_identity_but_not_of_the_root() {
        let first = revision(1, &BTreeMap::from([(1, 1)]), &BTreeMap::new());
        let second = first.next();
        assert_eq!((second.number, second.parent), (2, Some(first.digest())));
        assert_eq!(second.root(), first.root());
        assert_ne!(second.digest(), first.digest());
    }
}
