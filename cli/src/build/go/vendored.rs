//! Modules that an author keeps in `vendor/`: each becomes a module in its place, so that nothing is
//! downloaded and Tyk's, if it is there, can be left aside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::BuildError;

/// Folders that are looked through without a list, at most.
const FOLDERS_MAX: usize = 20_000;

/// A module below `vendor/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vendored {
    pub(super) path: String,
    pub(super) version: String,
    language: Option<String>,
}

impl Vendored {
    /// The module file that it would have in its place.
    pub(super) fn module_file(&self) -> String {
        match &self.language {
            Some(language) => format!("module {}\n\ngo {language}\n", self.path),
            None => format!("module {}\n", self.path),
        }
    }
}

/// The modules of `vendor/`; none without such a folder.
pub(super) fn read(root: &Path) -> Result<Option<Vec<Vendored>>, BuildError> {
    let folder = root.join("vendor");
    if !folder.is_dir() {
        return Ok(None);
    }
    let list = folder.join("modules.txt");
    if list.is_file() {
        let text = fs::read_to_string(&list).map_err(|e| BuildError::file(&list, e))?;
        let listed = listed(&text).into_iter();
        return Ok(Some(
            listed
                .filter(|module| folder.join(&module.path).is_dir())
                .collect(),
        ));
    }
    Ok(Some(found(&folder)?))
}

/// What `modules.txt` lists.
fn listed(text: &str) -> Vec<Vendored> {
    let mut modules: Vec<Vendored> = Vec::new();
    for line in text.lines() {
        if let Some(facts) = line.strip_prefix("## ") {
            let language = facts
                .split("; ")
                .find_map(|fact| fact.trim().strip_prefix("go "));
            if let (Some(module), Some(language)) = (modules.last_mut(), language) {
                module.language = Some(language.to_owned());
            }
        } else if let Some(module) = line.strip_prefix("# ") {
            let mut words = module.split_whitespace();
            let Some(path) = words.next() else { continue };
            // Lines without a version repeat what `replace` says for every version.
            if let Some(version) = words.next().filter(|word| *word != "=>") {
                modules.push(Vendored {
                    path: path.to_owned(),
                    version: version.to_owned(),
                    language: None,
                });
            }
        }
    }
    modules
}

/// Modules as other tools than Go's leave them: by where code is hosted.
fn found(folder: &Path) -> Result<Vec<Vendored>, BuildError> {
    let mut modules = BTreeMap::new();
    let mut queue = vec![(folder.to_owned(), PathBuf::new())];
    let mut seen = 0;
    while let Some((place, below)) = queue.pop() {
        seen += 1;
        if seen > FOLDERS_MAX {
            break;
        }
        for entry in fs::read_dir(&place).map_err(|e| BuildError::file(&place, e))? {
            let path = entry.map_err(|e| BuildError::file(&place, e))?.path();
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() {
                queue.push((path.clone(), below.join(name)));
            } else if path.extension().is_some_and(|suffix| suffix == "go") {
                let (path, version) = hosted(&below.to_string_lossy());
                modules.insert(path, version);
            }
        }
    }
    let module = |(path, version)| Vendored {
        path,
        version,
        language: None,
    };
    Ok(modules.into_iter().map(module).collect())
}

/// The module that a package most likely belongs to, and a version that its path allows.
fn hosted(package: &str) -> (String, String) {
    let parts: Vec<_> = package.split('/').collect();
    let length = match parts[0] {
        "gopkg.in" if parts.get(1).is_some_and(|part| part.contains(".v")) => 2,
        "go.uber.org" | "google.golang.org" | "cloud.google.com" | "k8s.io" => 2,
        _ => 3,
    };
    let path = parts[..length.min(parts.len())].join("/");
    let major = path.rsplit_once(".v").map(|(_, major)| major.to_owned());
    match major.filter(|_| path.starts_with("gopkg.in/")) {
        Some(major) => (path, format!("v{major}.0.0")),
        None => (path, "v0.0.0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_read_with_version_and_language() {
        let text = "# example.com/a v1.2.3\n## explicit; go 1.17\nexample.com/a/x\n\
                    # example.com/b v0.1.0 => ../b\n## go 1.20\nexample.com/b\n\
                    # example.com/c v2.9.5+incompatible\nexample.com/c\n# example.com/b => ../b\n";
        let found = listed(text);
        let found: Vec<_> = found
            .iter()
            .map(|m| (m.path.as_str(), m.version.as_str(), m.language.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("example.com/a", "v1.2.3", Some("1.17")),
                ("example.com/b", "v0.1.0", Some("1.20")),
                ("example.com/c", "v2.9.5+incompatible", None),
            ]
        );
    }

    #[test]
    fn modules_without_a_list_are_told_by_their_hosts() {
        let cases = [
            ("github.com/a/b/c/d", "github.com/a/b", "v0.0.0"),
            ("gopkg.in/yaml.v2", "gopkg.in/yaml.v2", "v2.0.0"),
            ("golang.org/x/net/html", "golang.org/x/net", "v0.0.0"),
            ("short", "short", "v0.0.0"),
        ];
        for (package, path, version) in cases {
            assert_eq!(hosted(package), (path.to_owned(), version.to_owned()));
        }
    }
}
