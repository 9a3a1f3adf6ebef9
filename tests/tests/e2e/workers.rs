//! The gateway's processes: workers die and come back, deaths are attributed, environments are empty,
//! prints become log lines, swaps lose nothing.

use gantry_tests::plugins::example;
use gantry_tests::process::{eventually, signal};
use gantry_tests::{GatewayOptions, Load, Request};
use serde_json::json;

use crate::lab::{Lab, VERSION, get, middleware, revision};

#[test]
fn killed_worker_is_replaced_and_the_gateway_goes_on() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    lab.put(&gateway, &json!({"use_keyless": true}));
    let pids = gateway.worker_pids().unwrap();
    assert_eq!(pids.len(), 2, "two workers by default");
    for pid in &pids {
        signal(*pid, "KILL").unwrap();
    }
    let replaced = eventually("two new workers", || {
        let now = gateway.worker_pids().ok()?;
        (now.len() == 2 && now.iter().all(|pid| !pids.contains(pid))).then_some(())
    });
    replaced.unwrap();
    for _ in 0..10 {
        assert_eq!(get(&gateway, "/api/x").status, 200);
    }
}

#[test]
fn worker_that_a_plugin_crashes_is_replaced_and_the_culprit_is_named() {
    let lab = Lab::start();
    lab.deploy_c("tests/fixtures/plugins/crash.c", "crash", ("pre", "Crash"));
    let gateway = lab.gateway();
    let hooks = middleware(&[("pre", &[("Crash", "crash.so")])]);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks}),
    );
    assert!(
        gateway.send(&Request::get("/api/x")).is_err(),
        "the connection dies with the worker"
    );
    eventually("the log names the culprit", || {
        let log = gateway.log();
        log.lines()
            .any(|line| {
                line.contains("WORKER_DIED") && line.contains("Crash") && line.contains("SIGSEGV")
            })
            .then_some(())
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", gateway.log()));
    gateway
        .wait_status("the death is counted", |status| {
            status["report"]["worker_deaths_total"].as_u64() == Some(1)
        })
        .unwrap();
    gateway
        .wait_status("both workers live", |status| {
            status["report"]["workers_live"].as_u64() == Some(2)
        })
        .unwrap();
}

#[test]
fn environment_of_a_worker_is_empty_but_for_what_is_configured() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    for pid in gateway.worker_pids().unwrap() {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let names: Vec<_> = environment
            .split('\0')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, _)| name)
            .collect();
        let expected = ["RUST_BACKTRACE", "GLIBC_TUNABLES"];
        assert!(
            names.iter().all(|name| expected.contains(name)),
            "{names:?}"
        );
        assert!(!environment.contains(&lab.project.gateway_token));
    }
}

#[test]
fn worker_env_is_the_whole_environment_that_plugins_see() {
    let lab = Lab::start();
    let document = "[worker]\ngo_max_procs = 2\ngo_memory_limit_bytes = 134217728\n\
                    [worker.env]\nPLUGIN_MODE = \"careful\"\n";
    let gateway = lab.gateway_with(document);
    for pid in gateway.worker_pids().unwrap() {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        let mut pairs: Vec<_> = environment.split_terminator('\0').collect();
        pairs.sort_unstable();
        assert_eq!(
            pairs,
            [
                "GLIBC_TUNABLES=glibc.rtld.optional_static_tls=4096",
                "GOMAXPROCS=2",
                "GOMEMLIMIT=134217728",
                "PLUGIN_MODE=careful",
                "RUST_BACKTRACE=0",
            ]
        );
    }
}

#[test]
fn what_plugins_print_becomes_log_lines() {
    let lab = Lab::start();
    lab.deploy_c(
        "tests/fixtures/plugins/prints.c",
        "prints",
        ("pre", "Prints"),
    );
    let gateway = lab.gateway();
    let hooks = middleware(&[("pre", &[("Prints", "prints.so")])]);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks}),
    );
    assert_eq!(get(&gateway, "/api/x").status, 200);
    for stream in ["stdout", "stderr"] {
        let line = eventually("the line is in the log", || {
            let log = gateway.log();
            log.lines()
                .find(|line| line.contains(&format!("a plugin printed this to {stream}")))
                .map(ToOwned::to_owned)
        });
        let line = line.unwrap();
        assert!(
            line.contains("worker.slot"),
            "with the slot it came from: {line}"
        );
    }
}

