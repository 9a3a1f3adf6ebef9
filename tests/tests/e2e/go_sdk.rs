//! The Go SDKs and their example hold what Go's own tools check, and the note that lies beside the example
//! is fresh.

use std::fs;
use std::path::Path;
use std::process::Command;

use gantry_tests::binaries::workspace;
use gantry_tests::plugins::{self, go_command};

const MODULES: [&str; 3] = ["sdk/go", "sdk/go-tyk", "examples/go-hooks"];

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{text}{errors}");
    text.into_owned()
}

fn go(module: &str, arguments: &[&str]) -> String {
    output(
        go_command(&workspace().join(module))
            .unwrap()
            .args(arguments),
    )
}

#[test]
fn go_modules_pass_their_tests_and_vet() {
    for module in MODULES {
        go(module, &["vet", "./..."]);
        go(module, &["test", "./..."]);
    }
}

#[test]
fn go_sources_are_formatted() {
    let root = go("sdk/go", &["env", "GOROOT"]);
    let gofmt = Path::new(root.trim()).join("bin/gofmt");
    for folder in [
        "sdk/go",
        "sdk/go-tyk",
        "examples/go-hooks",
        "tests/fixtures/go-exits",
        "tests/fixtures/go-faulty",
        "tests/fixtures/go-tyk",
    ] {
        let unformatted = output(Command::new(&gofmt).arg("-l").arg(workspace().join(folder)));
        assert_eq!(unformatted, "", "run gofmt -w {folder}");
    }
}

#[test]
fn note_in_the_example_is_what_its_registrations_give() {
    let note = "note_gantry.go";
    plugins::go("examples/go-hooks", "1.0.0", None).unwrap();
    let fresh = gantry_tests::binaries::target_dir()
        .join("stage/go/go-hooks-1.0.0-for-any")
        .join(note);
    let committed = workspace().join("examples/go-hooks").join(note);
    assert_eq!(
        fs::read_to_string(committed).unwrap(),
        fs::read_to_string(fresh).unwrap(),
        "run go generate in examples/go-hooks"
    );
}
