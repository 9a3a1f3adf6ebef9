//! Where plugins are built in tests: the real command line with the real toolchains that the test
//! command installs, and a folder for what comes out.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gantry_tests::Outcome;
use gantry_tests::binaries::{binary, outside_cargo, target_dir, tool, workspace};
use serde_json::Value;
use tempfile::TempDir;

/// A folder, and toolchains.
pub(crate) struct Workbench {
    room: TempDir,
    out: PathBuf,
    path: OsString,
    variables: Vec<(&'static str, OsString)>,
}

impl Workbench {
    pub(crate) fn new() -> Self {
        let room = tempfile::tempdir().unwrap();
        let out = room.path().join("out");
        fs::create_dir(&out).unwrap();
        let zig = tool("python-zig").unwrap();
        let go = tool("go").unwrap();
        let tools = [&zig, &go].map(|tool| tool.parent().unwrap().to_owned());
        let path = std::env::var_os("PATH").unwrap();
        let path = tools.into_iter().chain(std::env::split_paths(&path));
        let path = std::env::join_paths(path).unwrap();
        Self {
            room,
            out,
            path,
            variables: Vec::new(),
        }
    }

    /// The same with a Rust compiler that has the standard library for arm64, if the machine's own
    /// has none.
    pub(crate) fn with_rust_for_arm64(self) -> Self {
        let rustc = target_dir().join("tools/rust-arm64/bin/rustc");
        if rustc.is_file() {
            self.with("RUSTC", rustc)
        } else {
            self
        }
    }

    /// The same with a variable, in place of what it is elsewhere.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// The same without zig.
    pub(crate) fn without_zig(mut self) -> Self {
        let zig = tool("python-zig").unwrap();
        let folders = std::env::split_paths(&self.path);
        let folders: Vec<_> = folders
            .filter(|folder| Some(folder.as_path()) != zig.parent())
            .collect();
        self.path = std::env::join_paths(folders).unwrap();
        self
    }

    /// The same with no program to be found.
    pub(crate) fn without_programs(mut self) -> Self {
        self.path = self.room.path().into();
        self
    }

    /// A folder for sources.
    pub(crate) fn room(&self) -> &Path {
        self.room.path()
    }

    /// Where libraries are written.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    /// Builds a folder, whatever comes out.
    pub(crate) fn try_build(&self, folder: &Path, arguments: &[&str]) -> Outcome {
        let (folder, out) = (folder.to_str().unwrap(), self.out.to_str().unwrap());
        let all = ["build", folder, "--out", out].into_iter();
        self.run(&all.chain(arguments.iter().copied()).collect::<Vec<_>>())
    }

    /// Builds a folder and gives what was built.
    pub(crate) fn build(&self, folder: &Path, arguments: &[&str]) -> Value {
        let arguments: Vec<_> = arguments
            .iter()
            .copied()
            .chain(["--output", "json"])
            .collect();
        let outcome = self.try_build(folder, &arguments);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// Runs the command line and gives its data.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<_> = arguments
            .iter()
            .copied()
            .chain(["--output", "json"])
            .collect();
        let outcome = self.run(&arguments);
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(binary("gantry").unwrap());
        outside_cargo(&mut command);
        isolate(&mut command);
        command
            .args(arguments)
            .env("PATH", &self.path)
            .env("GANTRY_CACHE_DIR", self.room().join("cache"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = command.stdin(Stdio::null()).output().unwrap();
        Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Keeps what toolchains keep below `target`, and the network out. Rust packages outside of the
/// workspace are built below themselves.
fn isolate(command: &mut Command) {
    let caches = target_dir();
    command
        .env("GOCACHE", caches.join("go/cache"))
        .env("GOPATH", caches.join("go/path"))
        .env("GOENV", "off")
        .env("GOWORK", "off")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod")
        .env("CARGO_NET_OFFLINE", "true")
        .env("ZIG_GLOBAL_CACHE_DIR", caches.join("zig"))
        .env("CARGO_ZIGBUILD_CACHE_DIR", caches.join("zig/build"));
    for name in [
        "CARGO_TARGET_DIR",
        "RUSTFLAGS",
        "RUSTC",
        "GOOS",
        "GOARCH",
        "GOROOT",
        "CC",
    ] {
        command.env_remove(name);
    }
}

/// A package with a plugin in Rust that needs nothing but the SDK, in a folder of its own.
pub(crate) fn small_crate(parent: &Path, place: &str) -> PathBuf {
    let folder = parent.join(place).join("rust");
    fs::create_dir_all(folder.join("src")).unwrap();
    let sdk = workspace().join("sdk/rust");
    let manifest = format!(
        "[package]\nname = \"small-plugin\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n\
         [lib]\ncrate-type = [\"cdylib\"]\n\n[dependencies]\ngantry-plugin = {{ path = \"{}\" }}\n\n[workspace]\n",
        sdk.display()
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let source = r#"//! Greets.
use gantry_plugin::{Failure, RequestCall};

fn greet(call: &mut RequestCall<'_>) -> Result<(), Failure> {
    let place = std::panic::Location::caller().to_string();
    call.set_response_header("x-greeting", place)?;
    Ok(())
}

gantry_plugin::plugin! {
    name: "small",
    version: "1.0.0",
    functions: { Greet: pre => fn greet }
}
"#;
    fs::write(folder.join("src/lib.rs"), source).unwrap();
    folder
}
