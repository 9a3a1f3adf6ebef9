//! Plugins as their authors build them: Rust libraries by cargo, C files by `cc`, Go modules by `go`,
//! folders with a manifest. Each build is made once and kept under `target/stage`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::binaries::{outside_cargo, target_dir, tool, workspace};

/// Builds the example plugin, saying that it is `version`, for one gateway version or any. Other words
/// in give other bytes out.
///
/// # Errors
/// cargo fails; the message holds what it wrote.
pub fn example(version: &str, gateway_version: Option<&str>) -> Result<PathBuf> {
    let name = format!(
        "hooks-{version}-for-{}.so",
        gateway_version.unwrap_or("any")
    );
    let mut environment = vec![("GANTRY_EXAMPLE_VERSION", version)];
    environment.extend(gateway_version.map(|version| ("GANTRY_GATEWAY_VERSION", version)));
    rust(
        "gantry-example-hooks",
        "libgantry_example_hooks.so",
        &name,
        &environment,
    )
}

/// Builds the library of functions that misbehave or tell what they see.
///
/// # Errors
/// cargo fails; the message holds what it wrote.
pub fn faulty() -> Result<PathBuf> {
    rust(
        "gantry-fixture-faulty",
        "libgantry_fixture_faulty.so",
        "faulty.so",
        &[],
    )
}

