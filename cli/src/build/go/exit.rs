//! `os.Exit` in a library: the SDK is told first, so that whatever logger ends the process in a handler ends
//! the call, and the worker goes on.
//!
//! Go has no place for this. So a build sees package `os` with one more file and one more call, laid over
//! the toolchain's own.

use std::path::Path;

use super::super::room::{Room, write};
use super::super::{BuildError, Finding};
use super::overlay::Overlay;
use super::program::Go;

/// The build tag with which the SDK uses it.
pub(super) const TAG: &str = "gantry_exit";
/// The function's first line.
const HEAD: &str = "\nfunc Exit(code int) {\n";
/// The same with the call. It stays one line, so that lines keep their numbers in traces.
pub(super) const CALLED: &str =
    "\nfunc Exit(code int) { if gantryExit != nil { gantryExit(code) }\n";
/// What is called. The name has to be marked for other packages to set it.
const VARIABLE: &str = "package os\n\nimport _ \"unsafe\"\n\n//go:linkname gantryExit\nvar gantryExit func(code int)\n";

/// Lays it over the toolchain's `os`; what is wrong if that is not as known.
pub(super) fn lay(
    go: &Go,
    room: &Room,
    overlay: &mut Overlay,
) -> Result<Option<Finding>, BuildError> {
    let os = Path::new(&go.settings.goroot).join("src/os");
    let file = os.join("proc.go");
    let source = std::fs::read_to_string(&file).map_err(|e| BuildError::file(&file, e))?;
    let Some(changed) = changed(&source) else {
        return Ok(Some(unknown(&file, &go.settings.goversion)));
    };
    let folder = room.folder(&format!("exit-{}", go.settings.goversion))?;
    for (name, text) in [("proc.go", changed.as_str()), ("exit_gantry.go", VARIABLE)] {
        let lies = folder.join(name);
        write(&lies, text.as_bytes())?;
        overlay.lay(&os.join(name), &lies);
    }
    Ok(None)
}

/// The source of `os.Exit` with the call, if it has the one form that is known.
fn changed(source: &str) -> Option<String> {
    (source.matches(HEAD).count() == 1).then(|| source.replace(HEAD, CALLED))
}

fn unknown(file: &Path, goversion: &str) -> Finding {
    Finding {
        file: file.display().to_string(),
        line: 0,
        column: 0,
        code: "EXIT_UNKNOWN".to_owned(),
        message: format!("os.Exit of {goversion} cannot be caught: it ends the gateway's worker"),
        advice: "build with a released Go that is no newer than this gantry".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_is_changed_in_the_one_form_that_is_known() {
        let known = "package os\n\nfunc Exit(code int) {\n\tend(code)\n}\n";
        let changed = changed(known).unwrap();
        assert_eq!(changed.lines().count(), known.lines().count());
        assert!(
            changed.contains("gantryExit(code) }\n\tend(code)\n"),
            "{changed}"
        );
        for other in ["package os\n", "package os\n\nfunc Exit(status int) {\n}\n"] {
            assert_eq!(super::changed(other), None, "{other}");
        }
        let twice = format!("{known}{known}");
        assert_eq!(super::changed(&twice), None);
    }
}
