//! `inline` in a bundle's manifest: what it asks for is built, shows in a gateway, and is refused where a
//! library or a source says otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use gantry_tests::process::eventually;
use serde_json::{Value, json};

use crate::lab::{Lab, assert_code, get};
use crate::workbench::Workbench;

const SYSTEM: &str = "--system-toolchain";
const FILE: &str = "placed.so";

/// A goroutine of the gateway's own call is bound to its thread, and says so; one of the plugin's is not.
const SOURCE: &str = r#"package main

import (
	"net/http"
	"runtime/debug"
	"strings"
)

func place() string {
	first, _, _ := strings.Cut(string(debug.Stack()), "\n")
	return first
}

func Asked(rw http.ResponseWriter, r *http.Request) { r.Header.Set("X-Asked", place()) }

func Usual(rw http.ResponseWriter, r *http.Request) { r.Header.Set("X-Usual", place()) }

//gantry:inline
func Marked(rw http.ResponseWriter, r *http.Request) { r.Header.Set("X-Marked", place()) }

func Helper() {}
"#;

fn entry(function: &str, inline: &Value) -> Value {
    let mut entry = json!({"name": function, "path": FILE});
    if !inline.is_null() {
        entry["inline"] = inline.clone();
    }
    entry
}

fn manifest(pre: &[(&str, Value)]) -> String {
    let pre: Vec<_> = pre
        .iter()
        .map(|(name, inline)| entry(name, inline))
        .collect();
    json!({
        "name": "placed", "version": "1.0.0", "file_list": [FILE],
        "custom_middleware": {"driver": "goplugin", "pre": pre},
    })
    .to_string()
}

fn source(bench: &Workbench) -> PathBuf {
    let folder = bench.room().join("placed");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("main.go"), SOURCE).unwrap();
    fs::write(
        folder.join("go.mod"),
        "module example.com/placed\n\ngo 1.21\n",
    )
    .unwrap();
    folder
}

fn digest(built: &Value) -> String {
    built[0]["sha256"].as_str().unwrap().to_owned()
}

#[test]
fn manifest_asks_for_functions_in_the_call_and_is_held_to_it() {
    let lab = Lab::start();
    let bench = Workbench::new();
    let folder = source(&bench);
    let asking = manifest(&[
        ("Asked", json!(true)),
        ("Usual", Value::Null),
        ("Marked", json!(true)),
    ]);
    fs::write(bench.out().join("manifest.json"), &asking).unwrap();

    // A library that was built without it would run elsewhere than the manifest says.
    let without = digest(&bench.build(&folder, &[SYSTEM]));
    let push = ["push", bench.out().to_str().unwrap()];
    let refused = lab.project.admin.run(&push).unwrap();
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    for part in [
        "INLINE_DIFFERS",
        "custom_middleware.pre[0].inline",
        "gantry build --manifest",
    ] {
        assert_code(&refused, part);
    }

    // Beside the source it is read by itself, elsewhere by name; nothing changed is nothing built.
    let named = bench.out().join("manifest.json");
    let named = ["--manifest", named.to_str().unwrap(), SYSTEM];
    let built = bench.build(&folder, &named);
    let with = digest(&built);
    assert_ne!(with, without);
    let told = built[0]["functions"].as_array().unwrap().iter();
    let told: Vec<_> = told
        .map(|function| format!("{} {}", function["name"], function["inline"]))
        .collect();
    assert_eq!(
        told,
        [r#""Asked" true"#, r#""Marked" true"#, r#""Usual" false"#]
    );
    fs::write(folder.join("manifest.json"), &asking).unwrap();
    let kept = made(&bench);
    assert_eq!(digest(&bench.build(&folder, &[SYSTEM])), with);
    assert_eq!(made(&bench), kept, "it was not compiled again");

    lab.project.admin.push(bench.out()).unwrap();
    lab.project.admin.deploy("placed@1.0.0").unwrap();
    let gateway = lab.gateway();
    let fields = json!({"use_keyless": true, "custom_middleware_bundle": "placed"});
    lab.put(&gateway, &fields);
    let answer = eventually("the functions run", || {
        Some(get(&gateway, "/api/x")).filter(|answer| answer.status == 200)
    });
    let seen = answer.unwrap().json()["headers"].clone();
    let in_the_call = |header: &str| {
        let place = seen[header].as_str().unwrap();
        assert!(place.starts_with("goroutine "), "{place}");
        place.contains("locked to thread")
    };
    assert!(in_the_call("x-asked"), "{seen}");
    assert!(in_the_call("x-marked"), "{seen}");
    assert!(!in_the_call("x-usual"), "{seen}");
}

/// When the library that is kept between builds was made.
fn made(bench: &Workbench) -> std::time::SystemTime {
    let mut found = Vec::new();
    let mut folders = vec![bench.room().join("cache")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("plugin.so") {
                found.push(fs::metadata(&path).unwrap().modified().unwrap());
            }
        }
    }
    assert_eq!(found.len(), 1);
    found[0]
}

#[test]
fn manifest_that_asks_for_what_the_source_does_not_offer_is_refused_by_file_and_field() {
    let bench = Workbench::new();
    let folder = source(&bench);
    let cases = [
        ("Gone", json!(true), "INLINE_FUNCTION_UNKNOWN"),
        ("Helper", json!(true), "INLINE_NOT_A_HOOK"),
        ("Marked", json!("body"), "INLINE_CONFLICT"),
        ("Marked", json!(false), "INLINE_CONFLICT"),
        ("Asked", json!("yes"), "FIELD_INVALID"),
    ];
    for (function, inline, code) in cases {
        let pre = [("Usual", Value::Null), (function, inline)];
        fs::write(folder.join("manifest.json"), manifest(&pre)).unwrap();
        let refused = bench.try_build(&folder, &[SYSTEM]);
        assert_eq!(refused.code, 3, "{code}: {}", refused.stderr);
        for part in [code, "manifest.json", "custom_middleware.pre[1].inline"] {
            assert_code(&refused, part);
        }
        assert!(is_empty(bench.out()), "nothing is built");
    }
    let elsewhere = manifest(&[("Asked", json!(true))]).replace(FILE, "other.so");
    fs::write(folder.join("manifest.json"), elsewhere).unwrap();
    let built = bench.try_build(&folder, &[SYSTEM]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_code(&built, "INLINE_ELSEWHERE");
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}
