//! Files that a build sees in the author's folder and that are not there.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::super::BuildError;
use super::super::room::write;

/// Where each file is seen, and where it lies.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Overlay {
    #[serde(rename = "Replace")]
    replace: BTreeMap<String, String>,
}

impl Overlay {
    /// Lets a file be seen at a place.
    pub(super) fn lay(&mut self, seen: &Path, lies: &Path) {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        self.replace.insert(text(seen), text(lies));
    }

    /// Writes it as `go` reads it.
    pub(super) fn write(&self, path: &Path) -> Result<(), BuildError> {
        let text = serde_json::to_vec(self)
            .map_err(|e| BuildError::file(path, std::io::Error::other(e)))?;
        write(path, &text)
    }
}
