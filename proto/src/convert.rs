//! Conversions between wire messages and domain values. Each direction that can fail names the field
//! it failed on.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use gantry_domain::{
    Artifact, BundleName, FieldError, FieldWarning, GatewayId, GatewayProfile, Pin, Release,
    Revision, RevisionDelta, Right,
};

use crate::v1;

/// Parses a text field.
///
/// # Errors
/// `FIELD_MISSING` when it is empty, `FIELD_INVALID` with what the type expects otherwise.
pub fn field<T>(name: &str, value: &str) -> Result<T, FieldError>
where
    T: FromStr,
    T::Err: Display,
{
    value.parse().map_err(|e: T::Err| FieldError {
        path: name.to_owned(),
        code: if value.is_empty() {
            "FIELD_MISSING"
        } else {
            "FIELD_INVALID"
        },
        expected: e.to_string(),
        found: format!("{:?}", value.chars().take(80).collect::<String>()),
    })
}

/// Parses a text field that may be empty.
///
/// # Errors
/// `FIELD_INVALID` with what the type expects.
pub fn optional<T>(name: &str, value: &str) -> Result<Option<T>, FieldError>
where
    T: FromStr,
    T::Err: Display,
{
    if value.is_empty() {
        Ok(None)
    } else {
        field(name, value).map(Some)
    }
}

/// A right from the wire; none for the unspecified one.
pub fn right(right: v1::Right) -> Option<Right> {
    match right {
        v1::Right::Unspecified => None,
        v1::Right::Publish => Some(Right::Publish),
        v1::Right::Deploy => Some(Right::Deploy),
        v1::Right::Gateway => Some(Right::Gateway),
        v1::Right::Admin => Some(Right::Admin),
    }
}

/// A right to the wire.
pub fn right_to_wire(right: Right) -> v1::Right {
    match right {
        Right::Publish => v1::Right::Publish,
        Right::Deploy => v1::Right::Deploy,
        Right::Gateway => v1::Right::Gateway,
        Right::Admin => v1::Right::Admin,
    }
}

impl From<FieldWarning> for v1::Warning {
    fn from(warning: FieldWarning) -> Self {
        let FieldWarning {
            path,
            code,
            message,
        } = warning;
        Self {
            path,
            code: code.to_owned(),
            message,
        }
    }
}

/// A release for people and tools; the document itself travels opaque.
pub fn release_to_wire(release: &Release, published_at_ms: i64) -> v1::Release {
    v1::Release {
        bundle: release.bundle().to_string(),
        version: release.version().to_string(),
        digest: release.digest().to_string(),
        files: release.artifacts.iter().map(artifact_to_wire).collect(),
        published_at_ms,
    }
}

fn artifact_to_wire(artifact: &Artifact) -> v1::ReleaseFile {
    let target = &artifact.target;
    v1::ReleaseFile {
        name: artifact.file.to_string(),
        sha256: artifact.digest.to_string(),
        size_bytes: artifact.size_bytes,
        platform: target.platform.to_string(),
        gateway_version: target
            .gateway_version
            .map(|version| version.to_string())
            .unwrap_or_default(),
        libc: target.libc.map(|libc| libc.to_string()).unwrap_or_default(),
        abi: target.abi.to_string(),
        functions: artifact
            .note
            .functions
            .iter()
            .map(|function| function.name.to_string())
            .collect(),
        key: artifact.key.clone(),
    }
}

/// The pins of a revision.
pub fn pins_to_wire(pins: &BTreeMap<BundleName, Vec<Pin>>) -> Vec<v1::Pin> {
    pins.iter()
        .flat_map(|(bundle, pins)| pins.iter().map(move |pin| pin_to_wire(bundle, pin)))
        .collect()
}

fn pin_to_wire(bundle: &BundleName, pin: &Pin) -> v1::Pin {
    v1::Pin {
        bundle: bundle.to_string(),
        version: pin.version.to_string(),
        weight: pin.weight,
        release: pin.release.to_string(),
    }
}

fn pins_from_wire(pins: &[v1::Pin]) -> Result<BTreeMap<BundleName, Vec<Pin>>, FieldError> {
    let mut all: BTreeMap<BundleName, Vec<Pin>> = BTreeMap::new();
    for pin in pins {
        all.entry(field("pins.bundle", &pin.bundle)?)
            .or_default()
            .push(Pin {
                version: field("pins.version", &pin.version)?,
                release: field("pins.release", &pin.release)?,
                weight: pin.weight,
            });
    }
    Ok(all)
}

/// Entries of one part of a revision's differences, at most: keeps messages well under 1 MiB.
const DELTA_PART_ENTRIES: usize = 4096;

