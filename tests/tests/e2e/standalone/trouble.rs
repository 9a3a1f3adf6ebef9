//! What standalone gateways bear: broken files, refused keys, a folder that is gone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use gantry_tests::process::eventually;
use gantry_tests::{Gateway, Load, Request, plugins};
use serde_json::{Value, json};

use super::bench::{Bench, tag_of, tagged, wait_api, wait_sound, wait_status_of, wait_tag};
use crate::lab::get;

#[test]
fn broken_files_hold_their_api_and_leave_others_alone() {
    let bench = Bench::new();
    let library = bench.c_headers(None);
    bench.place("libraries/c-headers.so", &library);
    bench.tagging("one", "blue");
    bench.api("other", &json!({}));
    let mut gateway = bench.gateway();
    let other = Request::get("/other/x");
    let load = Load::start(gateway.address(), &other, 1, |answer| answer.status == 200).unwrap();

    let half = bench.definition("one", &tagged("red"));
    fs::write(
        bench.watched().join("apis/one.json"),
        &half[..half.len() / 2],
    )
    .unwrap();
    let status = wait_api(&gateway, "one", "held", "JSON_MALFORMED");
    assert_eq!(status["folder"]["complaints"][0]["file"], "apis/one.json");
    assert_eq!(
        (
            &status["report"]["state"],
            tag_of(&gateway, "/one/x").as_str()
        ),
        (&json!("degraded"), "blue")
    );
    fs::write(bench.watched().join("apis/one.json"), &half).unwrap();
    wait_tag(&gateway, "/one/x", "red");
    wait_sound(&gateway);

    // Half a library, and then another that does not have the function.
    fs::write(
        bench.watched().join("libraries/c-headers.so"),
        &library[..library.len() / 2],
    )
    .unwrap();
    wait_api(&gateway, "one", "held", "libraries/c-headers.so");
    assert_eq!(tag_of(&gateway, "/one/x"), "red");
    let wrong = plugins::c(
        "tests/fixtures/plugins/crash.c",
        bench.temporary.path(),
        None,
    )
    .unwrap();
    bench.place("libraries/c-headers.so", fs::read(wrong).unwrap());
    wait_api(&gateway, "one", "held", "FUNCTION_NOT_FOUND");
    assert_eq!(tag_of(&gateway, "/one/x"), "red");

    // A newcomer with rules that this gateway does not know, or at a path that is taken, opens nothing.
    bench.api("new", &json!({"enable_jwt": true}));
    wait_api(&gateway, "new", "failed", "enable_jwt");
    wait_status_of(&gateway, "/new/x", 500);
    bench.api(
        "thief",
        &json!({"proxy": {"listen_path": "/other/", "target_url": "http://127.0.0.1:1"}}),
    );
    wait_api(&gateway, "thief", "failed", "ROUTE_CONFLICT");
    for code in ["JSON_MALFORMED", "ROUTE_CONFLICT", "FUNCTION_NOT_FOUND"] {
        assert!(
            gateway.log().contains(code),
            "{code} is logged:\n{}",
            gateway.log()
        );
    }

    // A restart changes nothing of that: what served last serves.
    let report = load.stop();
    assert_eq!((report.failed, &report.failures[..]), (0, &[][..]));
    gateway.restart().unwrap();
    gateway.wait_ready().unwrap();
    assert_eq!(tag_of(&gateway, "/one/x"), "red");
    assert_eq!(get(&gateway, "/other/x").status, 200);
    assert_eq!(get(&gateway, "/new/x").status, 500);
    bench.place("libraries/c-headers.so", &library);
    for id in ["new", "thief"] {
        fs::remove_file(bench.watched().join(format!("apis/{id}.json"))).unwrap();
    }
    wait_sound(&gateway);
    wait_tag(&gateway, "/one/x", "red");
}

