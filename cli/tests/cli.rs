//! The binary as its users and their scripts meet it, where no control plane is needed.
#![expect(clippy::unwrap_used, reason = "a test may stop where it fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// What a run gave.
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

/// A folder to run in, with nothing in the environment but what a test puts there.
struct Desk {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Desk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let output = Command::new(env!("CARGO_BIN_EXE_gantry"))
            .args(arguments)
            .env_clear()
            .env("XDG_CONFIG_HOME", self.path("config"))
            .envs(self.variables.iter().cloned())
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        Outcome {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Compiles a plugin with a function `Add` at `pre`, or one without a note.
    fn library(&self, name: &str, with_note: bool) {
        let note = r#"GANTRY_NOTE("fixture", "1.0.0", GANTRY_NOTE_FUNCTION("Add", "\"pre\"", ""))"#;
        let source = format!(
            "#include \"gantry_plugin.h\"\n{}\n\
             const gantry_plugin *gantry_plugin_v0(void) {{ return 0; }}\n",
            if with_note { note } else { "" }
        );
        let source = self.write("fixture.c", source);
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/c/include");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-fvisibility=hidden", "-I"])
            .arg(include)
            .arg("-o")
            .args([self.path(name), source])
            .status()
            .expect("a C compiler is among what the tests need");
        assert!(status.success());
    }

    /// A folder `hooks` with a bundle of one library.
    fn bundle(&self, with_note: bool) {
        self.library("hooks/hooks.so", with_note);
        self.write(
            "hooks/manifest.json",
            r#"{"name":"hooks","version":"1.2.0","file_list":["hooks.so"],"custom_middleware":
                {"driver":"goplugin","pre":[{"name":"Add","path":"hooks.so"}]}}"#,
        );
    }
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {}", outcome.stdout))
}

#[test]
fn help_is_data_and_wrong_usage_is_64() {
    let desk = Desk::new();
    let help = desk.run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.contains("Examples:") && help.stdout.contains("Exit codes:"));
    for wrong in [
        &["nonsense"][..],
        &[],
        &["push"],
        &["deploy", "hooks"],
        &["deploy", "Hooks!@1.0.0"],
        &["get", "hooks"],
        &["pull", "../hooks@1.0.0"],
        &["list", "--platform", "windows/amd64"],
        &["versions", "hooks", "--yanked", "perhaps"],
        &["token", "create", "--right", "root"],
        &["whoami", "--output", "yaml"],
        &["explain", "orders"],
        &["whoami"],
        &["whoami", "-e", "http://127.0.0.1:1"],
        &["whoami", "-e", "nonsense", "-t", "x"],
        &["whoami", "-e", "http://192.0.2.1:1", "-t", "x"],
        &["whoami", "-e", "http://127.0.0.1:1", "-t", "two words"],
        &["api", "list", "-e", "http://127.0.0.1:1", "-t", "x"],
    ] {
        let outcome = desk.run(wrong);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (64, ""),
            "{wrong:?}"
        );
        assert!(!outcome.stderr.is_empty(), "{wrong:?}");
    }
}

