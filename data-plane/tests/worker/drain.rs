//! The end of a worker.

use gantry_gateway::protocol::Order;
use gantry_gateway::sys::slot::Counter;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::orders::{TestApi, everything};
use crate::upstream::Upstream;
use crate::worker::{TestWorker, settings};

const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn draining_worker_serves_open_connections_once_more_and_exits() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url()).function("pre", "Mark");
    let mut worker = TestWorker::serving(everything(1, [api])).await;
    assert_eq!(worker.printed().await, "started Mark");
    let mut idle = TcpStream::connect(worker.address).await.unwrap();
    idle.write_all(REQUEST).await.unwrap();
    let mut answer = vec![0; 4096];
    let len = idle.read(&mut answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer[..len]).contains("connection: close"));
    worker.order(Order::Drain).await;
    // The order is carried out when the next answer says so.
    let mut rest = Vec::new();
    idle.write_all(REQUEST).await.unwrap();
    while !String::from_utf8_lossy(&rest).contains("connection: close") {
        if idle.read_buf(&mut rest).await.unwrap() == 0 {
            break;
        }
        if !String::from_utf8_lossy(&rest).contains("connection: close") && rest.ends_with(b"}") {
            rest.clear();
            idle.write_all(REQUEST).await.unwrap();
        }
    }
    let text = String::from_utf8_lossy(&rest);
    assert!(
        text.starts_with("HTTP/1.1 200") && text.contains("connection: close"),
        "{text}"
    );
    assert!(worker.ended().await.success());
    assert_eq!(worker.printed().await, "stopped");
}

#[tokio::test]
async fn connection_that_stays_open_does_not_hold_a_drain_for_ever() {
    let upstream = Upstream::start().await;
    let mut limited = settings();
    limited.drain_timeout_ms = 50;
    let mut worker = TestWorker::start(limited).await;
    worker
        .apply(everything(1, [TestApi::new("a", "/a", &upstream.url())]))
        .await;
    let _idle = TcpStream::connect(worker.address).await.unwrap();
    worker.order(Order::Drain).await;
    assert!(worker.ended().await.success());
}

#[tokio::test]
async fn worker_that_never_served_drains_at_once() {
    let mut worker = TestWorker::start(settings()).await;
    worker.order(Order::Drain).await;
    assert!(worker.ended().await.success());
}

#[tokio::test]
async fn worker_on_standby_accepts_nothing_before_it_is_told_to() {
    let upstream = Upstream::start().await;
    let mut standby = settings();
    standby.standby = true;
    let mut worker = TestWorker::start(standby).await;
    worker
        .apply(everything(1, [TestApi::new("a", "/a", &upstream.url())]))
        .await;
    let mut waiting = TcpStream::connect(worker.address).await.unwrap();
    waiting.write_all(REQUEST).await.unwrap();
    // By the answer to this, it has had its turn to accept.
    worker.keys(1, &[]).await;
    assert_eq!(worker.memory.read(Counter::ConnectionsAccepted), 0);
    worker.order(Order::Serve).await;
    let mut answer = vec![0; 4096];
    let len = waiting.read(&mut answer).await.unwrap();
    assert!(answer[..len].starts_with(b"HTTP/1.1 200"));
    assert_eq!(worker.memory.read(Counter::ConnectionsAccepted), 1);
}

#[tokio::test]
async fn draining_worker_follows_generations_for_the_connections_that_it_has() {
    let upstream = Upstream::start().await;
    let before = TestApi::new("a", "/a", &upstream.url());
    let mut worker = TestWorker::serving(everything(1, [before])).await;
    let mut idle = TcpStream::connect(worker.address).await.unwrap();
    idle.write_all(REQUEST).await.unwrap();
    let mut answer = vec![0; 4096];
    assert_ne!(idle.read(&mut answer).await.unwrap(), 0);
    worker.order(Order::Drain).await;
    let elsewhere = TestApi::new("b", "/b", &upstream.url());
    assert_eq!(worker.apply(everything(2, [elsewhere])).await, []);
    idle.write_all(REQUEST).await.unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    let text = String::from_utf8_lossy(&rest);
    assert!(text.starts_with("HTTP/1.1 404"), "{text}");
    assert!(worker.ended().await.success());
}
