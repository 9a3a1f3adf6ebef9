//! Whether a library that an earlier build made is what this build would make: a digest over
//! everything that goes into it.
//!
//! Invariant: a digest stands beside a library only while that library was made whole from it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use gantry_bundle::hash::StreamHasher;
use serde::Deserialize;

use super::super::{BuildError, BuildTarget};
use super::program::Go;

/// The digest of what a library was made from, beside it.
const FILE: &str = "inputs.sha256";
/// Variables that change what `go build` makes.
const VARIABLES: [&str; 9] = [
    "CGO_CFLAGS",
    "CGO_CPPFLAGS",
    "CGO_CXXFLAGS",
    "CGO_LDFLAGS",
    "GOAMD64",
    "GOARM64",
    "GOEXPERIMENT",
    "GODEBUG",
    "SOURCE_DATE_EPOCH",
];

/// The fields of `go list` that are read.
pub(super) const FIELDS: &str = "-json=Dir,ImportPath,Standard,Module,GoFiles,CgoFiles,CFiles,\
                                 CXXFiles,HFiles,SFiles,SysoFiles,EmbedFiles";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Package {
    dir: PathBuf,
    import_path: String,
    standard: bool,
    module: Option<Module>,
    go_files: Vec<PathBuf>,
    cgo_files: Vec<PathBuf>,
    #[serde(rename = "CFiles")]
    c_files: Vec<PathBuf>,
    #[serde(rename = "CXXFiles")]
    cxx_files: Vec<PathBuf>,
    #[serde(rename = "HFiles")]
    h_files: Vec<PathBuf>,
    #[serde(rename = "SFiles")]
    s_files: Vec<PathBuf>,
    syso_files: Vec<PathBuf>,
    embed_files: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Module {
    path: String,
    version: String,
    replace: Option<Box<Module>>,
}

impl Module {
    /// Whether Go itself checks the content against a digest, so that the version says all.
    fn is_fixed(&self) -> bool {
        match &self.replace {
            Some(replace) => !replace.version.is_empty(),
            None => !self.version.is_empty(),
        }
    }
}

/// What goes into a library.
pub(super) struct Inputs {
    hasher: StreamHasher,
}

impl Inputs {
    /// Begins with the toolchain and its flags.
    pub(super) fn new(go: &Go, target: &BuildTarget) -> Result<Self, BuildError> {
        let mut inputs = Self {
            hasher: StreamHasher::new(u64::MAX),
        };
        let words = [
            env!("CARGO_PKG_VERSION").to_owned(),
            target.to_string(),
            go.settings.goversion.clone(),
            go.settings.goflags.clone(),
        ];
        for word in words {
            inputs.take(word.as_bytes())?;
        }
        for word in go.cc(target.platform) {
            inputs.take(word.as_encoded_bytes())?;
        }
        for name in VARIABLES {
            let value = std::env::var_os(name).unwrap_or_default();
            inputs.take(value.as_encoded_bytes())?;
        }
        Ok(inputs)
    }

    /// Adds bytes; where they end is part of it.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        let length = (bytes.len() as u64).to_le_bytes();
        let taken = self.hasher.update(&length);
        taken
            .and_then(|()| self.hasher.update(bytes))
            .map_err(|e| BuildError::file(Path::new(FILE), std::io::Error::other(e)))
    }

    /// Adds every file of every package, as `go list -deps` with [`FIELDS`] tells them.
    pub(super) fn take_packages(&mut self, answer: &str) -> Result<(), BuildError> {
        for package in serde_json::Deserializer::from_str(answer).into_iter::<Package>() {
            let package = package.map_err(|_| BuildError::Answer {
                program: "go list",
                expected: "packages as JSON",
            })?;
            self.take_package(&package)?;
        }
        Ok(())
    }

    fn take_package(&mut self, package: &Package) -> Result<(), BuildError> {
        if package.standard {
            return Ok(());
        }
        self.take(package.import_path.as_bytes())?;
        if let Some(module) = package.module.as_ref().filter(|module| module.is_fixed()) {
            let shown = module.replace.as_deref().unwrap_or(module);
            self.take(shown.path.as_bytes())?;
            return self.take(shown.version.as_bytes());
        }
        let lists = [
            &package.go_files,
            &package.cgo_files,
            &package.c_files,
            &package.cxx_files,
            &package.h_files,
            &package.s_files,
            &package.syso_files,
            &package.embed_files,
        ];
        for file in lists.into_iter().flatten() {
            self.take(file.as_os_str().as_encoded_bytes())?;
            // What is laid over the folder is added by whoever lays it.
            let path = package.dir.join(file);
            if let Ok(mut file) = File::open(&path) {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)
                    .map_err(|e| BuildError::file(&path, e))?;
                self.take(&bytes)?;
            }
        }
        Ok(())
    }

    /// What was taken, as it stands beside a library.
    pub(super) fn finish(self) -> String {
        self.hasher.finish().digest.to_string()
    }
}

/// Whether the library was made from this.
pub(super) fn is_kept(library: &Path, inputs: &str) -> bool {
    library.is_file()
        && fs::read_to_string(library.with_file_name(FILE)).is_ok_and(|found| found == inputs)
}

/// The library is about to be made anew.
pub(super) fn forget(library: &Path) -> Result<(), BuildError> {
    let path = library.with_file_name(FILE);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(BuildError::file(&path, e)),
        _ => Ok(()),
    }
}

/// The library has been made from this.
pub(super) fn keep(library: &Path, inputs: &str) -> Result<(), BuildError> {
    let path = library.with_file_name(FILE);
    fs::write(&path, inputs).map_err(|e| BuildError::file(&path, e))
}
