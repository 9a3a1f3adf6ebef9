//! Calls that pend, and calls that do not end in time, as clients and neighbours see them.

use std::path::PathBuf;
use std::time::Duration;

use gantry_gateway::protocol::{Order, Report};
use gantry_gateway::sys::slot::Counter;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::library::pending;
use crate::orders::{TestApi, change, everything};
use crate::upstream::{Upstream, seen};
use crate::wire::{Answer, get, send};
use crate::worker::{TestWorker, settings};

/// An API below `/{id}` with functions of `pending.c`, each with its hook.
fn api(id: &str, url: &str, functions: &[(&str, &str)]) -> TestApi {
    let api = TestApi::new(id, &format!("/{id}"), url);
    functions.iter().fold(api, |api, (hook, function)| {
        api.function_of(&pending(), hook, function)
    })
}

/// A file that functions wait for.
pub(crate) struct Gate(TempDir);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("go")
    }

    pub(crate) fn open(&self) {
        std::fs::write(self.file(), b"").unwrap();
    }

    /// Asks an API whose function waits for the file.
    pub(crate) fn ask(&self, worker: &TestWorker, path: &'static str) -> JoinHandle<Answer> {
        let (address, file) = (worker.address, self.file().to_str().unwrap().to_owned());
        tokio::spawn(async move { send(address, "GET", path, &[("x-wait-for", &file)], "").await })
    }
}

/// Polls until something holds, for a while.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    let polling = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), polling)
        .await
        .expect("it holds in time");
}

/// The words of a line about a call that failed.
fn failure(report: &Report) -> Option<String> {
    match report {
        Report::PluginLog { level, message, .. } if level == "error" => Some(message.clone()),
        _ => None,
    }
}

async fn printed(worker: &mut TestWorker, line: &str) {
    while worker.printed().await != line {}
}

#[tokio::test]
async fn calls_that_pend_hold_up_nobody_and_end_all() {
    const CALLS: u64 = 48;
    let upstream = Upstream::start().await;
    let waiting = api(
        "a",
        &upstream.url(),
        &[("pre", "Wait"), ("post", "WaitFromPool")],
    );
    let inline = TestApi::new("b", "/b", &upstream.url()).function("pre", "Mark");
    let pool = TestApi::new("c", "/c", &upstream.url()).function("pre", "MarkInPool");
    let worker = TestWorker::serving(everything(1, [waiting, inline, pool])).await;
    let gate = Gate::new();
    let asked: Vec<_> = (0..CALLS).map(|_| gate.ask(&worker, "/a")).collect();
    until(|| worker.memory.read(Counter::PluginPending) == CALLS).await;
    until(|| worker.memory.activities().is_empty()).await;
    let suspects = worker.memory.suspects();
    assert_eq!(
        suspects
            .iter()
            .map(|each| each.function)
            .collect::<Vec<_>>(),
        [1]
    );
    for path in ["/b", "/c"] {
        assert_eq!(get(worker.address, path).await.status, 200);
    }
    gate.open();
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(seen(&answer.json(), "x-waited"), "1");
    }
    until(|| worker.memory.read(Counter::PluginPending) == 0).await;
    assert_eq!(worker.memory.suspects(), []);
}

#[tokio::test]
async fn call_beyond_its_deadline_is_given_up_and_counted_until_its_resume() {
    let upstream = Upstream::start().await;
    let holding = api("a", &upstream.url(), &[("pre", "Hold")]).deadline(50);
    let ending = api("b", &upstream.url(), &[("pre", "EndHeld")]);
    let mut worker = TestWorker::serving(everything(1, [holding, ending])).await;
    let answer = get(worker.address, "/a").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "PLUGIN_TIMEOUT")
    );
    assert_eq!(answer.header("x-early"), "1");
    printed(&mut worker, "cancelled").await;
    let read = |counter| worker.memory.read(counter);
    assert_eq!(read(Counter::PluginTimeouts), 1);
    assert_eq!(
        (read(Counter::PluginPending), read(Counter::PluginAbandoned)),
        (0, 1)
    );
    assert_eq!(worker.memory.in_flight().functions(), [1]);
    assert_eq!(get(worker.address, "/b").await.status, 200);
    assert_eq!(
        (read(Counter::PluginPending), read(Counter::PluginAbandoned)),
        (0, 0)
    );
    assert_eq!(get(worker.address, "/b").await.code(), "PLUGIN_FAILED");
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn function_with_too_many_calls_is_busy_and_others_are_not() {
    let upstream = Upstream::start().await;
    let mut few = settings();
    few.pending_calls_max = 3;
    let mut worker = TestWorker::start(few).await;
    let apis = ["a", "b"].map(|id| {
        let api = TestApi::new(id, &format!("/{id}"), &upstream.url()).function("pre", "Mark");
        api.function_of(&pending(), "pre", "Wait")
    });
    assert_eq!(worker.apply(everything(1, apis)).await, []);
    let gate = Gate::new();
    let asked: Vec<_> = (0..3).map(|_| gate.ask(&worker, "/a")).collect();
    until(|| worker.memory.read(Counter::PluginPending) == 3).await;
    let refused = gate.ask(&worker, "/a").await.unwrap();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "PLUGIN_BUSY")
    );
    assert_eq!(refused.header("x-early"), "pre");
    let line = worker.report(failure).await;
    let words = "PLUGIN_BUSY: function Wait: 3 calls of it pend, or were given up";
    assert!(line.starts_with(words), "{line}");
    let other = gate.ask(&worker, "/b");
    until(|| worker.memory.read(Counter::PluginPending) == 4).await;
    gate.open();
    for answer in asked.into_iter().chain([other]) {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(gate.ask(&worker, "/a").await.unwrap().status, 200);
}

