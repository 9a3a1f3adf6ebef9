//! The module file that a plugin written for Tyk is built with: the author's own, except that Tyk's
//! packages and the SDK come from this program.
//!
//! Invariant: Tyk's module is never asked for, whatever the author requires or replaces; every other
//! module comes from where the author says.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::room::write;
use super::super::sdk::Sdk;
use super::super::{BuildError, step, toolchain};
use super::name::{is_major, name_of, plain};
use super::overlay::Overlay;
use super::program::Go;
use super::scan::{Scan, SdkModule};
use super::standard;
use super::vendored::{self, Vendored};
use super::workspace::{self, Neighbour};

/// The module of an author who names none. Not after the folder: paths of packages are in what is built, and
/// that is to be the same wherever it is built.
const MADE_UP: &str = "plugin.example/plugin";

/// Tyk's module.
const TYK: &str = "github.com/TykTechnologies/tyk";

/// What Go takes where a folder takes the place of every version.
const NO_VERSION: &str = "v0.0.0-00010101000000-000000000000";

/// The author's modules.
#[derive(Debug)]
pub(super) struct Author {
    /// The folder of the module.
    pub(super) root: PathBuf,
    /// The module's path, made up without a module file.
    pub(super) path: String,
    /// What the module is called in a build, where its own path makes its package one of Go's.
    stand_in: Option<String>,
    /// The author's module file.
    file: Option<PathBuf>,
    listed: Listed,
    vendored: Option<Vec<Vendored>>,
    /// Other modules of the author's workspace.
    neighbours: Vec<Neighbour>,
}

