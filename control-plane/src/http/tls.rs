//! TLS of the HTTP door, with the certificate of `[server]`.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Takes TLS connections.
pub(crate) type Acceptor = TlsAcceptor;

/// Why certificate and key cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or not what it should hold.
    #[error("read certificate and key as PEM")]
    Pem(#[from] tokio_rustls::rustls::pki_types::pem::Error),
    /// They do not go together, or are of no known kind.
    #[error("use certificate and key")]
    Rustls(#[from] tokio_rustls::rustls::Error),
}

/// An acceptor for a certificate chain and its key, both PEM.
pub(crate) fn acceptor(certificate: &[u8], key: &[u8]) -> Result<Acceptor, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain?, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
