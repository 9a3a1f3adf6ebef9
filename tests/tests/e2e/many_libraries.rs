//! Workers that load one library after the other: what is stale piles up, and in time another worker
//! takes over, one slot at a time and without a failed request.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use gantry_tests::plugins;
use gantry_tests::process::eventually;
use gantry_tests::scrape::Scrape;
use gantry_tests::{Gateway, Load, Request, full};
use serde_json::{Value, json};

use crate::lab::{Lab, get, middleware, revision};

/// Swaps of a Go plugin, and in the long run.
const GO_SWAPS: (usize, usize) = (20, 200);
/// Stale Go libraries at which a worker is replaced, in the short run.
const STALE_GO: usize = 5;

/// The same library with other bytes behind its end: another digest, and so another library.
fn copy_of(library: &Path, number: usize, folder: &Path) -> PathBuf {
    let mut bytes = fs::read(library).unwrap();
    bytes.extend_from_slice(format!("copy {number}").as_bytes());
    let copy = folder.join(format!("copy-{number}.so"));
    fs::write(&copy, bytes).unwrap();
    copy
}

/// Publishes and deploys a copy; gives the revision.
fn deploy_copy(lab: &Lab, library: &Path, (bundle, function): (&str, &str), number: usize) -> u64 {
    let version = format!("1.0.{number}");
    let copy = copy_of(library, number, lab.stage.folder());
    let file = format!("{bundle}.so");
    let folder = lab.bundle(bundle, &version).file(&file, &copy).unwrap();
    lab.publish(folder.hook("pre", function, &file));
    let deployed = lab.project.admin.deploy(&format!("{bundle}@{version}"));
    revision(&deployed.unwrap())
}

fn c_plugin(lab: &Lab) -> PathBuf {
    plugins::c("examples/c-headers/plugin.c", lab.stage.folder(), None).unwrap()
}

fn bundle_api(bundle: &str) -> Value {
    json!({"use_keyless": true, "custom_middleware_bundle": bundle, "config_data": {"tag": "blue"}})
}

fn replacements(worker: &Value, reason: &str) -> u64 {
    worker["replacements"][reason].as_u64().unwrap()
}

fn workers(status: &Value) -> &[Value] {
    status["workers"].as_array().unwrap()
}

#[test]
fn workers_with_many_stale_libraries_are_replaced_one_at_a_time_and_no_request_fails() {
    let lab = Lab::start();
    let library = c_plugin(&lab);
    deploy_copy(&lab, &library, ("c-headers", "TagRequest"), 0);
    let gateway = lab.gateway_with("[worker.replace_at]\nstale_libraries = 3\n");
    lab.put(&gateway, &bundle_api("c-headers"));
    let load = Load::start(gateway.address(), &Request::get("/api/x"), 4, |answer| {
        answer.status == 200 && answer.json()["headers"]["x-tag"] == "blue"
    })
    .unwrap();
    let most = AtomicUsize::new(0);
    let count = || {
        let workers = gateway.worker_pids().unwrap_or_default().len();
        most.fetch_max(workers, Ordering::Relaxed);
    };
    for number in 1..=7 {
        let revision = deploy_copy(&lab, &library, ("c-headers", "TagRequest"), number);
        gateway
            .wait_status("the copy is in effect", |status| {
                count();
                status["report"]["applied_revision"].as_u64() >= Some(revision)
            })
            .unwrap();
    }
    let status = gateway
        .wait_status("both workers were replaced", |status| {
            count();
            workers(status).iter().all(|worker| {
                replacements(worker, "stale_libraries") >= 1 && worker["retiring"].is_null()
            })
        })
        .unwrap();
    load.wait_for(50).unwrap();
    let report = load.stop();
    assert_eq!((report.failed, &report.failures[..]), (0, &[][..]));
    let most = most.into_inner();
    assert!(most <= 3, "two workers and one that takes over, not {most}");
    assert_eq!(status["report"]["worker_deaths_total"], 0);
    let log = gateway.log();
    for code in ["WORKER_REPLACING", "WORKER_REPLACED", "WORKER_RETIRED"] {
        assert!(log.contains(code), "{code} in:\n{log}");
    }
    let scrape = Scrape::read(&format!("http://{}/metrics", gateway.admin())).unwrap();
    let samples = scrape.samples("gantry_worker_replacements_total");
    let counted = samples
        .iter()
        .find(|sample| sample.labels["reason"] == "stale_libraries");
    assert!(
        counted.is_some_and(|counted| counted.value >= 2.0),
        "{samples:?}"
    );
}

