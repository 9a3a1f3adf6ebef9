//! Package `os` as libraries see it: the SDK is told first when the process is to end, so that whatever logger
//! ends it in a handler ends the call and the worker goes on; and when something is printed, so that it becomes
//! a log line of the call. Standard input, output and error are the worker's and stay open.
//!
//! Go has no place for any of it. So a build sees the package with one more file and three changed lines, laid
//! over the toolchain's own.

use std::path::Path;

use super::super::room::{Room, write};
use super::super::{BuildError, Finding};
use super::overlay::Overlay;
use super::program::Go;

/// The build tag with which the SDK uses it.
pub(super) const TAG: &str = "gantry_os";

/// A function's first line, and what it becomes. That stays one line: lines keep their numbers in traces.
struct Change {
    file: &'static str,
    head: &'static str,
    call: &'static str,
}

const CHANGES: [Change; 3] = [
    Change {
        file: "proc.go",
        head: "\nfunc Exit(code int) {",
        call: " if gantryExit != nil { gantryExit(code) }",
    },
    Change {
        file: "file.go",
        head: "\nfunc (f *File) Write(b []byte) (n int, err error) {",
        // A copy, so that what others write need not be in the heap.
        call: " if gantryPrint != nil && (f == gantryStdout || f == gantryStderr) && gantryPrint(string(b)) { return len(b), nil }",
    },
    // The process's own: a logger closes what it wrote to before it ends the process, and the next file or
    // connection that is opened would be everybody's standard error.
    Change {
        file: "file_posix.go",
        head: "\nfunc (f *File) Close() error {",
        call: " if gantryPrint != nil && (f == gantryStdin || f == gantryStdout || f == gantryStderr) { return nil }",
    },
];

/// The file that is added. Names have to be marked for other packages to set them.
const ADDED_FILE: &str = "gantry.go";
const ADDED: &str = r#"package os

import _ "unsafe"

//go:linkname gantryExit
var gantryExit func(code int)

//go:linkname gantryPrint
var gantryPrint func(text string) bool

var gantryStdin, gantryStdout, gantryStderr = Stdin, Stdout, Stderr
"#;

/// Everything that is changed, to tell whether a library that is kept was built with it.
pub(super) fn changes() -> String {
    let changes = CHANGES.iter().map(|change| change.call);
    changes.chain([ADDED]).collect()
}

/// Lays it over the toolchain's `os`; what is wrong if that is not as known.
pub(super) fn lay(
    go: &Go,
    room: &Room,
    overlay: &mut Overlay,
) -> Result<Option<Finding>, BuildError> {
    let os = Path::new(&go.settings.goroot).join("src/os");
    let mut laid = vec![(ADDED_FILE, ADDED.to_owned())];
    for change in &CHANGES {
        let file = os.join(change.file);
        let source = std::fs::read_to_string(&file).map_err(|e| BuildError::file(&file, e))?;
        let Some(changed) = change.applied(&source) else {
            return Ok(Some(unknown(&file, &go.settings.goversion)));
        };
        laid.push((change.file, changed));
    }
    let folder = room.folder(&format!("os-{}", go.settings.goversion))?;
    for (name, text) in laid {
        let lies = folder.join(name);
        write(&lies, text.as_bytes())?;
        overlay.lay(&os.join(name), &lies);
    }
    Ok(None)
}

impl Change {
    /// The source with the call, if the function has the one form that is known.
    fn applied(&self, source: &str) -> Option<String> {
        let line = format!("{}\n", self.head);
        let called = format!("{}{}\n", self.head, self.call);
        (source.matches(&line).count() == 1).then(|| source.replace(&line, &called))
    }
}

fn unknown(file: &Path, goversion: &str) -> Finding {
    Finding {
        file: file.display().to_string(),
        line: 0,
        column: 0,
        code: "OS_UNKNOWN".to_owned(),
        message: format!(
            "package os of {goversion} is not as known: os.Exit ends the gateway's worker, and what is printed names \
             no function"
        ),
        advice: "build with a released Go that is no newer than this gantry".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_changed_in_the_one_form_that_is_known() {
        for change in &CHANGES {
            let known = format!("package os\n{}\n\treturn\n}}\n", change.head);
            let changed = change.applied(&known).unwrap();
            assert_eq!(changed.lines().count(), known.lines().count());
            assert!(changed.contains(&format!("{}\n\treturn\n", change.call)));
            for other in ["package os\n", "package os\n\nfunc Exit(status int) {\n}\n"] {
                assert_eq!(change.applied(other), None, "{other}");
            }
            let twice = format!("{known}{known}");
            assert_eq!(change.applied(&twice), None);
        }
    }
}
