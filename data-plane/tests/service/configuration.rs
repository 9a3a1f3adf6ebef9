//! The program as operators meet it before it runs.

use crate::gateway::{NOWHERE, TOKEN, program, run};

#[test]
fn gateway_without_token_is_refused_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let output = run(&[
        "--endpoint",
        NOWHERE,
        "--state-dir",
        state.to_str().unwrap(),
    ]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("TOKEN_MISSING"), "{errors}");
    assert!(!state.exists());
}

#[test]
fn mistakes_of_file_and_flags_come_together() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, "[http]\nlisten = 'x'\ntypo = 1\n").unwrap();
    let output = run(&[
        "config",
        "check",
        "--config",
        file.to_str().unwrap(),
        "--workers",
        "0",
    ]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for expected in [
        "http.listen",
        "http.typo",
        "--workers",
        "control_plane.endpoint",
        "TOKEN_MISSING",
    ] {
        assert!(errors.contains(expected), "{expected} is not in {errors}");
    }
}

#[test]
fn shown_configuration_hides_the_token() {
    let output = program()
        .args(["config", "show", "--endpoint", NOWHERE])
        .env("GANTRY_TOKEN", TOKEN)
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        shown.contains("gantry_t1_****") && !shown.contains("0123456789abcdef"),
        "{shown}"
    );
}

#[test]
fn example_configuration_is_right_and_says_the_defaults() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/gateway.toml");
    let show = |more: &[&str]| {
        let mut command = program();
        command
            .args(["config", "show", "--endpoint", NOWHERE])
            .args(more)
            .env("GANTRY_TOKEN", TOKEN);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(show(&["--config", example]), show(&[]));
}

#[test]
fn roles_are_refused_without_their_supervisor() {
    for role in ["worker", "probe"] {
        let output = run(&[role]);
        assert!(!output.status.success(), "{role}");
    }
}
