//! Asynchronous Rust functions behind a whole gateway: they answer late, others do not wait for them, and
//! a client that leaves or a deadline that passes ends them.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;

use gantry_tests::process::eventually;
use gantry_tests::{Answer, Gateway, Request, Scrape};
use serde_json::{Value, json};

use crate::lab::{Lab, get, middleware};

/// Requests that wait at the same time.
const READERS: u32 = 200;

/// A lab, and a gateway of one worker with two APIs: `/news/` waits, `/api/` is its neighbour.
fn stage(worker: &str) -> (Lab, Gateway) {
    let lab = Lab::start();
    lab.deploy_hooks();
    let gateway = lab.gateway_with(&format!("[gateway]\nworkers = 1\n[worker]\n{worker}"));
    let wait = middleware(&[("pre", &[("WaitForNews", "hooks.so")])]);
    lab.put(
        &gateway,
        &json!({
            "api_id": "news", "use_keyless": true, "custom_middleware": wait,
            "proxy": {"listen_path": "/news/", "target_url": lab.upstream.url()},
        }),
    );
    let early = middleware(&[("pre", &[("AddTraceHeader", "hooks.so")])]);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": early}),
    );
    (lab, gateway)
}

fn gauge(gateway: &Gateway, name: &str) -> f64 {
    let scrape = Scrape::read(&format!("http://{}/metrics", gateway.admin())).unwrap();
    let samples = scrape.samples(&format!("gantry_{name}"));
    assert!(!samples.is_empty(), "there is a metric {name}");
    samples.iter().map(|sample| sample.value).sum()
}

fn wait_for_gauge(gateway: &Gateway, name: &str, value: u32) {
    eventually(&format!("{name} is {value}"), || {
        ((gauge(gateway, name) - f64::from(value)).abs() < 0.5).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: it is {}", gauge(gateway, name)));
}

/// How many readers got it.
fn post(gateway: &Gateway, path: &str, news: &str) -> Value {
    let posted = gateway.send(&Request::post(path, news)).unwrap();
    assert_eq!(posted.status, 202, "{}", posted.body);
    posted.json()["readers"].clone()
}

fn refusal(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["code"].clone())
}

#[test]
fn asynchronous_functions_answer_late_and_neighbours_and_clients_that_leave_do_not_wait() {
    let (lab, gateway) = stage("");
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| scope.spawn(|| get(&gateway, "/news/today")))
            .collect();
        wait_for_gauge(&gateway, "plugin_pending_calls", READERS);
        for _ in 0..20 {
            let neighbour = get(&gateway, "/api/x");
            assert_eq!(
                (neighbour.status, neighbour.header("x-gantry-first")),
                (200, "example-hooks 1.0.0")
            );
        }
        assert!(
            readers.iter().all(|reader| !reader.is_finished()),
            "none got news yet"
        );
        assert_eq!(post(&gateway, "/news/today", "extra"), READERS);
        for reader in readers {
            let answer = reader.join().unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (200, "extra"));
        }
    });
    wait_for_gauge(&gateway, "plugin_pending_calls", 0);

    let mut client = TcpStream::connect(gateway.address()).unwrap();
    client
        .write_all(b"GET /news/today HTTP/1.1\r\nhost: gateway.test\r\n\r\n")
        .unwrap();
    wait_for_gauge(&gateway, "plugin_pending_calls", 1);
    drop(client);
    wait_for_gauge(&gateway, "plugin_pending_calls", 0);
    wait_for_gauge(&gateway, "plugin_abandoned_calls", 0);
    assert_eq!(
        post(&gateway, "/news/today", "late"),
        0,
        "its future was dropped"
    );
    assert_eq!(lab.upstream.requests(), 20, "the neighbour's alone");
}

#[test]
fn asynchronous_panic_is_500_and_a_response_is_changed_after_its_body_came() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    let at = |hook: &str, function: &str| {
        let entries = [(function, "faulty.so")];
        json!({"use_keyless": true, "custom_middleware": middleware(&[(hook, &entries)])})
    };
    lab.put(&gateway, &at("pre", "PanicLater"));
    let workers = gateway.worker_pids().unwrap();
    for _ in 0..3 {
        assert_eq!(
            refusal(&get(&gateway, "/api/x")),
            (500, json!("PLUGIN_FAILED"))
        );
    }
    assert_eq!(gateway.worker_pids().unwrap(), workers, "no worker ended");
    eventually("the panic is logged with its message", || {
        gateway
            .log()
            .contains("on purpose, after /api/x")
            .then_some(())
    })
    .unwrap();
    assert_eq!(lab.upstream.requests(), 0);

    lab.put(&gateway, &at("response", "ResponseBodyLater"));
    let answer = get(&gateway, "/api/x");
    assert_eq!(answer.status, 203);
    assert!(
        answer.body.starts_with("<{") && answer.body.ends_with("}>"),
        "{}",
        answer.body
    );
    assert_eq!(
        answer.header("content-length"),
        answer.body.len().to_string()
    );
}

#[test]
fn asynchronous_function_beyond_its_deadline_is_504_and_ends() {
    let (lab, gateway) = stage("plugin_deadline_ms = 200\n");
    let late = get(&gateway, "/news/today");
    assert_eq!(refusal(&late), (504, json!("PLUGIN_TIMEOUT")));
    let line = eventually("the log names the function", || {
        let log = gateway.log();
        let words = "PLUGIN_TIMEOUT: function WaitForNews: did not end within 200 ms";
        log.lines()
            .find(|line| line.contains(words))
            .map(str::to_owned)
    });
    assert!(line.unwrap().contains("news"), "and its API");
    wait_for_gauge(&gateway, "plugin_pending_calls", 0);
    wait_for_gauge(&gateway, "plugin_abandoned_calls", 0);
    assert_eq!(
        post(&gateway, "/news/today", "late"),
        0,
        "its future was dropped"
    );
    assert_eq!(lab.upstream.requests(), 0);
}
