//! The parts of `/status` as JSON, with the names that the wire gives them.

use gantry_proto::v1;
use serde_json::{Map, Value, json};

use super::pool::SlotStatus;
use super::replacement::Reason;
use crate::config::Source;
use crate::source::{SourceState, Trouble};

/// Complaints on the page, at most.
const COMPLAINTS_MAX: usize = 200;

/// Who the gateway is.
pub(super) fn profile(profile: &v1::GatewayProfile) -> Value {
    json!({
        "gateway_id": profile.gateway_id,
        "instance_nonce": profile.instance_nonce,
        "version": profile.version,
        "built_version": profile.built_version,
        "version_overridden": !profile.built_version.is_empty(),
        "platform": profile.platform,
        "libc": profile.libc,
        "abi": profile.abi,
        "features": profile.features,
    })
}

/// The control plane, where there is one.
pub(super) fn control_plane(place: &Source, source: &SourceState) -> Value {
    match place {
        Source::ControlPlane(control_plane) => json!({
            "endpoint": control_plane.endpoint,
            "connected": source.origin.is_some(),
            "trouble": source.trouble.as_ref().map(trouble),
        }),
        Source::Folder(_) => Value::Null,
    }
}

/// The folder, where that is the source.
pub(super) fn folder(place: &Source, source: &SourceState) -> Value {
    let Source::Folder(folder) = place else {
        return Value::Null;
    };
    let complaints = source.complaints.iter().take(COMPLAINTS_MAX);
    let complaints = complaints.map(|complaint| {
        let apis: Vec<_> = complaint.apis.iter().map(ToString::to_string).collect();
        json!({
            "file": complaint.file, "code": complaint.code, "message": complaint.message, "apis": apis,
        })
    });
    json!({
        "path": folder.path.display().to_string(),
        "trouble": source.trouble.as_ref().map(trouble),
        "complaints": complaints.collect::<Vec<_>>(),
    })
}

fn trouble(trouble: &Trouble) -> Value {
    json!({"code": trouble.code, "message": trouble.message})
}

/// What it says to the control plane.
pub(super) fn report(report: &v1::GatewayReport) -> Value {
    let artifact = |artifact: &v1::ArtifactStatus| {
        json!({
            "bundle": artifact.bundle, "version": artifact.version, "file": artifact.file,
            "sha256": artifact.sha256, "phase": artifact.phase,
            "workers_serving": artifact.workers_serving, "workers": artifact.workers,
            "code": artifact.code, "message": artifact.message,
            "fetched_from": artifact.fetched_from,
        })
    };
    let api = |api: &v1::ApiStatus| json!({"api_id": api.api_id, "state": api.state, "code": api.code, "message": api.message});
    json!({
        "applied_revision": report.applied_revision,
        "state": report.state,
        "artifacts": report.artifacts.iter().map(artifact).collect::<Vec<_>>(),
        "apis": report.apis.iter().map(api).collect::<Vec<_>>(),
        "workers_live": report.workers_live,
        "workers": report.workers,
        "requests_total": report.requests_total,
        "worker_deaths_total": report.worker_deaths_total,
    })
}

/// One slot, by number.
pub(super) fn slot((number, slot): (usize, &SlotStatus)) -> Value {
    let reasons = Reason::ALL.into_iter().zip(slot.replacements);
    let replacements: Map<_, _> = reasons
        .map(|(reason, count)| (reason.as_str().to_owned(), json!(count)))
        .collect();
    json!({
        "slot": number, "pid": slot.pid, "keys_epoch": slot.keys_epoch,
        "revision": slot.running.as_ref().map(|running| running.revision),
        "deaths": slot.deaths, "last_death": slot.last_death,
        "libraries": {
            "go": slot.burden.go, "go_stale": slot.burden.go_stale,
            "others": slot.burden.others, "others_stale": slot.burden.others_stale,
        },
        "replacements": replacements, "replacement_failures": slot.replacement_failures,
        "last_replacement": slot.last_replacement,
        "retiring": slot.retiring.map(|retiring| retiring.pid),
    })
}