#[test]
fn explain_says_both_ways_to_name_a_gateway() {
    let outcome = Desk::new().run(&["explain", "orders", "-e", "http://127.0.0.1:1", "-t", "x"]);
    assert_eq!(outcome.code, 64);
    for way in ["--gateway <ID>", "--gateway-version <VERSION>"] {
        assert!(outcome.stderr.contains(way), "{}", outcome.stderr);
    }
    let both = ["--gateway", "edge-1", "--gateway-version", "v5.3.0"];
    let outcome = Desk::new().run(&[&["explain", "orders"], &both[..]].concat());
    assert!(
        outcome.stderr.contains("cannot be used with"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn every_verb_has_help() {
    let desk = Desk::new();
    let verbs = [
        "build", "bundle", "push", "deploy", "pins", "api", "key", "gateways", "explain", "env",
    ];
    let more = [
        "token", "tenant", "whoami", "list", "versions", "get", "pull", "yank", "unyank",
    ];
    for verb in verbs.into_iter().chain(more) {
        let help = desk.run(&[verb, "--help"]);
        assert_eq!(help.code, 0, "{verb}: {}", help.stderr);
    }
}

#[test]
fn control_plane_that_is_not_there_is_named_with_its_cause_and_a_hint() {
    let desk = Desk::new()
        .with("GANTRY_ENDPOINT", "http://127.0.0.1:1")
        .with("GANTRY_TOKEN", "gt_secret");
    let outcome = desk.run(&["whoami"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    let stderr = outcome.stderr;
    assert!(
        stderr.starts_with("error: control plane at http://127.0.0.1:1: "),
        "{stderr}"
    );
    assert!(
        stderr.contains("Connection refused") && stderr.contains("\nhint: "),
        "{stderr}"
    );
    assert!(
        !stderr.contains("secret") && !stderr.contains('\x1b'),
        "{stderr}"
    );
}

#[test]
fn flag_comes_before_variable_before_file() {
    let port = |desk: &Desk, arguments: &[&str]| {
        let stderr = desk.run(arguments).stderr;
        let (_, rest) = stderr
            .split_once("127.0.0.1:")
            .unwrap_or_else(|| panic!("{stderr}"));
        rest.chars().next().unwrap()
    };
    let mut desk = Desk::new();
    let file = "endpoint = \"http://127.0.0.1:3\"\ntoken = \"t\"\nenvironment = \"staging\"\n";
    desk.write("config/gantry/config.toml", file);
    assert_eq!(port(&desk, &["gateways"]), '3');
    desk.variables
        .push(("GANTRY_ENDPOINT", "http://127.0.0.1:2".into()));
    assert_eq!(port(&desk, &["gateways"]), '2');
    assert_eq!(port(&desk, &["gateways", "-e", "http://127.0.0.1:1"]), '1');
    let other = desk.write("other.toml", file);
    desk.variables = vec![("GANTRY_CONFIG", other.to_string_lossy().into())];
    assert_eq!(port(&desk, &["gateways"]), '3');
}

#[test]
fn configuration_file_with_an_unknown_key_is_refused_and_an_open_token_warned_of() {
    let desk = Desk::new();
    let path = desk.write("config/gantry/config.toml", "endpont = \"x\"\n");
    let outcome = desk.run(&["whoami"]);
    assert_eq!(outcome.code, 64);
    assert!(outcome.stderr.contains("endpont"), "{}", outcome.stderr);
    fs::write(&path, "token = \"gt_secret\"\n").unwrap();
    let outcome = desk.run(&["whoami"]);
    assert!(outcome.stderr.contains("warning: "), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("gt_secret"), "{}", outcome.stderr);
}

#[test]
fn token_file_on_the_command_line_comes_before_a_token_from_the_environment() {
    let desk = Desk::new()
        .with("GANTRY_ENDPOINT", "http://127.0.0.1:1")
        .with("GANTRY_TOKEN", "fine");
    desk.write("token", "two words\n");
    assert_eq!(desk.run(&["whoami", "--token-file", "token"]).code, 64);
    desk.write("token", "one\n");
    assert_eq!(desk.run(&["whoami", "--token-file", "token"]).code, 1);
    assert_eq!(desk.run(&["whoami", "--token-file", "absent"]).code, 64);
}

#[test]
fn bundle_is_inspected_and_packed_reproducibly() {
    let desk = Desk::new();
    desk.bundle(true);
    let shown = desk.run(&["bundle", "inspect", "hooks"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let mut lines = shown.stdout.lines();
    assert!(
        lines.next().unwrap().starts_with("FILE "),
        "{}",
        shown.stdout
    );
    let line = lines.next().unwrap();
    assert!(
        line.contains("accepted") && line.contains("Add (pre)"),
        "{line}"
    );

    let packed = desk.run(&["bundle", "pack", "hooks", "-o", "json"]);
    assert_eq!(packed.code, 0, "{}", packed.stderr);
    assert_eq!(json(&packed)["path"], "hooks-1.2.0.zip");
    let again = desk.run(&[
        "bundle",
        "pack",
        "hooks",
        "-o",
        "json",
        "--out",
        "again.zip",
    ]);
    assert_eq!(json(&packed)["sha256"], json(&again)["sha256"]);

    let from_folder = json(&desk.run(&["bundle", "inspect", "hooks", "-o", "json"]));
    let from_zip = json(&desk.run(&["bundle", "inspect", "again.zip", "-o", "json"]));
    assert_eq!(from_folder, from_zip);
    let file = &from_zip["files"][0];
    assert_eq!(
        (&file["accepted"], &file["language"]),
        (&true.into(), &"c".into())
    );
    assert_eq!(file["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(file["functions"][0]["hooks"][0], "pre");
}

#[test]
fn library_that_would_be_refused_is_3_with_the_reason_and_packs_nothing() {
    let desk = Desk::new();
    desk.bundle(false);
    let outcome = desk.run(&["bundle", "check", "hooks/hooks.so", "--output", "json"]);
    assert_eq!(outcome.code, 3);
    assert_eq!(
        json(&outcome)["files"][0]["refusal"]["code"],
        "NOTE_MISSING"
    );
    assert!(outcome.stderr.contains("hint: "), "{}", outcome.stderr);
    let outcome = desk.run(&["bundle", "pack", "hooks"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (3, ""));
    assert!(
        outcome.stderr.contains("NOTE_MISSING"),
        "{}",
        outcome.stderr
    );
    assert!(!desk.path("hooks-1.2.0.zip").exists());
    let forced = desk.run(&["bundle", "pack", "hooks", "--no-inspect"]);
    assert_eq!(forced.code, 0, "{}", forced.stderr);
}

#[test]
fn bundle_that_is_none_is_refused_by_its_kind() {
    let desk = Desk::new();
    desk.bundle(true);
    desk.write("bad.zip", "no zip");
    desk.write("empty/readme", "");
    desk.write(
        "wrong/manifest.json",
        fs::read_to_string(desk.path("hooks/manifest.json"))
            .unwrap()
            .replace(r#""version":"1.2.0""#, r#""version":"one""#),
    );
    for (path, code, reason) in [
        ("absent", 1, "FILE_UNREADABLE"),
        ("bad.zip", 3, "ARCHIVE_MALFORMED"),
        ("empty", 3, "MANIFEST_MISSING"),
        ("wrong", 3, "version: expected"),
    ] {
        let outcome = desk.run(&["bundle", "inspect", path]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (code, ""),
            "{path}"
        );
        assert!(
            outcome.stderr.contains(reason),
            "{path}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn push_inspects_before_it_sends_anything() {
    let desk = Desk::new()
        .with("GANTRY_ENDPOINT", "http://127.0.0.1:1")
        .with("GANTRY_TOKEN", "t");
    desk.bundle(false);
    assert_eq!(desk.run(&["push", "hooks"]).code, 3);
    // With inspection out of the way it gets as far as the network.
    assert_eq!(desk.run(&["push", "hooks", "--no-inspect"]).code, 1);
}

#[test]
fn manifest_that_does_not_fit_its_libraries_is_3_before_anything_is_sent() {
    let desk = Desk::new()
        .with("GANTRY_ENDPOINT", "http://127.0.0.1:1")
        .with("GANTRY_TOKEN", "t");
    desk.bundle(true);
    let manifest = |hook: &str, entry: &str| {
        let text = r#"{"name":"hooks","version":"1.2.0","file_list":["hooks.so"],"custom_middleware":
            {"driver":"goplugin","HOOK":[{"path":"hooks.so",ENTRY}]}}"#;
        let text = text.replace("HOOK", hook).replace("ENTRY", entry);
        desk.write("hooks/manifest.json", text);
    };
    for (hook, entry, words) in [
        (
            "pre",
            r#""name":"Add","inline":"body""#,
            "custom_middleware.pre[0].inline: expected hooks.so with Add built so, \"body\" (build it again: \
             `gantry build --manifest` with this manifest), found a build with true (INLINE_DIFFERS)",
        ),
        ("pre", r#""name":"Sum""#, "(FUNCTION_NOT_FOUND)"),
        ("response", r#""name":"Add""#, "(HOOK_UNDECLARED)"),
    ] {
        manifest(hook, entry);
        for verb in [&["push"][..], &["bundle", "inspect"], &["bundle", "pack"]] {
            let outcome = desk.run(&[verb, &["hooks"]].concat());
            assert_eq!(outcome.code, 3, "{}", outcome.stderr);
            assert_eq!(
                outcome.stderr.matches(words).count(),
                1,
                "{}",
                outcome.stderr
            );
        }
        assert_eq!(desk.run(&["push", "hooks", "--no-inspect"]).code, 1);
    }
    manifest("pre", r#""name":"Add","inline":true"#);
    assert_eq!(
        desk.run(&["push", "hooks"]).code,
        1,
        "it gets as far as the network"
    );
}

#[test]
fn pull_into_a_zip_that_is_there_is_refused_before_anything_is_asked() {
    let desk = Desk::new()
        .with("GANTRY_ENDPOINT", "http://127.0.0.1:1")
        .with("GANTRY_TOKEN", "t");
    desk.write("mine.zip", "precious");
    let outcome = desk.run(&["pull", "hooks@1.0.0", "--out", "mine.zip"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("already"), "{}", outcome.stderr);
    assert_eq!(fs::read(desk.path("mine.zip")).unwrap(), b"precious");
}
