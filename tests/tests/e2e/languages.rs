//! Functions in Rust, C and Go in one API: they see each other's work and fail cleanly. Go brings a
//! runtime with threads and signal handlers of its own, so what the gateway does with signals is shown
//! again beside it.

use std::path::Path;

use gantry_tests::plugins::{self, example};
use gantry_tests::process::eventually;
use gantry_tests::{Gateway, Request};
use serde_json::{Value, json};

use crate::lab::{Lab, get, middleware, revision};

const C: &str = "c-headers.so";
const RUST: &str = "hooks.so";
const GO: &str = "go-hooks.so";

/// Publishes a bundle of one library with one function at `pre`.
fn publish(lab: &Lab, (bundle, version): (&str, &str), library: &Path, function: &str) {
    let file = format!("{bundle}.so");
    let folder = lab.bundle(bundle, version).file(&file, library).unwrap();
    lab.publish(folder.hook("pre", function, &file));
}

fn deploy(lab: &Lab, reference: &str) -> u64 {
    revision(&lab.project.admin.deploy(reference).unwrap())
}

fn deploy_go_faulty(lab: &Lab) {
    let library = plugins::go("tests/fixtures/go-faulty", "1.0.0", None).unwrap();
    publish(lab, ("go-faulty", "1.0.0"), &library, "Quiet");
    deploy(lab, "go-faulty@1.0.0");
}

fn go_faulty(hooks: &[(&str, &[(&str, &str)])]) -> Value {
    json!({"use_keyless": true, "custom_middleware": middleware(hooks)})
}

/// A Rust, a C and a Go function at `pre`.
fn three_languages(lab: &Lab, gateway: &Gateway) {
    let version = "1.0.0";
    let c = plugins::c("examples/c-headers/plugin.c", lab.stage.folder(), None).unwrap();
    publish(lab, ("c-headers", version), &c, "TagRequest");
    let rust = example(version, None).unwrap();
    publish(lab, ("hooks", version), &rust, "AddTraceHeader");
    let go = plugins::go("examples/go-hooks", version, None).unwrap();
    publish(lab, ("go-hooks", version), &go, "Correlate");
    for bundle in ["c-headers", "hooks", "go-hooks"] {
        deploy(lab, &format!("{bundle}@1.0.0"));
    }
    let functions = [
        ("TagRequest", C),
        ("AddTraceHeader", RUST),
        ("Correlate", GO),
        ("Maintenance", GO),
    ];
    let fields = json!({
        "use_keyless": true,
        "custom_middleware": middleware(&[("pre", &functions)]),
        "config_data": {"tag": "blue", "closed": ["/api/closed"]},
    });
    lab.put(gateway, &fields);
}

fn three_languages_were_at_work(answer: &gantry_tests::Answer) -> bool {
    let seen = &answer.json()["headers"];
    let text = |name: &str| seen[name].as_str().unwrap_or_default();
    let correlated = format!("{}/{}", text("x-tag"), text("x-trace-id"));
    answer.status == 200
        && text("x-tag") == "blue"
        && text("x-trace-id").len() == 32
        && text("x-correlation-id") == correlated
        && answer
            .header("x-gantry-first")
            .starts_with("example-hooks ")
        && answer.header("x-correlated-by").starts_with("go-hooks ")
}

#[test]
fn functions_in_rust_c_and_go_run_in_one_api_in_order() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    three_languages(&lab, &gateway);
    let answer = get(&gateway, "/api/open");
    assert!(
        three_languages_were_at_work(&answer),
        "Go joins what C and Rust left before it: {answer:?}"
    );
    assert_eq!(answer.header("x-correlated-by"), "go-hooks 1.0.0");

    let before = lab.upstream.requests();
    let answer = get(&gateway, "/api/closed/today");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, "600"),
        "{answer:?}"
    );
    assert_eq!(answer.json()["error"], "closed for maintenance");
    assert!(
        answer.header("x-gantry-first").starts_with("example-hooks"),
        "what Rust set early is on the answer that Go gives: {answer:?}"
    );
    assert_eq!(lab.upstream.requests(), before, "no upstream was asked");
}

#[test]
fn go_function_that_panics_or_fails_answers_500_and_the_worker_lives() {
    let lab = Lab::start();
    deploy_go_faulty(&lab);
    let gateway = lab.gateway();
    let workers = gateway.worker_pids().unwrap();
    for (function, logged) in [
        ("Panic", "panic: a panic in Go at "),
        ("Nil", "nil pointer dereference"),
        ("Fail", "an error in Go"),
        ("Refused", "MUTATIONS_REFUSED"),
    ] {
        lab.put(
            &gateway,
            &go_faulty(&[("pre", &[(function, "go-faulty.so")])]),
        );
        let before = lab.upstream.requests();
        for _ in 0..4 {
            assert_eq!(get(&gateway, "/api/x").status, 500, "{function}");
        }
        assert_eq!(lab.upstream.requests(), before, "{function} fails closed");
        eventually("the log says why", || {
            gateway.log().contains(logged).then_some(())
        })
        .unwrap_or_else(|error| panic!("{function}: {error:#}\n{}", gateway.log()));
    }
    assert!(
        gateway.log().contains("main.go:"),
        "a panic is logged with its line:\n{}",
        gateway.log()
    );
    lab.put(
        &gateway,
        &go_faulty(&[("pre", &[("PanicAside", "go-faulty.so")])]),
    );
    assert_eq!(get(&gateway, "/api/x").status, 200);
    let line = eventually("the log tells of the goroutine", || {
        let log = gateway.log();
        log.lines()
            .find(|line| line.contains("panic in a goroutine: a panic aside"))
            .map(ToOwned::to_owned)
    })
    .unwrap();
    // No call belongs to it, so it names the tenant and the library.
    let status = gateway.status().unwrap();
    let digest = status["report"]["artifacts"][0]["sha256"].as_str().unwrap();
    for word in ["acme", digest] {
        assert!(line.contains(word), "{word} in {line}");
    }
    assert_eq!(gateway.worker_pids().unwrap(), workers, "the same workers");
}

