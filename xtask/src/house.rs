//! Rules of the house that no compiler checks: where `unsafe` may stand, and what may not be left
//! lying about.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{quietly, root};

/// The only places where `unsafe` may stand.
const UNSAFE_PLACES: [&str; 5] = [
    "data-plane/plugin-host/",
    "data-plane/src/sys/",
    "sdk/rust/",
    "tests/fixtures/",
    "xtask/src/house.rs",
];

/// What no file may hold, and why.
const LEFT_LYING: [(&str, &str); 5] = [
    ("todo!(", "finish it or leave it out"),
    ("unimplemented!(", "finish it or leave it out"),
    ("dbg!(", "remove it"),
    ("#[ignore", "a test that does not run proves nothing"),
    (
        "#[allow(",
        "use #[expect(lint, reason = \"...\")], which complains when it is no longer needed",
    ),
];

/// Checks every file that git knows.
pub(crate) fn check() -> Result<()> {
    let listed = quietly(
        Command::new("git")
            .current_dir(root())
            .args(["ls-files", "-z", "--", "*.rs"]),
    )?;
    let files: Vec<PathBuf> = listed
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect();
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| root().join(file).is_file()) {
        let text = fs::read_to_string(root().join(file))?;
        complaints.extend(complaints_about(file, &text));
    }
    if complaints.is_empty() {
        return Ok(());
    }
    bail!(
        "rules of the house are broken:\n  {}",
        complaints.join("\n  ")
    )
}

fn complaints_about(file: &Path, text: &str) -> Vec<String> {
    let name = file.to_string_lossy();
    let mut complaints = Vec::new();
    let may_be_unsafe = UNSAFE_PLACES.iter().any(|place| name.starts_with(place));
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let at = format!("{name}:{}", number + 1);
        // The type of a function pointer is not code that could be unsafe: the contract names some.
        let without_types = code.replace("unsafe extern \"C\" fn(", "");
        let is_unsafe = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
            .iter()
            .any(|form| without_types.contains(form));
        if is_unsafe && !may_be_unsafe {
            complaints.push(format!(
                "{at}: `unsafe` may stand only in {}",
                UNSAFE_PLACES[..3].join(", ")
            ));
        }
        if name == "xtask/src/house.rs" {
            continue;
        }
        for (form, advice) in LEFT_LYING.iter().filter(|(form, _)| code.contains(form)) {
            complaints.push(format!("{at}: `{form}`: {advice}"));
        }
    }
    if !text.starts_with("//!") {
        complaints.push(format!(
            "{name}: begins without `//!`: say what the module is responsible for"
        ));
    }
    complaints
}
