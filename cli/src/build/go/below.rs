//! Where a plugin's source may lie, when it is not in the folder that was named: many authors keep their
//! module file at the top and the `package main` below it.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::language::files;
use super::{beginning, package_of};

/// Folders that are told; more say no more.
const TOLD_MAX: usize = 3;
/// How deep folders lie that are looked into, and how many are.
const DEPTH_MAX: usize = 4;
const FOLDERS_MAX: usize = 500;

/// What a folder without Go files of its own has below it, in words.
pub(super) fn described(folder: &Path) -> String {
    let mut found = Vec::new();
    let mut left = FOLDERS_MAX;
    look(folder, DEPTH_MAX, &mut left, &mut found);
    if found.is_empty() {
        return "no Go files".to_owned();
    }
    let names: Vec<_> = found
        .iter()
        .map(|path| path.strip_prefix(folder).unwrap_or(path))
        .map(|path| path.display().to_string())
        .collect();
    format!("no Go files, and a package main in {}", names.join(", "))
}

fn look(folder: &Path, depth: usize, left: &mut usize, found: &mut Vec<PathBuf>) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut below: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| holds_source(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    below.sort();
    for path in below {
        if *left == 0 || found.len() == TOLD_MAX {
            return;
        }
        *left -= 1;
        if is_main(&path) {
            found.push(path.clone());
        }
        look(&path, depth, left, found);
    }
}

/// Folders of other names hold what is not the author's, or no plugins.
fn holds_source(name: &str) -> bool {
    !name.starts_with(['.', '_']) && !matches!(name, "vendor" | "testdata" | "node_modules")
}

fn is_main(folder: &Path) -> bool {
    let names = files(folder, "go").unwrap_or_default();
    names
        .iter()
        .filter(|name| !name.to_string_lossy().ends_with("_test.go"))
        .filter_map(|name| beginning(&folder.join(name)).ok())
        .any(|text| package_of(&text) == Some("main"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_main_below_a_folder_are_told_and_what_is_not_the_authors_is_not() {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(described(root.path()), "no Go files");
        put("lib/lib.go", "package lib\n");
        put("vendor/a/main.go", "package main\n");
        put(".cache/main.go", "package main\n");
        put("tests/main_test.go", "package main\n");
        assert_eq!(described(root.path()), "no Go files");
        put("go/src/plugin.go", "// A plugin.\npackage main\n");
        put("cmd/main.go", "package main\n");
        let told = "no Go files, and a package main in cmd, go/src";
        assert_eq!(described(root.path()), told);
        for name in ["a", "b", "c"] {
            put(&format!("{name}/main.go"), "package main\n");
        }
        let told = "no Go files, and a package main in a, b, c";
        assert_eq!(described(root.path()), told);
    }
}
