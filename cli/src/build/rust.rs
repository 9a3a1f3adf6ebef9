//! Plugins in Rust: a package with a `cdylib`, built by `cargo zigbuild`, or by `cargo` with the
//! machine's own linker.
//!
//! Each gateway version has a target folder of its own below the workspace's: a library for another
//! version would take the place of the first, and nothing would be there the second time.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_domain::Platform;
use serde_json::Value;

use super::room::Room;
use super::target::{GLIBC_FLOOR, gateway_folder, rust_triple};
use super::toolchain::{Linker, Missing, Tools, program};
use super::{BuildError, BuildTarget, Builder, Compiled, Remarks, require, step};

const CARGO_ADVICE: &str = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh";
const CDYLIB_ADVICE: &str = "[lib] crate-type = [\"cdylib\"] in Cargo.toml";

/// A package with a plugin in Rust.
#[derive(Debug)]
pub(super) struct Crate {
    manifest: PathBuf,
    folder: PathBuf,
    target_folder: PathBuf,
    tools: Tools,
    /// What paths become in the library: where things lay is nobody's business, and never twice the
    /// same.
    remapped: Vec<String>,
}

impl Crate {
    pub(super) fn open(
        folder: &Path,
        tools: Tools,
        platforms: &[Platform],
    ) -> Result<Self, BuildError> {
        require(missing(folder, &tools, platforms)?)?;
        let manifest = folder.join("Cargo.toml");
        let metadata = metadata(&manifest)?;
        check_package(&metadata, &manifest)?;
        let text = |name: &'static str| {
            metadata[name]
                .as_str()
                .map(PathBuf::from)
                .ok_or(BuildError::Answer {
                    program: "cargo metadata",
                    expected: name,
                })
        };
        let target_folder = text("target_directory")?.join("gantry");
        let remapped = remapped(folder, &text("workspace_root")?, &target_folder)?;
        Ok(Self {
            manifest,
            folder: folder.to_owned(),
            target_folder,
            tools,
            remapped,
        })
    }

    fn cargo(&self, target: &BuildTarget) -> Command {
        let triple = rust_triple(target.platform);
        let mut command = match self.tools.linker() {
            Some(Linker::Zig(zig)) => {
                let mut command = Command::new("cargo-zigbuild");
                command
                    .env("CARGO_ZIGBUILD_ZIG_PATH", zig)
                    .args(["zigbuild", "--target"])
                    .arg(format!("{triple}.{GLIBC_FLOOR}"));
                command
            }
            Some(Linker::System) | None => {
                let mut command = Command::new("cargo");
                command.args(["build", "--target", triple]);
                command
            }
        };
        let folder = self
            .target_folder
            .join(gateway_folder(target.gateway_version));
        command
            .args(["--quiet", "--release", "--lib"])
            .args(["--message-format", "json-render-diagnostics"])
            .arg("--manifest-path")
            .arg(&self.manifest)
            .arg("--target-dir")
            .arg(folder)
            .current_dir(&self.folder)
            .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("GANTRY_GATEWAY_VERSION")
            .envs(
                target
                    .gateway_variable()
                    .map(|version| ("GANTRY_GATEWAY_VERSION", version)),
            )
            .envs(step::fixed_time());
        self.remap(&mut command);
        command
    }

    /// Adds our flags to those of the author, wherever these come from: cargo takes flags from one
    /// place only.
    fn remap(&self, command: &mut Command) {
        const BETWEEN: &str = "\u{1f}";
        let ours = self.remapped.join(BETWEEN);
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(encoded) = set("CARGO_ENCODED_RUSTFLAGS") {
            command.env("CARGO_ENCODED_RUSTFLAGS", [encoded, ours].join(BETWEEN));
        } else if let Some(flags) = set("RUSTFLAGS") {
            let own: Vec<_> = flags.split_whitespace().collect();
            let own = own.join(BETWEEN);
            command.env("CARGO_ENCODED_RUSTFLAGS", [own, ours].join(BETWEEN));
        } else {
            // A JSON array of texts is a TOML one.
            let list = Value::from(self.remapped.clone());
            command
                .arg("--config")
                .arg(format!("build.rustflags={list}"));
        }
    }
}

impl Builder for Crate {
    fn build(&mut self, target: &BuildTarget, _room: &Room) -> Result<Compiled, BuildError> {
        let mut command = self.cargo(target);
        let output = step::run(&mut command, &format!("compiling for {target}"))?;
        let library = output
            .answer
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find_map(|message: Value| library_of(&message, &self.manifest));
        Ok(Compiled {
            library: library.ok_or(BuildError::Answer {
                program: "cargo",
                expected: "the path of the library",
            })?,
            said: output.said,
            remarks: Remarks::default(),
        })
    }
}