#[test]
fn worker_of_a_plugin_that_leaks_is_replaced_before_it_ends_and_no_request_fails() {
    let lab = Lab::start();
    lab.deploy_c("tests/fixtures/plugins/leaks.c", "leaks", ("pre", "Leaks"));
    let budget = 96 << 20;
    let gateway = lab.gateway_with(&format!(
        "[gateway]\nworkers = 1\n[worker.replace_at]\nmemory_bytes = {budget}\n"
    ));
    let hooks = middleware(&[("pre", &[("Leaks", "leaks.so")])]);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks}),
    );
    let first = gateway.worker_pids().unwrap();
    let load = Load::start(gateway.address(), &Request::get("/api/x"), 2, |answer| {
        answer.status == 200
    })
    .unwrap();
    // None for a moment would be requests that wait; two are the new one beside the old one.
    let least = AtomicUsize::new(usize::MAX);
    let (most, held) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let status = gateway
        .wait_status("the worker was replaced", |status| {
            let workers_live = gateway.worker_pids().unwrap_or_default().len();
            least.fetch_min(workers_live, Ordering::Relaxed);
            most.fetch_max(workers_live, Ordering::Relaxed);
            held.fetch_max(holdings(first[0].into()).2, Ordering::Relaxed);
            let worker = &workers(status)[0];
            replacements(worker, "memory_bytes") >= 1 && worker["retiring"].is_null()
        })
        .unwrap();
    load.wait_for(50).unwrap();
    let report = load.stop();
    assert_eq!((report.failed, &report.failures[..]), (0, &[][..]));
    let counted = (least.into_inner(), most.into_inner());
    assert_eq!(counted, (1, 2), "the new worker first");
    let held = held.into_inner();
    assert!(held > budget, "{held} bytes");
    assert!(!gateway.worker_pids().unwrap().contains(&first[0]));
    assert_eq!(status["report"]["worker_deaths_total"], 0);
    let log = gateway.log();
    let reason = log
        .lines()
        .find(|line| line.contains("WORKER_REPLACING"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(reason.contains("memory_bytes"), "{reason}");
}

#[test]
fn worker_whose_replacement_cannot_start_goes_on_and_is_replaced_when_it_can() {
    let lab = Lab::start();
    let marker = lab.stage.folder().join("refuse");
    let refusing = plugins::c(
        "tests/fixtures/plugins/refuses_later.c",
        lab.stage.folder(),
        None,
    );
    let folder = lab.bundle("later", "1.0.0");
    let folder = folder.file("later.so", &refusing.unwrap()).unwrap();
    lab.publish(folder.hook("pre", "Later", "later.so"));
    lab.project.admin.deploy("later@1.0.0").unwrap();
    let library = c_plugin(&lab);
    deploy_copy(&lab, &library, ("c-headers", "TagRequest"), 0);
    let config = format!(
        "[gateway]\nworkers = 1\n[worker.env]\nREFUSE_IF_THERE = {:?}\n[worker.replace_at]\nstale_libraries = 1\n",
        marker.display().to_string()
    );
    let gateway = lab.gateway_with(&config);
    lab.put(&gateway, &bundle_api("c-headers"));
    let mut other = lab.definition(&bundle_api("later"));
    other["api_id"] = json!("later");
    other["proxy"]["listen_path"] = json!("/later/");
    let put = lab
        .project
        .admin
        .put_api(lab.stage.folder(), &other)
        .unwrap();
    gateway.wait_revision(revision(&put)).unwrap();
    assert_eq!(get(&gateway, "/later/x").status, 200);
    let before = gateway.worker_pids().unwrap();

    fs::write(&marker, "").unwrap();
    deploy_copy(&lab, &library, ("c-headers", "TagRequest"), 1);
    let status = gateway
        .wait_status("the replacement failed twice", |status| {
            workers(status)[0]["replacement_failures"].as_u64() >= Some(2)
        })
        .unwrap();
    assert_eq!(
        workers(&status)[0]["pid"],
        json!(before[0]),
        "the same worker"
    );
    assert_eq!(replacements(&workers(&status)[0], "stale_libraries"), 0);
    let log = gateway.log();
    let line = log
        .lines()
        .find(|line| line.contains("WORKER_NOT_REPLACED"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("later") && line.contains("tried again in"),
        "{line}"
    );
    for path in ["/later/x", "/api/x"] {
        assert_eq!(get(&gateway, path).status, 200, "{path}");
    }

    fs::remove_file(&marker).unwrap();
    gateway
        .wait_status("the worker is replaced", |status| {
            replacements(&workers(status)[0], "stale_libraries") == 1
        })
        .unwrap();
    assert_eq!(get(&gateway, "/later/x").status, 200);
}

/// What a process holds: threads, mappings, resident bytes.
fn holdings(pid: u64) -> (usize, usize, usize) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let digits = line.and_then(|line| line.split_whitespace().next());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    };
    let mappings = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    (
        number("Threads:"),
        mappings.lines().count(),
        number("VmRSS:") * 1024,
    )
}

