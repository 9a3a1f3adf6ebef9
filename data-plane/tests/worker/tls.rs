//! Upstreams that speak TLS: whom a worker trusts, and that nothing goes to anybody else.

use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::orders::{TestApi, everything};
use crate::upstream::{Upstream, seen};
use crate::wire::{Answer, send};
use crate::worker::{TestWorker, settings};

type Issued = CertifiedKey<KeyPair>;

fn issued(name: &str) -> Issued {
    generate_simple_self_signed([name.to_owned()]).unwrap()
}

fn acceptor(issued: &Issued) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A worker that trusts one certificate, before a target.
async fn trusting(issued: &Issued, target: &str) -> TestWorker {
    let mut settings = settings();
    settings.upstream_ca_pem = Some(issued.cert.pem());
    let mut worker = TestWorker::start(settings).await;
    let failures = worker.apply(everything(1, [TestApi::new("a", "/a", target)]));
    assert_eq!(failures.await, []);
    worker
}

async fn post(worker: &TestWorker) -> Answer {
    send(worker.address, "POST", "/a/x", &[], "secret").await
}

#[tokio::test]
async fn certified_upstream_is_served_and_its_connection_kept() {
    let certificate = issued("localhost");
    let upstream = Upstream::start_tls(acceptor(&certificate)).await;
    let port = upstream.address.port();
    let worker = trusting(&certificate, &format!("https://localhost:{port}/base")).await;
    for _ in 0..3 {
        let answer = post(&worker).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.json();
        assert_eq!(told["target"], "/base/a/x");
        assert_eq!(told["body"], "secret");
        assert_eq!(seen(&told, "host"), format!("localhost:{port}"));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn upstream_that_is_not_certified_for_its_host_gets_nothing() {
    let (ours, foreign) = (issued("localhost"), issued("localhost"));
    let other_name = issued("other.example");
    let cases = [
        ("another authority", &ours, &foreign),
        ("another name", &other_name, &other_name),
    ];
    for (case, trusted, shown) in cases {
        let upstream = Upstream::start_tls(acceptor(shown)).await;
        let port = upstream.address.port();
        let worker = trusting(trusted, &format!("https://localhost:{port}")).await;
        let answer = post(&worker).await;
        assert_eq!(
            (answer.status, answer.code().as_str(), upstream.requests()),
            (502, "UPSTREAM_UNTRUSTED", 0),
            "{case}"
        );
    }
}

#[tokio::test]
async fn upstream_without_tls_gets_nothing_where_tls_is_asked_for() {
    let upstream = Upstream::start().await;
    let port = upstream.address.port();
    let worker = trusting(&issued("localhost"), &format!("https://localhost:{port}")).await;
    let answer = post(&worker).await;
    assert_eq!(
        (answer.status, answer.code().as_str(), upstream.requests()),
        (502, "UPSTREAM_UNTRUSTED", 0)
    );
}
