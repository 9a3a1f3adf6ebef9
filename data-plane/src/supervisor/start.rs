//! What happens once, before the tasks run: who this gateway is, what an earlier process left, and the
//! doors.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use gantry_domain::{AbiVersion, GatewayId, GatewayProfile, GatewayVersion, Platform};
use gantry_proto::v1;
use serde_json::json;
use tokio::net::TcpListener;

use super::generation::EffectiveApi;
use super::state::{Identity, StateDir, StateError};
use super::store::Store;
use super::{SupervisorError, files};
use crate::config::{BUILT_VERSION, ControlPlane, Settings, Source};
use crate::source::keys::KeyLedger;
use crate::source::{SourceState, Tenancy, folder};
use crate::sys::process;

/// What an earlier process left, and the APIs that it held.
type Beginning = (SourceState, BTreeMap<String, EffectiveApi>);

/// What an earlier process served from the same source, so that this one serves it at once.
///
/// # Errors
/// The state of a folder cannot be used: there is nobody else to bring what is needed.
pub(super) fn begin(state: &StateDir, settings: &Settings) -> Result<Beginning, StateError> {
    match &settings.source {
        Source::ControlPlane(control_plane) => Ok(last_known_good(state, control_plane)),
        Source::Folder(folder) => {
            let store = Store::open(state.standalone(folder))?;
            let identity = folder::identity(&store, folder)?;
            last_served(identity, store)
        }
    }
}

/// What an earlier process served for the same token. Damaged state is said and left alone: the
/// control plane brings what is needed.
fn last_known_good(state: &StateDir, control_plane: &ControlPlane) -> Beginning {
    let read = || -> Result<_, StateError> {
        let Some(identity) = state.identity(&control_plane.token)? else {
            return Ok((SourceState::default(), BTreeMap::new()));
        };
        let store = Store::open(state.environment(&identity))?;
        last_served(identity, store)
    };
    read().unwrap_or_else(|e| {
        tracing::error!(code = "STATE_CORRUPT", "start without last-known-good: {e}");
        (SourceState::default(), BTreeMap::new())
    })
}

/// What served last from a store. A damaged revision is said and left alone.
fn last_served(identity: Identity, store: Store) -> Result<Beginning, StateError> {
    let keys = KeyLedger::last_known(&store)?;
    let last = store.last_known_good();
    let initial = SourceState {
        tenancy: Some(Arc::new(Tenancy { identity, store })),
        keys,
        ..SourceState::default()
    };
    Ok(match last {
        Ok(Some(last)) => {
            let number = last.snapshot.revision.number;
            tracing::info!(
                revision = number,
                "starting from revision {number}, which served last"
            );
            let initial = SourceState {
                snapshot: Some(Arc::new(last.snapshot)),
                ..initial
            };
            (initial, last.held)
        }
        Ok(None) => (initial, BTreeMap::new()),
        Err(e) => {
            tracing::error!(code = "STATE_CORRUPT", "start without last-known-good: {e}");
            (initial, BTreeMap::new())
        }
    })
}

/// What a gateway with these settings offers to libraries.
///
/// # Errors
/// The machine's libc has no version that can be read.
pub fn profile(settings: &Settings) -> Result<GatewayProfile, String> {
    let built: GatewayVersion = BUILT_VERSION.parse().map_err(|e| format!("{e}"))?;
    Ok(GatewayProfile {
        version: settings.gateway.version.unwrap_or(built),
        platform: Platform::current(),
        libc: process::libc_version().parse()?,
        abi: AbiVersion {
            major: gantry_abi::ABI_MAJOR,
            minor: gantry_abi::ABI_MINOR,
        },
    })
}

/// The same as it is told to others, with a nonce for this process.
pub(super) fn wire_profile(
    id: &GatewayId,
    profile: &GatewayProfile,
    overridden: Option<GatewayVersion>,
) -> io::Result<v1::GatewayProfile> {
    let nonce = getrandom::u64().map_err(io::Error::other)?;
    let built = || format!("v{BUILT_VERSION}");
    Ok(v1::GatewayProfile {
        gateway_id: id.to_string(),
        instance_nonce: format!("{nonce:016x}"),
        version: profile.version.to_string(),
        built_version: overridden.map(|_| built()).unwrap_or_default(),
        platform: profile.platform.to_string(),
        libc: profile.libc.to_string(),
        abi: profile.abi.to_string(),
        features: Vec::new(),
    })
}

/// The operators' door, unless it is off.
pub(super) async fn listen_admin(
    settings: &Settings,
) -> Result<Option<TcpListener>, SupervisorError> {
    let Some(address) = settings.admin_listen else {
        return Ok(None);
    };
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|source| SupervisorError::Listen {
        purpose: "operators",
        address,
        source,
    })
}

/// Writes the addresses for whoever started this with port 0.
pub(super) fn write_addresses(
    path: &Path,
    listen: SocketAddr,
    admin: Option<SocketAddr>,
) -> Result<(), SupervisorError> {
    let document =
        json!({"listen": listen.to_string(), "admin": admin.map(|admin| admin.to_string())});
    files::replace(path, format!("{document}\n").as_bytes()).map_err(|source| {
        SupervisorError::AddressFile {
            path: path.to_owned(),
            source,
        }
    })
}
