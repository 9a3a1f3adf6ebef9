//! What libraries do to each other in one process, and what workers do against it. Each harm is shown
//! twice: with the cure, and without it, where it must be there.

use gantry_gateway::protocol::{Order, Report};
use gantry_gateway::supervisor::role::GLIBC_TUNABLES;
use gantry_gateway::sys::cures::{Cure, VARIABLE};
use gantry_gateway::sys::spawn::RoleCommand;
use gantry_tests::full;
use gantry_tests::process::signal;

use crate::library::{Stored, copies, go};
use crate::orders::{TestApi, everything};
use crate::upstream::Upstream;
use crate::wire::get;
use crate::worker::{BINARY, TestWorker, settings};

/// Collections during one loop, at least, where the loop can be interrupted. Where it cannot, a
/// collection waits for its end.
const COLLECTIONS: u64 = 5;
/// More Go libraries than fit without the room that the supervisor asks for.
const MANY: usize = 230;
/// What is loaded of them for every change.
const FEW: usize = 10;
/// APIs that are new in one order.
const STEP: usize = 40;

async fn worker_without(cure: Option<Cure>) -> TestWorker {
    let command = RoleCommand::new("worker")
        .program(BINARY)
        .environment("GLIBC_TUNABLES", GLIBC_TUNABLES);
    let command = match cure {
        Some(cure) => command.environment(VARIABLE, cure.as_str()),
        None => command,
    };
    TestWorker::start_as(command, settings()).await
}

/// How often a runtime collects while it loops, with another one that came after it.
async fn collections_beside_another_runtime(without: Option<Cure>) -> u64 {
    let upstream = Upstream::start().await;
    let mut worker = worker_without(without).await;
    let looping = TestApi::new("a", "/a", &upstream.url()).function_of(
        &go("tests/fixtures/go-faulty"),
        "pre",
        "Collect",
    );
    let beside = TestApi::new("b", "/b", &upstream.url()).function_of(
        &go("examples/go-hooks"),
        "pre",
        "Correlate",
    );
    assert_eq!(worker.apply(everything(1, [looping, beside])).await, []);
    collections(&worker, "/a").await
}

/// What the function that loops tells.
async fn collections(worker: &TestWorker, path: &str) -> u64 {
    let answer = get(worker.address, path).await;
    assert_eq!(answer.status, 200);
    answer.header("x-collections").parse().unwrap()
}

#[tokio::test]
async fn loop_of_one_go_runtime_is_interrupted_although_another_took_the_signal() {
    let with = collections_beside_another_runtime(None).await;
    assert!(with >= COLLECTIONS, "{with} with the cure");
    let without = collections_beside_another_runtime(Some(Cure::SharedPreemption)).await;
    assert!(without < COLLECTIONS, "{without} without the cure");
}

/// How often a runtime collects while it loops, after a signal to the thread it loops on was lost.
async fn collections_after_a_lost_signal(without: Option<Cure>) -> u64 {
    let upstream = Upstream::start().await;
    let mut worker = worker_without(without).await;
    let library = go("tests/fixtures/go-faulty");
    let [losing, looping] = ["LoseInterruption", "Collect"].map(|function| {
        let prefix = format!("/{function}");
        TestApi::new(function, &prefix, &upstream.url()).function_of(&library, "pre", function)
    });
    assert_eq!(worker.apply(everything(1, [losing, looping])).await, []);
    assert_eq!(get(worker.address, "/LoseInterruption").await.status, 200);
    collections(&worker, "/Collect").await
}

#[tokio::test]
async fn loop_of_a_go_runtime_is_interrupted_although_a_signal_was_lost() {
    let with = collections_after_a_lost_signal(None).await;
    assert!(with >= COLLECTIONS, "{with} with the cure");
    let without = collections_after_a_lost_signal(Some(Cure::RepeatedPreemption)).await;
    assert!(without < COLLECTIONS, "{without} without the cure");
}

async fn worker_whose_signals_are_taken(without: Option<Cure>) -> TestWorker {
    let upstream = Upstream::start().await;
    let mut worker = worker_without(without).await;
    let taking = TestApi::new("a", "/a", &upstream.url()).function_of(
        &go("tests/fixtures/go-faulty"),
        "pre",
        "TakeSignals",
    );
    assert_eq!(worker.apply(everything(1, [taking])).await, []);
    assert_eq!(get(worker.address, "/a").await.status, 200);
    worker
}

#[tokio::test]
async fn worker_whose_signals_a_library_takes_ends_on_order_only() {
    let mut worker = worker_whose_signals_are_taken(None).await;
    let text = worker
        .report(|report| match report {
            Report::Note { code, message, .. } if code == "SIGNAL_TAKEN" => Some(message.clone()),
            _ => None,
        })
        .await;
    assert!(text.contains("SIGTERM, SIGHUP"), "{text}");
    for name in ["TERM", "HUP"] {
        signal(worker.child.id().unwrap(), name).unwrap();
        assert_ne!(get(worker.address, "/nowhere").await.status, 0, "{name}");
    }
    worker.order(Order::Drain).await;
    assert!(worker.ended().await.success());

    let mut worker = worker_whose_signals_are_taken(Some(Cure::GuardedSignals)).await;
    signal(worker.child.id().unwrap(), "TERM").unwrap();
    assert_eq!(worker.ended().await.code(), Some(7), "the library's own");
}

/// The failures of a worker that loads all these, each in an API of its own.
async fn failures_of(libraries: &[Stored], function: &str, tunables: &str) -> Vec<String> {
    let command = RoleCommand::new("worker")
        .program(BINARY)
        .environment("GLIBC_TUNABLES", tunables);
    let mut worker = TestWorker::start_as(command, settings()).await;
    let apis: Vec<_> = libraries
        .iter()
        .enumerate()
        .map(|(number, library)| {
            let (id, prefix) = (format!("a{number}"), format!("/a{number}"));
            TestApi::new(&id, &prefix, "http://127.0.0.1:9").function_of(library, "pre", function)
        })
        .collect();
    let mut failures = Vec::new();
    // Some at a time: each answer is waited for only so long.
    for (revision, until) in (1..).zip((0..apis.len()).step_by(STEP)) {
        let so_far = apis.iter().take(until + STEP).cloned();
        failures = worker.apply(everything(revision, so_far)).await;
    }
    failures
        .into_iter()
        .map(|failure| failure.message)
        .collect()
}

#[tokio::test]
async fn static_thread_local_storage_of_many_libraries_fits_with_the_room_that_is_asked_for() {
    // Each takes what 32 Go libraries take.
    let libraries = copies("tests/fixtures/plugins/static_tls.c", 8);
    let with = failures_of(&libraries, "Holds", GLIBC_TUNABLES).await;
    assert_eq!(with, [] as [&str; 0]);
    let without = failures_of(&libraries, "Holds", "").await;
    assert!(
        without
            .iter()
            .any(|message| message.contains("static TLS block")),
        "{without:?}"
    );
}

#[tokio::test]
async fn many_go_libraries_run_in_one_worker() {
    let count = if full() { MANY } else { FEW };
    let library = go("tests/fixtures/go-faulty");
    let libraries: Vec<_> = (0..count).map(|number| library.copy(number)).collect();
    let with = failures_of(&libraries, "Quiet", GLIBC_TUNABLES).await;
    assert_eq!(with, [] as [&str; 0]);
    if full() {
        let without = failures_of(&libraries, "Quiet", "").await;
        let complains = |message: &String| message.contains("static TLS block");
        assert!(without.iter().any(complains), "{without:?}");
    }
}