#[test]
fn version_that_configuration_overrides_is_shown() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    gateway
        .wait_status("a report was made", |status| {
            status["report"]["state"] == "ready"
        })
        .unwrap();
    let shown = eventually("the control plane knows the gateway", || {
        let gateways = lab.project.admin.json(&["gateways"]).ok()?;
        gateways[0]["version"]
            .is_string()
            .then(|| gateways[0].clone())
    });
    let shown = shown.unwrap();
    assert_eq!(
        (&shown["version"], &shown["version_overridden"]),
        (&json!(VERSION), &json!(true)),
        "{shown}"
    );
    assert_eq!(
        shown["built_version"],
        json!(format!("v{}", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn second_gateway_with_the_same_id_is_refused() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    let elsewhere = lab.stage.folder().join("elsewhere");
    let options = GatewayOptions {
        id: "gateway-1".into(),
        ..GatewayOptions::default()
    };
    let endpoint = lab.stage.control_plane.endpoint();
    let twin =
        gantry_tests::Gateway::start(&elsewhere, &endpoint, &lab.project.gateway_token, &options)
            .unwrap();
    eventually("it is told so", || {
        twin.log().contains("GATEWAY_ID_IN_USE").then_some(())
    })
    .unwrap();
    assert_eq!(twin.status().unwrap()["report"]["state"], "starting");
    assert_eq!(
        gateway.status().unwrap()["report"]["state"],
        "ready",
        "the first one goes on"
    );
}

#[test]
fn swap_of_versions_under_load_fails_no_request() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    let publish = |version: &str| {
        let library = example(version, None).unwrap();
        let bundle = lab
            .bundle("hooks", version)
            .file("hooks.so", &library)
            .unwrap();
        lab.publish(bundle.hook("pre", "AddTraceHeader", "hooks.so").hook(
            "response",
            "StampResponse",
            "hooks.so",
        ));
    };
    publish("1.0.0");
    publish("1.1.0");
    lab.project.admin.deploy("hooks@1.0.0").unwrap();
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware_bundle": "hooks"}),
    );
    let load = Load::start(gateway.address(), &Request::get("/api/x"), 4, |answer| {
        let (first, last) = (
            answer.header("x-gantry-first"),
            answer.header("x-gantry-plugin"),
        );
        let generation = first.strip_prefix("example-hooks ").unwrap_or("none");
        answer.status == 200 && last.starts_with(&format!("example-hooks {generation} "))
    })
    .unwrap();
    for round in 0..6 {
        load.wait_for(50).unwrap();
        let deployed = lab
            .project
            .admin
            .deploy(["hooks@1.1.0", "hooks@1.0.0"][round % 2])
            .unwrap();
        gateway.wait_revision(revision(&deployed)).unwrap();
    }
    load.wait_for(50).unwrap();
    let report = load.stop();
    assert_eq!(
        (report.failed, &report.failures[..]),
        (0, &[][..]),
        "a request lives on one generation to its end"
    );
    assert!(report.good > 350);
}

#[test]
fn log_lines_of_plugins_carry_function_api_and_trace() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let gateway = lab.gateway();
    lab.put(&gateway, &json!({"use_keyless": true, "custom_middleware": middleware(&[("pre", &[("Echo", "faulty.so")])])}));
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request =
        Request::get("/api/x").header("traceparent", &format!("00-{trace}-b7ad6b7169203331-01"));
    assert_eq!(
        gateway.send(&request).unwrap().json()["trace_id"],
        json!(trace)
    );
    eventually("the line is in the log", || {
        let log = gateway.log();
        log.lines()
            .any(|line| {
                ["echo", "Echo", "test", trace]
                    .iter()
                    .all(|word| line.contains(word))
            })
            .then_some(())
    })
    .unwrap_or_else(|error| panic!("{error:#}\n{}", gateway.log()));
}
