//! The SDKs that this program carries, so that whoever builds a Go plugin needs only Go beside it:
//! unpacked once per content, together with the generator for plugins written for Tyk.
//!
//! Invariant: a folder under its name is complete; what is unpacked anew is moved there as a whole.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_bundle::hash::StreamHasher;
use rust_embed::RustEmbed;

use super::{BuildError, step, toolchain};

/// Digits of the content's digest in versions, as Go's own pseudo-versions have.
const DIGITS: usize = 12;
/// The generator, below the folder.
const GENERATOR: &str = "bin/gantry-tyk";
/// The folder that Go downloads the SDK's modules from, below the folder.
const PROXY: &str = "proxy";

#[derive(RustEmbed)]
#[folder = "../sdk/go"]
#[exclude = "*_test.go"]
struct Go;

#[derive(RustEmbed)]
#[folder = "../sdk/go-tyk"]
#[exclude = "*_test.go"]
#[exclude = "testdata/*"]
#[exclude = "*/testdata/*"]
struct GoTyk;

#[derive(RustEmbed)]
#[folder = "../sdk/c/include"]
struct Include;

/// The SDKs on this machine's disk.
#[derive(Debug, Clone)]
pub(super) struct Sdk {
    folder: PathBuf,
    /// The version under which Go finds each module of it.
    pub(super) version: String,
}

impl Sdk {
    /// Unpacks it, unless an earlier build did.
    pub(super) fn ready(cache: &Path) -> Result<Self, BuildError> {
        let files = files();
        let digest = digest(&files)?;
        let sdk = Self {
            folder: cache.join("sdk").join(&digest),
            // What precedes every release, so that Go takes it for no version of another time.
            version: format!("v0.0.0-20000101000000-{digest}"),
        };
        if !sdk.folder.is_dir() {
            sdk.unpack(&files)?;
        }
        Ok(sdk)
    }

    /// Where the SDKs' sources are.
    pub(super) fn sources(&self) -> PathBuf {
        self.folder.join("src")
    }

    /// The generator.
    pub(super) fn generator(&self) -> Command {
        Command::new(self.folder.join(GENERATOR))
    }

    /// `GOPROXY` with the SDK before everything else.
    pub(super) fn proxies(&self, others: &str) -> String {
        format!("file://{},{others}", self.folder.join(PROXY).display())
    }

    /// The lines of `go.sum` for its modules.
    pub(super) fn sums(&self) -> Result<String, BuildError> {
        let path = self.folder.join(PROXY).join("sums");
        fs::read_to_string(&path).map_err(|e| BuildError::file(&path, e))
    }

    fn unpack(&self, files: &[(String, Cow<'static, [u8]>)]) -> Result<(), BuildError> {
        let parent = self.folder.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(|e| BuildError::file(parent, e))?;
        let new = tempfile::tempdir_in(parent).map_err(|e| BuildError::file(parent, e))?;
        let sources = new.path().join("src");
        for (name, bytes) in files {
            let path = sources.join(name);
            let folder = path.parent().unwrap_or(&sources);
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(&path, bytes))
                .map_err(|e| BuildError::file(&path, e))?;
        }
        let generator = new.path().join(GENERATOR);
        let mut compiling = toolchain::go();
        compiling
            .args(["build", "-trimpath", "-buildvcs=false", "-o"])
            .arg(&generator)
            .arg("./cmd/gantry-tyk")
            .current_dir(sources.join("go-tyk"))
            .envs([
                ("GOFLAGS", "-mod=mod"),
                ("GOWORK", "off"),
                ("CGO_ENABLED", "0"),
            ])
            .env_remove("GOOS")
            .env_remove("GOARCH");
        step::run(&mut compiling, "building the generator for Go plugins")?;
        let mut packing = Command::new(&generator);
        packing
            .arg("proxy")
            .arg("-sdk")
            .arg(&sources)
            .arg("-out")
            .arg(new.path().join(PROXY))
            .args(["-version", &self.version]);
        step::run(&mut packing, "unpacking the Go SDK")?;
        match fs::rename(new.path(), &self.folder) {
            // Another build was faster with the same.
            Err(_) if self.folder.is_dir() => Ok(()),
            moved => moved.map_err(|e| BuildError::file(&self.folder, e)),
        }
    }
}

/// Every file under the name that it has below `sdk/`, sorted.
fn files() -> Vec<(String, Cow<'static, [u8]>)> {
    let mut files = Vec::new();
    collect::<Go>("go", &mut files);
    collect::<GoTyk>("go-tyk", &mut files);
    collect::<Include>("c/include", &mut files);
    files.sort();
    files
}

fn collect<Folder: RustEmbed>(place: &str, files: &mut Vec<(String, Cow<'static, [u8]>)>) {
    files.extend(Folder::iter().filter_map(|name| {
        let file = Folder::get(&name)?;
        Some((format!("{place}/{name}"), file.data))
    }));
}

fn digest(files: &[(String, Cow<'static, [u8]>)]) -> Result<String, BuildError> {
    let mut hasher = StreamHasher::new(u64::MAX);
    for (name, bytes) in files {
        let length = (bytes.len() as u64).to_le_bytes();
        for part in [name.as_bytes(), &[0], &length, bytes.as_ref()] {
            let taken = hasher.update(part);
            taken.map_err(|e| BuildError::file(Path::new(name), std::io::Error::other(e)))?;
        }
    }
    let digest = hasher.finish().digest.to_string();
    Ok(digest.chars().take(DIGITS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_go_plugins_are_built_from_is_carried_and_no_test_is() {
        let files = files();
        let has = |name: &str| files.iter().any(|(file, _)| file == name);
        for name in [
            "go/go.mod",
            "go/bridge.c",
            "go-tyk/go.mod",
            "go-tyk/cmd/gantry-tyk/main.go",
            "c/include/gantry_plugin.h",
        ] {
            assert!(has(name), "{name}");
        }
        let tests: Vec<_> = files
            .iter()
            .filter(|(name, _)| name.ends_with("_test.go") || name.contains("/testdata/"))
            .collect();
        assert!(tests.is_empty(), "{tests:?}");
    }
}
