//! `[source]`: a folder in place of a control plane.

use std::path::PathBuf;

use gantry_domain::json::{Fields, Findings};
use serde_json::{Map, Value};

use super::read::bounded;
use super::{Arguments, Folder};

/// Time between two looks, unless configured.
const POLL_INTERVAL_MS: u64 = 500;
/// Times between two looks that make sense: below, looking is most of the work; above, nobody believes
/// that it is watched.
const POLL_INTERVAL_MS_RANGE: (u64, u64) = (20, 60_000);
/// Tenant and environment of a gateway that belongs to nobody else.
const LOCAL: &str = "local";

/// Reads the section; none where no folder is named.
pub(super) fn read_folder(map: Map<String, Value>, findings: &mut Findings) -> Option<Folder> {
    let mut fields = Fields::new("source", map, findings);
    let path = fields.text("folder").map(PathBuf::from);
    let named = ["tenant", "environment", "lookup", "poll_interval_ms"]
        .map(|name| (name, fields.has(name)));
    let tenant = fields.parsed("tenant");
    let environment = fields.parsed("environment");
    let lookup = fields.parsed("lookup").unwrap_or_default();
    let (min, max) = POLL_INTERVAL_MS_RANGE;
    let poll_interval_ms = bounded(&mut fields, "poll_interval_ms", POLL_INTERVAL_MS, min, max);
    if path.is_none() {
        for (name, _) in named.into_iter().filter(|(_, given)| *given) {
            let expected = "source.folder (--folder) beside it: a control plane says this itself";
            fields.error(name, "FIELD_CONFLICT", expected, "no folder");
        }
    }
    fields.finish();
    Some(Folder {
        path: path?,
        tenant: tenant.or_else(|| LOCAL.parse().ok())?,
        environment: environment.or_else(|| LOCAL.parse().ok())?,
        lookup,
        poll_interval_ms,
    })
}

/// Refuses a second source: which of the two says what runs would be anybody's guess.
pub(super) fn forbid_control_plane(
    control_plane: &Map<String, Value>,
    arguments: &Arguments,
    findings: &mut Findings,
) {
    const EXPECTED: &str = "nothing beside source.folder: a folder takes the control plane's place";
    for field in ["endpoint", "token_file"] {
        if control_plane.contains_key(field) {
            let path = format!("control_plane.{field}");
            findings.error(path, "FIELD_CONFLICT", EXPECTED, "a control plane");
        }
    }
    if arguments.token.is_some() {
        let path = "control_plane.token";
        findings.error(path, "FIELD_CONFLICT", EXPECTED, "a token");
    }
}
