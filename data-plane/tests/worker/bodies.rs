//! Bodies that functions take and replace, and those that no function wants.

use std::time::Duration;

use gantry_gateway::sys::slot::Counter;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::library::bodies;
use crate::orders::{TestApi, everything};
use crate::upstream::{Upstream, seen};
use crate::wire::{exchange, get, read, send};
use crate::worker::{TestWorker, settings};

const PATIENCE: Duration = Duration::from_secs(20);

/// An API below `/a` with functions of `bodies.c`, each with its hook.
fn api(url: &str, functions: &[(&str, &str)]) -> TestApi {
    let api = TestApi::new("a", "/a", url);
    functions.iter().fold(api, |api, (hook, function)| {
        api.function_of(&bodies(), hook, function)
    })
}

async fn worker(url: &str, functions: &[(&str, &str)]) -> TestWorker {
    TestWorker::serving(everything(1, [api(url, functions)])).await
}

/// The same with small limits.
async fn limited(url: &str, functions: &[(&str, &str)]) -> TestWorker {
    let mut settings = settings();
    settings.request_body_bytes_max = 16;
    settings.response_body_bytes_max = 16;
    let mut worker = TestWorker::start(settings).await;
    let applied = worker.apply(everything(1, [api(url, functions)])).await;
    assert_eq!(applied, []);
    worker
}

/// An upstream that answers the first read of every connection with these bytes and closes it.
async fn scripted(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
        }
    });
    url
}

fn chunked(trailers: &str) -> String {
    format!(
        "POST /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntrailer: x-sum\r\n\
         transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n{trailers}\r\n"
    )
}

#[tokio::test]
async fn chunked_request_comes_whole_to_every_function_and_goes_on_with_a_length() {
    let upstream = Upstream::start().await;
    let functions = [("pre", "Take"), ("post", "TakeInPool")];
    let worker = worker(&upstream.url(), &functions).await;
    let told = read(&exchange(worker.address, &chunked("")).await).json();
    let taken = ["5:abcde"; 4].join(",");
    assert_eq!(
        (&told["body"], seen(&told, "x-taken")),
        (&"abcde".into(), taken)
    );
    assert_eq!(seen(&told, "content-length"), "5");
    assert_eq!(seen(&told, "transfer-encoding"), "");
}

#[tokio::test]
async fn replaced_request_body_has_its_own_length_and_none_of_the_old_ones_headers() {
    let upstream = Upstream::start().await;
    for (functions, body) in [
        (&[("pre", "Wrap"), ("post", "Wrap")][..], "[[0123]]"),
        (&[("pre", "Cut")][..], "0"),
        (&[("pre", "Wrap"), ("pre", "Clear")][..], ""),
        (&[("pre", "Clear"), ("post", "Wrap")][..], "[]"),
    ] {
        let worker = worker(&upstream.url(), functions).await;
        let headers = [
            ("content-encoding", "gzip"),
            ("content-digest", "x"),
            ("content-type", "text/plain"),
        ];
        let answer = send(worker.address, "POST", "/a", &headers, "0123").await;
        let told = answer.json();
        assert_eq!(told["body"], body);
        assert_eq!(seen(&told, "content-length"), body.len().to_string());
        assert_eq!(seen(&told, "content-encoding"), "");
        assert_eq!(seen(&told, "content-digest"), "");
        assert_eq!(seen(&told, "content-type"), "text/plain");
    }
}

#[tokio::test]
async fn request_without_a_body_has_an_empty_one_and_may_get_one() {
    let upstream = Upstream::start().await;
    let taking = worker(&upstream.url(), &[("pre", "Take")]).await;
    let told = get(taking.address, "/a").await.json();
    assert_eq!(seen(&told, "x-taken"), "0:,0:");
    assert_eq!(seen(&told, "content-length"), "");
    let request = "POST /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let told = read(&exchange(taking.address, request).await).json();
    assert_eq!(seen(&told, "content-length"), "0");
    let wrapping = worker(&upstream.url(), &[("pre", "Wrap")]).await;
    let told = get(wrapping.address, "/a").await.json();
    assert_eq!(
        (&told["body"], seen(&told, "content-length")),
        (&"[]".into(), "2".into())
    );
}