#[tokio::test]
async fn call_is_told_when_its_client_leaves() {
    let upstream = Upstream::start().await;
    let holding = api("a", &upstream.url(), &[("pre", "Hold")]);
    let mut worker = TestWorker::serving(everything(1, [holding])).await;
    let mut client = TcpStream::connect(worker.address).await.unwrap();
    client
        .write_all(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    until(|| worker.memory.read(Counter::PluginPending) == 1).await;
    drop(client);
    printed(&mut worker, "cancelled").await;
    until(|| worker.memory.read(Counter::PluginAbandoned) == 1).await;
    assert_eq!(upstream.requests(), 0);
}

/// What a client leaves behind: a body that came whole and nobody reads, one that is on its way, one that a
/// function asks for, another request.
#[tokio::test]
async fn call_is_told_when_its_client_leaves_whatever_of_the_request_is_unread() {
    let upstream = Upstream::start().await;
    let apis = [("a", "Hold"), ("b", "Double")];
    let apis = apis.map(|(id, function)| api(id, &upstream.url(), &[("pre", function)]));
    let mut worker = TestWorker::serving(everything(1, apis)).await;
    for request in [
        "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc",
        "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 300\r\n\r\nabc",
        "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n",
        "POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 300\r\n\r\nabc",
        "GET /a HTTP/1.1\r\nhost: a\r\n\r\nGET /a HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut client = TcpStream::connect(worker.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        until(|| worker.memory.read(Counter::PluginPending) == 1).await;
        drop(client);
        printed(&mut worker, "cancelled").await;
        until(|| worker.memory.read(Counter::ConnectionsOpen) == 0).await;
        assert_eq!(worker.memory.read(Counter::PluginPending), 0, "{request}");
    }
    assert_eq!(worker.memory.read(Counter::PluginTimeouts), 0);
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn call_is_told_when_its_worker_drains_hard() {
    let upstream = Upstream::start().await;
    let mut limited = settings();
    limited.drain_timeout_ms = 50;
    let mut worker = TestWorker::start(limited).await;
    let holding = api("a", &upstream.url(), &[("pre", "Hold")]);
    assert_eq!(worker.apply(everything(1, [holding])).await, []);
    let gate = Gate::new();
    let asked = gate.ask(&worker, "/a");
    until(|| worker.memory.read(Counter::PluginPending) == 1).await;
    worker.order(Order::Drain).await;
    printed(&mut worker, "cancelled").await;
    assert!(worker.ended().await.success());
    asked.abort();
}

#[tokio::test]
async fn body_is_brought_on_demand_and_replaced_in_both_directions() {
    let upstream = Upstream::start().await;
    let functions = [
        ("pre", "Double"),
        ("post", "Double"),
        ("response", "DoubleResponse"),
    ];
    let both = api("a", &upstream.url(), &functions);
    let unasked = api(
        "b",
        &upstream.url(),
        &[("pre", "Replace"), ("post", "Double")],
    );
    let worker = TestWorker::serving(everything(1, [both, unasked])).await;
    let answer = send(worker.address, "POST", "/a", &[], "ab").await;
    assert_eq!(answer.status, 200);
    let half = answer.body.split_at(answer.body.len() / 2);
    assert_eq!(half.0, half.1);
    let told: serde_json::Value = serde_json::from_str(half.0).unwrap();
    assert_eq!(told["body"], "abababab");
    assert_eq!(seen(&told, "content-length"), "8");
    let answer = send(worker.address, "POST", "/b", &[], "theirs").await;
    assert_eq!(answer.json()["body"], "minemine");
    let empty = get(worker.address, "/b").await;
    assert_eq!(empty.json()["body"], "minemine");
}

#[tokio::test]
async fn body_beyond_the_limit_ends_the_request_and_the_call_is_told() {
    let upstream = Upstream::start().await;
    let mut limited = settings();
    limited.request_body_bytes_max = 4;
    let mut worker = TestWorker::start(limited).await;
    let doubling = api("a", &upstream.url(), &[("pre", "Double")]);
    assert_eq!(worker.apply(everything(1, [doubling])).await, []);
    let answer = send(worker.address, "POST", "/a", &[], "12345").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "REQUEST_BODY_TOO_LARGE")
    );
    printed(&mut worker, "cancelled").await;
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn instance_of_a_replaced_generation_stops_after_its_last_call() {
    let upstream = Upstream::start().await;
    let waiting = api("a", &upstream.url(), &[("pre", "Wait")]);
    let mut worker = TestWorker::serving(everything(1, [waiting])).await;
    let gate = Gate::new();
    let asked = gate.ask(&worker, "/a");
    until(|| worker.memory.read(Counter::PluginPending) == 1).await;
    let plain = TestApi::new("a", "/a", &upstream.url());
    assert_eq!(worker.apply(change(2, [plain])).await, []);
    assert_eq!(get(worker.address, "/a").await.status, 200);
    gate.open();
    assert_eq!(seen(&asked.await.unwrap().json(), "x-waited"), "1");
    printed(&mut worker, "stopped").await;
}

#[tokio::test]
async fn blocking_call_beyond_its_deadline_fails_its_request_and_its_thread_is_replaced() {
    const THREADS: u64 = 32;
    let upstream = Upstream::start().await;
    let blocking = TestApi::new("a", "/a", &upstream.url()).function("pre", "WaitInPool");
    let other = TestApi::new("b", "/b", &upstream.url()).function("pre", "MarkInPool");
    let worker = TestWorker::serving(everything(1, [blocking.deadline(100), other])).await;
    let gate = Gate::new();
    let asked: Vec<_> = (0..THREADS).map(|_| gate.ask(&worker, "/a")).collect();
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (504, "PLUGIN_TIMEOUT")
        );
    }
    let stuck = || worker.memory.read(Counter::PluginThreadsStuck);
    assert!((1..=THREADS).contains(&stuck()));
    assert_eq!(get(worker.address, "/b").await.status, 200);
    gate.open();
    until(|| stuck() == 0).await;
    assert_eq!(get(worker.address, "/b").await.status, 200);
}

