//! TLS to other servers, upstreams and object storage: who is trusted, and the handshake.
//!
//! A server is trusted when its certificate is for the host that was asked for and leads to an authority
//! of the system or of configuration; there is no way to switch that off. Authorities are read when the
//! first server asks for TLS, so that processes that speak none carry none.

use std::sync::{Arc, OnceLock};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Why no server could be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrustError {
    /// Neither the system nor configuration names an authority.
    #[error("the system has no certificate authorities; install some, or configure a ca_file")]
    Empty,
    /// The authorities, or the host, cannot be used.
    #[error("prepare TLS: {0}")]
    Unusable(String),
}

impl TrustError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "TRUST_EMPTY",
            Self::Unusable(_) => "TRUST_UNUSABLE",
        }
    }
}

/// Whom TLS servers must be certified by. Clones share what was read.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Authorities beside the system's, PEM.
    ca_pem: Option<Arc<[u8]>>,
    config: Arc<OnceLock<Result<Arc<ClientConfig>, TrustError>>>,
}

impl Trust {
    /// The system's authorities and, where given, those of a PEM text.
    pub fn new(ca_pem: Option<&[u8]>) -> Self {
        Self {
            ca_pem: ca_pem.map(Arc::from),
            config: Arc::default(),
        }
    }

    /// The way into a TLS server.
    ///
    /// # Errors
    /// Nobody can be trusted, or the host cannot be in a certificate.
    pub fn entrance(&self, host: &str) -> Result<Entrance, TrustError> {
        let read = || client_config(self.ca_pem.as_deref()).map(Arc::new);
        let config = self.config.get_or_init(read).clone()?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| TrustError::Unusable(error.to_string()))?;
        Ok(Entrance {
            connector: TlsConnector::from(config),
            name,
        })
    }
}

fn client_config(ca_pem: Option<&[u8]>) -> Result<ClientConfig, TrustError> {
    let unusable = |error: &dyn std::fmt::Display| TrustError::Unusable(error.to_string());
    let mut roots = RootCertStore::empty();
    // A system's file that cannot be read or parsed takes away trust and adds none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in CertificateDer::pem_slice_iter(ca_pem.unwrap_or_default()) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(TrustError::Empty);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The way into one TLS server.
#[derive(Clone)]
pub struct Entrance {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Entrance {
    /// Shakes hands.
    ///
    /// # Errors
    /// The server is not trusted, or speaks no TLS that we do.
    pub async fn enter(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}

impl std::fmt::Debug for Entrance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Entrance").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_are_none_are_refused_and_stay_refused() {
        let trust = Trust::new(Some(
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ));
        for _ in 0..2 {
            let refused = trust.entrance("up.example").unwrap_err();
            assert_eq!(refused.code(), "TRUST_UNUSABLE");
        }
    }

    #[test]
    fn host_that_no_certificate_can_name_is_refused() {
        let issued = rcgen::generate_simple_self_signed(["up".to_owned()]).unwrap();
        let trust = Trust::new(Some(issued.cert.pem().as_bytes()));
        assert!(trust.entrance("up").is_ok());
        assert!(trust.entrance("127.0.0.1").is_ok());
        let refused = trust.entrance("-no-host-").unwrap_err();
        assert_eq!(refused.code(), "TRUST_UNUSABLE");
    }
}
