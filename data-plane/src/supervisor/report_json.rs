//! The parts of `/status` as JSON, with the names that the wire gives them.

use gantry_proto::v1;
use serde_json::{Value, json};

use super::pool::SlotStatus;

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

/// What it says to the control plane.
pub(super) fn report(report: &v1::GatewayReport) -> Value {
    let artifact = |artifact: &v1::ArtifactStatus| {
        json!({
            "bundle": artifact.bundle, "version": artifact.version, "file": artifact.file,
            "sha256": artifact.sha256, "phase": artifact.phase,
            "workers_serving": artifact.workers_serving, "workers": artifact.workers,
            "code": artifact.code, "message": artifact.message,
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
    json!({
        "slot": number, "pid": slot.pid, "keys_epoch": slot.keys_epoch,
        "revision": slot.running.as_ref().map(|running| running.revision),
        "deaths": slot.deaths, "last_death": slot.last_death,
    })
}
