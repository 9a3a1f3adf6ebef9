//! Libraries that are built for arm64 are run there, too: a small host loads each under emulation, starts
//! a function and calls it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_tests::binaries::{target_dir, tool, workspace};
use gantry_tests::full;

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
            .args(["-ldl", "-o"])
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
    for file in ["lib.rs", "auth.rs", "rewrite.rs"] {
        fs::copy(
            example.join("src").join(file),
            folder.join("src").join(file),
        )
        .unwrap();
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
