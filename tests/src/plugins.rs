//! Plugins as their authors build them: Rust libraries by cargo, C files by `cc`, folders with a
//! manifest. Each build is made once and kept under `target/stage`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::binaries::{target_dir, workspace};

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
    fs::copy(own_target.join("debug").join(library), &kept)
        .with_context(|| format!("keep {library}"))?;
    Ok(kept)
}

/// Builds a C plugin from `tests/fixtures/plugins` or `examples`, for one gateway version or any.
///
/// # Errors
/// `cc` fails; the message holds what it wrote.
pub fn c(source: &str, folder: &Path, gateway_version: Option<&str>) -> Result<PathBuf> {
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
    if let Some(version) = gateway_version {
        command.arg(format!("-DGANTRY_GATEWAY_VERSION=\"{version}\""));
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
