//! `strace`, the machine's own or the one that the test command unpacks, as a program that becomes what
//! it traces: the traced process has the id of the one that was started, and its tracer is its grandchild.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::binaries::target_dir;

/// Where Debian puts libraries.
const LIBRARIES: &str = if cfg!(target_arch = "aarch64") {
    "usr/lib/aarch64-linux-gnu"
} else {
    "usr/lib/x86_64-linux-gnu"
};

/// The words that are put before a command so that its calls are traced, with arguments of strace. Threads
/// and children are traced too.
///
/// # Errors
/// There is none: the message says which command provides it.
pub fn words(arguments: &[&str]) -> Result<Vec<String>> {
    let unpacked = target_dir().join("tools/debian");
    let mut words = if on_machine() {
        vec!["strace".to_owned()]
    } else {
        from_package(&unpacked)?
    };
    let all = ["-D", "-f", "-qq"].iter().chain(arguments);
    words.extend(all.map(|&word| word.to_owned()));
    Ok(words)
}

fn on_machine() -> bool {
    let mut command = Command::new("strace");
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Its libraries are for it alone.
fn from_package(root: &Path) -> Result<Vec<String>> {
    let program = root.join("usr/bin/strace");
    ensure!(
        program.is_file(),
        "strace is missing, also in {}: `cargo xtask test` provides it",
        root.display()
    );
    let libraries = format!("LD_LIBRARY_PATH={}", root.join(LIBRARIES).display());
    let program = program.display().to_string();
    let words = ["env", &libraries, &program, "-E", "LD_LIBRARY_PATH"];
    Ok(words.map(str::to_owned).into())
}