#[tokio::test]
async fn request_body_up_to_the_limit_passes_and_a_longer_one_is_refused() {
    let upstream = Upstream::start().await;
    let worker = limited(&upstream.url(), &[("pre", "Take")]).await;
    let full = "x".repeat(16);
    let told = send(worker.address, "POST", "/a", &[], &full).await.json();
    assert_eq!(told["body"], full);
    let declared = send(worker.address, "POST", "/a", &[], &"x".repeat(17)).await;
    let pieces = "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
        9\r\n012345678\r\n9\r\n012345678\r\n0\r\n\r\n";
    let counted = read(&exchange(worker.address, pieces).await);
    for answer in [declared, counted] {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (413, "REQUEST_BODY_TOO_LARGE")
        );
        assert_eq!(answer.header("connection"), "close");
    }
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn replacement_may_be_longer_than_the_limit_of_what_is_read() {
    let upstream = Upstream::start().await;
    let worker = limited(&upstream.url(), &[("pre", "Wrap")]).await;
    let told = send(worker.address, "POST", "/a", &[], &"x".repeat(16)).await;
    assert_eq!(seen(&told.json(), "content-length"), "18");
}

#[tokio::test]
async fn client_is_told_to_continue_only_when_a_function_wants_its_body() {
    let upstream = Upstream::start().await;
    let head = "POST /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";

    // A function that refuses before any wants the body does not wait for it.
    let api = TestApi::new("a", "/a", &upstream.url())
        .function("pre", "Answer")
        .function_of(&bodies(), "post", "Take");
    let refusing = TestWorker::serving(everything(1, [api])).await;
    let answer = exchange(refusing.address, head).await;
    assert!(answer.starts_with("HTTP/1.1 418"), "{answer}");

    // So is a body that is declared too long.
    let tight = limited(&upstream.url(), &[("pre", "Take")]).await;
    let long = head.replace("content-length: 4", "content-length: 4000");
    let answer = exchange(tight.address, &long).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

    let taking = worker(&upstream.url(), &[("pre", "Take")]).await;
    let mut client = TcpStream::connect(taking.address).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    let told_to = timeout(PATIENCE, client.read_exact(&mut interim)).await;
    told_to.expect("an interim answer in time").unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(upstream.requests(), 0);
    client.write_all(b"body").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let told = read(&answer).json();
    assert_eq!(
        (&told["body"], seen(&told, "expect")),
        (&"body".into(), String::new())
    );
}

#[tokio::test]
async fn slow_sender_is_waited_for_and_one_that_stops_short_is_refused() {
    let upstream = Upstream::start().await;
    let worker = worker(&upstream.url(), &[("pre", "Take")]).await;
    let head = "POST /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 6\r\n\r\n";
    let mut client = TcpStream::connect(worker.address).await.unwrap();
    client.set_nodelay(true).unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    for byte in b"slowly"[..5].chunks(1) {
        client.write_all(byte).await.unwrap();
        // Other requests are served in between.
        assert_eq!(get(worker.address, "/a").await.status, 200);
    }
    assert_eq!(upstream.requests(), 5);
    client.write_all(b"y").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(read(&answer).json()["body"], "slowly");

    let mut short = TcpStream::connect(worker.address).await.unwrap();
    short
        .write_all(format!("{head}half").as_bytes())
        .await
        .unwrap();
    short.shutdown().await.unwrap();
    let mut answer = String::new();
    let _ = short.read_to_string(&mut answer).await;
    let answer = read(&answer);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "REQUEST_BROKEN")
    );
    assert_eq!(upstream.requests(), 6);
}

