//! What a request costs a worker, in numbers that the machine's mood does not touch, against a committed
//! baseline: instructions and allocations of a small GET with a route, a consumer key, counters, an
//! access line and a plugin with two functions.
//!
//! The worker is built as it is released, but for link-time optimisation (the profile `guard`). Two runs
//! that differ in the number of requests are compared, so that starting and ending cancel out.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::callgrind::{self, Counted};
use crate::library::bench_hooks;
use crate::orders::{TestApi, everything};
use crate::upstream::Upstream;
use crate::worker::{TestWorker, settings};

const FEW: u64 = 200;
const MANY: u64 = 1_200;
const KEY: &str = "0f6d7c1a5e2b4938a7c6d5e4f3b2a190";

/// The folder of build products.
pub(crate) fn target_dir() -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR"));
    own.parent()
        .expect("it lies in the target folder")
        .to_owned()
}

#[tokio::test]
async fn request_takes_no_more_instructions_and_allocations_than_the_baseline_allows() {
    let few = counted(FEW).await;
    let many = counted(MANY).await;
    let per_request = |few: u64, many: u64| (many - few) / (MANY - FEW);
    let instructions = per_request(few.instructions, many.instructions);
    let allocations = per_request(few.allocations, many.allocations);
    let mut complaints = String::new();
    for (name, found) in [
        ("worker_instructions", instructions),
        ("worker_allocations", allocations),
    ] {
        let (baseline, margin) = baseline(name);
        if found * 100 > baseline * (100 + margin) {
            let _ = write!(
                complaints,
                "\n{name}: {found} per request, the baseline says {baseline} and {margin} % more. If \
                 it is worth it, set small_get.{name} in benches/baseline.json to {found}"
            );
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

/// The allowed number, and the margin in percent.
fn baseline(name: &str) -> (u64, u64) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/baseline.json");
    let text = std::fs::read_to_string(file).expect("the baseline is committed");
    let all: serde_json::Value = serde_json::from_str(&text).expect("the baseline is JSON");
    let number = |value: &serde_json::Value| value.as_u64().expect("the baseline has the number");
    (
        number(&all["small_get"][name]),
        number(&all["margin_percent"]),
    )
}

/// A worker's life with this many requests.
async fn counted(requests: u64) -> Counted {
    let binary = target_dir().join("guard/gantry-gateway");
    assert!(
        binary.is_file(),
        "{} is missing: `cargo xtask test` builds it, and so does `cargo build --profile guard \
         --package gantry-gateway`",
        binary.display()
    );
    let out = tempfile::NamedTempFile::new().unwrap();
    let upstream = Upstream::start().await;
    let hooks = bench_hooks();
    let api = TestApi::new("a", "/a", &upstream.url())
        .strip()
        .token()
        .function_of(&hooks, "pre", "Mark")
        .function_of(&hooks, "response", "Stamp");
    let command = callgrind::worker(&binary, out.path());
    let mut worker = TestWorker::start_as(command, settings()).await;
    assert_eq!(worker.apply(everything(1, [api])).await, []);
    worker.keys(1, &[(KEY, "{}")]).await;
    ask(&worker, requests).await;
    worker.hang_up();
    worker.ended().await;
    callgrind::read(out.path())
}

/// Requests on one connection, one after the other.
async fn ask(worker: &TestWorker, requests: u64) {
    let request = format!(
        "GET /a/s HTTP/1.1\r\nHost: api.example\r\nUser-Agent: guard\r\nAccept: */*\r\n\
         Authorization: Bearer {KEY}\r\nX-Request-Id: 6f1ed002-ab5b-4a2e-9b1c-0a6f3f0f6f7a\r\n\r\n"
    );
    let mut stream = TcpStream::connect(worker.address).await.unwrap();
    let mut answer = Vec::with_capacity(4096);
    for _ in 0..requests {
        answer.clear();
        stream.write_all(request.as_bytes()).await.unwrap();
        // The upstream of these tests answers with a JSON object.
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
}
