//! Gateways go on and start again without a control plane.

use std::fs;

use gantry_tests::process::eventually;
use gantry_tests::{GatewayOptions, Request};
use serde_json::{Value, json};

use crate::lab::{Lab, VERSION, get, middleware, revision};

#[test]
fn gateway_restarts_and_serves_from_last_known_good_with_the_control_plane_dead() {
    let mut lab = Lab::start();
    lab.deploy_hooks();
    let mut gateway = lab.gateway();
    let hooks = middleware(&[("response", &[("StampResponse", "hooks.so")])]);
    lab.put(
        &gateway,
        &json!({"custom_middleware": hooks, "use_keyless": false}),
    );
    let key = lab
        .project
        .admin
        .json(&["key", "create", "--session", r#"{"alias": "bob"}"#])
        .unwrap();
    let request = Request::get("/api/x").header("authorization", key["secret"].as_str().unwrap());
    eventually("the key works", || {
        gateway
            .send(&request)
            .ok()
            .filter(|answer| answer.status == 200)
    })
    .unwrap();

    lab.stage.control_plane.kill().unwrap();
    assert_eq!(
        gateway.send(&request).unwrap().status,
        200,
        "a running gateway goes on"
    );
    for kill in [false, true] {
        if kill {
            gateway.kill_and_restart()
        } else {
            gateway.restart()
        }
        .unwrap();
        gateway.wait_ready().unwrap();
        let answer = gateway.send(&request).unwrap();
        assert_eq!(answer.status, 200, "with its consumer keys: {answer:?}");
        assert!(
            answer
                .header("x-gantry-plugin")
                .starts_with("example-hooks 1.0.0"),
            "and its functions"
        );
        assert_eq!(
            get(&gateway, "/api/x").status,
            401,
            "and its authentication"
        );
    }
    assert!(
        !gateway.log().contains("probing"),
        "nothing was new, so nothing was probed again"
    );

    lab.stage.control_plane.restart().unwrap();
    let put = lab
        .project
        .admin
        .put_api(
            lab.stage.folder(),
            &lab.definition(&json!({"use_keyless": true})),
        )
        .unwrap();
    gateway.wait_revision(revision(&put)).unwrap();
    assert_eq!(
        get(&gateway, "/api/x").status,
        200,
        "and it follows again when the control plane is back"
    );
}

#[test]
fn damaged_library_in_the_store_is_never_loaded() {
    let mut lab = Lab::start();
    lab.deploy_hooks();
    let mut gateway = lab.gateway();
    let hooks = middleware(&[("response", &[("StampResponse", "hooks.so")])]);
    lab.put(
        &gateway,
        &json!({"custom_middleware": hooks, "use_keyless": true}),
    );
    assert_eq!(get(&gateway, "/api/x").status, 200);
    lab.stage.control_plane.kill().unwrap();
    gateway.stop().unwrap();
    let libraries = gateway.folder().join("state/t/acme/production/libraries");
    for entry in fs::read_dir(&libraries).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    gateway
        .restart()
        .unwrap_or_else(|_| gateway.kill_and_restart().expect("start again"));
    gateway.wait_ready().unwrap();
    assert_eq!(get(&gateway, "/api/x").status, 500, "fail closed");
    lab.stage.control_plane.restart().unwrap();
    eventually("the library is fetched again", || {
        gateway
            .send(&Request::get("/api/x"))
            .ok()
            .filter(|answer| answer.status == 200)
    })
    .unwrap();
}

#[test]
fn what_serves_is_kept_as_soon_as_the_disk_takes_it() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    let state = gateway.folder().join("state");
    let file = state.join("t/acme/production/revision.json");
    let kept = || {
        let text = fs::read_to_string(&file).ok()?;
        let kept: Value = serde_json::from_str(&text).ok()?;
        kept["revision"]["number"].as_u64()
    };
    eventually("the first revision is kept", kept).unwrap();

    // Nothing takes the place of a folder with something in it.
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("in-the-way")).unwrap();
    let put = lab.put(&gateway, &json!({"use_keyless": true}));
    eventually("it cannot be kept", || {
        let log = gateway.log();
        log.contains("keep what serves as last-known-good")
            .then_some(())
    })
    .unwrap();
    assert_eq!(get(&gateway, "/api/x").status, 200);
    fs::remove_dir_all(&file).unwrap();
    let number = eventually("it is kept", kept).unwrap();
    assert_eq!(number, revision(&put));
}

#[test]
fn gateway_without_last_known_good_and_without_control_plane_is_not_ready() {
    let mut lab = Lab::start();
    lab.stage.control_plane.kill().unwrap();
    let options = GatewayOptions {
        id: "lonely".into(),
        version: Some(VERSION.into()),
        ..GatewayOptions::default()
    };
    let gateway = lab.stage.gateway(&lab.project, &options).unwrap();
    let status = gateway
        .wait_status("it says so", |status| {
            status["report"]["state"] == "starting"
        })
        .unwrap();
    assert_eq!(status["report"]["applied_revision"], json!(0));
}