#[tokio::test]
async fn library_carries_through_a_request_and_gets_it_back_at_its_end() {
    let upstream = Upstream::start().await;
    let functions = [("pre", "Carry"), ("post", "Carry"), ("response", "Carry")];
    let mut worker =
        TestWorker::serving(everything(1, [api("a", &upstream.url(), &functions)])).await;
    let answer = get(worker.address, "/a").await;
    assert_eq!(answer.header("x-carry"), "0,7,14");
    assert_eq!(worker.printed().await, "released 21");
}

#[tokio::test]
async fn log_line_of_a_thread_without_a_call_says_which_library_it_comes_from() {
    let upstream = Upstream::start().await;
    let apis = [
        api("a", &upstream.url(), &[("pre", "Mutter")]),
        TestApi::new("b", "/b", &upstream.url()).function("pre", "Mark"),
    ];
    let mut worker = TestWorker::serving(everything(1, apis)).await;
    let mut code = Vec::new();
    while code.len() < 2 {
        let loaded = worker.report(|report| match report {
            Report::LibraryLoaded { digest, code, .. } => Some((digest.clone(), code.clone())),
            _ => None,
        });
        code.push(loaded.await);
    }
    assert_eq!(get(worker.address, "/a").await.status, 200);
    let logged = worker.report(|report| match report {
        Report::PluginLog {
            message,
            api_id,
            logged_at,
            ..
        } => Some((message.clone(), api_id.clone(), *logged_at)),
        _ => None,
    });
    let (message, api_id, logged_at) = logged.await;
    assert_eq!((message.as_str(), api_id), ("alone", None));
    let logged_at = logged_at.unwrap();
    let holds = |ranges: &[(u64, u64)]| ranges.iter().any(|(a, b)| (*a..*b).contains(&logged_at));
    let libraries = code.iter().filter(|(_, ranges)| holds(ranges));
    let libraries: Vec<_> = libraries.map(|(digest, _)| digest.clone()).collect();
    assert_eq!(libraries, [pending().digest]);
}

#[tokio::test]
async fn death_in_a_thread_of_a_pending_call_has_its_function_as_a_suspect() {
    let upstream = Upstream::start().await;
    let apis = [("a", "EndProcess"), ("b", "Wait")];
    let apis = apis.map(|(id, function)| api(id, &upstream.url(), &[("pre", function)]));
    let mut worker = TestWorker::serving(everything(1, apis)).await;
    let gate = Gate::new();
    let asked = gate.ask(&worker, "/a");
    until(|| worker.memory.read(Counter::PluginPending) == 1).await;
    gate.open();
    assert_eq!(worker.ended().await.code(), Some(2));
    assert_eq!(worker.memory.fault(), None);
    assert_eq!(worker.memory.in_flight().functions(), [1]);
    assert_eq!(worker.memory.suspects()[0].function, 1);
    asked.abort();
}
