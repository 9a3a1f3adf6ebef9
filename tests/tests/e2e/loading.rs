//! Libraries that the probe can load and a worker cannot: it ends, or does not come back. The API goes on
//! with what it ran before in that worker, every other API does not notice, and `--wait` says which worker
//! and why.

use std::collections::BTreeSet;

use gantry_tests::Outcome;
use gantry_tests::plugins;
use gantry_tests::process::eventually;
use gantry_tests::{Gateway, Request};
use serde_json::json;

use crate::lab::{Lab, get};

const NAME: &str = "loads";

/// Two workers, a probe that is soon out of patience, an API with version 1 of the library, and a neighbour.
fn stage() -> (Lab, Gateway) {
    let lab = Lab::start();
    let gateway = lab.gateway_with("[gateway]\nworkers = 2\n[probe]\nstep_timeout_ms = 700\n");
    publish(&lab, 1, "fine");
    lab.project.admin.deploy("loads@1.0.1").unwrap();
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware_bundle": NAME}),
    );
    let neighbour = json!({
        "use_keyless": true, "api_id": "neighbour",
        "proxy": {"listen_path": "/neighbour/", "target_url": lab.upstream.url()},
    });
    lab.put(&gateway, &neighbour);
    assert_eq!(versions(&gateway), set(&["1"]));
    (lab, gateway)
}

fn publish(lab: &Lab, version: u32, fate: &str) {
    let (folder, stamp) = (lab.stage.folder().join(fate), version.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    let mark = folder.join(format!("mark-{version}"));
    let macros = [
        ("FATE", fate),
        ("STAMP", stamp.as_str()),
        ("MARK", mark.to_str().unwrap()),
    ];
    let library = plugins::c_defining("tests/fixtures/plugins/loads.c", &folder, &macros).unwrap();
    let bundle = lab.bundle(NAME, &format!("1.0.{version}"));
    let bundle = bundle.file("loads.so", &library).unwrap();
    lab.publish(bundle.hook("pre", "LoadC", "loads.so"));
}

fn deploy(lab: &Lab, version: u32) -> Outcome {
    let bundle = format!("loads@1.0.{version}");
    let arguments = ["deploy", bundle.as_str(), "--wait", "--wait-timeout", "60"];
    lab.project.admin.run(&arguments).unwrap()
}

fn set(versions: &[&str]) -> BTreeSet<String> {
    versions
        .iter()
        .map(|version| (*version).to_owned())
        .collect()
}

/// The versions that answer, on connections to both workers; every request is answered.
fn versions(gateway: &Gateway) -> BTreeSet<String> {
    let version = |_| {
        let answer = get(gateway, "/api/x");
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(get(gateway, "/neighbour/x").status, 200);
        answer.header("x-loads").to_owned()
    };
    (0..40).map(version).collect()
}

#[test]
fn version_that_ends_one_of_two_workers_serves_in_the_other_and_the_wait_says_which_and_why() {
    let (lab, gateway) = stage();
    publish(&lab, 2, "taken");
    let failed = deploy(&lab, 2);
    assert_eq!(failed.code, 7, "{}", failed.stderr);
    for said in ["worker ", "loads: the port is taken", "exit code 3"] {
        assert!(failed.stderr.contains(said), "{said}: {}", failed.stderr);
    }
    eventually("both workers live", || {
        (gateway.status().ok()?["report"]["workers_live"] == 2).then_some(())
    })
    .unwrap();
    assert_eq!(
        versions(&gateway),
        set(&["1", "2"]),
        "each worker serves one"
    );
    let again = deploy(&lab, 2);
    assert_eq!(again.code, 7, "{}", again.stderr);

    // What was in the way goes, and a worker that has accepted nothing yet tries again.
    std::fs::remove_file(lab.stage.folder().join("taken/mark-2")).unwrap();
    gateway
        .wait_status("the other worker has it, too", |status| {
            status["report"]["state"] == "ready" && status["report"]["apis"] == json!([])
        })
        .unwrap();
    assert_eq!(versions(&gateway), set(&["2"]));
    assert_eq!(deploy(&lab, 2).code, 0);

    publish(&lab, 3, "fine");
    let mended = deploy(&lab, 3);
    assert_eq!(mended.code, 0, "{}", mended.stderr);
    assert_eq!(versions(&gateway), set(&["3"]));
}

#[test]
fn version_that_ends_every_worker_is_left_out_and_the_earlier_one_goes_on() {
    let (lab, gateway) = stage();
    publish(&lab, 2, "once");
    let failed = deploy(&lab, 2);
    assert_eq!(failed.code, 7, "{}", failed.stderr);
    assert!(
        failed.stderr.contains("loads: not a second time"),
        "{}",
        failed.stderr
    );
    eventually("both workers live", || {
        (gateway.status().ok()?["report"]["workers_live"] == 2).then_some(())
    })
    .unwrap();
    let deaths = || gateway.status().unwrap()["report"]["worker_deaths_total"].clone();
    let before = deaths();
    assert_eq!(before, 4, "two each");
    assert_eq!(versions(&gateway), set(&["1"]));
    assert_eq!(deaths(), before, "no worker is risked again");
    assert_eq!(deploy(&lab, 1).code, 0);
    assert_eq!(versions(&gateway), set(&["1"]));
}

#[test]
fn version_that_never_comes_back_in_a_worker_is_left_out_there_and_can_be_rolled_back() {
    let (lab, gateway) = stage();
    publish(&lab, 2, "waits");
    let failed = deploy(&lab, 2);
    assert_eq!(failed.code, 7, "{}", failed.stderr);
    assert!(
        failed.stderr.contains("did not come back within"),
        "{}",
        failed.stderr
    );
    let pids = gateway.worker_pids().unwrap();
    assert_eq!(pids.len(), 2);
    assert_eq!(versions(&gateway), set(&["1", "2"]));
    let back = deploy(&lab, 1);
    assert_eq!(back.code, 0, "{}", back.stderr);
    assert_eq!(versions(&gateway), set(&["1"]));
    let request = Request::get("/neighbour/x");
    assert_eq!(gateway.send(&request).unwrap().status, 200);
}
