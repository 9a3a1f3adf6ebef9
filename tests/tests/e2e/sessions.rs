//! Sessions through a whole gateway: checked after the Post-Auth hook whoever set them, stored under their
//! keys for every gateway, and what else functions learn of a request's API.

use gantry_tests::process::eventually;
use gantry_tests::{Answer, Gateway, Request};
use serde_json::{Value, json};

use crate::lab::{Lab, VERSION, middleware};

const FIXTURE: &str = "tests/fixtures/plugins/sessions.c";
const KEY: &str = "a-key-that-a-function-made";

fn lab() -> Lab {
    let lab = Lab::start();
    lab.deploy_c(FIXTURE, "sessions", ("post", "Show"));
    lab
}

/// Functions of the fixture at hooks.
fn hooks(hooks: &[(&str, &str)]) -> Value {
    let entries: Vec<_> = hooks
        .iter()
        .map(|(_, function)| [(*function, "sessions.so")])
        .collect();
    let hooks: Vec<_> = hooks
        .iter()
        .zip(&entries)
        .map(|((hook, _), entries)| (*hook, entries.as_slice()))
        .collect();
    middleware(&hooks)
}

fn with_session(gateway: &Gateway, session: &Value) -> Answer {
    let request = Request::get("/api/x").header("x-session", &session.to_string());
    gateway.send(&request).unwrap()
}

fn with_key(gateway: &Gateway, key: &str) -> Answer {
    let request = Request::get("/api/x").header("authorization", key);
    gateway.send(&request).unwrap()
}

