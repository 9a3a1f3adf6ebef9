//! Bringing back a part of a version, and several files at a time.

use std::fs;

use gantry_tests::plugins;

use super::{Numbers, library, write_padded};
use crate::lab::{Lab, VERSION, arch, assert_code};

#[test]
fn pull_for_a_gateway_brings_what_it_can_run_and_nothing_else() {
    let lab = Lab::start();
    let folder = lab.stage.folder().to_owned();
    let source = "examples/c-headers/plugin.c";
    let any = library(&folder);
    let versioned = plugins::c(source, &folder, Some(VERSION)).unwrap();
    let versioned_name = format!("tags_{VERSION}_linux_{}.so", arch());
    let plain = folder.join("plain.so");
    write_padded(&plain, &any, 3_000_000, &mut Numbers(3));
    let mut bundle = lab
        .bundle("tags", "1.0.0")
        .file(&versioned_name, &versioned)
        .unwrap();
    for name in ["a.so", "b.so", "c.so", "d.so", "e.so"] {
        bundle = bundle.file(name, &plain).unwrap();
    }
    lab.publish(bundle.hook("pre", "TagRequest", "a.so"));
    let gantry = &lab.project.admin;
    let pull = |out: &str, filter: &[&str]| {
        let out = folder.join(out);
        let text = out.to_string_lossy().into_owned();
        let arguments = [&["pull", "tags@1.0.0", "--out", &text], filter].concat();
        (out, gantry.run(&arguments).unwrap())
    };
    let names = |out: &std::path::Path| {
        let entries = fs::read_dir(out).unwrap().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };

    let platform = format!("linux/{}", arch());
    let (out, outcome) = pull("other", &["--platform", &platform, "--gateway", "v5.9.9"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert_eq!(names(&out), ["a.so", "b.so", "c.so", "d.so", "e.so"]);
    assert_eq!(
        fs::read(out.join("e.so")).unwrap(),
        fs::read(&plain).unwrap()
    );
    let (out, outcome) = pull("this", &["--gateway", VERSION]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert_eq!(names(&out).len(), 6);

    let foreign = if arch() == "amd64" {
        "linux/arm64"
    } else {
        "linux/amd64"
    };
    let (out, outcome) = pull("foreign", &["--platform", foreign]);
    assert_code(&outcome, "FILE_NOT_FOUND");
    assert!(!out.exists(), "a folder was made for nothing");
    let (out, outcome) = pull("all.zip", &["--platform", &platform]);
    assert_eq!(outcome.code, 64, "{}", outcome.stderr);
    assert!(!out.exists());
}
