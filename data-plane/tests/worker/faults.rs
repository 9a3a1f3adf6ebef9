//! Workers that native code kills.

use std::os::unix::process::ExitStatusExt as _;

use gantry_gateway::protocol::Report;
use gantry_gateway::sys::slot::Counter;

use crate::library::steps;
use crate::orders::{TestApi, everything};
use crate::upstream::Upstream;
use crate::wire::{exchange, get};
use crate::worker::{TestWorker, settings};

const SIGSEGV: i32 = 11;
const SIGTERM: i32 = 15;

#[tokio::test]
async fn fault_in_a_function_ends_the_worker_and_names_signal_function_and_library() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url())
        .function("pre", "Mark")
        .function("pre", "Crash");
    let mut worker = TestWorker::serving(everything(1, [api])).await;
    let code = worker
        .report(|report| match report {
            Report::LibraryLoaded { digest, code, .. } if *digest == steps().digest => {
                Some(code.clone())
            }
            _ => None,
        })
        .await;
    assert_eq!(get(worker.address, "/a").await.status, 200);
    let request = "GET /a HTTP/1.1\r\nhost: a\r\nx-crash: 1\r\n\r\n";
    assert_eq!(exchange(worker.address, request).await, "");
    assert_eq!(worker.ended().await.signal(), Some(SIGSEGV));
    let fault = worker.memory.fault().unwrap();
    assert_eq!((fault.signal, fault.function), (SIGSEGV, Some(2)));
    let inside = code
        .iter()
        .any(|(begin, end)| (*begin..*end).contains(&fault.instruction));
    assert!(inside, "{fault:x?} {code:x?}");
    assert_eq!(worker.memory.read(Counter::Requests), 2);
    assert_eq!(worker.memory.read(Counter::Responses2xx), 1);
}

#[tokio::test]
async fn worker_has_no_environment_but_what_it_is_given_and_ignores_termination() {
    let upstream = Upstream::start().await;
    let api = TestApi::new("a", "/a", &upstream.url());
    let worker = TestWorker::serving(everything(1, [api])).await;
    let pid = worker.child.id().unwrap();
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert_eq!(String::from_utf8_lossy(&environment), "RUST_BACKTRACE=0\0");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
            .unwrap()
            .to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    let ignored = u64::from_str_radix(&field("SigIgn:"), 16).unwrap();
    assert_ne!(ignored & 1 << (SIGTERM - 1), 0);
    let mut open: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .filter(|link| link.starts_with('/') && link != "/dev/null")
        .collect();
    open.sort();
    assert_eq!(open, ["/memfd:gantry-slot (deleted)"]);
}

#[tokio::test]
async fn worker_ends_with_its_supervisor() {
    let mut worker = TestWorker::start(settings()).await;
    worker.hang_up();
    assert!(worker.ended().await.success());
}
