//! What a gateway makes of what the control plane says, and what it does not put up with.

use gantry_domain::Revision;
use gantry_gateway::key_index::KeyHasher;
use gantry_proto::v1;
use serde_json::{Value, json};

use crate::control::{Control, PEPPER};
use crate::gateway::{
    Gateway, TOKEN, definition, eventually, get, get_with, leave_state, upstream,
};

fn wait_trouble(gateway: &Gateway, code: &str) -> Value {
    eventually(code, || {
        let status = gateway.status();
        (status["control_plane"]["trouble"]["code"] == code).then_some(status)
    })
}

fn wait_revision(gateway: &Gateway, number: u64) {
    eventually("the revision", || {
        (gateway.status()["report"]["applied_revision"] == number).then_some(())
    });
}

#[test]
fn endpoint_and_token_alone_bring_tenant_environment_and_revision() {
    let (folder, control) = (tempfile::tempdir().unwrap(), Control::start());
    let mut gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    let hello = control.welcome("acme");
    assert_eq!(
        (
            hello.applied_revision,
            hello.applied_root.as_str(),
            hello.keys_epoch
        ),
        (0, "", 0)
    );
    control.publish(3, &[definition("a", "/a", upstream())]);
    gateway.wait_ready();
    assert_eq!(get(gateway.listen, "/a").unwrap().0, 200);
    let report = control.report("a report that it is ready", |report| {
        report.state == "ready"
    });
    assert_eq!((report.applied_revision, report.workers_live), (3, 2));
    let status = gateway.status();
    assert_eq!(
        (&status["tenant"], &status["environment"]),
        (&json!("acme"), &json!("production"))
    );
    assert!(
        folder
            .path()
            .join("state/t/acme/production/revision.json")
            .is_file()
    );
    assert!(gateway.terminate());
}

#[test]
fn new_connection_names_the_revision_that_is_here_and_gets_differences() {
    let (folder, control) = (tempfile::tempdir().unwrap(), Control::start());
    let mut gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    control.welcome("acme");
    let upstream = upstream();
    let first = control.publish(3, &[definition("a", "/a", upstream)]);
    wait_revision(&gateway, 3);
    control.hang_up();
    let hello = control.welcome("acme");
    assert_eq!(
        (hello.applied_revision, hello.applied_root),
        (3, first.root().to_string())
    );
    let second = control.offer(
        4,
        &[
            definition("a", "/a", upstream),
            definition("b", "/b", upstream),
        ],
    );
    control.send_delta(&second, Some(&first));
    wait_revision(&gateway, 4);
    assert_eq!(get(gateway.listen, "/b").unwrap().0, 200);
    assert!(gateway.terminate());
}

#[test]
fn lower_revision_is_refused_and_what_serves_goes_on() {
    let (folder, control) = (tempfile::tempdir().unwrap(), Control::start());
    let mut gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    control.welcome("acme");
    control.publish(3, &[definition("a", "/a", upstream())]);
    wait_revision(&gateway, 3);
    control.publish(2, &[]);
    let status = wait_trouble(&gateway, "REVISION_REGRESSED");
    assert_eq!(status["report"]["state"], "degraded");
    assert_eq!(get(gateway.listen, "/a").unwrap().0, 200);
    assert!(gateway.terminate());
    // Nor after a restart: the number is on disk.
    let gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    control.hang_up();
    control.welcome("acme");
    control.publish(2, &[]);
    wait_trouble(&gateway, "REVISION_REGRESSED");
    assert_eq!(get(gateway.listen, "/a").unwrap().0, 200);
}

#[test]
fn differences_that_lead_elsewhere_are_answered_with_the_wish_for_everything() {
    let (folder, control) = (tempfile::tempdir().unwrap(), Control::start());
    let mut gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    control.welcome("acme");
    let upstream = upstream();
    control.publish(3, &[definition("a", "/a", upstream)]);
    wait_revision(&gateway, 3);
    let second = control.offer(4, &[definition("b", "/b", upstream)]);
    control.send_delta(
        &second,
        Some(&Revision {
            number: 3,
            ..Revision::empty()
        }),
    );
    eventually("a wish for everything", || {
        (control.resyncs() == 1).then_some(())
    });
    assert_eq!(gateway.status()["report"]["applied_revision"], 3);
    control.send_delta(&second, None);
    wait_revision(&gateway, 4);
    assert_eq!(get(gateway.listen, "/a").unwrap().0, 404);
    assert!(gateway.terminate());
}

