//! HTTP/1.1 as clients and upstreams meet it.

use std::time::Duration;

use gantry_gateway::sys::slot::Counter;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::orders::{TestApi, everything};
use crate::upstream::{Upstream, seen};
use crate::wire::{exchange, get, read, send};
use crate::worker::{TestWorker, settings};

async fn plain(upstream: &Upstream) -> TestWorker {
    TestWorker::serving(everything(1, [TestApi::new("a", "/a", &upstream.url())])).await
}

/// An upstream that answers every request, or connection, with these bytes, and the worker before it.
async fn scripted(answer: &'static [u8]) -> TestWorker {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
        }
    });
    TestWorker::serving(everything(1, [TestApi::new("a", "/a", &url)])).await
}

#[tokio::test]
async fn unclear_requests_are_refused_and_never_reach_the_upstream() {
    let upstream = Upstream::start().await;
    let worker = plain(&upstream).await;
    for path in [
        "/a/../b",
        "/a/%2e%2e/b",
        "/a%2fb",
        "/a%5cb",
        "//a",
        "/a//b",
        "/a%00",
        "/a/..;/b",
    ] {
        let answer = get(worker.address, path).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "PATH_AMBIGUOUS"),
            "{path}"
        );
    }
    let unknown = get(worker.address, "/ab").await;
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (404, "ROUTE_NOT_FOUND")
    );
    assert_eq!(unknown.header("content-type"), "application/json");
    let two = [("host", "a"), ("host", "b")];
    assert_eq!(
        send(worker.address, "GET", "/a", &two, "").await.code(),
        "HOST_INVALID"
    );
    let upgrade =
        "GET /a HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n";
    assert_eq!(
        read(&exchange(worker.address, upgrade).await).code(),
        "UPGRADE_UNSUPPORTED"
    );
    assert_eq!(upstream.requests(), 0);
    assert_eq!(worker.memory.read(Counter::RouteMisses), 1);
}

#[tokio::test]
async fn length_beside_a_transfer_coding_is_dropped_and_the_connection_closed() {
    let upstream = Upstream::start().await;
    let worker = plain(&upstream).await;
    for framing in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
    ] {
        let smuggled = "GET /a/smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
        let request = format!(
            "POST /a HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n1\r\nx\r\n0\r\n\r\n{smuggled}"
        );
        let answers = exchange(worker.address, &request).await;
        let told = read(&answers).json();
        assert_eq!(told["body"], "x");
        assert_eq!(seen(&told, "content-length"), "");
        assert_eq!(seen(&told, "transfer-encoding"), "chunked");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{answers}");
    }
    let twice = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx";
    assert_eq!(read(&exchange(worker.address, twice).await).status, 400);
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn headers_of_the_connection_end_at_the_gateway() {
    let upstream = Upstream::start().await;
    let worker = plain(&upstream).await;
    let request = "GET /a HTTP/1.1\r\nhost: asked.example:8080\r\nconnection: close, x-mine\r\n\
        x-mine: 1\r\nkeep-alive: 5\r\nte: trailers\r\nx-kept: 1\r\nx-forwarded-for: 192.0.2.1\r\n\r\n";
    let answer = read(&exchange(worker.address, request).await);
    let told = answer.json();
    assert_eq!(seen(&told, "x-kept"), "1");
    for gone in ["connection", "x-mine", "keep-alive", "te"] {
        assert_eq!(seen(&told, gone), "", "{gone}");
    }
    assert_eq!(seen(&told, "host"), upstream.address.to_string());
    assert_eq!(seen(&told, "x-forwarded-host"), "asked.example:8080");
    assert_eq!(seen(&told, "x-forwarded-for"), "192.0.2.1, 127.0.0.1");
    assert_eq!(answer.header("keep-alive"), "");
    assert_eq!(answer.header("x-upstream"), "1");
}

#[tokio::test]
async fn function_headers_cannot_be_removed_by_naming_them_in_connection() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url()).function("pre", "Mark");
    let worker = TestWorker::serving(everything(1, [api])).await;
    let request =
        "GET /a HTTP/1.1\r\nhost: a\r\nconnection: close, x-step\r\nx-step: forged\r\n\r\n";
    let told = read(&exchange(worker.address, request).await).json();
    assert_eq!(seen(&told, "x-step"), "pre");
}

#[tokio::test]
async fn upstream_connection_is_reused_by_the_requests_of_many_clients() {
    let upstream = Upstream::start().await;
    let worker = plain(&upstream).await;
    for _ in 0..5 {
        assert_eq!(
            send(worker.address, "POST", "/a", &[], "body").await.json()["body"],
            "body"
        );
        assert_eq!(
            send(worker.address, "HEAD", "/a", &[], "").await.status,
            200
        );
    }
    assert_eq!((upstream.requests(), upstream.connections()), (10, 1));
    assert_eq!(worker.memory.read(Counter::UpstreamConnects), 1);
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    let upstream = Upstream::start().await;
    let worker = plain(&upstream).await;
    let body = "0123456789abcdef".repeat(64 << 10);
    let answer = send(
        worker.address,
        "POST",
        "/a",
        &[("expect", "100-continue")],
        &body,
    )
    .await;
    // The interim answer comes first.
    assert_eq!(answer.status, 100);
    let (_, rest) = answer.body.split_once("HTTP/1.1 200").unwrap();
    let told = read(&format!("HTTP/1.1 200{rest}")).json();
    assert_eq!(told["body"], body);
    assert_eq!(seen(&told, "expect"), "");
}

