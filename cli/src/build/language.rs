//! Which language a folder's plugin is written in, by the files at its top.
//!
//! Invariant: a folder that could be two things is refused, never guessed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::BuildError;

/// A language that plugins are built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// A package with a `cdylib`, on the Rust SDK.
    Rust,
    /// A `package main`, on the Go SDK.
    Go,
    /// `*.c` files, on the C header.
    C,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Go => "Go",
            Self::C => "C",
        })
    }
}

/// The language of a folder.
pub(super) fn detect(folder: &Path) -> Result<Language, BuildError> {
    let cargo = folder.join("Cargo.toml").is_file().then_some("Cargo.toml");
    let go = if folder.join("go.mod").is_file() {
        Some("go.mod")
    } else {
        (!files(folder, "go")?.is_empty()).then_some("*.go")
    };
    match (cargo, go) {
        (Some(cargo), Some(go)) => Err(BuildError::LanguageAmbiguous {
            folder: folder.to_owned(),
            found: [cargo, go],
        }),
        // C files beside these belong to a build script or to cgo.
        (Some(_), None) => Ok(Language::Rust),
        (None, Some(_)) => Ok(Language::Go),
        (None, None) if files(folder, "c")?.is_empty() => {
            Err(BuildError::LanguageUnknown(folder.to_owned()))
        }
        (None, None) => Ok(Language::C),
    }
}

/// The names of a folder's files with this suffix, sorted.
pub(super) fn files(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>, BuildError> {
    let unreadable = |source| BuildError::Folder {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|found| found == suffix) && path.is_file() {
            names.extend(path.file_name().map(PathBuf::from));
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_is_what_the_files_at_the_top_say() {
        let cases: [(&[&str], Result<Language, &str>); 7] = [
            (&["Cargo.toml", "shim.c"], Ok(Language::Rust)),
            (&["go.mod", "main.go", "bridge.c"], Ok(Language::Go)),
            (&["main.go"], Ok(Language::Go)),
            (&["plugin.c", "notes.md"], Ok(Language::C)),
            (&["notes.md"], Err("LANGUAGE_UNKNOWN")),
            (&["Cargo.toml", "go.mod"], Err("LANGUAGE_AMBIGUOUS")),
            (&["Cargo.toml", "main.go"], Err("LANGUAGE_AMBIGUOUS")),
        ];
        for (names, expected) in cases {
            let folder = tempfile::tempdir().unwrap();
            for name in names {
                fs::write(folder.path().join(name), "").unwrap();
            }
            let found = detect(folder.path());
            assert_eq!(
                found.as_ref().map_err(BuildError::code),
                expected.as_ref().map_err(|code| *code),
                "{names:?}"
            );
        }
    }
}
