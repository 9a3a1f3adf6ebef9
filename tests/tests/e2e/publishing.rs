//! What a push accepts and refuses, and that a refusal leaves nothing behind.

use gantry_tests::plugins;
use serde_json::json;

use crate::lab::{Lab, arch, assert_code};

#[test]
fn push_with_a_wrong_sha256_is_refused_and_leaves_nothing_behind() {
    let lab = Lab::start();
    let before = lab.stage.control_plane.objects().unwrap();
    let library = plugins::faulty().unwrap();
    let bundle = lab
        .bundle("faulty", "1.0.0")
        .file("faulty.so", &library)
        .unwrap()
        .hook("pre", "Echo", "faulty.so");
    let other = "0".repeat(64);
    let outcome = lab.push_refused(bundle.field("sha256", json!({"faulty.so": other})));
    assert_code(&outcome, "DIGEST_MISMATCH");
    assert_eq!(outcome.code, 3, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("faulty.so"),
        "the file is named: {}",
        outcome.stderr
    );
    assert_eq!(lab.stage.control_plane.objects().unwrap(), before);
}

#[test]
fn push_with_a_wrong_md5_checksum_is_refused_and_leaves_nothing_published() {
    let lab = Lab::start();
    let library = plugins::faulty().unwrap();
    let bundle = lab
        .bundle("faulty", "1.0.0")
        .file("faulty.so", &library)
        .unwrap()
        .hook("pre", "Echo", "faulty.so");
    let outcome = lab.push_refused(bundle.field("checksum", json!("0".repeat(32))));
    assert_code(&outcome, "CHECKSUM_MISMATCH");
    let objects = lab.stage.control_plane.objects().unwrap();
    assert!(
        objects
            .iter()
            .all(|key| !key.contains("/published/") && !key.contains("/faulty/")),
        "{objects:?}"
    );
}

#[test]
fn name_that_lies_about_its_machine_is_refused() {
    let lab = Lab::start();
    let library = plugins::faulty().unwrap();
    let other = if arch() == "amd64" { "arm64" } else { "amd64" };
    let name = format!("faulty_v5.3.0_linux_{other}.so");
    let bundle = lab
        .bundle("faulty", "1.0.0")
        .file(&name, &library)
        .unwrap()
        .hook("pre", "Echo", "faulty.so");
    let outcome = lab.push_refused(bundle);
    assert_code(&outcome, "NAME_PLATFORM_MISMATCH");
    assert!(outcome.stderr.contains(&name), "{}", outcome.stderr);
}

#[test]
fn republishing_the_same_bytes_gives_the_same_answer_and_other_bytes_are_refused() {
    let lab = Lab::start();
    let bundle = |library: &str| {
        let library = plugins::example(library, None).unwrap();
        lab.bundle("hooks", "1.0.0")
            .file("hooks.so", &library)
            .unwrap()
            .hook("pre", "AddTraceHeader", "hooks.so")
    };
    let first = lab.publish(bundle("1.0.0"));
    let again = lab.publish(bundle("1.0.0"));
    assert_eq!(again["release"], first["release"]);
    let before = lab.stage.control_plane.objects().unwrap();
    let outcome = lab.push_refused(bundle("1.0.1"));
    assert_code(&outcome, "VERSION_IMMUTABLE");
    let published = |objects: Vec<String>| {
        objects
            .into_iter()
            .filter(|key| !key.contains("/uploads/"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        published(lab.stage.control_plane.objects().unwrap()),
        published(before)
    );
}

#[test]
fn manifest_that_hooks_a_function_which_no_file_offers_is_refused() {
    let lab = Lab::start();
    let library = plugins::faulty().unwrap();
    let bundle = |function: &str, hook: &str| {
        lab.bundle("faulty", "1.0.0")
            .file("faulty.so", &library)
            .unwrap()
            .hook(hook, function, "faulty.so")
    };
    assert_code(
        &lab.push_refused(bundle("Nothing", "pre")),
        "FUNCTION_NOT_FOUND",
    );
    assert_code(
        &lab.push_refused(bundle("Echo", "response")),
        "HOOK_UNDECLARED",
    );
}

#[test]
fn library_without_a_note_is_refused() {
    let lab = Lab::start();
    let source = lab.stage.folder().join("bare.c");
    std::fs::write(&source, "int answer(void) { return 42; }\n").unwrap();
    let library = plugins::c(&source.to_string_lossy(), lab.stage.folder(), None).unwrap();
    let bundle = lab
        .bundle("bare", "1.0.0")
        .file("bare.so", &library)
        .unwrap()
        .hook("pre", "answer", "bare.so");
    assert_code(&lab.push_refused(bundle), "NOTE_MISSING");
}