#[tokio::test]
async fn response_comes_whole_and_goes_on_with_a_length() {
    let answer =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for (function, body, taken) in [
        ("TakeResponse", "abcde", "5:abcde,5:abcde"),
        ("WrapResponse", "[abcde]", ""),
        ("CutResponse", "a", ""),
    ] {
        let worker = worker(&scripted(answer).await, &[("response", function)]).await;
        let answer = get(worker.address, "/a").await;
        assert_eq!(
            (answer.body.as_str(), answer.header("x-taken").as_str()),
            (body, taken)
        );
        assert_eq!(answer.header("content-length"), body.len().to_string());
        assert_eq!(answer.header("transfer-encoding"), "");
    }
}

#[tokio::test]
async fn compressed_response_is_seen_compressed_and_a_replacement_is_not_called_so() {
    let compressed =
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00";
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\netag: \"1\"\r\ncontent-type: text/plain\r\n\
         content-digest: x\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nset-cookie: a=b\r\n\
         content-length: {}\r\n\r\n",
        compressed.len()
    )
    .into_bytes();
    answer.extend_from_slice(compressed);
    let url = scripted(answer).await;
    let taken = get(
        worker(&url, &[("response", "TakeResponse")]).await.address,
        "/a",
    )
    .await;
    // The fixture prints up to the first zero byte.
    assert_eq!(taken.header("x-taken"), ["21:..."; 2].join(","));
    assert_eq!(taken.header("content-encoding"), "gzip");
    assert_eq!(taken.header("etag"), "\"1\"");
    assert_eq!(taken.header("content-length"), "21");
    let cut = get(
        worker(&url, &[("response", "CutResponse")]).await.address,
        "/a",
    )
    .await;
    for gone in [
        "content-encoding",
        "etag",
        "content-digest",
        "last-modified",
    ] {
        assert_eq!(cut.header(gone), "", "{gone}");
    }
    assert_eq!(cut.header("content-type"), "text/plain");
    assert_eq!(cut.header("set-cookie"), "a=b");
    assert_eq!(cut.header("content-length"), "1");
}

#[tokio::test]
async fn answers_that_may_have_no_body_get_none() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-kept: 1\r\n\r\n";
    let unchanged = "HTTP/1.1 304 Not Modified\r\netag: x\r\ncontent-length: 5\r\n\r\n";
    let nothing = "HTTP/1.1 204 No Content\r\nx-kept: 1\r\n\r\n";
    for function in ["TakeResponse", "WrapResponse"] {
        for (method, answer, status) in [
            ("HEAD", head, 200),
            ("GET", unchanged, 304),
            ("GET", nothing, 204),
        ] {
            let worker = worker(&scripted(answer).await, &[("response", function)]).await;
            let answer = send(worker.address, method, "/a", &[], "").await;
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (status, ""),
                "{function}"
            );
            // It could be the length of what functions would make of another response.
            assert_eq!(answer.header("content-length"), "", "{function} {status}");
            if function == "TakeResponse" {
                assert_eq!(answer.header("x-taken"), "0:,0:", "{status}");
            }
        }
    }
    let empty = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let worker = worker(&scripted(empty).await, &[("response", "WrapResponse")]).await;
    assert_eq!(get(worker.address, "/a").await.body, "[]");
}

#[tokio::test]
async fn response_that_is_too_long_or_breaks_off_is_a_gateway_error_and_nothing_of_it_leaves() {
    let declared = "HTTP/1.1 200 OK\r\ncontent-length: 17\r\nx-secret: 1\r\n\r\n0123456789abcdefg";
    let counted = "HTTP/1.1 200 OK\r\nx-secret: 1\r\n\r\n0123456789abcdefg";
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nx-secret: 1\r\n\r\nhalf";
    let nonsense = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-secret: 1\r\n\r\nzz\r\n";
    for (answer, code) in [
        (declared, "RESPONSE_BODY_TOO_LARGE"),
        (counted, "RESPONSE_BODY_TOO_LARGE"),
        (broken, "UPSTREAM_BROKEN"),
        (nonsense, "UPSTREAM_BROKEN"),
    ] {
        let worker = limited(&scripted(answer).await, &[("response", "TakeResponse")]).await;
        let answer = get(worker.address, "/a").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, code));
        assert_eq!(answer.header("x-secret"), "");
    }
}