/// Differences in parts that respect the bound on messages. There is always at least one part.
pub fn delta_to_wire(delta: &RevisionDelta) -> Vec<v1::RevisionDelta> {
    let head = v1::RevisionDelta {
        from: delta.from.unwrap_or(0),
        number: delta.number,
        parent: delta
            .parent
            .map(|parent| parent.to_string())
            .unwrap_or_default(),
        root: delta.root.to_string(),
        lookup: delta.lookup.as_str().to_owned(),
        ..v1::RevisionDelta::default()
    };
    let changed: Vec<_> = delta
        .apis_changed
        .iter()
        .map(|(api, digest)| v1::ApiDigest {
            api_id: api.to_string(),
            digest: digest.to_string(),
        })
        .collect();
    let removed: Vec<_> = delta.apis_removed.iter().map(ToString::to_string).collect();
    let mut parts: Vec<v1::RevisionDelta> = Vec::new();
    for chunk in changed.chunks(DELTA_PART_ENTRIES) {
        parts.push(v1::RevisionDelta {
            apis_changed: chunk.to_vec(),
            ..head.clone()
        });
    }
    for chunk in removed.chunks(DELTA_PART_ENTRIES) {
        parts.push(v1::RevisionDelta {
            apis_removed: chunk.to_vec(),
            ..head.clone()
        });
    }
    for (bundle, pins) in &delta.pins_changed {
        let pins_changed = pins.iter().map(|pin| pin_to_wire(bundle, pin)).collect();
        parts.push(v1::RevisionDelta {
            pins_changed,
            ..head.clone()
        });
    }
    let pins_removed = delta.pins_removed.iter().map(ToString::to_string).collect();
    parts.push(v1::RevisionDelta {
        pins_removed,
        last: true,
        ..head
    });
    parts
}

/// Puts the parts of differences together.
///
/// # Errors
/// A field that does not parse, or parts of different revisions.
pub fn delta_from_wire(parts: &[v1::RevisionDelta]) -> Result<RevisionDelta, FieldError> {
    let missing = || FieldError {
        path: "revision".into(),
        code: "FIELD_MISSING",
        expected: "at least one part".into(),
        found: "none".into(),
    };
    let last = parts.last().ok_or_else(missing)?;
    let mut delta = RevisionDelta {
        from: (last.from != 0).then_some(last.from),
        number: last.number,
        parent: optional("parent", &last.parent)?,
        root: field("root", &last.root)?,
        lookup: field("lookup", &last.lookup)?,
        apis_changed: BTreeMap::new(),
        apis_removed: Vec::new(),
        pins_changed: BTreeMap::new(),
        pins_removed: Vec::new(),
    };
    for part in parts {
        if (part.number, &part.root, part.from) != (last.number, &last.root, last.from) {
            return Err(FieldError {
                path: "revision.number".into(),
                code: "FIELD_CONFLICT",
                expected: format!("parts of revision {}", last.number),
                found: format!("a part of revision {}", part.number),
            });
        }
        for api in &part.apis_changed {
            delta
                .apis_changed
                .insert(field("api_id", &api.api_id)?, field("digest", &api.digest)?);
        }
        for api in &part.apis_removed {
            delta.apis_removed.push(field("apis_removed", api)?);
        }
        delta
            .pins_changed
            .extend(pins_from_wire(&part.pins_changed)?);
        for bundle in &part.pins_removed {
            delta.pins_removed.push(field("pins_removed", bundle)?);
        }
    }
    Ok(delta)
}

/// The profile that a gateway reports.
///
/// # Errors
/// The first field that does not parse.
pub fn profile_from_wire(
    profile: &v1::GatewayProfile,
) -> Result<(GatewayId, GatewayProfile), FieldError> {
    let id = field("profile.gateway_id", &profile.gateway_id)?;
    let profile = GatewayProfile {
        version: field("profile.version", &profile.version)?,
        platform: field("profile.platform", &profile.platform)?,
        libc: field("profile.libc", &profile.libc)?,
        abi: field("profile.abi", &profile.abi)?,
    };
    Ok((id, profile))
}

/// Names the revision a gateway has, for logs.
pub fn describe_revision(revision: &Revision) -> String {
    format!("{} ({})", revision.number, revision.root().short())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_domain::Digest;

    #[test]
    fn differences_survive_the_wire_in_parts() {
        let mut to = Revision::empty();
        to.number = 7;
        for i in 0..9000 {
            to.apis
                .insert(format!("api{i}").parse().unwrap(), Digest::of([1]));
        }
        let pin = Pin {
            version: "1.0.0".parse().unwrap(),
            release: Digest::of([2]),
            weight: 100,
        };
        to.pins.insert("hooks".parse().unwrap(), vec![pin]);
        let parts = delta_to_wire(&to.delta_from(None));
        assert!(parts.len() >= 4 && parts.last().unwrap().last);
        let delta = delta_from_wire(&parts).unwrap();
        assert_eq!(Revision::empty().apply(&delta).unwrap(), to);
    }

    #[test]
    fn parts_of_two_revisions_are_refused() {
        let part = |number| v1::RevisionDelta {
            number,
            root: Digest::of([1]).to_string(),
            lookup: "documented".into(),
            ..v1::RevisionDelta::default()
        };
        assert_eq!(
            delta_from_wire(&[part(1), part(2)]).unwrap_err().code,
            "FIELD_CONFLICT"
        );
    }
}