/// The library that a message of cargo's names, if it is the plugin's.
fn library_of(message: &Value, manifest: &Path) -> Option<PathBuf> {
    let is_ours = message["reason"] == "compiler-artifact"
        && message["manifest_path"].as_str().map(Path::new) == Some(manifest);
    let files = message["filenames"].as_array().filter(|_| is_ours)?;
    files
        .iter()
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension().is_some_and(|suffix| suffix == "so"))
}

fn missing(
    folder: &Path,
    tools: &Tools,
    platforms: &[Platform],
) -> Result<Vec<Missing>, BuildError> {
    let mut missing = Vec::new();
    if program("cargo").is_none() || program(rustc()).is_none() {
        missing.push(Missing::new("Rust", CARGO_ADVICE));
    } else {
        for platform in platforms {
            let triple = rust_triple(*platform);
            if !has_std(folder, triple)? {
                missing.push(Missing::new(
                    format!("Rust's standard library for {triple}"),
                    rustup_advice(*platform),
                ));
            }
        }
    }
    missing.extend(tools.missing_linker());
    if tools.linker() != Some(&Linker::System) && program("cargo-zigbuild").is_none() {
        missing.push(Missing::new("cargo-zigbuild", "pip install cargo-zigbuild"));
    }
    Ok(missing)
}

const fn rustup_advice(platform: Platform) -> &'static str {
    match platform.arch {
        gantry_domain::Arch::Amd64 => "rustup target add x86_64-unknown-linux-gnu",
        gantry_domain::Arch::Arm64 => "rustup target add aarch64-unknown-linux-gnu",
    }
}

fn rustc() -> OsString {
    std::env::var_os("RUSTC")
        .filter(|rustc| !rustc.is_empty())
        .unwrap_or_else(|| "rustc".into())
}

/// What the compiler that the folder chooses says about itself.
fn ask_rustc(folder: &Path, arguments: &[&str]) -> Result<String, BuildError> {
    let mut command = Command::new(rustc());
    command.args(arguments).current_dir(folder);
    let output = step::run(&mut command, "asking rustc about itself")?;
    Ok(output.answer)
}

fn has_std(folder: &Path, triple: &str) -> Result<bool, BuildError> {
    let libraries = ask_rustc(folder, &["--print", "target-libdir", "--target", triple])?;
    let is_std = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("libstd-")
    };
    let entries = Path::new(&libraries).read_dir();
    Ok(entries.is_ok_and(|mut entries| entries.any(|entry| entry.as_ref().is_ok_and(is_std))))
}

fn metadata(manifest: &Path) -> Result<Value, BuildError> {
    let mut command = Command::new("cargo");
    command
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(manifest);
    let answer = step::run(&mut command, "reading Cargo.toml")?.answer;
    serde_json::from_str(&answer).map_err(|_| BuildError::Answer {
        program: "cargo metadata",
        expected: "JSON",
    })
}

/// The folder's own package must make a C library.
fn check_package(metadata: &Value, manifest: &Path) -> Result<(), BuildError> {
    let refused = |found: String, advice| BuildError::NotAPlugin {
        path: manifest.to_owned(),
        expected: "a package with a cdylib",
        found,
        advice,
    };
    let packages = metadata["packages"].as_array();
    let package = packages
        .into_iter()
        .flatten()
        .find(|package| package["manifest_path"].as_str().map(Path::new) == Some(manifest));
    let Some(package) = package else {
        let advice = "name the folder of the package that is the plugin";
        return Err(refused("a workspace without a package".to_owned(), advice));
    };
    let targets = package["targets"].as_array().into_iter().flatten();
    let kinds: Vec<_> = targets
        .flat_map(|target| target["crate_types"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    if kinds.contains(&"cdylib") {
        Ok(())
    } else {
        Err(refused(
            format!("one with {}", kinds.join(", ")),
            CDYLIB_ADVICE,
        ))
    }
}

/// Flags that take this machine's folders out of what is built. The last that fits a path wins.
fn remapped(
    folder: &Path,
    workspace: &Path,
    target_folder: &Path,
) -> Result<Vec<String>, BuildError> {
    let version = ask_rustc(folder, &["-vV"])?;
    let commit = version
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "));
    let sysroot = PathBuf::from(ask_rustc(folder, &["--print", "sysroot"])?);
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let mut pairs = vec![(workspace.to_owned(), "/plugin".to_owned())];
    if !folder.starts_with(workspace) {
        pairs.push((folder.to_owned(), "/plugin".to_owned()));
    }
    pairs.extend(home.map(|home| (home, "/cargo".to_owned())));
    // Where the library's sources are installed, the compiler names them instead of this.
    let std_to = format!("/rustc/{}", commit.unwrap_or("unknown"));
    pairs.push((sysroot.join("lib/rustlib/src/rust"), std_to));
    pairs.push((target_folder.to_owned(), "/target".to_owned()));
    let flags = pairs
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    Ok(flags.collect())
}
