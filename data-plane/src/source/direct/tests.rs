//! One GET against servers that answer whatever a test wants, with and without TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::generate_simple_self_signed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;

const SIGNED: &str = "X-Amz-Signature=5eC2e7";

/// A server that gives one answer to each connection and then closes it.
async fn server(answer: &'static [u8], tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let stream: Box<dyn Connection> = match &tls {
                None => Box::new(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => continue,
                },
            };
            speak(stream, answer).await;
        }
    });
    address
}

async fn speak(mut stream: Box<dyn Connection>, answer: &[u8]) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    assert!(
        request.starts_with(&format!("GET /b/k?{SIGNED} ")),
        "{request}"
    );
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

fn url(scheme: &str, address: SocketAddr) -> Secret<String> {
    Secret::new(format!("{scheme}://{address}/b/k?{SIGNED}"))
}

async fn read(storage: &ObjectStorage, url: &Secret<String>) -> Result<Vec<u8>, DirectError> {
    let mut download = storage.get(url, 5).await?;
    let mut all = Vec::new();
    while let Some(bytes) = download.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

fn plain() -> ObjectStorage {
    ObjectStorage::new(None, false)
}

#[tokio::test]
async fn object_of_a_url_is_read() {
    let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbytes", None).await;
    assert_eq!(
        read(&plain(), &url("http", address)).await.unwrap(),
        b"bytes"
    );
}

#[tokio::test]
async fn answers_that_are_not_the_object_are_refused_by_code_and_never_tell_the_url() {
    for (answer, code) in [
        (
            &b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"[..],
            "STORAGE_REFUSED",
        ),
        (
            b"HTTP/1.1 307 Elsewhere\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n",
            "STORAGE_REFUSED",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nbytes!",
            "STORAGE_SIZE",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbyt",
            "STORAGE_BROKEN",
        ),
        (b"nothing that is HTTP\r\n\r\n", "STORAGE_BROKEN"),
        (b"", "STORAGE_BROKEN"),
    ] {
        let address = server(answer, None).await;
        let refusal = read(&plain(), &url("http", address)).await.unwrap_err();
        assert_eq!(refusal.code(), code, "{refusal}");
        let said = format!("{refusal} {refusal:?}");
        assert!(
            !said.contains("Signature") && !said.contains("/b/k"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn urls_that_lead_elsewhere_are_refused_before_anything_is_sent() {
    for (url, code) in [
        ("", "STORAGE_URL_INVALID"),
        ("/b/k", "STORAGE_URL_INVALID"),
        ("ftp://h/b/k", "STORAGE_URL_INVALID"),
        ("http://user@127.0.0.1/b/k", "STORAGE_URL_INVALID"),
        ("http://192.0.2.1/b/k", "STORAGE_PLAINTEXT"),
    ] {
        let refusal = read(&plain(), &Secret::new(url.to_owned()))
            .await
            .unwrap_err();
        assert_eq!(refusal.code(), code, "{url}: {refusal}");
    }
    let long = format!("http://127.0.0.1/{}", "x".repeat(URL_CHARS_MAX));
    let refusal = read(&plain(), &Secret::new(long)).await.unwrap_err();
    assert_eq!(refusal.code(), "STORAGE_URL_INVALID");
}

#[tokio::test]
async fn server_that_cannot_be_reached_is_left_alone_for_a_while() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let storage = plain();
    assert!(!storage.is_away());
    let refusal = read(&storage, &url("http", address)).await.unwrap_err();
    assert_eq!(refusal.code(), "STORAGE_UNREACHABLE");
    assert!(storage.is_away());
}

#[tokio::test]
async fn only_a_certificate_of_a_trusted_authority_is_spoken_to() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbytes";
    let issued = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let address = server(answer, Some(TlsAcceptor::from(Arc::new(config)))).await;
    let url = url("https", address);
    let trusting = ObjectStorage::new(Some(issued.cert.pem().as_bytes()), false);
    assert_eq!(read(&trusting, &url).await.unwrap(), b"bytes");
    let refusal = read(&plain(), &url).await.unwrap_err();
    assert_eq!(refusal.code(), "STORAGE_UNREACHABLE", "{refusal}");
}

/// A server that goes on with an answer a byte at a time, for ever, or stops saying anything.
async fn slow_server(head: &'static [u8], dribbles: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(head).await.unwrap();
        while dribbles && stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    address
}

#[tokio::test]
async fn server_that_is_silent_or_dribbles_is_not_waited_for() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    for (head, dribbles, cause) in [
        (&b""[..], false, "no answer"),
        (head, false, "silent"),
        (head, true, "slower than"),
    ] {
        let mut storage = plain();
        storage.patience = Patience {
            silence: Duration::from_millis(200),
            body: Duration::from_millis(500),
            rate_min: 1 << 30,
            ..PATIENCE
        };
        let url = url("http", slow_server(head, dribbles).await);
        let refusal = async {
            let mut download = storage.get(&url, 1_000_000).await?;
            while download.next().await?.is_some() {}
            Ok::<_, DirectError>(())
        };
        let refusal = refusal.await.unwrap_err();
        assert_eq!(refusal.code(), "STORAGE_BROKEN", "{refusal}");
        assert!(refusal.to_string().contains(cause), "{refusal}");
    }
}
