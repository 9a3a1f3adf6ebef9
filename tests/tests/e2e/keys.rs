//! Consumer keys: shown once, never stored, at work within moments, gone within moments.

use gantry_tests::Request;
use gantry_tests::process::eventually;
use serde_json::json;

use crate::lab::{Lab, get};

#[test]
fn key_opens_an_api_until_it_is_revoked() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    lab.put(
        &gateway,
        &json!({"auth": {"auth_header_name": "X-Token"}, "use_keyless": false}),
    );
    let key = lab
        .project
        .admin
        .json(&["key", "create", "--description", "bob's phone"])
        .unwrap();
    let request = Request::get("/api/x").header("x-token", key["secret"].as_str().unwrap());
    let status = |wanted: u16| {
        eventually("the key's state reaches the gateway", || {
            gateway.send(&request).ok().filter(|a| a.status == wanted)
        })
    };
    status(200).unwrap();
    assert_eq!(
        get(&gateway, "/api/x").json()["code"],
        json!("AUTH_FIELD_MISSING")
    );
    let guess = gateway
        .send(&Request::get("/api/x").header("x-token", "guess"))
        .unwrap();
    assert_eq!(
        (guess.status, &guess.json()["code"]),
        (403, &json!("ACCESS_DISALLOWED"))
    );
    let id = key["id"]
        .as_str()
        .or(key["key"]["id"].as_str())
        .unwrap()
        .to_owned();
    lab.project.admin.json(&["key", "revoke", &id]).unwrap();
    status(403).unwrap();
}

#[test]
fn secret_of_a_key_is_stored_nowhere() {
    let lab = Lab::start();
    let key = lab.project.admin.json(&["key", "create"]).unwrap();
    let secret = key["secret"].as_str().unwrap().as_bytes();
    let mut folders = vec![lab.stage.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                assert!(
                    !bytes.windows(secret.len()).any(|window| window == secret),
                    "{}",
                    path.display()
                );
            }
        }
    }
    let listed = lab
        .project
        .admin
        .run(&["key", "list", "--output", "json"])
        .unwrap();
    assert!(!listed.stdout.contains(key["secret"].as_str().unwrap()));
}
