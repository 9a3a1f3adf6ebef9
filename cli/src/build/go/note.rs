//! How the note of a plugin in Go comes into its library.
//!
//! It is C in a file of Go, laid over the author's folder. Go takes no assembly in a package with C, so beside
//! assembly it is compiled by itself and handed to the linker.

use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_domain::Platform;

use super::super::language::files;
use super::super::room::write;
use super::super::{BuildError, step};
use super::NOTE_FILE;
use super::overlay::Overlay;
use super::program::Go;

/// Lays a note over the author's folder, or gives the object that the linker is to take.
pub(super) fn lay(
    go: &Go,
    platform: Platform,
    note: &Path,
    folder: &Path,
    overlay: &mut Overlay,
) -> Result<Option<PathBuf>, BuildError> {
    let seen = go.folder.join(NOTE_FILE);
    if files(&go.folder, "s")?.is_empty() {
        overlay.lay(&seen, note);
        return Ok(None);
    }
    // An author may have the file in the folder.
    let nothing = folder.join("nothing.go");
    write(&nothing, b"package main\n")?;
    overlay.lay(&seen, &nothing);
    let text = std::fs::read_to_string(note).map_err(|e| BuildError::file(note, e))?;
    let source = folder.join("note.c");
    write(&source, c_of(&text).as_bytes())?;
    let object = folder.join("note.o");
    let cc = go.cc(platform);
    let mut compiling = Command::new(&cc[0]);
    compiling
        .args(&cc[1..])
        .current_dir(folder)
        .args(["-c", "-O2", "-g0", "-fPIC", "-o", "note.o", "note.c"]);
    step::run(&mut compiling, "compiling the note")?;
    Ok(Some(object))
}

/// The C in a note's source.
fn c_of(text: &str) -> &str {
    let (_, c) = text.split_once("/*\n").unwrap_or_default();
    c.split_once("*/").map_or(c, |(c, _)| c)
}
