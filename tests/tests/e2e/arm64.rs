//! Libraries that are built for arm64 are run there, too: a small host loads each under emulation, starts
//! a function and calls it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_tests::binaries::{target_dir, tool, workspace};
use gantry_tests::full;
use serde_json::{Value, json};

use crate::workbench::{Workbench, small_crate};

/// The root of what Debian's packages were unpacked to.
fn debian() -> PathBuf {
    target_dir().join("tools/debian")
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{text}{errors}");
    text.into_owned()
}

/// The host, built for arm64.
fn loader(folder: &Path) -> PathBuf {
    let program = folder.join("loader");
    let zig = tool("python-zig").unwrap();
    output(
        Command::new(zig)
            .args([
                "cc",
                "-target",
                "aarch64-linux-gnu.2.17",
                "-O1",
                "-Wall",
                "-Wextra",
            ])
            .args(["-Werror", "-Wno-missing-field-initializers", "-I"])
            .arg(workspace().join("sdk/c/include"))
            .arg(workspace().join("tests/fixtures/arm64-loader/loader.c"))
            .args(["-ldl", "-lpthread", "-o"])
            .arg(&program),
    );
    program
}

/// What a function of a library does to a request with these headers.
fn run(loader: &Path, library: &Path, function: &str, config: &str, headers: &[&str]) -> String {
    let root = debian();
    output(
        Command::new(root.join("usr/bin/qemu-aarch64-static"))
            .arg("-L")
            .arg(root.join("usr/aarch64-linux-gnu"))
            .arg(loader)
            .arg(library)
            .args([function, config])
            .args(headers),
    )
}

/// Builds a folder for arm64 alone; gives the library.
fn build(bench: &Workbench, folder: &Path) -> PathBuf {
    let built = bench.build(folder, &["--target", "linux/arm64"]);
    let path = PathBuf::from(built[0]["path"].as_str().unwrap());
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[18..20], 183_u16.to_le_bytes(), "AArch64");
    path
}

/// A copy of an example that is a crate of this workspace, as a crate of its own.
fn rust_example(room: &Path) -> PathBuf {
    let folder = room.join("rust-hooks");
    let example = workspace().join("examples/rust-hooks");
    fs::create_dir_all(folder.join("src")).unwrap();
    for file in fs::read_dir(example.join("src")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.join("src").join(file.file_name())).unwrap();
    }
    let manifest = fs::read_to_string(example.join("Cargo.toml")).unwrap();
    let manifest = manifest
        .lines()
        .filter(|line| !line.contains("workspace") && !line.starts_with("[lints"))
        .collect::<Vec<_>>()
        .join("\n");
    let sdk = workspace().join("sdk/rust");
    let manifest = manifest.replacen(
        "[package]",
        "[workspace]\n\n[package]\nversion = \"1.0.0\"\nedition = \"2024\"",
        1,
    );
    let manifest = manifest.replacen(
        "[dependencies]",
        &format!(
            "[dependencies]\ngantry-plugin = {{ path = {:?} }}\nserde_json = \"1\"",
            sdk.display().to_string()
        ),
        1,
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    folder
}

#[test]
fn c_and_go_examples_built_for_arm64_run_there() {
    let bench = Workbench::new();
    let loader = loader(bench.room());
    let c = build(&bench, &workspace().join("examples/c-headers"));
    let done = run(&loader, &c, "TagRequest", r#"{"tag":"blue"}"#, &[]);
    assert_eq!(
        done,
        "plugin c-headers 1.0.0\nop 4 x-tag=blue\nreturned 0\n"
    );
    let go = build(&bench, &workspace().join("examples/go-hooks"));
    let done = run(
        &loader,
        &go,
        "Correlate",
        "{}",
        &["x-tag=blue", "x-trace-id=7"],
    );
    let expected = "op 4 X-Correlation-Id=blue/7\n";
    assert!(
        done.contains(expected) && done.ends_with("returned 0\n"),
        "{done}"
    );
}

/// As an author has it who brings it from Tyk: a function that runs on a goroutine of its own, and one
/// that asks to run in the gateway's call.
const HANDLERS: &str = r#"package main

import (
	"net/http"

	"github.com/TykTechnologies/tyk/ctx"
	"github.com/TykTechnologies/tyk/header"
)

func Describe(rw http.ResponseWriter, r *http.Request) {
	done := make(chan string)
	go func() {
		defer func() { _ = recover() }()
		done <- ctx.GetDefinition(r).APIID
	}()
	r.Header.Set("X-API", <-done)
}

//gantry:inline
func Refuse(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set(header.WWWAuthenticate, "Bearer")
	http.Error(rw, "not you", http.StatusUnauthorized)
}
"#;
const VERSIONS: [&str; 2] = ["v5.3.0", "v5.4.0"];
const TARGETS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// What is built of the same handlers in some folder: for these versions and platforms, with zig.
fn handlers(bench: &Workbench, place: &str, versions: &[&str], targets: &[&str]) -> Vec<Value> {
    let folder = bench.room().join(place).join("handlers");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("main.go"), HANDLERS).unwrap();
    let versions = versions
        .iter()
        .flat_map(|version| ["--gateway-version", *version]);
    let platforms = targets.iter().flat_map(|target| ["--target", *target]);
    let arguments: Vec<_> = versions.chain(platforms).collect();
    let built = bench.build(&folder, &arguments);
    built.as_array().unwrap().clone()
}