#[test]
fn consumer_keys_come_from_the_folder_and_go_with_an_edit() {
    let bench = Bench::new();
    bench.api("test", &json!({"use_keyless": false}));
    let keys = |document: &Value, mode| {
        let path = bench.temporary.path().join("keys");
        fs::write(&path, document.to_string()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(&path, bench.watched().join("keys.json")).unwrap();
    };
    let alice =
        json!({"id": "alice", "secret": "secret-of-alice-1", "session": {"alias": "alice"}});
    // HMAC-SHA256 of "secret-of-robert-1" under the pepper, as `openssl dgst` makes it.
    let pepper = "000102030405060708090a0b0c0d0e0f";
    let robert = json!({"id": "robert", "hmac_sha256": hmac(pepper, "secret-of-robert-1")});
    keys(&json!({"pepper": pepper, "keys": [alice, robert]}), 0o640);
    let mut gateway = bench.gateway();
    let ask = |gateway: &Gateway, key: &str| {
        let request = Request::get("/test/x").header("authorization", &format!("Bearer {key}"));
        gateway.send(&request).unwrap().status
    };
    assert_eq!(ask(&gateway, "secret-of-alice-1"), 200);
    assert_eq!(ask(&gateway, "secret-of-robert-1"), 200);
    assert_eq!(ask(&gateway, "secret-of-nobody-1"), 403);

    // A file that others can read is not taken, and says so without telling what is in it.
    keys(&json!({"pepper": pepper, "keys": [alice]}), 0o644);
    let exposed = |status: &Value| status["folder"]["complaints"][0]["code"] == "KEYS_EXPOSED";
    gateway.wait_status("the file is refused", exposed).unwrap();
    assert_eq!(ask(&gateway, "secret-of-robert-1"), 200);
    keys(&json!({"pepper": pepper, "keys": [alice]}), 0o600);
    eventually("the key is gone", || {
        (ask(&gateway, "secret-of-robert-1") == 403).then_some(())
    })
    .unwrap();
    assert_eq!(ask(&gateway, "secret-of-alice-1"), 200);
    assert!(!gateway.log().contains("secret-of"), "{}", gateway.log());

    // Without the file the keys stay, over a restart too.
    fs::remove_file(bench.watched().join("keys.json")).unwrap();
    gateway.restart().unwrap();
    gateway.wait_ready().unwrap();
    let missing = |status: &Value| status["folder"]["complaints"][0]["code"] == "KEYS_MISSING";
    gateway.wait_status("the file is missed", missing).unwrap();
    assert_eq!(
        (
            ask(&gateway, "secret-of-alice-1"),
            ask(&gateway, "secret-of-robert-1")
        ),
        (200, 403)
    );
}

fn hmac(pepper: &str, secret: &str) -> String {
    let script =
        format!("printf %s {secret} | openssl dgst -sha256 -mac HMAC -macopt hexkey:{pepper}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn gateway_starts_from_last_known_good_with_the_folder_gone() {
    let bench = Bench::new();
    bench.place("libraries/c-headers.so", bench.c_headers(None));
    bench.tagging("one", "blue");
    let mut gateway = bench.gateway();
    assert_eq!(tag_of(&gateway, "/one/x"), "blue");
    let elsewhere = bench.temporary.path().join("elsewhere");
    fs::rename(bench.watched(), &elsewhere).unwrap();
    gateway
        .wait_status("the folder is missed", |status| {
            status["folder"]["trouble"]["code"] == "FOLDER_UNREADABLE"
        })
        .unwrap();
    gateway.kill_and_restart().unwrap();
    gateway.wait_ready().unwrap();
    assert_eq!(tag_of(&gateway, "/one/x"), "blue");

    // An empty mount point in its place, and then the folder with a change.
    fs::create_dir_all(bench.watched().join("apis")).unwrap();
    gateway
        .wait_status("the folder is empty", |status| {
            status["folder"]["trouble"]["code"] == "FOLDER_EMPTY"
        })
        .unwrap();
    assert_eq!(tag_of(&gateway, "/one/x"), "blue");
    fs::remove_dir_all(bench.watched()).unwrap();
    fs::rename(&elsewhere, bench.watched()).unwrap();
    bench.tagging("one", "green");
    wait_tag(&gateway, "/one/x", "green");
    wait_sound(&gateway);
}

#[test]
fn gateway_without_folder_or_state_is_not_ready_until_the_folder_comes() {
    let bench = Bench::new();
    let mut gateway = bench.starting();
    let empty = |status: &Value| status["folder"]["trouble"]["code"] == "FOLDER_EMPTY";
    let status = gateway.wait_status("the folder is empty", empty).unwrap();
    assert_eq!(status["report"]["state"], "starting");
    bench.api("one", &json!({}));
    gateway.wait_ready().unwrap();
    assert_eq!(get(&gateway, "/one/x").status, 200);
}