/// What a module file says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Listed {
    pub(super) module: Named,
    /// The language's version.
    go: Option<String>,
    require: Option<Vec<Named>>,
    replace: Option<Vec<Replacement>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Named {
    pub(super) path: String,
    version: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Replacement {
    old: Named,
    new: Named,
}

impl Listed {
    /// Asks Go to read a module file.
    pub(super) fn read(file: &Path) -> Result<Self, BuildError> {
        let mut asking = toolchain::go();
        asking.args(["mod", "edit", "-json"]).arg(file);
        let answer = step::run(&mut asking, "reading go.mod")?.answer;
        serde_json::from_str(&answer).map_err(|_| BuildError::Answer {
            program: "go mod edit",
            expected: "the module file as JSON",
        })
    }
}

impl Replacement {
    /// How `go mod edit` names it.
    fn key(&self) -> String {
        match self.old.version.as_str() {
            "" => self.old.path.clone(),
            version => format!("{}@{version}", self.old.path),
        }
    }
}

/// A module file of our own for a build, and what goes with it.
#[derive(Debug)]
pub(super) struct Modules {
    /// The module file; the sums are beside it.
    pub(super) file: PathBuf,
    /// Whether modules may be downloaded.
    pub(super) offline: bool,
}

impl Author {
    /// Reads what the author says of modules.
    pub(super) fn read(go: &Go) -> Result<Self, BuildError> {
        let own = go.folder.join("go.mod");
        let above = PathBuf::from(&go.settings.gomod);
        let file = if own.is_file() {
            Some(own)
        } else {
            // A folder of its own in somebody else's module is no part of it unless it has nothing.
            let belongs = above.file_name().is_some_and(|name| name == "go.mod")
                && !go.folder.join("vendor").is_dir();
            Some(above).filter(|_| belongs)
        };
        if let Some(file) = file {
            let listed = Listed::read(&file)?;
            let root = file.parent().unwrap_or(&go.folder).to_owned();
            if !is_ours(&listed.module.path) {
                let path = match listed.module.path.as_str() {
                    // In a copy of Tyk itself: the folder is the author's, and Tyk's packages are ours.
                    TYK => MADE_UP.to_owned(),
                    path => path.to_owned(),
                };
                return Ok(Self {
                    stand_in: standard::stand_in(&path, &root, go),
                    path,
                    vendored: vendored::read(&root)?,
                    neighbours: workspace::read(&go.settings.gowork, &root)?,
                    file: Some(file),
                    listed,
                    root,
                });
            }
        }
        Ok(Self {
            root: go.folder.clone(),
            path: MADE_UP.to_owned(),
            stand_in: None,
            file: None,
            listed: Listed::default(),
            vendored: vendored::read(&go.folder)?,
            neighbours: workspace::read(&go.settings.gowork, &go.folder)?,
        })
    }

    /// What the plugin is called unless somebody says otherwise: its module, or else its folder.
    pub(super) fn name(&self, folder: &Path) -> String {
        let is_named = self.path != MADE_UP && folder == self.root;
        let module = is_named.then(|| self.path.rsplit('/').find(|part| !is_major(part)));
        module.flatten().map_or_else(|| name_of(folder), plain)
    }

    /// Modules whose source is on this machine.
    pub(super) fn local(&self) -> Vec<(String, PathBuf)> {
        let mut local = vec![(self.path.clone(), self.root.clone())];
        for replacement in self.listed.replace.iter().flatten() {
            let new = &replacement.new;
            if new.version.is_empty() && new.path.starts_with(['.', '/']) {
                local.push((replacement.old.path.clone(), self.root.join(&new.path)));
            }
        }
        let neighbours = self.neighbours.iter();
        local.extend(neighbours.map(|it| (it.path.clone(), self.root.join(&it.folder))));
        local
    }

    /// Modules that the author's module file requires, and those in `vendor/`.
    pub(super) fn requires(&self) -> Vec<String> {
        let required = self.listed.require.iter().flatten().map(|it| &it.path);
        let vendored = self.vendored.iter().flatten().map(|it| &it.path);
        required.chain(vendored).cloned().collect()
    }

    /// Whether the author says where a module is, be it in `vendor/`.
    pub(super) fn places(&self, module: &str) -> bool {
        let mut replaced = self.listed.replace.iter().flatten();
        self.vendored.is_some() || replaced.any(|replaced| replaced.old.path == module)
    }

    /// Writes the module file for what was found in the source. One that Go has completed since then
    /// stays, unless the author's changed.
    pub(super) fn write(
        &self,
        go: &Go,
        sdk: &Sdk,
        scan: &Scan,
        folder: &Path,
        overlay: &mut Overlay,
    ) -> Result<Modules, BuildError> {
        let first = folder.join("first.mod");
        let text = match &self.file {
            Some(file) => fs::read_to_string(file).map_err(|e| BuildError::file(file, e))?,
            None => format!(
                "module {}\n\ngo {}\n",
                self.path,
                language(&go.settings.goversion)
            ),
        };
        write(&first, text.as_bytes())?;
        let mut editing = toolchain::go();
        editing
            .args(["mod", "edit", "-print"])
            .args(self.edits(sdk, scan))
            .arg(&first);
        let text = step::run(&mut editing, "writing the module file")?.answer;
        let sums = self.file.as_ref().map(|file| file.with_file_name("go.sum"));
        let sums = sums.and_then(|file| fs::read_to_string(file).ok());
        let sums = format!("{}\n{}{}", sums.unwrap_or_default(), scan.sums, sdk.sums()?);
        let file = folder.join("go.mod");
        let origin = folder.join("origin");
        let whole = format!("{text}\n{sums}");
        if fs::read_to_string(&origin).ok().as_ref() != Some(&whole) {
            write(&file, text.as_bytes())?;
            write(&folder.join("go.sum"), sums.as_bytes())?;
            write(&origin, whole.as_bytes())?;
        }
        if self.file.is_none() {
            overlay.lay(&self.root.join("go.mod"), &first);
        }
        if self.imports_below(scan) {
            let below = folder.join("below.mod");
            let text = standard::module_file(&self.path, self.listed.go.as_deref());
            write(&below, text.as_bytes())?;
            overlay.lay(&self.root.join("go.mod"), &below);
        }
        for module in self.vendored.iter().flatten() {
            let lies = folder.join("vendored").join(&module.path).join("go.mod");
            let parent = lies.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(|e| BuildError::file(parent, e))?;
            write(&lies, module.module_file().as_bytes())?;
            overlay.lay(
                &self.root.join("vendor").join(&module.path).join("go.mod"),
                &lies,
            );
        }
        Ok(Modules {
            file,
            offline: self.vendored.is_some(),
        })
    }

    /// Whether packages of the module are imported by a path that the module does not have in a build.
    fn imports_below(&self, scan: &Scan) -> bool {
        let below = |import: &String| {
            let rest = import.strip_prefix(&self.path);
            rest.is_some_and(|rest| self.root.join(rest.trim_start_matches('/')).is_dir())
                && import.len() > self.path.len()
        };
        self.stand_in.is_some() && scan.imports.iter().any(below)
    }

    /// What is changed in the author's module file.
    fn edits(&self, sdk: &Sdk, scan: &Scan) -> Vec<String> {
        let mut edits = Vec::new();
        let path = self.stand_in.as_ref().unwrap_or(&self.path);
        if self.file.is_some() && *path != self.listed.module.path {
            edits.push(format!("-module={path}"));
        }
        if self.imports_below(scan) {
            edits.push(format!("-require={}@{NO_VERSION}", self.path));
            edits.push(format!("-replace={}=./", self.path));
        }
        let is_sdk = |path: &str| scan.modules.iter().any(|module| module.path == path);
        let vendored = self.vendored.as_deref();
        for required in self.listed.require.iter().flatten() {
            if vendored.is_some() || is_sdk(&required.path) {
                edits.push(format!("-droprequire={}", required.path));
            }
        }
        for replacement in self.listed.replace.iter().flatten() {
            if vendored.is_some() || is_sdk(&replacement.old.path) {
                edits.push(format!("-dropreplace={}", replacement.key()));
            }
        }
        for module in &scan.modules {
            edits.extend(sdk_edits(module, &sdk.version, &scan.imports));
        }
        for module in vendored.into_iter().flatten() {
            if is_sdk(&module.path) {
                continue;
            }
            edits.push(format!("-require={}@{}", module.path, module.version));
            edits.push(format!("-replace={}=./vendor/{}", module.path, module.path));
        }
        for neighbour in self.neighbours.iter().filter(|it| !is_sdk(&it.path)) {
            if !self.places(&neighbour.path) && imports(&scan.imports, &neighbour.path) {
                edits.push(format!("-require={}@{NO_VERSION}", neighbour.path));
                edits.push(format!("-replace={}={}", neighbour.path, neighbour.folder));
            }
        }
        let authors = |path: &str| {
            let mut required = self.listed.require.iter().flatten();
            vendored.is_some() || required.any(|required| required.path == path)
        };
        for need in scan.needs.iter().filter(|need| !authors(&need.path)) {
            edits.push(format!("-require={}@{}", need.path, need.version));
        }
        edits
    }
}

/// The SDK is required; a stand-in for somebody else's module takes its place, and is required where
/// the plugin imports it.
fn sdk_edits(module: &SdkModule, version: &str, imports: &[String]) -> Vec<String> {
    let SdkModule { path, served } = module;
    let mut edits = Vec::new();
    if path != served {
        edits.push(format!("-replace={path}={served}@{version}"));
    }
    if path == served || self::imports(imports, path) {
        edits.push(format!("-require={path}@{version}"));
    }
    edits
}

/// Whether a package of a module is imported.
fn imports(imports: &[String], module: &str) -> bool {
    imports.iter().any(|import| {
        let rest = import.strip_prefix(module);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Whether a module file is the SDK's own: what lies in it is no package of it.
fn is_ours(path: &str) -> bool {
    path.starts_with("gantry.example/sdk/")
}

/// The language of a release, such as `1.26` of `go1.26.8`.
fn language(goversion: &str) -> String {
    let numbers = goversion.trim_start_matches("go");
    let mut parts = numbers.split(['.', ' ', '-']);
    let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("21"));
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_is_that_of_the_release() {
        for (release, expected) in [
            ("go1.26.8", "1.26"),
            ("go1.21", "1.21"),
            ("go1.27rc1", "1.27"),
        ] {
            assert_eq!(language(release), expected);
        }
    }

    #[test]
    fn name_says_no_major_version() {
        let name = |module: &str, root: &str, folder: &str| {
            let author = Author {
                root: root.into(),
                path: module.to_owned(),
                stand_in: None,
                file: (module != MADE_UP).then(|| "/a/go.mod".into()),
                listed: Listed::default(),
                vendored: None,
                neighbours: Vec::new(),
            };
            author.name(Path::new(folder))
        };
        assert_eq!(name("example.com/auth/v2", "/a", "/a"), "auth");
        assert_eq!(name("example.com/go", "/a", "/a"), "go");
        assert_eq!(name("example.com/auth", "/a", "/a/plugin/v2"), "plugin");
        assert_eq!(
            name("example.com/auth", "/a", "/a/plugin/version"),
            "version"
        );
        assert_eq!(name(MADE_UP, "/a/hooks/v3", "/a/hooks/v3"), "hooks");
    }
}