#[test]
fn many_swaps_of_a_go_plugin_under_load_leave_threads_mappings_and_memory_bounded() {
    let (swaps, config, stale) = if full() {
        (GO_SWAPS.1, "[gateway]\nworkers = 1\n".to_owned(), 8)
    } else {
        let at = format!("[worker.replace_at]\nstale_go_libraries = {STALE_GO}\n");
        (
            GO_SWAPS.0,
            format!("[gateway]\nworkers = 1\n{at}"),
            STALE_GO,
        )
    };
    let lab = Lab::start();
    let library = plugins::go("tests/fixtures/go-faulty", "1.0.0", None).unwrap();
    deploy_copy(&lab, &library, ("go-faulty", "Quiet"), 0);
    let gateway = lab.gateway_with(&config);
    lab.put(&gateway, &bundle_api("go-faulty"));
    let load = Load::start(gateway.address(), &Request::get("/api/x"), 2, |answer| {
        answer.status == 200
    })
    .unwrap();
    let (mut one, mut most) = ((0, 0, 0), (0, 0, 0));
    for number in 1..=swaps {
        let revision = deploy_copy(&lab, &library, ("go-faulty", "Quiet"), number);
        let status = gateway.wait_revision(revision).unwrap();
        let pid = workers(&status)[0]["pid"].as_u64().unwrap_or(0);
        let held = holdings(pid);
        if number == 1 {
            one = held;
        }
        most = (most.0.max(held.0), most.1.max(held.1), most.2.max(held.2));
    }
    load.wait_for(20).unwrap();
    let report = load.stop();
    assert_eq!((report.failed, &report.failures[..]), (0, &[][..]));
    let status = gateway
        .wait_status("the last replacement is through", |status| {
            workers(status)[0]["retiring"].is_null()
                && workers(status)[0]["libraries"]["go_stale"].as_u64() < Some(stale as u64)
        })
        .unwrap();
    let replaced = replacements(&workers(&status)[0], "stale_go_libraries");
    assert!(
        replaced >= swaps as u64 / (stale as u64 + 4),
        "{replaced} of {swaps}"
    );
    assert_eq!(
        status["report"]["worker_deaths_total"],
        0,
        "{}",
        gateway.log()
    );
    // The first figures are of two libraries; a swap or two may come while the next worker starts.
    let libraries = stale + 4;
    println!("{swaps} swaps, {replaced} replacements: two libraries {one:?}, at most {most:?}");
    assert!(
        most.0 <= one.0 + 8 * libraries,
        "threads: {one:?}, then {most:?}"
    );
    assert!(
        most.1 <= one.1 + 60 * libraries,
        "mappings: {one:?}, then {most:?}"
    );
    assert!(
        most.2 <= one.2 + (8 << 20) * libraries,
        "memory: {one:?}, then {most:?}"
    );
}

