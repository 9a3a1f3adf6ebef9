//! Starting and serving with nothing but what is on disk.

use crate::gateway::{Gateway, TOKEN, definition, eventually, get, leave_state, program, upstream};
use serde_json::json;

#[test]
fn gateway_without_state_or_control_plane_is_alive_and_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Gateway::start(folder.path(), TOKEN);
    assert_eq!(get(gateway.admin, "/livez").unwrap().0, 200);
    let status = eventually("trouble with the control plane", || {
        let status = gateway.status();
        (!status["control_plane"]["trouble"].is_null()).then_some(status)
    });
    assert_eq!(
        status["control_plane"]["trouble"]["code"],
        "CONTROL_PLANE_UNREACHABLE"
    );
    assert_eq!(status["report"]["state"], "starting");
    assert_eq!(gateway.readiness(), 503);
    assert!(gateway.terminate());
}

#[test]
fn same_token_serves_from_disk_without_the_control_plane() {
    let folder = tempfile::tempdir().unwrap();
    leave_state(folder.path(), 7, &[definition("a", "/a", upstream())]);
    let mut gateway = Gateway::start(folder.path(), TOKEN);
    gateway.wait_ready();
    assert_eq!(
        get(gateway.listen, "/a/x").unwrap(),
        (200, "upstream".into())
    );
    let status = gateway.status();
    assert_eq!(status["report"]["applied_revision"], 7);
    assert_eq!(status["tenant"], "acme");
    assert_eq!(status["control_plane"]["connected"], false);
    assert!(gateway.terminate());
}

#[test]
fn another_token_never_gets_the_state() {
    let folder = tempfile::tempdir().unwrap();
    leave_state(folder.path(), 7, &[definition("a", "/a", upstream())]);
    for other in ["gantry_t1_0123456789abcdee", "gantry_t2_0123456789abcdef"] {
        let mut gateway = Gateway::start(folder.path(), other);
        let status = eventually("trouble with the control plane", || {
            let status = gateway.status();
            (!status["control_plane"]["trouble"].is_null()).then_some(status)
        });
        assert!(
            status["tenant"].is_null() && status["revision_received"].is_null(),
            "{status}"
        );
        assert_eq!(gateway.readiness(), 503);
        assert!(gateway.terminate());
    }
}

#[test]
fn second_process_on_the_same_state_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Gateway::start(folder.path(), TOKEN);
    let output = program()
        .args([
            "--endpoint",
            crate::gateway::NOWHERE,
            "--listen",
            "127.0.0.1:0",
            "--state-dir",
        ])
        .arg(folder.path().join("state"))
        .env("GANTRY_TOKEN", TOKEN)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("STATE_LOCKED"), "{errors}");
}

#[test]
fn damaged_state_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let store = leave_state(folder.path(), 7, &[definition("a", "/a", upstream())]);
    for document in std::fs::read_dir(store.directory("documents")).unwrap() {
        std::fs::write(document.unwrap().path(), "{}").unwrap();
    }
    let mut gateway = Gateway::start(folder.path(), TOKEN);
    eventually("a line about it", || {
        gateway.log().contains("STATE_CORRUPT").then_some(())
    });
    assert_eq!(gateway.readiness(), 503);
    assert!(gateway.terminate());
}

#[test]
fn definition_of_a_newer_gateway_answers_500_and_others_serve() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = upstream();
    let mut newer = definition("newer", "/newer", upstream);
    newer["use_mutual_tls"] = json!(true);
    leave_state(
        folder.path(),
        7,
        &[newer, definition("root", "/", upstream)],
    );
    let mut gateway = Gateway::start(folder.path(), TOKEN);
    gateway.wait_ready();
    assert_eq!(get(gateway.listen, "/other").unwrap().0, 200);
    assert_eq!(get(gateway.listen, "/newer/x").unwrap().0, 500);
    let status = gateway.status();
    assert_eq!(status["report"]["state"], "degraded");
    assert_eq!(
        status["report"]["apis"][0]["code"],
        "DEFINITION_UNSUPPORTED"
    );
    assert!(gateway.terminate());
}

#[test]
fn killed_worker_is_replaced_and_its_slot_serves_on() {
    let folder = tempfile::tempdir().unwrap();
    leave_state(folder.path(), 7, &[definition("a", "/a", upstream())]);
    let mut gateway = Gateway::start(folder.path(), TOKEN);
    gateway.wait_ready();
    let pids = |gateway: &Gateway| -> Vec<u64> {
        let workers = gateway.status()["workers"].as_array().unwrap().clone();
        workers
            .iter()
            .filter_map(|worker| worker["pid"].as_u64())
            .collect()
    };
    let before = pids(&gateway);
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &before[0].to_string()])
        .status();
    assert!(killed.unwrap().success());
    let after = eventually("another worker", || {
        let now = pids(&gateway);
        (now.len() == before.len() && now != before).then_some(now)
    });
    assert!(!after.contains(&before[0]));
    assert_eq!(gateway.status()["report"]["worker_deaths_total"], 1);
    assert!(gateway.log().contains("WORKER_DIED") && gateway.log().contains("SIGKILL"));
    for _ in 0..8 {
        assert_eq!(get(gateway.listen, "/a").unwrap().0, 200);
    }
    assert_eq!(gateway.readiness(), 200);
    assert!(gateway.terminate());
}
