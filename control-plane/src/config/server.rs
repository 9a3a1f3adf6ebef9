//! `[server]`: how the control plane listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::source::Source;

/// Where it listens unless configuration says otherwise.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7400);

/// How it listens.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `listen`: address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `tls_certificate_file` and `tls_key_file`: server TLS.
    pub tls: Option<TlsConfig>,
    /// `allow_plaintext_remote`: serve other machines without TLS. Tokens and consumer keys' sessions
    /// then cross the network readable.
    pub allow_plaintext_remote: bool,
    /// `address_file`: where the address that is listened on is written once it is.
    pub address_file: Option<PathBuf>,
    /// `call_timeout_ms`: for a call that is not a stream of the caller's.
    pub call_timeout: Duration,
    /// `shutdown_timeout_ms`: for calls in progress when the process is told to end.
    pub shutdown_timeout: Duration,
    /// `keepalive_interval_ms`: how often an idle connection is asked whether it is alive.
    pub keepalive_interval: Duration,
    /// `keepalive_timeout_ms`: how long it may take to answer.
    pub keepalive_timeout: Duration,
    /// `connections_max`: connections at once.
    pub connections_max: usize,
    /// `calls_per_connection_max`: calls in progress on one connection.
    pub calls_per_connection_max: u32,
}

/// Server TLS.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// PEM: the certificate, then its intermediates.
    pub certificate_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
}

impl ServerConfig {
    pub(super) fn read(source: &mut Source) -> Self {
        let listen = source.setting("server.listen", LISTEN_DEFAULT);
        let certificate_file: Option<PathBuf> = source.optional("server.tls_certificate_file");
        let key_file: Option<PathBuf> = source.optional("server.tls_key_file");
        let allow_plaintext_remote = source.setting("server.allow_plaintext_remote", false);
        let tls = match (certificate_file, key_file) {
            (Some(certificate_file), Some(key_file)) => Some(TlsConfig {
                certificate_file,
                key_file,
            }),
            (None, None) => None,
            _ => {
                source.conflict(
                    "server.tls_certificate_file",
                    "expected server.tls_certificate_file and server.tls_key_file together, found one",
                );
                None
            }
        };
        if tls.is_none() && !listen.ip().is_loopback() && !allow_plaintext_remote {
            source.conflict(
                "server.listen",
                format!(
                    "expected a loopback address, since there is no TLS, found {listen}; set \
                     server.tls_certificate_file and server.tls_key_file, or \
                     server.allow_plaintext_remote if the network is trusted"
                ),
            );
        }
        Self {
            listen,
            tls,
            allow_plaintext_remote,
            address_file: source.optional("server.address_file"),
            call_timeout: millis(source, "server.call_timeout_ms", 30_000),
            shutdown_timeout: millis(source, "server.shutdown_timeout_ms", 10_000),
            keepalive_interval: millis(source, "server.keepalive_interval_ms", 20_000),
            keepalive_timeout: millis(source, "server.keepalive_timeout_ms", 20_000),
            connections_max: source.setting("server.connections_max", 16_384),
            calls_per_connection_max: source.setting("server.calls_per_connection_max", 256),
        }
    }
}

pub(super) fn millis(source: &mut Source, path: &'static str, default: u64) -> Duration {
    Duration::from_millis(source.setting(path, default))
}
