//! Real libraries for tests, compiled by `cc` against the committed header.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A plugin with one function, `Add`, at `pre`.
pub(crate) const PLUGIN: &str = r#"
    #include "gantry_plugin.h"
    GANTRY_NOTE("fixture", "1.0.0", GANTRY_NOTE_FUNCTION("Add", "\"pre\"", ""))
    const gantry_plugin *gantry_plugin_v0(void) { return 0; }
"#;

/// A folder for one test's files.
pub(crate) struct Workshop(tempfile::TempDir);

impl Workshop {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Compiles a shared library and gives its bytes.
    pub(crate) fn cc(&self, source: &str, flags: &[&str]) -> Vec<u8> {
        let source = self.write("fixture.c", source);
        let out = self.0.path().join("fixture.out");
        let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/c/include");
        let result = Command::new("cc")
            .args([
                "-shared",
                "-fPIC",
                "-fvisibility=hidden",
                "-w",
                "-I",
                include,
                "-o",
            ])
            .args([&out, &source])
            .args(flags)
            .output()
            .expect("a C compiler is among what the tests need");
        let complaint = String::from_utf8_lossy(&result.stderr);
        assert!(result.status.success(), "{complaint}");
        std::fs::read(out).unwrap()
    }

    /// Compiles [`PLUGIN`].
    pub(crate) fn plugin(&self) -> Vec<u8> {
        self.cc(PLUGIN, &[])
    }
}
