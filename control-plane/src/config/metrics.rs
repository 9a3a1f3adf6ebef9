//! `[metrics]`: what Prometheus reads, on a listener of its own: the other doors are open to those
//! who may not see how much there is of everything.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::source::Source;

/// Whether and how metrics are shown.
#[derive(Debug, Clone)]
pub struct MetricsConfig {
    /// `listen`: address and port, without TLS and without a token; port 0 takes a free one. Unset:
    /// there is no such door.
    pub listen: Option<SocketAddr>,
    /// `address_file`: where the address that is listened on is written once it is.
    pub address_file: Option<PathBuf>,
    /// `tenants_max`: tenants that have a label of their own; 0 is no label at all.
    pub tenants_max: usize,
}

impl MetricsConfig {
    pub(super) fn read(source: &mut Source) -> Self {
        Self {
            listen: source.optional("metrics.listen"),
            address_file: source.optional("metrics.address_file"),
            tenants_max: source.setting("metrics.tenants_max", 0),
        }
    }
}