#[tokio::test]
async fn trailers_stream_through_and_end_where_a_function_wants_the_body() {
    let upstream = Upstream::start().await;
    let request = chunked("x-sum: 7\r\n");
    let streaming = worker(&upstream.url(), &[]).await;
    let told = read(&exchange(streaming.address, &request).await).json();
    assert_eq!(
        (&told["body"], &told["trailers"]),
        (&"abcde".into(), &"x-sum=7".into())
    );
    let taking = worker(&upstream.url(), &[("pre", "Take")]).await;
    let told = read(&exchange(taking.address, &request).await).json();
    assert_eq!(
        (&told["body"], &told["trailers"]),
        (&"abcde".into(), &"".into())
    );
    assert_eq!(seen(&told, "trailer"), "");

    let answer = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
        3\r\nabc\r\n0\r\nx-sum: 9\r\n\r\n";
    let url = scripted(answer).await;
    let request = "GET /a HTTP/1.1\r\nhost: a\r\nconnection: close, te\r\nte: trailers\r\n\r\n";
    let streaming = worker(&url, &[]).await;
    let answer = exchange(streaming.address, request).await;
    assert!(answer.ends_with("0\r\nx-sum: 9\r\n\r\n"), "{answer}");
    let taking = worker(&url, &[("response", "TakeResponse")]).await;
    let answer = read(&exchange(taking.address, request).await);
    assert_eq!(
        (answer.body.as_str(), answer.header("trailer").as_str()),
        ("abc", "")
    );
}

#[tokio::test]
async fn upstream_connection_is_kept_when_its_answer_was_taken_whole() {
    let upstream = Upstream::start().await;
    let functions = [("pre", "Wrap"), ("response", "WrapResponse")];
    let worker = worker(&upstream.url(), &functions).await;
    for _ in 0..5 {
        let answer = send(worker.address, "POST", "/a", &[], "x").await;
        assert!(answer.body.starts_with("[{") && answer.body.ends_with("}]"));
    }
    assert_eq!((upstream.requests(), upstream.connections()), (5, 1));
    assert_eq!(worker.memory.read(Counter::UpstreamConnects), 1);
}

/// The most memory that a worker ever had, bytes.
fn peak(worker: &TestWorker) -> usize {
    let pid = worker.child.id().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: usize = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}

#[tokio::test]
async fn large_bodies_stream_both_ways_in_little_memory_when_no_function_wants_them() {
    const LEN: usize = 64 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Echoes a body of this length without keeping it.
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {LEN}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (read, mut write) = stream.split();
        let echoed = tokio::io::copy(&mut read.take(LEN as u64), &mut write).await;
        assert_eq!(echoed.unwrap(), LEN as u64);
    });
    // With a function that looks at heads alone.
    let api = TestApi::new("a", "/a", &url).function("pre", "Mark");
    let worker = TestWorker::serving(everything(1, [api])).await;
    let before = peak(&worker);
    let client = TcpStream::connect(worker.address).await.unwrap();
    let (mut read, mut write) = client.into_split();
    let sending = tokio::spawn(async move {
        let head = format!(
            "POST /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {LEN}\r\n\r\n"
        );
        write.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..LEN / piece.len() {
            write.write_all(&piece).await.unwrap();
        }
        write
    });
    let mut received = 0;
    let mut piece = vec![0; 64 << 10];
    loop {
        match timeout(PATIENCE, read.read(&mut piece))
            .await
            .unwrap()
            .unwrap()
        {
            0 => break,
            len => received += len,
        }
    }
    sending.await.unwrap();
    assert!(received > LEN && received < LEN + 4096, "{received}");
    let grown = peak(&worker) - before;
    assert!(grown < 8 << 20, "grew by {grown} bytes");
}
