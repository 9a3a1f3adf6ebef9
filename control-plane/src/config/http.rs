//! `[http]`: bundles by plain HTTP. Certificate and plaintext rule are those of `[server]`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ServerConfig;
use super::server::millis;
use super::source::Source;

/// Whether and how bundles are taken by plain HTTP.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `listen`: address and port; port 0 takes a free one. Unset: there is no such door.
    pub listen: Option<SocketAddr>,
    /// `address_file`: where the address that is listened on is written once it is.
    pub address_file: Option<PathBuf>,
    /// `connections_max`: connections at once.
    pub connections_max: usize,
    /// `uploads_max`: archives taken in at once.
    pub uploads_max: usize,
    /// `upload_timeout_ms`: for all of an archive to arrive.
    pub upload_timeout: Duration,
    /// `spool_directory`: where archives lie while they are taken in.
    pub spool_directory: PathBuf,
}

impl HttpConfig {
    pub(super) fn read(source: &mut Source, server: &ServerConfig, data_dir: &Path) -> Self {
        let listen: Option<SocketAddr> = source.optional("http.listen");
        let remote = listen.filter(|listen| !listen.ip().is_loopback());
        if let Some(listen) = remote
            && server.tls.is_none()
            && !server.allow_plaintext_remote
        {
            source.conflict(
                "http.listen",
                format!(
                    "expected a loopback address, since there is no TLS, found {listen}; set \
                     server.tls_certificate_file and server.tls_key_file, or \
                     server.allow_plaintext_remote if the network is trusted"
                ),
            );
        }
        let spool = data_dir.join("incoming").display().to_string();
        Self {
            listen,
            address_file: source.optional("http.address_file"),
            connections_max: source.setting("http.connections_max", 256),
            uploads_max: source.setting("http.uploads_max", 4),
            upload_timeout: millis(source, "http.upload_timeout_ms", 900_000),
            spool_directory: PathBuf::from(source.setting("http.spool_directory", spool)),
        }
    }
}
