//! Real libraries, compiled by `cc` against the committed header.

use std::process::Command;

/// A library to compile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plugin {
    /// Functions with their hooks, such as `("Add", &["pre"])`.
    pub(crate) functions: &'static [(&'static str, &'static [&'static str])],
    /// The gateway version of its note.
    pub(crate) gateway_version: Option<&'static str>,
    /// Makes bytes differ.
    pub(crate) build: &'static str,
    /// Written into the ELF header in place of the compiler's machine: that of arm64.
    pub(crate) arm64: bool,
}

impl Plugin {
    /// `Add` at `pre`, for the machine of the test.
    pub(crate) const SIMPLE: Self = Self {
        functions: &[("Add", &["pre"])],
        gateway_version: None,
        build: "1",
        arm64: false,
    };

    pub(crate) fn compile(self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let (source, out) = (
            folder.path().join("plugin.c"),
            folder.path().join("plugin.so"),
        );
        std::fs::write(&source, self.source()).unwrap();
        let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/c/include");
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
            .output()
            .expect("a C compiler is among what the tests need");
        assert!(
            result.status.success(),
            "{}",
            String::from_utf8_lossy(&result.stderr)
        );
        let mut bytes = std::fs::read(out).unwrap();
        // e_machine is at offset 18: 62 is x86-64, 183 is AArch64.
        let machine = if self.arm64 { 183 } else { 62 };
        bytes[18..20].copy_from_slice(&u16::to_le_bytes(machine));
        bytes
    }

    fn source(self) -> String {
        let version = self
            .gateway_version
            .map(|version| format!("#define GANTRY_GATEWAY_VERSION \"{version}\"\n"));
        let functions: Vec<_> = self
            .functions
            .iter()
            .map(|(name, hooks)| {
                let hooks: Vec<_> = hooks.iter().map(|hook| format!("\\\"{hook}\\\"")).collect();
                format!(
                    "GANTRY_NOTE_FUNCTION(\"{name}\", \"{}\", \"\")",
                    hooks.join(",")
                )
            })
            .collect();
        format!(
            "{}#include \"gantry_plugin.h\"\nGANTRY_NOTE(\"fixture\", \"{}\", {})\n\
             const gantry_plugin *gantry_plugin_v0(void) {{ return 0; }}\n",
            version.unwrap_or_default(),
            self.build,
            functions.join("\",\""),
        )
    }
}