#[test]
fn go_functions_read_back_changes_beyond_the_output_and_change_responses() {
    let lab = Lab::start();
    deploy_go_faulty(&lab);
    let gateway = lab.gateway();
    let hooks: &[(&str, &[(&str, &str)])] = &[
        ("pre", &[("ReadBack", "go-faulty.so")]),
        ("response", &[("Restamp", "go-faulty.so")]),
    ];
    lab.put(&gateway, &go_faulty(hooks));
    let answer = get(&gateway, "/api/x");
    assert_eq!(
        (answer.status, answer.header("x-was")),
        (203, "200"),
        "{answer:?}"
    );
    assert_eq!(
        (
            answer.header("x-path"),
            answer.header("x-pieces"),
            answer.header("x-early"),
            answer.header("x-api")
        ),
        ("/changed", "6", "6", "test")
    );
    let seen = answer.json();
    assert_eq!(seen["path"], "/changed");
    let pieces = seen["headers"]["x-piece"]
        .as_str()
        .unwrap_or_default()
        .len();
    assert_eq!(pieces, 6 * 1000 + 5 * 2);
}

#[test]
fn crash_in_c_beside_go_is_attributed_and_the_gateway_goes_on() {
    let lab = Lab::start();
    lab.deploy_c("tests/fixtures/plugins/crash.c", "crash", ("pre", "Crash"));
    deploy_go_faulty(&lab);
    let gateway = lab.gateway();
    // Go runs first, so that its runtime and signal handlers are in place in whichever worker is asked.
    let functions = [("Quiet", "go-faulty.so"), ("Crash", "crash.so")];
    lab.put(&gateway, &go_faulty(&[("pre", &functions)]));
    assert!(gateway.send(&Request::get("/api/x")).is_err());
    eventually("the log names the culprit", || {
        let log = gateway.log();
        let named = log.lines().any(|line| {
            ["WORKER_DIED", "Crash", "SIGSEGV"]
                .iter()
                .all(|word| line.contains(word))
        });
        named.then_some(())
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", gateway.log()));
    gateway
        .wait_status("both workers live", |status| {
            status["report"]["workers_live"] == 2
        })
        .unwrap();
}

#[test]
fn gateway_with_go_functions_drains_and_ends_when_it_is_told() {
    let lab = Lab::start();
    deploy_go_faulty(&lab);
    let mut gateway = lab.gateway();
    lab.put(
        &gateway,
        &go_faulty(&[("pre", &[("Quiet", "go-faulty.so")])]),
    );
    for _ in 0..8 {
        assert_eq!(get(&gateway, "/api/x").status, 200);
    }
    let workers = gateway.worker_pids().unwrap();
    gateway.stop().unwrap();
    assert!(!gateway.log().contains("WORKER_DIED"), "{}", gateway.log());
    for worker in workers {
        let path = format!("/proc/{worker}");
        assert!(!Path::new(&path).exists(), "worker {worker} is left");
    }
}

/// A loop without calls can be interrupted only by a signal, and each Go runtime keeps that signal for
/// itself: the gateway must hand it on to all of them.
#[test]
fn go_runtimes_beside_each_other_can_all_interrupt_their_loops() {
    let lab = Lab::start();
    deploy_go_faulty(&lab);
    let gateway = lab.gateway();
    let busy = [("Collect", "go-faulty.so")];
    lab.put(&gateway, &go_faulty(&[("pre", &busy)]));
    let collections = || {
        let answer = get(&gateway, "/api/x");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("x-collections").parse::<u64>().unwrap()
    };
    assert!(collections() >= 5, "one runtime interrupts its loop");

    // A second runtime comes later, and its handler takes the first one's place.
    let library = plugins::go("examples/go-hooks", "1.0.0", None).unwrap();
    publish(&lab, ("go-hooks", "1.0.0"), &library, "Correlate");
    deploy(&lab, "go-hooks@1.0.0");
    let both = [("Collect", "go-faulty.so"), ("Correlate", GO)];
    lab.put(&gateway, &go_faulty(&[("pre", &both)]));
    let beside = (0..4).map(|_| collections()).min().unwrap();
    // Without the signal a collection waits for the end of the loop: there would be one at most.
    assert!(beside >= 5, "{beside} collections beside another runtime");
}
