//! Finds the programs that builds need, and names those that are missing with the command that
//! installs them.
//!
//! zig compiles C and links everything, because it carries the start files and symbol lists of every
//! glibc: what it links for 2.17 runs on each machine that has that or a newer one. The machine's own
//! compiler ties a library to the machine's own glibc.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_domain::Platform;

use super::target::zig_triple;

/// Something that a build needs and this machine has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// What is missing.
    pub(super) what: String,
    /// The command that installs it.
    pub(super) command: &'static str,
}

impl Missing {
    pub(super) fn new(what: impl Into<String>, command: &'static str) -> Self {
        Self {
            what: what.into(),
            command,
        }
    }
}

/// A call of `go`, with modules whatever the author's shell says of them.
pub(super) fn go() -> Command {
    let mut command = Command::new("go");
    command.env("GO111MODULE", "on");
    command
}

/// What compiles C and links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Linker {
    /// zig, for every platform, with the glibc of our choice.
    Zig(PathBuf),
    /// The machine's own, for the machine's own platform and glibc.
    System,
}

/// The programs of this machine.
#[derive(Debug)]
pub(super) struct Tools {
    linker: Option<Linker>,
}

impl Tools {
    /// Looks for zig, unless the machine's own compiler is wanted.
    pub(super) fn find(system: bool) -> Self {
        let linker = if system {
            Some(Linker::System)
        } else {
            zig().map(Linker::Zig)
        };
        Self { linker }
    }

    /// What links; asked only after [`Tools::missing_linker`] was empty.
    pub(super) const fn linker(&self) -> Option<&Linker> {
        self.linker.as_ref()
    }

    /// zig, where it is used.
    pub(super) const fn zig(&self) -> Option<&PathBuf> {
        match &self.linker {
            Some(Linker::Zig(zig)) => Some(zig),
            Some(Linker::System) | None => None,
        }
    }

    /// What is missing to compile C and link.
    pub(super) fn missing_linker(&self) -> Option<Missing> {
        match &self.linker {
            None => Some(Missing::new("zig", "pip install ziglang")),
            Some(Linker::System) if program(system_cc()).is_none() => {
                Some(Missing::new("cc", "apt-get install gcc"))
            }
            Some(_) => None,
        }
    }

    /// The words that begin a call of the C compiler for a platform.
    pub(super) fn cc(&self, platform: Platform) -> Vec<OsString> {
        match &self.linker {
            Some(Linker::Zig(zig)) => vec![
                zig.into(),
                "cc".into(),
                "-target".into(),
                zig_triple(platform).into(),
            ],
            Some(Linker::System) | None => vec![system_cc()],
        }
    }
}

fn system_cc() -> OsString {
    env::var_os("CC")
        .filter(|cc| !cc.is_empty())
        .unwrap_or_else(|| "cc".into())
}

/// zig itself, or as the Python package `ziglang` brings it.
fn zig() -> Option<PathBuf> {
    let ask = |name: &str, arguments: &[&str]| {
        let asked = Command::new(program(name)?).args(arguments).output();
        let settings = String::from_utf8(asked.ok()?.stdout).ok()?;
        zig_named(&settings).filter(|zig| is_program(zig))
    };
    program("zig")
        .or_else(|| ask("python-zig", &["env"]))
        .or_else(|| ask("python3", &["-m", "ziglang", "env"]))
        .or_else(|| program("python-zig"))
}

/// Where zig is by what it says of itself: Python before each of the hundreds of calls of a compiler
/// would take as long as they.
fn zig_named(settings: &str) -> Option<PathBuf> {
    let (_, rest) = settings.split_once("zig_exe")?;
    let (_, rest) = rest.split_once(['=', ':'])?;
    let (_, rest) = rest.split_once('"')?;
    let (path, _) = rest.split_once('"')?;
    Some(path.into())
}

/// A program by its name in `PATH`, or by its path.
pub(super) fn program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = Path::new(name.as_ref());
    if name.components().count() > 1 {
        return Some(name.to_owned()).filter(|path| is_program(path));
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
        // Programs are run in folders of their own, and Go takes no relative compiler.
        .and_then(|path| std::path::absolute(path).ok())
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|kind| kind.is_file() && kind.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zig_is_found_by_what_it_says_of_itself_in_old_and_new_words() {
        let zig = Some(PathBuf::from("/opt/my tools/zig"));
        for settings in [
            ".{\n    .zig_exe = \"/opt/my tools/zig\",\n    .version = \"0.17.1\",\n}",
            "{\n \"zig_exe\": \"/opt/my tools/zig\",\n \"version\": \"0.13.0\"\n}",
        ] {
            assert_eq!(zig_named(settings), zig, "{settings}");
        }
        assert_eq!(zig_named("error: unknown command"), None);
    }
}
