//! The floors of the house, checked against what cargo says: a crate depends only on lower floors,
//! and each heavy dependency has one owner.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use crate::run::root;

/// Floors from the bottom up. Crates of one floor do not depend on each other.
const FLOORS: [&[&str]; 6] = [
    &["gantry-domain", "gantry-abi"],
    &[
        "gantry-proto",
        "gantry-bundle",
        "gantry-telemetry",
        "gantry-plugin",
        "gantry-plugin-host",
    ],
    &[
        "gantry-client",
        "gantry-bench-hooks",
        "gantry-example-hooks",
        "gantry-fixture-faulty",
    ],
    &["gantry-control-plane", "gantry-gateway", "gantry"],
    &["gantry-tests"],
    &["gantry-benches", "xtask"],
];

/// Heavy dependencies and the one crate that may name them.
const OWNERS: [(&str, &str); 18] = [
    ("aws-config", "gantry-control-plane"),
    ("aws-sdk-s3", "gantry-control-plane"),
    ("aws-smithy-http-client", "gantry-control-plane"),
    ("aws-smithy-types", "gantry-control-plane"),
    ("sqlx", "gantry-control-plane"),
    ("libloading", "gantry-plugin-host"),
    ("object", "gantry-bundle"),
    ("zip", "gantry-bundle"),
    ("tracing-subscriber", "gantry-telemetry"),
    ("opentelemetry", "gantry-telemetry"),
    ("opentelemetry-otlp", "gantry-telemetry"),
    ("opentelemetry_sdk", "gantry-telemetry"),
    ("opentelemetry-proto", "gantry-tests"),
    ("tracing-opentelemetry", "gantry-telemetry"),
    ("prometheus-client", "gantry-telemetry"),
    ("procfs", "gantry-telemetry"),
    ("protox", "gantry-proto"),
    ("cargo_metadata", "xtask"),
];

/// Checks floors and owners.
pub(crate) fn check() -> Result<()> {
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()
        .context("run cargo metadata")?;
    let mut complaints = Vec::new();
    for package in metadata.workspace_packages() {
        complaints.extend(check_floors(package, &metadata));
        complaints.extend(check_owners(package));
    }
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("the house does not stand:\n  {}", complaints.join("\n  "))
}

fn check_floors(package: &Package, metadata: &Metadata) -> Vec<String> {
    let floors: BTreeMap<&str, usize> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, names)| names.iter().map(move |name| (*name, floor)))
        .collect();
    let name = package.name.as_str();
    let Some(floor) = floors.get(name) else {
        return vec![format!(
            "{name} stands on no floor: add it to xtask/src/floors.rs"
        )];
    };
    let ours = |name: &str| {
        metadata
            .workspace_packages()
            .iter()
            .any(|package| package.name.as_str() == name)
    };
    package
        .dependencies
        .iter()
        .filter(|dependency| {
            dependency.kind != DependencyKind::Development && ours(&dependency.name)
        })
        .filter(|dependency| {
            floors
                .get(dependency.name.as_str())
                .is_none_or(|other| other >= floor)
        })
        .map(|dependency| {
            format!(
                "{name} depends on {}, which is not on a lower floor",
                dependency.name
            )
        })
        .collect()
}

fn check_owners(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    package
        .dependencies
        .iter()
        .filter_map(|dependency| {
            OWNERS
                .iter()
                .find(|(heavy, owner)| *heavy == dependency.name && *owner != name)
        })
        .map(|(heavy, owner)| format!("{name} names {heavy}, which only {owner} may"))
        .collect()
}
