//! One look at the folder: which files there are, and by what a change of each would be noticed. No
//! file is opened.
//!
//! Invariant: two equal looks, some time apart, mean that no file changed between them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use gantry_domain::Limits;
use thiserror::Error;

/// Bundles, and libraries beside them, at most.
const LIBRARIES_MAX: usize = 1024;
/// The folder of API definitions.
pub(super) const APIS: &str = "apis";
/// The folder of bundles.
pub(super) const BUNDLES: &str = "bundles";
/// The folder of libraries.
pub(super) const LIBRARIES: &str = "libraries";
/// The file of consumer keys.
pub(super) const KEYS: &str = "keys.json";

/// Something in the folder that is read as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// A definition, by its file's name.
    Api(String),
    /// A bundle's folder or archive.
    Bundle(String),
    /// A library.
    Library(String),
    /// The consumer keys.
    Keys,
}

impl Item {
    /// Its path below the folder, as people are told.
    pub(super) fn file(&self) -> String {
        match self {
            Self::Api(name) => format!("{APIS}/{name}"),
            Self::Bundle(name) => format!("{BUNDLES}/{name}"),
            Self::Library(name) => format!("{LIBRARIES}/{name}"),
            Self::Keys => KEYS.to_owned(),
        }
    }
}

/// By what a change of an item is noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Print(Vec<Stamp>);

#[cfg(test)]
impl Print {
    /// Of nothing.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }
}

/// The same of one file: what it is after all links, its size and its times. The time of the last change
/// of the inode cannot be set by anyone, so that a copy that keeps times is noticed too.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    name: OsString,
    found: Result<[i64; 8], io::ErrorKind>,
}

/// All items with their prints.
pub(super) type Look = BTreeMap<Item, Print>;

/// Why there is nothing to see.
#[derive(Debug, Error)]
pub(super) enum LookError {
    /// The folder, or a part of it that must be there, cannot be read.
    #[error("read {path}: {source} (FOLDER_UNREADABLE)")]
    Unreadable {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// More than a gateway takes.
    #[error("{path} has more than {max} entries (FOLDER_TOO_LARGE)")]
    TooMany {
        /// Where.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
}

impl LookError {
    /// Stable code.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "FOLDER_UNREADABLE",
            Self::TooMany { .. } => "FOLDER_TOO_LARGE",
        }
    }
}

/// Looks.
///
/// # Errors
/// The folder or its `apis` cannot be read, or holds too much.
pub(super) fn look(root: &Path) -> Result<Look, LookError> {
    let mut look = Look::new();
    let apis = root.join(APIS);
    let names = names(&apis, Limits::default().apis_max)?;
    let names = names.ok_or_else(|| LookError::Unreadable {
        path: apis.clone(),
        source: io::ErrorKind::NotFound.into(),
    })?;
    for name in names.into_iter().filter(|name| has_suffix(name, "json")) {
        let print = Print(vec![stamp(&apis, &name)]);
        look.insert(Item::Api(name), print);
    }
    let bundles = root.join(BUNDLES);
    for name in self::names(&bundles, LIBRARIES_MAX)?.unwrap_or_default() {
        if let Some(print) = bundle(&bundles, &name)? {
            look.insert(Item::Bundle(name), print);
        }
    }
    let libraries = root.join(LIBRARIES);
    let names = self::names(&libraries, LIBRARIES_MAX)?.unwrap_or_default();
    for name in names.into_iter().filter(|name| is_library(name)) {
        let print = Print(vec![stamp(&libraries, &name)]);
        look.insert(Item::Library(name), print);
    }
    if fs::symlink_metadata(root.join(KEYS)).is_ok() {
        look.insert(Item::Keys, Print(vec![stamp(root, KEYS)]));
    }
    Ok(look)
}

/// A folder with its files, or an archive; none for anything else.
fn bundle(bundles: &Path, name: &str) -> Result<Option<Print>, LookError> {
    let path = bundles.join(name);
    if path.is_dir() {
        let files = names(&path, LIBRARIES_MAX)?.unwrap_or_default();
        // Which of them belong to it is in the manifest.
        let stamps = files.iter().map(|file| stamp(&path, file)).collect();
        return Ok(Some(Print(stamps)));
    }
    let packed = has_suffix(name, "zip");
    Ok(packed.then(|| Print(vec![stamp(bundles, name)])))
}

fn has_suffix(name: &str, suffix: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|found| found == suffix)
}

fn is_library(name: &str) -> bool {
    has_suffix(name, "so")
}

/// The names in a folder in order, without those that begin with a dot: what tools write before they
/// rename it, and what a mounted volume keeps its versions in. None if there is no such folder.
fn names(folder: &Path, max: usize) -> Result<Option<Vec<String>>, LookError> {
    let unreadable = |source| LookError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(unreadable)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
        if names.len() > max {
            let path = folder.to_owned();
            return Err(LookError::TooMany { path, max });
        }
    }
    names.sort_unstable();
    Ok(Some(names))
}

fn stamp(folder: &Path, name: &str) -> Stamp {
    let found = fs::metadata(folder.join(name)).map_err(|e| e.kind());
    Stamp {
        name: name.into(),
        found: found.map(|found| {
            [
                found.dev().cast_signed(),
                found.ino().cast_signed(),
                found.size().cast_signed(),
                i64::from(found.mode()),
                found.mtime(),
                found.mtime_nsec(),
                found.ctime(),
                found.ctime_nsec(),
            ]
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_sees_what_belongs_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for part in [APIS, "bundles/hooks", "bundles/..data", LIBRARIES] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        for file in [
            "apis/a.json",
            "apis/.a.json.swp",
            "apis/a.json~",
            "apis/notes.txt",
            "bundles/packed.zip",
            "bundles/README",
            "libraries/x.so",
            "libraries/.x.so.Q1w2E3",
            "keys.json",
        ] {
            fs::write(root.join(file), "").unwrap();
        }
        let seen: Vec<_> = look(root)
            .unwrap()
            .into_keys()
            .map(|item| item.file())
            .collect();
        let expected = [
            "apis/a.json",
            "bundles/hooks",
            "bundles/packed.zip",
            "libraries/x.so",
            "keys.json",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn swapped_link_and_copy_that_keeps_times_are_other_looks() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (version, text) in [("one", "{1}"), ("two", "{2}")] {
            fs::create_dir_all(root.join(version)).unwrap();
            fs::write(root.join(version).join("a.json"), text).unwrap();
        }
        let data = root.join("..data");
        std::os::unix::fs::symlink("one", &data).unwrap();
        std::os::unix::fs::symlink("..data", root.join(APIS)).unwrap();
        let first = look(root).unwrap();
        assert_eq!(first, look(root).unwrap());
        std::os::unix::fs::symlink("two", root.join("..new")).unwrap();
        fs::rename(root.join("..new"), &data).unwrap();
        let second = look(root).unwrap();
        assert_ne!(first, second);
        let file = root.join("two/a.json");
        let times = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "{3}").unwrap();
        fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(times)
            .unwrap();
        assert_ne!(second, look(root).unwrap());
    }

    #[test]
    fn folder_without_apis_is_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(look(folder.path()).unwrap_err().code(), "FOLDER_UNREADABLE");
        assert_eq!(
            look(&folder.path().join("gone")).unwrap_err().code(),
            "FOLDER_UNREADABLE"
        );
    }
}
