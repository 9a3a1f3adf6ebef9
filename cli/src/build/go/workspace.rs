//! The other modules of an author's workspace: a build takes them from their folders, as `go` itself
//! does there.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::super::{BuildError, step, toolchain};
use super::modules::Listed;

/// A module beside the plugin's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) path: String,
    /// Its folder, as a module file names it: from the plugin's module on.
    pub(super) folder: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Work {
    r#use: Option<Vec<Used>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Used {
    disk_path: PathBuf,
}

/// What a workspace file lists beside the module at `root`; nothing without such a file. Folders that
/// are not there are passed over: whoever misses a package is told by Go.
pub(super) fn read(file: &str, root: &Path) -> Result<Vec<Neighbour>, BuildError> {
    let place = match Path::new(file).parent() {
        Some(place) if Path::new(file).is_file() => place,
        _ => return Ok(Vec::new()),
    };
    let mut asking = toolchain::go();
    asking.args(["work", "edit", "-json", file]);
    let answer = step::run(&mut asking, "reading go.work")?.answer;
    let work: Work = serde_json::from_str(&answer).map_err(|_| BuildError::Answer {
        program: "go work edit",
        expected: "the workspace as JSON",
    })?;
    let mut neighbours = Vec::new();
    for used in work.r#use.unwrap_or_default() {
        let Ok(folder) = place.join(used.disk_path).canonicalize() else {
            continue;
        };
        let file = folder.join("go.mod");
        if folder == root || !file.is_file() {
            continue;
        }
        neighbours.push(Neighbour {
            path: Listed::read(&file)?.module.path,
            folder: way(root, &folder),
        });
    }
    Ok(neighbours)
}

/// The way from one folder to another, both absolute, as module files write it.
fn way(from: &Path, to: &Path) -> String {
    let (from, to): (Vec<Component>, Vec<Component>) =
        (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut parts = vec!["..".to_owned(); from.len() - shared];
    if parts.is_empty() {
        parts.push(".".to_owned());
    }
    let rest = to[shared..].iter();
    parts.extend(rest.map(|part| part.as_os_str().to_string_lossy().into_owned()));
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn way_leads_from_one_folder_to_the_other() {
        for (from, to, expected) in [
            ("/a/plugin", "/a/shared", "../shared"),
            ("/a/b/plugin", "/a/shared/lib", "../../shared/lib"),
            ("/a", "/a/lib", "./lib"),
            ("/a/b", "/a", ".."),
        ] {
            assert_eq!(way(Path::new(from), Path::new(to)), expected);
        }
    }
}
