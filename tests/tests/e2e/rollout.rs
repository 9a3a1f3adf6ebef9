//! A deployment that is waited for: exit code and output say whether every worker of every connected
//! gateway serves it, which does not, and why.

use gantry_tests::plugins;
use gantry_tests::process::signal;
use serde_json::{Value, json};

use crate::lab::{Lab, VERSION, get};

impl Lab {
    /// A bundle `hooks` in its folder, as an author has it.
    fn hooks(&self, version: &str) -> String {
        let library = plugins::example(version, None).unwrap();
        let bundle = self
            .bundle("hooks", version)
            .file("hooks.so", &library)
            .unwrap();
        let bundle = bundle.hook("pre", "AddTraceHeader", "hooks.so").write();
        bundle.unwrap().to_string_lossy().into_owned()
    }
}

fn states(gateways: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let gateways = gateways.as_array().unwrap().iter();
    gateways
        .map(|gateway| (text(&gateway["gateway"]), text(&gateway["state"])))
        .collect()
}

#[test]
fn push_that_deploys_and_waits_ends_when_every_gateway_serves_and_may_be_repeated() {
    let lab = Lab::start();
    let gantry = &lab.project.admin;
    let first = lab.gateway();
    let second = lab
        .stage
        .ready_gateway(&lab.project, "gateway-2", VERSION)
        .unwrap();
    gantry.json(&["push", &lab.hooks("1.0.0")]).unwrap();
    let unused = gantry.run(&["deploy", "hooks@1.0.0", "--wait"]).unwrap();
    assert_eq!(unused.code, 0, "{}", unused.stderr);
    let words = "no API of production uses hooks on these gateways";
    assert!(unused.stderr.contains(words), "{}", unused.stderr);
    lab.put(
        &first,
        &json!({"use_keyless": true, "custom_middleware_bundle": "hooks"}),
    );
    let bundle = lab.hooks("1.1.0");
    let push = ["push", &bundle, "--deploy", "production", "--wait"];
    let pushed = gantry.json(&push).unwrap();
    assert_eq!(pushed["deployment"]["gateways"][0]["files"], 1);
    let serving = |id: &str| (id.to_owned(), "serving".to_owned());
    let all = [serving("gateway-1"), serving("gateway-2")];
    assert_eq!(states(&pushed["deployment"]["gateways"]), all);
    // No later look is needed: every request from now on meets the new version.
    for gateway in [&first, &second] {
        assert_eq!(get(gateway, "/api/x").status, 200);
        let status = gateway.status().unwrap();
        let artifacts = status["report"]["artifacts"].as_array().unwrap();
        let versions: Vec<_> = artifacts.iter().map(|file| &file["version"]).collect();
        assert_eq!(versions, ["1.1.0"], "{status}");
    }
    let again = gantry.json(&push).unwrap();
    assert_eq!(again["already_published"], true);
    assert_eq!(
        again["deployment"]["revision"],
        pushed["deployment"]["revision"]
    );
    assert_eq!(states(&again["deployment"]["gateways"]), all);
}

#[test]
fn wait_names_the_gateway_that_cannot_serve_and_why_also_when_it_is_asked_again() {
    let lab = Lab::start();
    let gantry = &lab.project.admin;
    let gateway = lab.gateway();
    gantry.json(&["push", &lab.hooks("1.0.0")]).unwrap();
    gantry.deploy("hooks@1.0.0").unwrap();
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware_bundle": "hooks"}),
    );
    let source = "tests/fixtures/plugins/start_fails.c";
    let library = plugins::c(source, lab.stage.folder(), None).unwrap();
    let broken = lab
        .bundle("hooks", "1.1.0")
        .file("hooks.so", &library)
        .unwrap();
    lab.publish(broken.hook("pre", "StartFails", "hooks.so"));
    for _ in 0..2 {
        let deploy = ["deploy", "hooks@1.1.0", "--wait", "--output", "json"];
        let failed = gantry.run(&deploy).unwrap();
        assert_eq!(failed.code, 7, "{}", failed.stderr);
        for said in [
            "gateway-1",
            "API test is held",
            "this function never starts",
        ] {
            assert!(failed.stderr.contains(said), "{said}: {}", failed.stderr);
        }
        let view: Value = serde_json::from_str(&failed.stdout).unwrap();
        let expected = [("gateway-1".to_owned(), "failed".to_owned())];
        assert_eq!(states(&view["gateways"]), expected);
    }
    let back = gantry.json(&["deploy", "hooks@1.0.0", "--wait"]).unwrap();
    assert_eq!(states(&back["gateways"])[0].1, "serving");
}

#[test]
fn wait_ends_in_time_and_the_same_command_waits_again() {
    let lab = Lab::start();
    let gantry = &lab.project.admin;
    let gateway = lab.gateway();
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware_bundle": "hooks"}),
    );
    gantry.json(&["push", &lab.hooks("1.0.0")]).unwrap();
    let all = |name| {
        for pid in gateway.worker_pids().unwrap() {
            signal(pid, name).unwrap();
        }
    };
    all("STOP");
    let deploy = ["deploy", "hooks@1.0.0", "--wait", "--wait-timeout", "2"];
    let late = gantry.run(&deploy).unwrap();
    all("CONT");
    assert_eq!(late.code, 8, "{}", late.stderr);
    assert!(
        late.stderr.contains("gateway-1 is behind"),
        "{}",
        late.stderr
    );
    let served = gantry.json(&["deploy", "hooks@1.0.0", "--wait"]).unwrap();
    assert_eq!(states(&served["gateways"])[0].1, "serving");
}

#[test]
fn wait_without_a_gateway_is_done_and_says_so() {
    let lab = Lab::start();
    let gantry = &lab.project.admin;
    let bundle = lab.hooks("1.0.0");
    let alone = gantry.run(&["push", &bundle, "--wait"]).unwrap();
    assert_eq!(alone.code, 64, "{}", alone.stderr);
    let pushed = gantry
        .run(&["push", &bundle, "--deploy", "production", "--wait"])
        .unwrap();
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    assert!(
        pushed.stderr.contains("no gateway is connected"),
        "{}",
        pushed.stderr
    );
}
