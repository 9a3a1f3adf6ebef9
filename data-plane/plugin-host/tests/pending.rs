//! Calls that pend, and end early, late, twice, never: with C functions on threads of their own.

mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use gantry_domain::Hook;
use gantry_plugin_host::{
    Called, Dispatcher, Exchange, Instance, Library, PendingCall, Verdict, Wish,
};
use support::{PATIENCE, code, collect_logs, lines_with, open, request, start, told};

const INVALID: i32 = -6;
const DEAD_HANDLE: i32 = -2;
const REFUSED: i32 = -5;

/// The library has globals, the process has one dispatcher, and log lines are told apart by their text.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    collect_logs();
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park_timeout(Duration::from_secs(20)),
        }
    }
}

/// The one library that most tests share.
fn library() -> Arc<Library> {
    static LIBRARY: OnceLock<Arc<Library>> = OnceLock::new();
    Arc::clone(LIBRARY.get_or_init(|| open("pending")))
}

fn begin(function: &str) -> (Arc<Instance>, Box<Exchange>, Called) {
    let instance = start(&library(), function, Hook::Auth, "{}").expect("the function starts");
    let instance = Arc::new(instance);
    let mut exchange = Box::new(request());
    let called = Instance::begin(&instance, Hook::Auth, &mut exchange, PATIENCE);
    (instance, exchange, called)
}

fn pending(called: Called) -> PendingCall {
    match called {
        Called::Pending(call) => call,
        Called::Ended(verdict) => panic!("ended with {verdict:?}"),
    }
}

fn wish(call: &mut PendingCall) -> Wish {
    block_on(poll_fn(|cx| call.poll_wish(cx)))
}

/// The numbers that were logged after a text.
fn said(what: &str) -> Vec<i32> {
    let number = |line: &str| line.strip_prefix(what)?.trim_start().parse().ok();
    lines_with(what)
        .iter()
        .filter_map(|line| number(&line.1))
        .collect()
}

fn until(holds: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it does not hold in time");
}

#[test]
fn call_that_is_resumed_before_it_returns_counts_once_with_all_that_it_changed() {
    let _turn = one_at_a_time();
    let (_instance, mut exchange, called) = begin("Early");
    let mut call = pending(called);
    assert_eq!(wish(&mut call), Wish::End);
    assert_eq!(call.finish(&mut exchange), Verdict::Continue);
    for name in ["x-before", "x-out", "x-early"] {
        assert!(exchange.headers.contains_key(name), "{name}");
    }
    assert!(!exchange.headers.contains_key("x-again"));
    assert_eq!(said("early").last(), Some(&0));
    assert_eq!(said("early again").last(), Some(&DEAD_HANDLE));
}

#[test]
fn call_is_resumed_from_another_thread_and_bad_resumes_leave_it_alone() {
    let _turn = one_at_a_time();
    for with_dispatcher in [false, true] {
        let mut dispatcher = with_dispatcher.then(Dispatcher::new);
        let (_instance, mut exchange, called) = begin("Late");
        let mut call = pending(called);
        let ended = block_on(poll_fn(|cx| {
            if let Some(dispatcher) = &mut dispatcher {
                assert!(std::pin::Pin::new(dispatcher).poll(cx).is_pending());
            }
            call.poll_wish(cx)
        }));
        assert_eq!(ended, Wish::End);
        assert_eq!(call.finish(&mut exchange), Verdict::Continue);
        assert!(exchange.headers.contains_key("x-late"));
        assert_eq!(told(&exchange, "x-deadline"), [30_000]);
        until(|| said("late again").len() == 1 + usize::from(with_dispatcher));
    }
    assert_eq!(said("late bad verdict"), [INVALID; 2]);
    assert_eq!(said("late bad pointer"), [INVALID; 2]);
    assert_eq!(said("late too large"), [-7; 2]);
    assert_eq!(said("late get"), [DEAD_HANDLE; 2]);
    assert_eq!(said("late end"), [0; 2]);
    assert_eq!(said("late again"), [DEAD_HANDLE; 2]);
    let logged = lines_with("late 0");
    let origin = format!("users/Late/auth/{}", support::TRACE_ID);
    assert_eq!(logged[0].2.as_deref(), Some(origin.as_str()));
}

#[test]
fn verdicts_and_mutations_of_a_resume_are_held_against_each_other() {
    let _turn = one_at_a_time();
    for (function, expected) in [("Torn", "MUTATIONS_REFUSED"), ("Panics", "PLUGIN_PANICKED")] {
        let (_instance, mut exchange, called) = begin(function);
        let verdict = pending(called).finish(&mut exchange);
        assert_eq!(code(&verdict), expected);
    }
    let (_instance, mut exchange, called) = begin("Answers");
    assert_eq!(pending(called).finish(&mut exchange), Verdict::Respond);
    let answer = exchange.answer.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (418, &b"short"[..])
    );
    let (_instance, _, called) = begin("Both");
    let Called::Ended(verdict) = called else {
        panic!("it returned")
    };
    assert_eq!(code(&verdict), "RESUMED_AND_RETURNED");
}