#[test]
fn document_of_another_digest_is_not_used() {
    let (folder, control) = (tempfile::tempdir().unwrap(), Control::start());
    let mut gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    control.welcome("acme");
    let upstream = upstream();
    let revision = control.offer(3, &[definition("a", "/a", upstream)]);
    control.spoil(Some(b"{}"));
    control.send_delta(&revision, None);
    let status = wait_trouble(&gateway, "DOCUMENT_DIGEST");
    assert!(status["revision_received"].is_null());
    assert_eq!(gateway.readiness(), 503);
    control.hang_up();
    control.welcome("acme");
    control.publish(3, &[definition("a", "/a", upstream)]);
    gateway.wait_ready();
    assert!(gateway.terminate());
}

#[test]
fn token_that_turns_up_at_another_tenant_changes_nothing() {
    let (folder, control) = (tempfile::tempdir().unwrap(), Control::start());
    leave_state(folder.path(), 7, &[definition("a", "/a", upstream())]);
    let mut gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    let hello = control.welcome("other");
    assert_eq!(hello.applied_revision, 7);
    let status = wait_trouble(&gateway, "IDENTITY_CHANGED");
    assert_eq!(status["tenant"], "acme");
    assert_eq!(get(gateway.listen, "/a").unwrap().0, 200);
    assert!(!folder.path().join("state/t/other").exists());
    assert!(gateway.terminate());
}

#[test]
fn refused_token_degrades_the_gateway_and_does_not_stop_it() {
    let (folder, control) = (tempfile::tempdir().unwrap(), Control::start());
    let mut gateway = Gateway::start_with(folder.path(), "gantry_t9_unknown", &control.endpoint());
    let status = wait_trouble(&gateway, "CREDENTIAL_REFUSED");
    assert_eq!(status["control_plane"]["connected"], false);
    assert_eq!(get(gateway.admin, "/livez").unwrap().0, 200);
    assert!(
        !gateway.log().contains("unknown"),
        "a token must not reach the log"
    );
    assert!(gateway.terminate());
}

#[test]
fn consumer_keys_come_and_go_without_a_revision() {
    let (folder, control) = (tempfile::tempdir().unwrap(), Control::start());
    let mut gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    control.welcome("acme");
    let hmac = KeyHasher::new(&PEPPER).hash(b"consumer-secret").to_vec();
    let key = v1::HashedKey {
        hmac: hmac.clone(),
        key_id: "k1".into(),
        session: b"{}".to_vec(),
    };
    let delta = v1::KeyDelta {
        replace: true,
        epoch: 1,
        changed: vec![key],
        removed: vec![],
        last: true,
    };
    control.send(v1::sync_response::Message::Keys(delta));
    let mut guarded = definition("a", "/a", upstream());
    guarded["use_keyless"] = json!(false);
    guarded["auth"] = json!({"auth_header_name": "X-Key"});
    control.publish(3, &[guarded]);
    gateway.wait_ready();
    let asked = |gateway: &Gateway| {
        get_with(gateway.listen, "/a", "X-Key: consumer-secret\r\n")
            .unwrap()
            .0
    };
    assert_eq!(asked(&gateway), 200);
    assert_ne!(get(gateway.listen, "/a").unwrap().0, 200);

    // The key opens the API after a restart without the control plane, too.
    assert!(gateway.terminate());
    let mut gateway = Gateway::start(folder.path(), TOKEN);
    gateway.wait_ready();
    assert_eq!(asked(&gateway), 200);
    assert!(gateway.terminate());

    let mut gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    control.hang_up();
    assert_eq!(control.welcome("acme").keys_epoch, 0);
    let gone = v1::KeyDelta {
        replace: true,
        epoch: 2,
        changed: vec![],
        removed: vec![hmac],
        last: true,
    };
    control.send(v1::sync_response::Message::Keys(gone));
    eventually("the key's end", || (asked(&gateway) != 200).then_some(()));
    assert_eq!(gateway.status()["report"]["applied_revision"], 3);
    assert!(gateway.terminate());
}
