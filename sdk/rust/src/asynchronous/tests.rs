//! Endings of pending calls, against a host that only notes what it is told.
#![expect(
    unsafe_code,
    reason = "the host is reached through C function pointers"
)]

use std::future::pending;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_abi::{Host, Str, event, verdict};

use super::executor;
use super::pending::{Calls, Conclusion, Running, Shared, Work};
use crate::raw;

type Resumed = (gantry_abi::Call, i32, Vec<u8>);

static RESUMED: Mutex<Vec<Resumed>> = Mutex::new(Vec::new());

static HOST: Host = Host {
    #[expect(clippy::cast_possible_truncation, reason = "the table has 88 bytes")]
    size: size_of::<Host>() as u32,
    abi_major: gantry_abi::ABI_MAJOR,
    abi_minor: gantry_abi::ABI_MINOR,
    flags: 0,
    get: None,
    next: None,
    mutate: None,
    snapshot: None,
    apply: None,
    log: None,
    resume: Some(note),
    body: None,
    ask: None,
};

unsafe extern "C" fn note(call: gantry_abi::Call, verdict: i32, mutations: Str) -> i32 {
    // SAFETY: the SDK passes valid bytes.
    let mutations = unsafe { raw::slice(mutations) }.to_vec();
    RESUMED
        .lock()
        .expect("no test panics under it")
        .push((call, verdict, mutations));
    0
}

/// How often and how a call was resumed.
fn resumed(call: gantry_abi::Call) -> Vec<(i32, Vec<u8>)> {
    let all = RESUMED.lock().expect("no test panics under it");
    let of_call = all.iter().filter(|(each, ..)| *each == call);
    of_call
        .map(|(_, verdict, mutations)| (*verdict, mutations.clone()))
        .collect()
}

struct Begun {
    calls: Arc<Calls>,
    ended: Receiver<()>,
}

/// Says when a future is dropped, which is before its call ends.
struct Guard(gantry_abi::Call, Sender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        assert!(resumed(self.0).is_empty(), "the future goes first");
        // A test that ended does not listen.
        let _ = self.1.send(());
    }
}

fn begin(call: gantry_abi::Call, work: impl Future<Output = Conclusion> + Send + 'static) -> Begun {
    let calls = Arc::<Calls>::default();
    let (sender, ended) = channel();
    let guard = Guard(call, sender);
    let work: Work = Box::pin(async move {
        let _guard = guard;
        work.await
    });
    let shared = Arc::new(Shared::new(&HOST, call));
    assert!(executor::spawn(Running::new(work, shared, Arc::clone(&calls))).is_ok());
    Begun { calls, ended }
}

impl Begun {
    /// The only way in which the call ended.
    fn ending(&self, call: gantry_abi::Call) -> (i32, Vec<u8>) {
        self.ended
            .recv_timeout(Duration::from_mins(1))
            .expect("the future goes");
        loop {
            match resumed(call).as_slice() {
                [] => std::thread::yield_now(),
                [once] => return once.clone(),
                several => panic!("expected one end, found {several:?}"),
            }
        }
    }
}

#[test]
fn future_that_ends_resumes_once_with_its_changes() {
    let begun = begin(1, async {
        super::sleep(Duration::from_millis(1)).await;
        Conclusion {
            verdict: verdict::RESPOND,
            mutations: b"changes".to_vec(),
        }
    });
    assert_eq!(begun.ending(1), (verdict::RESPOND, b"changes".to_vec()));
    begun.calls.event(1, event::CANCEL, b"");
    assert_eq!(
        resumed(1).len(),
        1,
        "what comes after the end is for nobody"
    );
}

#[test]
fn future_that_panics_resumes_as_panicked_and_its_executor_goes_on() {
    let begun = begin(2, async { panic!("on purpose") });
    assert_eq!(begun.ending(2), (verdict::PANICKED, Vec::new()));
    let next = begin(3, async { Conclusion::bare(verdict::CONTINUE) });
    assert_eq!(next.ending(3), (verdict::CONTINUE, Vec::new()));
}

#[test]
fn cancelled_call_drops_its_future_and_resumes_as_failed() {
    let begun = begin(4, pending());
    begun.calls.event(99, event::CANCEL, b"");
    begun.calls.event(4, event::CANCEL, b"");
    begun.calls.event(4, event::CANCEL, b"");
    assert_eq!(begun.ending(4), (verdict::FAILED, Vec::new()));
}

#[test]
fn call_that_no_executor_finishes_fails_and_one_that_never_pended_is_silent() {
    let work = || -> Work { Box::pin(pending()) };
    let calls = Arc::<Calls>::default();
    let shared = Arc::new(Shared::new(&HOST, 5));
    drop(Running::new(work(), shared, Arc::clone(&calls)));
    assert_eq!(resumed(5), [(verdict::FAILED, Vec::new())]);
    let shared = Arc::new(Shared::new(&HOST, 6));
    Running::new(work(), shared, calls).withdraw();
    assert_eq!(resumed(6), []);
}
