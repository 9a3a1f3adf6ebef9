//! What comes from Tyk: the page on it, and a library that was built for it.

use std::fs;
use std::process::Command;

use gantry_tests::binaries::{binary, outside_cargo};
use gantry_tests::plugins;
use serde_json::json;

use crate::documents;
use crate::lab::{Lab, assert_code};

#[test]
fn commands_of_the_page_on_importing_work() {
    let out = documents::run(&["docs/IMPORT.md"], &[]);
    for said in [
        "refused with exit code 3",
        "imported with exit code 2",
        "CheckKey",
        "headers@1.0.0",
    ] {
        assert!(out.contains(said), "{said}: {out}");
    }
}

#[test]
fn library_of_gos_own_plugin_mode_is_refused_at_build_of_the_bundle_and_at_push() {
    let room = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(room.path().join(name), text).unwrap();
    write("go.mod", "module legacy\n\ngo 1.21\n");
    write(
        "main.go",
        "package main\n\nfunc Add() {}\n\nfunc main() {}\n",
    );
    let built = plugins::go_command(room.path())
        .unwrap()
        .args(["build", "-buildmode=plugin", "-o", "legacy.so", "."])
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let manifest = json!({
        "file_list": ["legacy.so"],
        "custom_middleware": {"driver": "goplugin", "pre": [{"name": "Add", "path": "legacy.so"}]},
    });
    write("manifest.json", &manifest.to_string());

    let mut command = Command::new(binary("gantry").unwrap());
    outside_cargo(&mut command);
    let bundled = command
        .args(["bundle", "build", "--name", "legacy", "--version", "1.0.0"])
        .current_dir(room.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&bundled.stderr);
    assert_eq!(bundled.status.code(), Some(3), "{stderr}");
    for said in ["GO_PLUGIN_BUILDMODE", "gantry build FOLDER"] {
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
    assert!(!room.path().join("legacy-1.0.0.zip").exists());

    let lab = Lab::start();
    let bundle = lab.bundle("legacy", "1.0.0");
    let bundle = bundle
        .file("legacy.so", &room.path().join("legacy.so"))
        .unwrap();
    let refused = lab.push_refused(bundle.hook("pre", "Add", "legacy.so"));
    assert_code(&refused, "GO_PLUGIN_BUILDMODE");
    assert!(
        refused.stderr.contains("gantry build FOLDER"),
        "{}",
        refused.stderr
    );
    assert_eq!(lab.project.admin.json(&["list"]).unwrap(), json!([]));
}