fn rust(package: &str, library: &str, name: &str, environment: &[(&str, &str)]) -> Result<PathBuf> {
    let folder = target_dir().join("stage");
    fs::create_dir_all(&folder)?;
    // Builds of one package overwrite each other, so whoever builds holds the lock until its copy is made.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let kept = folder.join(name);
    let own_target = folder.join("build");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    outside_cargo(&mut command);
    command
        .current_dir(workspace())
        .args(["build", "--quiet", "--package", package])
        .env("CARGO_TARGET_DIR", &own_target)
        .env_remove("GANTRY_GATEWAY_VERSION");
    command.envs(environment.iter().copied());
    let output = command.output().context("start cargo")?;
    ensure!(
        output.status.success(),
        "building {package}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Renamed into place: whoever has an earlier one open reads on in that.
    let fresh = folder.join(format!("{name}.fresh"));
    fs::copy(own_target.join("debug").join(library), &fresh)
        .and_then(|_| fs::rename(&fresh, &kept))
        .with_context(|| format!("keep {library}"))?;
    Ok(kept)
}

/// Builds a C plugin from `tests/fixtures/plugins` or `examples`, for one gateway version or any.
///
/// # Errors
/// `cc` fails; the message holds what it wrote.
pub fn c(source: &str, folder: &Path, gateway_version: Option<&str>) -> Result<PathBuf> {
    let version = gateway_version.map(|version| ("GANTRY_GATEWAY_VERSION", version));
    c_defining(source, folder, version.as_slice())
}

/// The same with macros that are text.
///
/// # Errors
/// As [`c`].
pub fn c_defining(source: &str, folder: &Path, macros: &[(&str, &str)]) -> Result<PathBuf> {
    let source = workspace().join(source);
    let stem = source
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let built = folder.join(format!("{stem}.so"));
    let mut command = Command::new("cc");
    command.args([
        "-shared",
        "-fPIC",
        "-O1",
        "-fvisibility=hidden",
        "-Wl,-Bsymbolic",
        "-Wl,-z,noexecstack",
    ]);
    command.arg("-I").arg(workspace().join("sdk/c/include"));
    for (name, text) in macros {
        command.arg(format!("-D{name}=\"{text}\""));
    }
    let output = command
        .arg("-o")
        .arg(&built)
        .arg(&source)
        .output()
        .context("start cc")?;
    ensure!(
        output.status.success(),
        "building {}:\n{}",
        source.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(built)
}

/// Builds a Go plugin from `tests/fixtures` or `examples`, saying that it is `version`, for one gateway
/// version or any. It is built from a copy, so that the note that is generated for it stays out of the
/// sources.
///
/// # Errors
/// `go` fails; the message holds what it wrote.
pub fn go(source: &str, version: &str, gateway_version: Option<&str>) -> Result<PathBuf> {
    go_by("go", source, version, gateway_version)
}

/// Go toolchains beside the one that everything is built with, oldest first: the program's name under
/// `target/tools/bin`, and the version.
pub const GO_TOOLCHAINS: [(&str, &str); 2] = [("go1.21", "go1.21.13"), ("go1.24", "go1.24.13")];

/// The same as [`go`], by a program of another name.
///
/// # Errors
/// As [`go`].
pub fn go_by(
    program: &str,
    source: &str,
    version: &str,
    gateway_version: Option<&str>,
) -> Result<PathBuf> {
    let source = workspace().join(source);
    let plugin = source.file_name().unwrap_or_default().to_string_lossy();
    let by = program.strip_prefix("go").filter(|by| !by.is_empty());
    let by = by.map(|by| format!("-by-{by}")).unwrap_or_default();
    let name = format!(
        "{plugin}-{version}-for-{}{by}",
        gateway_version.unwrap_or("any")
    );
    let stage = target_dir().join("stage");
    let folder = stage.join("go").join(&name);
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.with_extension("lock"))?;
    lock.lock()?;
    copy_module(&source, &folder)?;
    let flags = format!("-mod=mod -trimpath -ldflags=-X=main.version={version}");
    let go = |arguments: &[&str]| {
        let mut command = go_command_by(program, &folder)?;
        command.env("GOFLAGS", &flags).args(arguments);
        if let Some(version) = gateway_version {
            command.env("GANTRY_GATEWAY_VERSION", version);
        }
        let output = command.output().context("start go")?;
        ensure!(
            output.status.success(),
            "go {} in {}:\n{}",
            arguments.join(" "),
            source.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        anyhow::Ok(())
    };
    go(&["generate"])?;
    let built = stage.join(format!("{name}.so"));
    let fresh = folder.join("plugin.so");
    go(&["build", "-buildmode=c-shared", "-o", "plugin.so", "."])?;
    fs::rename(&fresh, &built).with_context(|| format!("keep {}", built.display()))?;
    Ok(built)
}

/// `go` in a folder, without network, with its caches under `target`.
///
/// # Errors
/// The toolchain is not there: the message says which command installs it.
pub fn go_command(folder: &Path) -> Result<Command> {
    go_command_by("go", folder)
}

fn go_command_by(program: &str, folder: &Path) -> Result<Command> {
    // The end of the link: `go generate` and what it starts look for `go` beside it.
    let go = tool(program)?.canonicalize()?;
    let caches = target_dir().join("go");
    let mut command = Command::new(&go);
    // `go generate` and what it starts call the same toolchain by name.
    let tools = go.parent().map(Path::to_owned).into_iter();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(tools.chain(std::env::split_paths(&path)))?;
    command
        .current_dir(folder)
        .env("PATH", path)
        .env("GOCACHE", caches.join("cache"))
        .env("GOPATH", caches.join("path"))
        .env("GOENV", "off")
        .env("GOWORK", "off")
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "1")
        .env_remove("GANTRY_GATEWAY_VERSION");
    for name in ["GOFLAGS", "GOOS", "GOARCH", "GOROOT"] {
        command.env_remove(name);
    }
    Ok(command)
}

/// Copies the files of a Go module; what its `go.mod` names by relative paths stays where it is.
fn copy_module(source: &Path, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(source).with_context(|| format!("read {}", source.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if name == "go.mod" {
            let text = fs::read_to_string(&path)?;
            let from = format!("=> {}/..", source.display());
            fs::write(folder.join(name), text.replace("=> ..", &from))?;
        } else {
            fs::copy(&path, folder.join(name))
                .with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// The folder of a bundle under construction.
#[derive(Debug)]
pub struct BundleFolder {
    folder: PathBuf,
    manifest: Value,
}

impl BundleFolder {
    /// A bundle in a new folder below `parent`, with nothing in it.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(parent: &Path, name: &str, version: &str) -> Result<Self> {
        let folder = parent.join(format!("{name}-{version}"));
        fs::create_dir_all(&folder)?;
        let manifest = json!({
            "name": name, "version": version, "file_list": [], "custom_middleware": {"driver": "goplugin"},
        });
        Ok(Self { folder, manifest })
    }

    /// Adds a library under a name.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn file(mut self, name: &str, library: &Path) -> Result<Self> {
        fs::copy(library, self.folder.join(name))
            .with_context(|| format!("copy {}", library.display()))?;
        if let Some(list) = self.manifest["file_list"].as_array_mut() {
            list.push(json!(name));
        }
        Ok(self)
    }

    /// Puts a function at a hook, by the name of the hook's field.
    #[must_use]
    pub fn hook(mut self, field: &str, function: &str, path: &str) -> Self {
        let entry = json!({"name": function, "path": path});
        let hooks = &mut self.manifest["custom_middleware"];
        match (field, hooks[field].as_array_mut()) {
            ("auth_check", _) => hooks[field] = entry,
            (_, Some(list)) => list.push(entry),
            (_, None) => hooks[field] = json!([entry]),
        }
        self
    }

    /// Sets a field of the manifest.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.manifest[name] = value;
        self
    }

    /// Writes the manifest and gives the folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(self) -> Result<PathBuf> {
        fs::write(
            self.folder.join("manifest.json"),
            serde_json::to_string_pretty(&self.manifest)?,
        )?;
        Ok(self.folder)
    }
}