#[test]
fn call_that_is_given_up_keeps_instance_and_carry_until_its_resume() {
    let _turn = one_at_a_time();
    let (instance, mut exchange, called) = begin("Holds");
    let (stopped, told_before) = (said("pending stopped").len(), said("event").len());
    assert!(exchange.response_headers.contains_key("x-answer"));
    assert!(pending(called).cancel(Some(&mut exchange)));
    assert!(exchange.response_headers.is_empty());
    assert_eq!(said("event").len(), told_before + 1);
    drop((instance, exchange));
    assert_eq!(said("pending stopped").len(), stopped);
    assert_eq!(lines_with("released 42").len(), 0);
    let ends = start(&library(), "EndsHeld", Hook::Pre, "{}").unwrap();
    let mut exchange = request();
    assert_eq!(ends.call(Hook::Pre, &mut exchange), Verdict::Continue);
    assert_eq!(told(&exchange, "x-code"), [0, DEAD_HANDLE, DEAD_HANDLE]);
    assert_eq!(said("pending stopped").len(), stopped + 1);
    assert_eq!(lines_with("released 42").len(), 1);
}

#[test]
fn call_that_is_dropped_is_told_and_one_that_was_resumed_is_not() {
    let _turn = one_at_a_time();
    let told = said("event").len();
    let (_instance, _exchange, called) = begin("Early");
    drop(called);
    assert_eq!(said("event").len(), told);
    let (_instance, _exchange, called) = begin("Holds");
    drop(called);
    assert_eq!(said("event").len(), told + 1);
}

#[test]
fn body_comes_when_it_is_asked_for_and_may_be_replaced_without_a_flag() {
    let _turn = one_at_a_time();
    let (_instance, mut exchange, called) = begin("Asks");
    let mut call = pending(called);
    assert_eq!(wish(&mut call), Wish::Body);
    call.give_body(&Bytes::from_static(b"abc"));
    assert_eq!(wish(&mut call), Wish::End);
    assert_eq!(call.finish(&mut exchange), Verdict::Continue);
    assert_eq!(exchange.body.as_deref(), Some(&b"abcabc"[..]));
    assert_eq!(said("ask get"), [REFUSED]);
    assert_eq!(said("ask path"), [INVALID]);
    assert_eq!(said("ask other"), [REFUSED]);
    assert_eq!(said("ask"), [0]);
    assert_eq!(said("ask again"), [REFUSED]);
}

#[test]
fn function_that_may_pend_is_not_called_where_nobody_waits_and_others_have_no_pending_handle() {
    let _turn = one_at_a_time();
    let library = library();
    let instance = start(&library, "Early", Hook::Pre, "{}").unwrap();
    let verdict = instance.call(Hook::Pre, &mut request());
    assert_eq!(code(&verdict), "PENDING_UNAWAITED");
    let instance = Arc::new(start(&library, "Undeclared", Hook::Pre, "{}").unwrap());
    let mut exchange = request();
    let called = Instance::begin(&instance, Hook::Pre, &mut exchange, PATIENCE);
    assert!(matches!(called, Called::Ended(Verdict::Continue)));
    assert_eq!(told(&exchange, "x-code"), [DEAD_HANDLE; 2]);
}

#[test]
fn library_carries_a_number_through_a_request_and_gets_it_back_once() {
    let _turn = one_at_a_time();
    let library = library();
    let instance = start(&library, "Carries", Hook::Pre, "{}").unwrap();
    let other = start(&open("pending"), "Carries", Hook::Pre, "{}").unwrap();
    let mut exchange = request();
    for instance in [&instance, &instance, &other, &instance] {
        assert_eq!(instance.call(Hook::Pre, &mut exchange), Verdict::Continue);
    }
    assert_eq!(told(&exchange, "x-carry"), [0, 1, 0, 2]);
    // These do not pend.
    assert_eq!(told(&exchange, "x-deadline"), [0; 4]);
    assert_eq!(said("released 3").len() + said("released 1").len(), 0);
    drop(exchange);
    assert_eq!(lines_with("released 3").len(), 1);
    assert_eq!(lines_with("released 1").len(), 1);
}

#[test]
fn example_sums_up_the_body_on_a_thread_of_its_own() {
    let path = support::build_c("examples/c-pending/plugin.c", &["-pedantic"]);
    let library = Library::open(&path).unwrap();
    let note = support::note_of(&path);
    assert_eq!(library.descriptor().differs_from(&note), None);
    let instance = Arc::new(start(&library, "SumBody", Hook::Pre, "{}").unwrap());
    let mut exchange = request();
    let mut call = pending(Instance::begin(
        &instance,
        Hook::Pre,
        &mut exchange,
        PATIENCE,
    ));
    assert_eq!(wish(&mut call), Wish::Body);
    call.give_body(&Bytes::from_static(b"abc"));
    assert_eq!(wish(&mut call), Wish::End);
    assert_eq!(call.finish(&mut exchange), Verdict::Continue);
    assert_eq!(exchange.headers["x-body-sum"], "00017862");
    // One that is given up is ended at once.
    let given_up = pending(Instance::begin(
        &instance,
        Hook::Pre,
        &mut exchange,
        PATIENCE,
    ));
    assert!(!given_up.cancel(Some(&mut exchange)));
}