#[test]
fn tyk_source_is_built_for_each_version_and_platform_and_runs_on_arm64() {
    let bench = Workbench::new();
    let built = handlers(&bench, "here", &VERSIONS, &TARGETS);
    let targets = VERSIONS.map(|version| TARGETS.map(|target| (version, target.replace('/', "_"))));
    let targets = targets.as_flattened();
    assert_eq!(built.len(), targets.len());
    for (library, (version, target)) in built.iter().zip(targets) {
        let name = format!("handlers_{version}_{target}.so");
        assert_eq!(library["path"], bench.out().join(&name).to_str().unwrap());
        assert_eq!(library["warnings"], json!([]), "{name}");
        let inspected = bench.json(&["bundle", "inspect", library["path"].as_str().unwrap()]);
        let inspected = &inspected["files"][0];
        assert_eq!(inspected["accepted"], true, "{inspected}");
        assert_eq!(inspected["sha256"], library["sha256"]);
        // What the bytes say, and not only what the build does.
        assert_eq!(inspected["gateway_version"], *version, "{inspected}");
        assert_eq!(inspected["platform"], *target, "{inspected}");
        let glibc = inspected["libc"].as_str().unwrap();
        let minor: u32 = glibc.strip_prefix("2.").unwrap().parse().unwrap();
        assert!(minor <= 17, "{name} needs glibc {glibc}");
        let functions = inspected["functions"].as_array().unwrap().iter();
        let functions: Vec<_> = functions.map(|function| &function["name"]).collect();
        assert_eq!(functions, ["Describe", "Refuse"]);
    }

    let elsewhere = Workbench::new();
    let targets = if full() { &TARGETS[..] } else { &TARGETS[1..] };
    let again = handlers(&elsewhere, "elsewhere/and/deeper", &VERSIONS[..1], targets);
    assert_eq!(again.len(), targets.len());
    for second in &again {
        let same = |first: &&Value| {
            (&first["target"], &first["gateway_version"])
                == (&second["target"], &second["gateway_version"])
        };
        let first = built.iter().find(same).unwrap();
        assert_eq!(first["sha256"], second["sha256"], "{}", first["path"]);
    }

    let loader = loader(bench.room());
    for library in [&built[1], &built[3]] {
        let library = Path::new(library["path"].as_str().unwrap());
        let done = run(&loader, library, "Describe", "{}", &[]);
        for line in ["op 4 X-Api=test\n", "resumed\n", "returned 0\n"] {
            assert!(done.contains(line), "{line:?} in {done}");
        }
        let done = run(&loader, library, "Refuse", "{}", &[]);
        for line in ["Www-Authenticate=Bearer\n", "not you", "returned 1\n"] {
            assert!(done.contains(line), "{line:?} in {done}");
        }
        assert!(!done.contains("resumed"), "{done}");
    }
}

#[test]
fn rust_package_built_for_arm64_runs_there() {
    let bench = Workbench::new().with_rust_for_arm64();
    let loader = loader(bench.room());
    let small = build(&bench, &small_crate(bench.room(), "arm64"));
    let done = run(&loader, &small, "Greet", "{}", &[]);
    assert!(
        done.contains("op 7 x-greeting=") && done.ends_with("returned 0\n"),
        "{done}"
    );
    if full() {
        let example = build(&bench, &rust_example(bench.room()));
        let done = run(&loader, &example, "AddTraceHeader", "{}", &[]);
        assert!(done.contains("=0af7651916cd43dd8448eb211c80319c"), "{done}");
        assert!(done.ends_with("returned 0\n"), "{done}");
    }
}
