//! Plugins in C: every `*.c` at the top of the folder, with the SDK's header, which this program
//! carries.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::language::files;
use super::room::{Room, write};
use super::toolchain::Tools;
use super::{BuildError, BuildTarget, Builder, Compiled, Remarks, require, step};

/// The contract that this program admits libraries for, as a header.
const HEADER: &str = include_str!("../../../sdk/c/include/gantry_plugin.h");

/// The plugin's own functions stay its own whatever other plugins of the process call theirs, and
/// nothing in the file says where or when it was made.
const FLAGS: [&str; 8] = [
    "-shared",
    "-fPIC",
    "-O2",
    "-s",
    "-fvisibility=hidden",
    "-Wl,-Bsymbolic",
    "-Wl,-z,noexecstack",
    "-Wl,--build-id=none",
];

/// The sources of a plugin in C.
#[derive(Debug)]
pub(super) struct Sources {
    folder: PathBuf,
    tools: Tools,
    files: Vec<PathBuf>,
}

impl Sources {
    pub(super) fn open(folder: &Path, tools: Tools) -> Result<Self, BuildError> {
        require(tools.missing_linker().into_iter().collect())?;
        let files = files(folder, "c")?;
        if files.is_empty() {
            return Err(BuildError::NotAPlugin {
                path: folder.to_owned(),
                expected: "*.c",
                found: "none".to_owned(),
                advice: "C sources are compiled from the top of the folder",
            });
        }
        Ok(Self {
            folder: folder.to_owned(),
            tools,
            files,
        })
    }
}

impl Builder for Sources {
    fn build(&mut self, target: &BuildTarget, room: &Room) -> Result<Compiled, BuildError> {
        let include = room.folder("include")?;
        write(&include.join("gantry_plugin.h"), HEADER.as_bytes())?;
        let library = room.of(target)?.join("plugin.so");
        let cc = self.tools.cc(target.platform);
        let mut command = Command::new(&cc[0]);
        command.args(&cc[1..]).args(FLAGS);
        if self.tools.zig().is_some() {
            // zig traps what other compilers let pass, and refuses dates, which are fixed here.
            command.args(["-fno-sanitize=undefined", "-Wno-date-time"]);
        }
        command
            .arg(prefix("-ffile-prefix-map=", &self.folder, "=."))
            .arg(prefix("-ffile-prefix-map=", &include, "=gantry"))
            .args(["-I", "."])
            .arg("-I")
            .arg(&include);
        if let Some(version) = target.gateway_variable() {
            command.arg(format!("-DGANTRY_GATEWAY_VERSION=\"{version}\""));
        }
        command.args(words("CFLAGS"));
        // Relative names: the compiler's messages then name files as the author knows them.
        command.args(&self.files).args(words("LDFLAGS"));
        command
            .arg("-o")
            .arg(&library)
            .current_dir(&self.folder)
            .envs(step::fixed_time());
        let output = step::run(&mut command, &format!("compiling for {target}"))?;
        Ok(Compiled {
            library,
            said: output.said,
            remarks: Remarks::default(),
        })
    }
}

fn prefix(flag: &str, path: &Path, to: &str) -> OsString {
    let mut argument = OsString::from(flag);
    argument.push(path);
    argument.push(to);
    argument
}

/// Flags of an author's own, as other build tools take them.
fn words(variable: &str) -> Vec<String> {
    let value = std::env::var(variable).unwrap_or_default();
    value.split_whitespace().map(str::to_owned).collect()
}
