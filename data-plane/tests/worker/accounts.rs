//! What a worker writes down about requests, as its supervisor reads it from the slot's memory.

use std::time::{Duration, Instant};

use gantry_domain::Hook;
use gantry_gateway::protocol::WorkerSettings;
use gantry_gateway::record::{AnsweredBy, CallOutcome, Record, RequestRecord};
use gantry_gateway::sys::ring::Consumer;
use gantry_gateway::sys::slot::{ApiOutcome, Counter, HookError, SlotMemory, Timing};
use gantry_gateway::worker::respond::Refusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::orders::{TestApi, everything};
use crate::upstream::Upstream;
use crate::wire::{exchange, get, send};
use crate::worker::{TestWorker, settings};

/// Nothing in these tests takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// An account, kept.
#[derive(Debug)]
struct Account {
    api: u32,
    path: String,
    status: u16,
    complete: bool,
    answered_by: AnsweredBy,
    bytes: (u64, u64),
    upstream_status: Option<u16>,
    trace_id: Option<[u8; 16]>,
    revision: u64,
}

fn account(record: &RequestRecord<'_>) -> Account {
    assert!(record.logged && record.span.is_none());
    assert!(record.client.is_loopback() && record.begun > 0 && record.duration_nanos > 0);
    Account {
        api: record.api,
        path: String::from_utf8_lossy(record.path).into_owned(),
        status: record.status,
        complete: record.complete,
        answered_by: record.answered_by,
        bytes: (record.request_bytes, record.response_bytes),
        upstream_status: record.upstream.map(|upstream| upstream.status),
        trace_id: record.trace_id,
        revision: record.revision,
    }
}