#[tokio::test]
async fn head_and_bodiless_answers_keep_their_meaning() {
    let worker = scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
    let head = send(worker.address, "HEAD", "/a", &[], "").await;
    assert_eq!(
        (head.status, head.header("content-length").as_str()),
        (200, "5")
    );
    let worker =
        scripted(b"HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 5\r\n\r\n").await;
    let unchanged = get(worker.address, "/a").await;
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    let worker = scripted(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(get(worker.address, "/a").await.status, 204);
}

#[tokio::test]
async fn chunked_answer_and_one_that_ends_with_its_connection_pass() {
    let worker = scripted(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(get(worker.address, "/a").await.body, "abcde");
    let old = exchange(worker.address, "GET /a HTTP/1.0\r\n\r\n").await;
    assert!(old.ends_with("\r\n\r\nabcde"), "{old}");
    let worker = scripted(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
    assert_eq!(get(worker.address, "/a").await.body, "until the end");
}

#[tokio::test]
async fn answer_that_breaks_off_breaks_off_for_the_client_too() {
    let worker = scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let answer = get(worker.address, "/a").await;
    assert_eq!(
        (
            answer.header("content-length").as_str(),
            answer.body.as_str()
        ),
        ("10", "half")
    );
}

#[tokio::test]
async fn upstream_that_is_not_there_or_talks_nonsense_or_nothing_is_a_gateway_error() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quiet = format!("http://{}", silent.local_addr().unwrap());
    let mut limited = settings();
    limited.upstream_response_timeout_ms = 50;
    let mut worker = TestWorker::start(limited).await;
    let apis = [
        TestApi::new("gone", "/gone", &gone),
        TestApi::new("quiet", "/quiet", &quiet),
    ];
    worker.apply(everything(1, apis)).await;
    let answer = get(worker.address, "/gone").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "UPSTREAM_UNREACHABLE")
    );
    let answer = get(worker.address, "/quiet").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "UPSTREAM_TIMEOUT")
    );
    assert_eq!(worker.memory.read(Counter::UpstreamErrors), 2);
    let worker = scripted(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n").await;
    assert_eq!(get(worker.address, "/a").await.code(), "UPSTREAM_BROKEN");
    let worker = scripted(b"nonsense\r\n\r\n").await;
    let answer = get(worker.address, "/a").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "UPSTREAM_BROKEN")
    );
}

#[tokio::test]
async fn upstream_that_closes_after_each_answer_is_connected_to_again() {
    let worker = scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    for _ in 0..5 {
        assert_eq!(get(worker.address, "/a").await.body, "ok");
    }
}

/// An upstream whose first connection answers once and dies of the second request, after reading it.
async fn dying() -> TestWorker {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for requests in [1, 9] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            for _ in 0..requests {
                let _ = stream.read(&mut request).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await;
            }
            let _ = stream.read(&mut request).await;
        }
    });
    TestWorker::serving(everything(1, [TestApi::new("a", "/a", &url)])).await
}

#[tokio::test]
async fn only_a_safe_request_is_sent_again_when_a_reused_connection_dies_of_it() {
    for (method, status) in [("GET", 200), ("HEAD", 200), ("POST", 502), ("DELETE", 502)] {
        let worker = dying().await;
        assert_eq!(get(worker.address, "/a").await.status, 200);
        let answer = send(worker.address, method, "/a", &[], "").await;
        assert_eq!(answer.status, status, "{method}");
    }
}

#[tokio::test]
async fn client_that_leaves_takes_its_upstream_request_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let worker = TestWorker::serving(everything(1, [TestApi::new("a", "/a", &url)])).await;
    let mut client = TcpStream::connect(worker.address).await.unwrap();
    client
        .write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let (mut upstream, _) = listener.accept().await.unwrap();
    let mut request = [0; 1024];
    assert_ne!(upstream.read(&mut request).await.unwrap(), 0);
    drop(client);
    let closed = tokio::time::timeout(Duration::from_secs(10), upstream.read(&mut request)).await;
    assert_eq!(closed.expect("closed in time").unwrap_or(0), 0);
}

#[tokio::test]
async fn head_that_is_too_large_or_malformed_is_refused_without_a_body() {
    let upstream = Upstream::start().await;
    let worker = plain(&upstream).await;
    let with =
        |headers: &str| format!("GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
    let many = |count: usize| "x-a: 1\r\n".repeat(count - 2);
    let long = format!("x-a: {}\r\n", "1".repeat(512 << 10));
    for (headers, status) in [
        // The upstream of this test takes no more either, and gets three from the gateway.
        (many(97), 200),
        (many(101), 431),
        (long, 431),
        ("malformed\r\n".to_owned(), 400),
    ] {
        let refused = read(&exchange(worker.address, &with(&headers)).await);
        assert_eq!(refused.status, status, "{} bytes", headers.len());
        assert_eq!(refused.body.is_empty(), status != 200);
    }
}

#[tokio::test]
async fn client_that_is_refused_while_it_sends_gets_the_answer() {
    let upstream = Upstream::start().await;
    let worker = plain(&upstream).await;
    let body = "x".repeat(32 << 20);
    let head = format!("content-length: {}\r\n\r\n", body.len());
    // By the chain, and by the server: a header without a colon.
    for (refused, status) in [
        ("POST /nowhere HTTP/1.1\r\nhost: a\r\n", 404),
        ("POST /a HTTP/1.1\r\nhost: a\r\nmalformed\r\n", 400),
    ] {
        let mut client = TcpStream::connect(worker.address).await.unwrap();
        let request = format!("{refused}{head}{body}");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(read(&answer).status, status);
    }
}
