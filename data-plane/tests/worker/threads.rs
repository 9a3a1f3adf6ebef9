//! Threads of plugins, and the one that serves requests.

use std::fs;

use crate::library::{go, pending};
use crate::orders::{TestApi, everything};
use crate::pending::{Gate, until};
use crate::upstream::Upstream;
use crate::worker::{TestWorker, settings};

/// `SCHED_OTHER` and `SCHED_BATCH` of `sched(7)`.
const USUAL: u32 = 0;
const BATCH: u32 = 3;
/// Threads of a Go runtime, at least.
const OF_GO: usize = 3;

/// The policy of a process's first thread, and those of the others.
fn policies(pid: u32) -> (u32, Vec<u32>) {
    let (mut first, mut others) = (None, Vec::new());
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let name = task.unwrap().file_name().into_string().unwrap();
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/task/{name}/stat")) else {
            continue;
        };
        // Fields are counted behind the name, which may have spaces; the policy is number 41 (proc(5)).
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let policy = fields.split_whitespace().nth(38).unwrap().parse().unwrap();
        if name == pid.to_string() {
            first = Some(policy);
        } else {
            others.push(policy);
        }
    }
    (first.unwrap(), others)
}

#[tokio::test]
async fn threads_of_plugins_do_not_interrupt_the_one_that_serves_requests() {
    let upstream = Upstream::start().await;
    let mut worker = TestWorker::start(settings()).await;
    // One library brings threads when it is loaded, the other starts one in a call.
    let of_go = TestApi::new("a", "/a", &upstream.url()).function_of(
        &go("examples/go-hooks"),
        "pre",
        "Correlate",
    );
    let in_call = TestApi::new("b", "/b", &upstream.url()).function_of(&pending(), "pre", "Wait");
    let before = policies(worker.child.id().unwrap()).1.len();
    assert_eq!(worker.apply(everything(1, [of_go, in_call])).await, []);
    let (first, others) = policies(worker.child.id().unwrap());
    assert_eq!(first, USUAL);
    let batch = others.iter().filter(|policy| **policy == BATCH).count();
    assert!(
        batch >= OF_GO,
        "{others:?}, of which {before} were there before"
    );

    let gate = Gate::new();
    let waiting = gate.ask(&worker, "/b");
    until(|| {
        let (first, now) = policies(worker.child.id().unwrap());
        assert_eq!(first, USUAL);
        now.len() > others.len() && now.iter().all(|policy| *policy == BATCH)
    })
    .await;
    gate.open();
    assert_eq!(waiting.await.unwrap().status, 200);
}