/// Waits for as many accounts.
async fn accounts(memory: &SlotMemory, consumer: &mut Consumer, count: usize) -> Vec<Account> {
    let (mut found, until) = (Vec::new(), Instant::now() + PATIENCE);
    while found.len() < count {
        assert!(Instant::now() < until, "{count} accounts, but {found:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
        let drained = memory.drain(consumer, |bytes| match Record::read(bytes) {
            Some(Record::Request(record)) => found.push(account(&record)),
            other => panic!("{other:?} is no account"),
        });
        assert!(!drained.damaged);
    }
    found
}

#[tokio::test]
async fn each_request_leaves_one_account_that_says_who_answered() {
    let upstream = Upstream::start().await;
    let plain = TestApi::new("plain", "/plain", &upstream.url());
    let answers = TestApi::new("answers", "/answers", &upstream.url())
        .function("pre", "Mark")
        .function("pre", "Answer");
    let fails = TestApi::new("fails", "/fails", &upstream.url()).function("pre", "Fail");
    let gone = TestApi::new("gone", "/gone", "http://127.0.0.1:1");
    let worker = TestWorker::serving(everything(5, [plain, answers, fails, gone])).await;
    let address = worker.address;
    let traced = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let sent = send(
        address,
        "POST",
        "/plain/x?key=secret",
        &[("traceparent", traced)],
        "12345",
    )
    .await;
    let told = sent.body.len() as u64;
    for path in ["/answers", "/fails", "/gone", "/nowhere"] {
        get(address, path).await;
    }
    let mut consumer = Consumer::default();
    let all = accounts(&worker.memory, &mut consumer, 5).await;
    let at = |path: &str| all.iter().find(|account| account.path == path).unwrap();
    let refused = |refusal: Refusal| AnsweredBy::Gateway(refusal.number());

    let plain = at("/plain/x");
    assert_eq!(
        (plain.api, plain.status, plain.complete, plain.revision),
        (1, 200, true, 5)
    );
    assert_eq!(
        (plain.answered_by, plain.upstream_status),
        (AnsweredBy::Upstream, Some(200))
    );
    assert_eq!(plain.bytes, (5, told));
    assert_eq!(plain.trace_id.unwrap()[..2], [0x4b, 0xf9]);
    let answered = at("/answers");
    assert_eq!(
        (answered.answered_by, answered.upstream_status),
        (AnsweredBy::Function(2), None)
    );
    assert!(answered.trace_id.is_some(), "its functions saw one");
    let failed = at("/fails");
    assert_eq!(
        (failed.status, failed.answered_by),
        (500, refused(Refusal::PluginFailed))
    );
    let gone = at("/gone");
    assert_eq!((gone.status, gone.upstream_status), (502, Some(0)));
    assert_eq!(gone.answered_by, refused(Refusal::UpstreamUnreachable));
    let nowhere = at("/nowhere");
    assert_eq!(
        (nowhere.api, nowhere.revision, nowhere.trace_id),
        (0, 0, None)
    );
    assert_eq!(nowhere.answered_by, refused(Refusal::RouteNotFound));

    let tables = worker.memory.tables();
    assert_eq!(tables.api(1)[ApiOutcome::Success as usize], 1);
    assert_eq!(tables.api(4)[ApiOutcome::ServerError as usize], 1);
    assert_eq!(tables.api(0)[ApiOutcome::ClientError as usize], 1);
    let count = |timing| worker.memory.timing(timing).buckets.iter().sum::<u64>();
    assert_eq!((count(Timing::Request), count(Timing::Upstream)), (5, 2));
    assert_eq!(count(Timing::Hook(Hook::Pre)), 3);
    assert_eq!(tables.hook_errors(Hook::Pre, HookError::Failure), 1);
    assert_eq!(
        count(Timing::Load),
        worker.memory.read(Counter::LibrariesLoaded)
    );
    assert_eq!(worker.memory.read(Counter::RecordsDropped), 0);
}

#[tokio::test]
async fn traced_request_leaves_spans_below_the_client_s_and_the_upstream_is_told_of_its_own() {
    let upstream = Upstream::start().await;
    let settings = WorkerSettings {
        access_log: false,
        trace_sampler: Some("parentbased_always_off".into()),
        ..settings()
    };
    let mut worker = TestWorker::start(settings).await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .function("pre", "Mark")
        .function("response", "FailResponse");
    assert_eq!(worker.apply(everything(1, [api])).await, []);
    let ask = async |flags: &str| {
        let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        send(
            worker.address,
            "GET",
            "/a/b",
            &[("traceparent", &parent)],
            "",
        )
        .await
    };
    assert_eq!(ask("00").await.status, 500);
    get(worker.address, "/a/untraced").await;
    assert_eq!(ask("01").await.status, 500);
    let mut consumer = Consumer::default();
    let (mut calls, mut asked, mut server) = (Vec::new(), Vec::new(), None);
    let until = Instant::now() + PATIENCE;
    while server.is_none() {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(2)).await;
        worker
            .memory
            .drain(&mut consumer, |bytes| match Record::read(bytes).unwrap() {
                Record::Request(request) => {
                    assert!(!request.logged && server.is_none());
                    assert_eq!((request.path, request.status), (&b"/a/b"[..], 500));
                    server = request.span;
                }
                Record::Call(call) => calls.push(call),
                Record::Upstream(record) => {
                    assert_eq!((record.method, record.status), (&b"GET"[..], 200));
                    asked.push((record.trace_id, record.span));
                }
            });
    }
    let server = server.unwrap();
    assert_eq!(
        server.parent,
        Some([0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7])
    );
    let outcomes: Vec<_> = calls
        .iter()
        .map(|call| (call.function, call.outcome))
        .collect();
    assert_eq!(
        outcomes,
        [(1, CallOutcome::Continued), (2, CallOutcome::Failed)]
    );
    let below: Vec<_> = calls
        .iter()
        .map(|call| (call.trace_id, call.span))
        .collect();
    for (trace_id, span) in below.iter().chain(&asked) {
        assert_eq!((trace_id[0], span.parent), (0x4b, Some(server.id)));
    }
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn client_that_leaves_before_the_answer_has_an_account_too() {
    // Takes the request and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let worker = TestWorker::serving(everything(1, [TestApi::new("a", "/a", &url)])).await;
    let mut client = TcpStream::connect(worker.address).await.unwrap();
    client
        .write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let _asked = silent.accept().await.unwrap();
    drop(client);
    let all = accounts(&worker.memory, &mut Consumer::default(), 1).await;
    assert_eq!((all[0].status, all[0].complete), (0, false));
    assert_eq!(all[0].answered_by, AnsweredBy::Nobody);
    assert_eq!(
        worker.memory.tables().api(1)[ApiOutcome::Abandoned as usize],
        1
    );
}

#[tokio::test]
async fn answer_that_its_client_does_not_take_whole_is_incomplete() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let worker = TestWorker::serving(everything(1, [TestApi::new("a", "/a", &url)])).await;
    let mut client = TcpStream::connect(worker.address).await.unwrap();
    client
        .write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let (mut asked, _) = upstream.accept().await.unwrap();
    // An answer before the request would be nonsense.
    assert_ne!(asked.read(&mut [0; 4096]).await.unwrap(), 0);
    asked
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n12345")
        .await
        .unwrap();
    let mut answer = vec![0; 4096];
    let mut read = 0;
    while !answer[..read].ends_with(b"12345") {
        let more = client.read(&mut answer[read..]).await.unwrap();
        assert_ne!(more, 0, "{}", String::from_utf8_lossy(&answer[..read]));
        read += more;
    }
    drop(client);
    let all = accounts(&worker.memory, &mut Consumer::default(), 1).await;
    assert_eq!(
        (all[0].status, all[0].complete, all[0].bytes),
        (200, false, (0, 5))
    );
}

