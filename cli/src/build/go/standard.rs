//! Modules that are called as a package of Go's own, such as `plugin`.
//!
//! Go takes the package in such a module's root for the standard library's, and refuses to say which of the two is
//! meant. In a build the module is called otherwise; where packages below it are imported, it is there a
//! second time, under the author's path.

use std::path::Path;

use super::super::BuildError;
use super::program::Go;

/// Below the author's path, so that `internal` packages stay within reach.
const BELOW: &str = "gantry-plugin";
/// What no import may name although the standard library has no such package.
const RESERVED: [&str; 3] = ["C", "cmd", "std"];

/// The path that stands for a module's in a build, if its own will not do.
pub(super) fn stand_in(module: &str, root: &Path, go: &Go) -> Option<String> {
    is_standard(module, root, go).then(|| format!("{module}/{BELOW}"))
}

/// Refuses a module that is called so, where Go itself builds it.
pub(super) fn refuse(module: &str, root: &Path, go: &Go) -> Result<(), BuildError> {
    if is_standard(module, root, go) {
        return Err(BuildError::ModuleName(module.to_owned()));
    }
    Ok(())
}

/// Whether the package in the author's folder has the path of one of Go's.
fn is_standard(module: &str, root: &Path, go: &Go) -> bool {
    let below = go.folder.strip_prefix(root).unwrap_or(Path::new(""));
    let package = Path::new(module).join(below);
    let folder = Path::new(&go.settings.goroot).join("src").join(&package);
    let files = folder.read_dir().into_iter().flatten().flatten();
    let mut names = files.map(|file| file.file_name());
    RESERVED.iter().any(|name| package == Path::new(name))
        || names.any(|name| name.as_encoded_bytes().ends_with(b".go"))
}

/// What the module's own file says where the module is there a second time: what it requires is said once.
pub(super) fn module_file(module: &str, language: Option<&str>) -> String {
    match language {
        Some(language) => format!("module {module}\n\ngo {language}\n"),
        None => format!("module {module}\n"),
    }
}
