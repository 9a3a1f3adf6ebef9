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
use super::state::{StateDir, StateError};
use super::store::Store;
use super::{SupervisorError, files};
use crate::config::{BUILT_VERSION, Settings};
use crate::source::keys::KeyLedger;
use crate::source::{SourceState, Tenancy};
use crate::sys::process;

/// What an earlier process served for the same token, so that this one serves it at once. Damaged
/// state is said and left alone: the control plane brings what is needed.
pub(super) fn last_known_good(
    state: &StateDir,
    settings: &Settings,
) -> (SourceState, BTreeMap<String, EffectiveApi>) {
    let read = || -> Result<_, StateError> {
        let Some(identity) = state.identity(&settings.control_plane.token)? else {
            return Ok((SourceState::default(), BTreeMap::new()));
        };
        let store = Store::open(state.environment(&identity))?;
        let keys = KeyLedger::last_known(&store)?;
        let tenancy = Some(Arc::new(Tenancy {
            identity,
            store: store.clone(),
        }));
        let initial = SourceState {
            tenancy,
            keys,
            ..SourceState::default()
        };
        Ok(match store.last_known_good() {
            Ok(Some(last)) => {
                let number = last.snapshot.revision.number;
                tracing::info!(
                    revision = number,
                    "starting from revision {number}, which served last"
                );
                let snapshot = Some(Arc::new(last.snapshot));
                (
                    SourceState {
                        snapshot,
                        ..initial
                    },
                    last.held,
                )
            }
            Ok(None) => (initial, BTreeMap::new()),
            Err(e) => {
                tracing::error!(code = "STATE_CORRUPT", "start without last-known-good: {e}");
                (initial, BTreeMap::new())
            }
        })
    };
    read().unwrap_or_else(|e| {
        tracing::error!(code = "STATE_CORRUPT", "start without last-known-good: {e}");
        (SourceState::default(), BTreeMap::new())
    })
}

/// What this gateway offers to libraries.
pub(super) fn profile(settings: &Settings) -> Result<GatewayProfile, String> {
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