#[tokio::test]
async fn bodies_without_a_declared_length_and_answers_without_a_body_are_counted() {
    let upstream = Upstream::start().await;
    let worker =
        TestWorker::serving(everything(1, [TestApi::new("a", "/a", &upstream.url())])).await;
    let chunked = "POST /a/chunked HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    exchange(worker.address, chunked).await;
    send(worker.address, "HEAD", "/a/head", &[], "").await;
    send(worker.address, "HEAD", "/refused", &[], "").await;
    let all = accounts(&worker.memory, &mut Consumer::default(), 3).await;
    let at = |path: &str| all.iter().find(|account| account.path == path).unwrap();
    assert_eq!(at("/a/chunked").bytes.0, 7);
    for path in ["/a/head", "/refused"] {
        assert_eq!(
            (at(path).bytes, at(path).complete),
            ((0, 0), true),
            "{path}"
        );
    }
}

#[tokio::test]
async fn accounts_of_a_killed_worker_are_read_after_its_death() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url()).function("pre", "Crash");
    let mut worker = TestWorker::serving(everything(1, [api])).await;
    for _ in 0..3 {
        get(worker.address, "/a").await;
    }
    exchange(
        worker.address,
        "GET /a HTTP/1.1\r\nhost: a\r\nx-crash: 1\r\n\r\n",
    )
    .await;
    worker.ended().await;
    let all = accounts(&worker.memory, &mut Consumer::default(), 3).await;
    assert!(all.iter().all(|account| account.status == 200));
    assert_eq!(worker.memory.tables().api(1)[0], 3);
}

#[tokio::test]
async fn without_an_access_log_nothing_is_written_and_everything_counted() {
    let upstream = Upstream::start().await;
    let settings = WorkerSettings {
        access_log: false,
        ..settings()
    };
    let mut worker = TestWorker::start(settings).await;
    let api = TestApi::new("a", "/a", &upstream.url());
    assert_eq!(worker.apply(everything(1, [api])).await, []);
    get(worker.address, "/a").await;
    let until = Instant::now() + PATIENCE;
    while worker.memory.tables().api(1)[0] == 0 {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let drained = worker.memory.drain(&mut Consumer::default(), |_| {});
    assert_eq!((drained.records, drained.damaged), (0, false));
}

#[tokio::test]
async fn query_is_written_where_it_is_asked_for() {
    let settings = WorkerSettings {
        access_log_query: true,
        ..settings()
    };
    let mut worker = TestWorker::start(settings).await;
    assert_eq!(worker.apply(everything(1, [])).await, []);
    get(worker.address, "/a?b=c").await;
    let all = accounts(&worker.memory, &mut Consumer::default(), 1).await;
    assert_eq!(all[0].path, "/a?b=c");
}

#[tokio::test]
async fn ring_that_nobody_drains_drops_and_counts() {
    let worker = TestWorker::serving(everything(1, [])).await;
    let long = format!("/{}", "x".repeat(1200));
    let mut client = TcpStream::connect(worker.address).await.unwrap();
    let request = format!("GET {long} HTTP/1.1\r\nhost: a\r\n\r\n").repeat(16);
    let (mut read, mut write) = client.split();
    let reading = async {
        let mut sink = vec![0; 64 << 10];
        while worker.memory.read(Counter::RecordsDropped) == 0 {
            assert_ne!(read.read(&mut sink).await.unwrap(), 0);
        }
    };
    let writing = async {
        loop {
            write.write_all(request.as_bytes()).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, async {
        tokio::select! { () = reading => {}, () = writing => {} }
    })
    .await
    .unwrap();
    let mut whole = 0;
    let drained = worker.memory.drain(&mut Consumer::default(), |bytes| {
        assert!(matches!(Record::read(bytes), Some(Record::Request(_))));
        whole += 1;
    });
    assert!(!drained.damaged && whole > 500);
}