#[test]
fn panic_in_an_authors_own_goroutine_ends_one_worker_and_names_the_library() {
    let lab = Lab::start();
    let library = plugins::go("tests/fixtures/go-faulty", "1.0.0", None).unwrap();
    deploy_copy(&lab, &library, ("go-faulty", "Quiet"), 0);
    let gateway = lab.gateway();
    let hooks = middleware(&[("pre", &[("PanicAlone", "go-faulty.so")])]);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks}),
    );
    let mut neighbour = lab.definition(&json!({"use_keyless": true}));
    neighbour["api_id"] = json!("neighbour");
    neighbour["proxy"]["listen_path"] = json!("/neighbour/");
    let put = lab.project.admin.put_api(lab.stage.folder(), &neighbour);
    gateway.wait_revision(revision(&put.unwrap())).unwrap();
    let before = gateway.worker_pids().unwrap();

    let clients = 4;
    let load = Load::start(
        gateway.address(),
        &Request::get("/neighbour/x"),
        clients,
        |answer| answer.status == 200,
    )
    .unwrap();
    load.wait_for(20).unwrap();
    // Answered before the goroutine strikes, or lost with the worker.
    let _ = gateway.send(&Request::get("/api/x"));
    let log = eventually("the log names the library", || {
        let log = gateway.log();
        log.lines()
            .find(|line| line.contains("WORKER_DIED"))
            .map(ToOwned::to_owned)
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", gateway.log()));
    let status = gateway.status().unwrap();
    let digest = status["report"]["artifacts"][0]["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    let named = format!("in a thread of library {}", &digest[..12]);
    assert!(
        log.contains(&named) && log.contains("SIGABRT"),
        "{named} in {log}"
    );
    gateway
        .wait_status("both workers live", |status| {
            status["report"]["workers_live"] == 2
        })
        .unwrap();
    load.wait_for(50).unwrap();
    let report = load.stop();
    assert!(
        report.failed <= clients as u64,
        "only what was in flight there: {report:?}"
    );
    assert!(report.good > 70);
    assert_eq!(get(&gateway, "/neighbour/x").status, 200);
    assert_eq!(
        gateway.status().unwrap()["report"]["worker_deaths_total"],
        1
    );
    let after = gateway.worker_pids().unwrap();
    let survivors = before.iter().filter(|pid| after.contains(pid)).count();
    assert_eq!(survivors, 1, "{before:?}, then {after:?}");
    let log = gateway.log();
    assert!(
        log.contains("a panic alone"),
        "what Go dumped is in the log:\n{log}"
    );
}

/// Builds the Go example with a toolchain, publishes it beside a Rust and a C plugin in an API of its own.
fn put_built_by(lab: &Lab, gateway: &Gateway, program: &str, version: &str) {
    let library = plugins::go_by(program, "examples/go-hooks", version, None).unwrap();
    let bundle = format!("by-{}", program.replace('.', "-"));
    let file = format!("{bundle}.so");
    let folder = lab.bundle(&bundle, "1.0.0").file(&file, &library).unwrap();
    lab.publish(folder.hook("pre", "Correlate", &file));
    let reference = format!("{bundle}@1.0.0");
    lab.project.admin.deploy(&reference).unwrap();
    let functions = [
        ("TagRequest", "c-headers.so"),
        ("AddTraceHeader", "hooks.so"),
        ("Correlate", file.as_str()),
    ];
    let mut definition = lab.definition(&json!({
        "use_keyless": true, "config_data": {"tag": "blue"},
        "custom_middleware": middleware(&[("pre", &functions)]),
    }));
    definition["api_id"] = json!(bundle);
    definition["proxy"]["listen_path"] = json!(format!("/{program}/"));
    let put = lab.project.admin.put_api(lab.stage.folder(), &definition);
    gateway.wait_revision(revision(&put.unwrap())).unwrap();
}

#[test]
fn plugins_of_several_go_toolchains_run_in_one_worker_beside_rust_and_c() {
    let lab = Lab::start();
    lab.deploy_hooks();
    lab.deploy_c(
        "examples/c-headers/plugin.c",
        "c-headers",
        ("pre", "TagRequest"),
    );
    let gateway = lab.gateway_with("[gateway]\nworkers = 1\n");
    let older = plugins::GO_TOOLCHAINS.map(|(program, _)| program);
    let programs = [older[0], older[1], "go"];
    for (number, program) in programs.iter().enumerate() {
        put_built_by(&lab, &gateway, program, &format!("1.0.{number}"));
    }
    let worker = gateway.worker_pids().unwrap();
    for round in 0..3 {
        for (number, program) in programs.iter().enumerate() {
            let answer = get(&gateway, &format!("/{program}/x"));
            assert_eq!(answer.status, 200, "{program}, {round}: {answer:?}");
            let by = answer.header("x-correlated-by");
            assert_eq!(by, format!("go-hooks 1.0.{number}"), "{program}");
            let seen = &answer.json()["headers"];
            assert_eq!(seen["x-tag"], "blue", "{program}: C ran before");
            let trace = seen["x-trace-id"].as_str().unwrap_or_default();
            assert_eq!(
                seen["x-correlation-id"],
                format!("blue/{trace}"),
                "{program}: and Rust"
            );
        }
    }
    assert_eq!(
        gateway.worker_pids().unwrap(),
        worker,
        "one worker, and the same"
    );
    let status = gateway.status().unwrap();
    let loaded = &workers(&status)[0]["libraries"];
    assert_eq!(
        (&loaded["go"], &loaded["others"]),
        (&json!(3), &json!(2)),
        "{loaded}"
    );
    for (program, version) in plugins::GO_TOOLCHAINS {
        let library = plugins::go_by(program, "examples/go-hooks", "1.0.0", None).unwrap();
        let bytes = fs::read(library).unwrap();
        let found = bytes
            .windows(version.len())
            .any(|window| window == version.as_bytes());
        assert!(found, "{program} builds with {version}");
    }
}