/// Cases of sessions, each with the status and the code that it gets. The last one is no session: what
/// sets it fails.
fn refused() -> [(Value, u16, &'static str); 6] {
    [
        (json!({"is_inactive": true}), 403, "KEY_INACTIVE"),
        (json!({"expires": 1_600_000_000}), 401, "KEY_EXPIRED"),
        (
            json!({"access_rights": {"other": {}}}),
            403,
            "ACCESS_DISALLOWED",
        ),
        (json!({"apply_policies": ["gold"]}), 500, "POLICY_UNKNOWN"),
        (json!({"apply_policy_id": "gold"}), 500, "POLICY_UNKNOWN"),
        (json!({"expires": "soon"}), 500, "PLUGIN_FAILED"),
    ]
}

fn passing() -> [Value; 3] {
    [
        json!({"alias": "a"}),
        json!({"is_inactive": false, "expires": -1, "access_rights": {}, "apply_policies": []}),
        json!({"expires": 4_000_000_000u64, "access_rights": {"test": {"api_id": "test"}}}),
    ]
}

#[test]
fn session_of_a_function_is_checked_after_post_auth() {
    let lab = lab();
    let gateway = lab.gateway();
    let auth = hooks(&[("auth_check", "Set"), ("post", "Show")]);
    lab.put(&gateway, &json!({"custom_middleware": auth}));
    for (session, status, code) in refused() {
        let answer = with_session(&gateway, &session);
        let found = (answer.status, answer.json()["code"].clone());
        assert_eq!(found, (status, json!(code)), "{session}");
    }
    let expired = with_session(&gateway, &json!({"expires": 1}));
    assert_eq!(expired.json()["error"], "Key has expired, please renew");
    assert_eq!(lab.upstream.requests(), 0);
    for session in passing() {
        assert_eq!(with_session(&gateway, &session).status, 200, "{session}");
    }
    // What the session allows is not enforced, and each worker says that once.
    let limited = json!({"rate": 1.0, "per": 60.0, "quota_max": 1});
    for _ in 0..20 {
        assert_eq!(with_session(&gateway, &limited).status, 200);
    }
    let said = || gateway.log().matches("SESSION_LIMITS_NOT_ENFORCED").count();
    eventually("the log says what is not enforced", || {
        (said() > 0).then_some(())
    })
    .unwrap();
    assert!(said() <= gateway.worker_pids().unwrap().len());
}

#[test]
fn session_of_a_consumer_key_is_checked_with_and_without_functions() {
    let lab = lab();
    let gateway = lab.gateway();
    let functions = hooks(&[("post", "Show")]);
    for definition in [
        json!({"use_keyless": false}),
        json!({"use_keyless": false, "custom_middleware": functions}),
    ] {
        lab.put(&gateway, &definition);
        // What would never be read as it is meant is refused where the key is made.
        for (session, status, code) in &refused()[..5] {
            let key = key_with(&lab, session);
            // A key that is not known yet is refused as one for other APIs is: wait for a later one.
            until(&gateway, &key_with(&lab, &json!({})), (200, Value::Null));
            until(&gateway, &key, (*status, json!(code)));
        }
        for session in passing() {
            until(&gateway, &key_with(&lab, &session), (200, Value::Null));
        }
    }
    let key = key_with(&lab, &json!({"alias": "bob"}));
    let headers = until(&gateway, &key, (200, Value::Null)).json()["headers"].clone();
    assert_eq!(headers["x-saw-session"], json!(r#"{"alias":"bob"}"#));
    assert_eq!(headers["x-saw-token"], json!(key));
}

/// The secret of a new key with a session.
fn key_with(lab: &Lab, session: &Value) -> String {
    let session = session.to_string();
    let admin = &lab.project.admin;
    let made = admin.json(&["key", "create", "--session", &session]);
    made.unwrap()["secret"].as_str().unwrap().to_owned()
}

/// Waits until a key is answered like this.
fn until(gateway: &Gateway, key: &str, (status, code): (u16, Value)) -> Answer {
    eventually(&format!("the key is answered {status} {code}"), || {
        let answer = with_key(gateway, key);
        (answer.status == status && answer.json()["code"] == code).then_some(answer)
    })
    .unwrap()
}

/// A lab with two APIs: one stores sessions for everybody, the other asks for their keys.
fn storing() -> Lab {
    let lab = lab();
    let store = json!({
        "name": "Store", "api_id": "store", "use_keyless": true,
        "custom_middleware": hooks(&[("post", "Store")]),
        "proxy": {"listen_path": "/store/", "target_url": lab.upstream.url()},
    });
    let admin = &lab.project.admin;
    admin.put_api(lab.stage.folder(), &store).unwrap();
    lab
}

fn store(gateway: &Gateway, session: &Value) {
    let request = Request::get("/store/x").header("x-key", KEY);
    let request = request.header("x-session", &session.to_string());
    assert_eq!(gateway.send(&request).unwrap().status, 200);
}

#[test]
fn stored_session_is_known_to_every_gateway_until_its_key_is_revoked() {
    let lab = storing();
    let first = lab.gateway();
    let second = lab
        .stage
        .ready_gateway(&lab.project, "gateway-2", VERSION)
        .unwrap();
    let functions = hooks(&[("post", "Show")]);
    let put = lab.put(
        &first,
        &json!({"use_keyless": false, "custom_middleware": functions}),
    );
    second
        .wait_revision(put["revision"].as_u64().unwrap())
        .unwrap();
    let nobody = (403, json!("ACCESS_DISALLOWED"));
    until(&second, KEY, nobody.clone());
    store(&first, &json!({"alias": "carol"}));
    for gateway in [&first, &second] {
        let answer = until(gateway, KEY, (200, Value::Null));
        let seen = answer.json()["headers"]["x-saw-session"].clone();
        assert_eq!(seen, json!(r#"{"alias":"carol"}"#));
    }
    store(&second, &json!({"is_inactive": true}));
    for gateway in [&first, &second] {
        until(gateway, KEY, (403, json!("KEY_INACTIVE")));
    }
    let keys = lab.project.admin.json(&["key", "list"]).unwrap();
    let key = &keys.as_array().unwrap()[0];
    assert_eq!(key["description"], "stored by a function");
    assert_nowhere(&lab, KEY);
    let id = key["id"].as_str().unwrap();
    lab.project.admin.json(&["key", "revoke", id]).unwrap();
    for gateway in [&first, &second] {
        until(gateway, KEY, nobody.clone());
    }
}

/// No file of the stage holds the text.
fn assert_nowhere(lab: &Lab, text: &str) {
    let mut folders = vec![lab.stage.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                let found = bytes.windows(text.len()).any(|at| at == text.as_bytes());
                assert!(!found, "{}", path.display());
            }
        }
    }
}

#[test]
fn session_that_is_stored_while_the_control_plane_is_away_gets_there_later() {
    let mut lab = storing();
    let gateway = lab.gateway();
    lab.put(&gateway, &json!({"use_keyless": false}));
    lab.stage.control_plane.kill().unwrap();
    store(&gateway, &json!({"alias": "dave"}));
    until(&gateway, KEY, (200, Value::Null));
    lab.stage.control_plane.restart().unwrap();
    eventually("the control plane has the key", || {
        let keys = lab.project.admin.json(&["key", "list"]).ok()?;
        let session = keys.as_array()?.first()?["session"].clone();
        (session == json!({"alias": "dave"})).then_some(())
    })
    .unwrap();
    until(&gateway, KEY, (200, Value::Null));
}

#[test]
fn session_that_is_stored_while_the_control_plane_is_away_survives_the_death_of_its_gateway() {
    let mut lab = storing();
    let mut gateway = lab.gateway();
    lab.put(&gateway, &json!({"use_keyless": false}));
    lab.stage.control_plane.kill().unwrap();
    let erin = json!({"alias": "erin"});
    store(&gateway, &erin);
    eventually("the session is on disk", || {
        let file = gateway
            .folder()
            .join("state/t/acme/production/stored-sessions");
        let bytes = std::fs::read(file).ok()?;
        let text = erin.to_string();
        bytes
            .windows(text.len())
            .any(|at| at == text.as_bytes())
            .then_some(())
    })
    .unwrap();
    gateway.kill_and_restart().unwrap();
    gateway.wait_ready().unwrap();
    until(&gateway, KEY, (200, Value::Null));
    assert_nowhere(&lab, KEY);
    lab.stage.control_plane.restart().unwrap();
    eventually("the control plane has the key", || {
        let keys = lab.project.admin.json(&["key", "list"]).ok()?;
        (keys.as_array()?.first()?["session"] == erin).then_some(())
    })
    .unwrap();
    until(&gateway, KEY, (200, Value::Null));
}

#[test]
fn openapi_document_reaches_functions_and_its_definition_names_it() {
    let lab = lab();
    let gateway = lab.gateway();
    let functions = hooks(&[("post", "Show")]);
    let document = json!({"openapi": "3.0.3", "paths": {}});
    let fields = |document: &Value, tag: &str| {
        json!({
            "use_keyless": true, "custom_middleware": functions, "openapi": document,
            "config_data": {"tag": tag},
        })
    };
    let put = lab.put(&gateway, &fields(&document, "one"));
    let seen = || {
        let answer = gateway.send(&Request::get("/api/x")).unwrap();
        answer.json()["headers"]["x-saw-openapi"].clone()
    };
    assert_eq!(seen(), json!(document.to_string()));
    // Named by its digest, the document need not come again.
    let digest = put["definition"]["openapi"].clone();
    lab.put(&gateway, &fields(&digest, "two"));
    assert_eq!(seen(), json!(document.to_string()));
    // More than one message holds; the function shows only what fits a header.
    let large = json!({"openapi": "3.0.3", "x": "y".repeat(3 << 20)});
    let put = lab.put(&gateway, &fields(&large, "three"));
    assert_ne!(put["definition"]["openapi"], digest);
    assert_eq!(seen(), Value::Null);
    let status = gateway.status().unwrap();
    assert_eq!(status["report"]["state"], "ready", "{status}");
}
