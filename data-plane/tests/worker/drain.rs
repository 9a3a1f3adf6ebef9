//! The end of a worker.

use gantry_gateway::protocol::Order;
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
