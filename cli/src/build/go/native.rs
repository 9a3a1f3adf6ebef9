//! Plugins on the Go SDK.
//!
//! The note of each gateway version comes from the plugin itself, which tells it when it is run as an
//! ordinary program of this machine.

use std::path::PathBuf;

use gantry_domain::Platform;

use super::super::room::{Room, write};
use super::super::sdk::Sdk;
use super::super::target::gateway_folder;
use super::super::{BuildError, BuildTarget, Builder, Compiled, Remarks, step};
use super::kept::{self, Inputs};
use super::overlay::Overlay;
use super::program::Go;
use super::scan::{self, Scan};
use super::{NOTE_FILE, NOTE_HEAD};

/// A plugin on the Go SDK.
#[derive(Debug)]
pub(super) struct Module {
    go: Go,
    sdk: Sdk,
    /// Gateway versions whose note was made in this call.
    noted: Vec<PathBuf>,
}

impl Module {
    pub(super) const fn new(go: Go, sdk: Sdk) -> Self {
        Self {
            go,
            sdk,
            noted: Vec::new(),
        }
    }

    /// The overlay that puts the note for a gateway version into the author's package.
    fn overlay(&mut self, target: &BuildTarget, room: &Room) -> Result<PathBuf, BuildError> {
        let folder = room.folder(&format!("note-{}", gateway_folder(target.gateway_version)))?;
        let path = folder.join("overlay.json");
        if self.noted.contains(&path) {
            return Ok(path);
        }
        let gateway = target.gateway_variable();
        let mut asking = self.go.command(Platform::current(), gateway.as_ref());
        // It runs here, whatever it is built for.
        asking.env_remove("GOOS").env_remove("GOARCH");
        asking.args(["run", "-trimpath", "-buildvcs=false", ".", "gantry-note"]);
        let note = step::run(&mut asking, "building the plugin to ask it for its note")?.answer;
        if !note.starts_with(NOTE_HEAD) {
            return Err(BuildError::NotAPlugin {
                path: self.go.folder.clone(),
                expected: "a program that writes its note",
                found: "one that writes none".to_owned(),
                advice: "func main() { gantry.Main() }",
            });
        }
        let source = folder.join(NOTE_FILE);
        write(&source, note.as_bytes())?;
        let mut overlay = Overlay::default();
        overlay.lay(&self.go.folder.join(NOTE_FILE), &source);
        overlay.write(&path)?;
        self.noted.push(path.clone());
        Ok(path)
    }

    /// What can end a worker; which functions there are, the plugin says itself.
    fn scan(&self, target: &BuildTarget) -> Result<Scan, BuildError> {
        scan::run(&self.sdk, &scan::Question::of(&self.go, target.platform))
    }
}

impl Builder for Module {
    fn build(&mut self, target: &BuildTarget, room: &Room) -> Result<Compiled, BuildError> {
        let remarks = Remarks {
            warnings: self.scan(target)?.warnings,
            skipped: Vec::new(),
        };
        let library = room.of(target)?.join("plugin.so");
        let doing = format!("compiling for {target}");
        let mut listing = self.go.for_target(target);
        listing.args(["list", "-deps", kept::FIELDS, "."]);
        let mut inputs = Inputs::new(&self.go, target)?;
        inputs.take_packages(&step::run(&mut listing, &doing)?.answer)?;
        let inputs = inputs.finish();
        if kept::is_kept(&library, &inputs) {
            return Ok(Compiled {
                library,
                said: String::new(),
                remarks,
            });
        }
        kept::forget(&library)?;
        let overlay = self.overlay(target, room)?;
        let mut command = self.go.for_target(target);
        command
            .arg("build")
            .arg("-overlay")
            .arg(&overlay)
            .args(self.go.compile_arguments(&library));
        let output = step::run(&mut command, &doing)?;
        kept::keep(&library, &inputs)?;
        Ok(Compiled {
            library,
            said: output.said,
            remarks,
        })
    }
}
