//! Plugins on the Go SDK.
//!
//! The note of each gateway version comes from the plugin itself, which tells it when it is run as an
//! ordinary program of this machine.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use gantry_domain::Platform;

use super::super::room::{Room, write};
use super::super::sdk::Sdk;
use super::super::target::gateway_folder;
use super::super::{BuildError, BuildTarget, Builder, Compiled, Remarks, step};
use super::kept::{self, Inputs};
use super::modules::{Author, Modules};
use super::overlay::Overlay;
use super::program::Go;
use super::scan::{self, Scan};
use super::standard;
use super::{NOTE_FILE, NOTE_HEAD, SDK, missing, note, os_package};

/// Time for a plugin to tell its note: its init functions run before that.
const NOTE_LIMIT: Duration = Duration::from_mins(1);

/// A plugin on the Go SDK.
#[derive(Debug)]
pub(super) struct Module {
    go: Go,
    sdk: Sdk,
    /// The author's modules, where they leave it to us where the SDK is.
    author: Option<Author>,
    /// Notes that were made in this call, one for each gateway version.
    noted: Vec<PathBuf>,
}

impl Module {
    pub(super) fn open(go: Go, sdk: Sdk) -> Result<Self, BuildError> {
        // In a workspace Go knows itself where everything is.
        let is_free = matches!(go.settings.gowork.as_str(), "" | "off");
        let author = is_free.then(|| Author::read(&go)).transpose()?;
        if let Some(author) = &author {
            standard::refuse(&author.path, &author.root, &go)?;
        }
        Ok(Self {
            author: author.filter(|author| !author.places(SDK)),
            go,
            sdk,
            noted: Vec::new(),
        })
    }

    /// The module file that says where the SDK is, if the author's does not.
    fn modules(
        &self,
        found: &Scan,
        target: &BuildTarget,
        room: &Room,
    ) -> Result<Option<Modules>, BuildError> {
        let Some(author) = &self.author else {
            return Ok(None);
        };
        let folder = room.folder(&format!("modules-{}", target.platform))?;
        let mut nothing = Overlay::default();
        author
            .write(&self.go, &self.sdk, found, &folder, &mut nothing)
            .map(Some)
    }

    /// A call of `go` with that module file.
    fn with(&self, command: &mut Command, verb: &[&str], modules: Option<&Modules>) {
        command.args(verb);
        if let Some(modules) = modules {
            self.go.with_modules(command, &self.sdk, modules.offline);
            command
                .arg("-mod=mod")
                .arg(format!("-modfile={}", modules.file.display()));
        }
    }

    /// The note for a gateway version.
    fn note(
        &mut self,
        target: &BuildTarget,
        modules: Option<&Modules>,
        room: &Room,
    ) -> Result<PathBuf, BuildError> {
        let folder = room.folder(&format!("note-{}", gateway_folder(target.gateway_version)))?;
        let source = folder.join(NOTE_FILE);
        if self.noted.contains(&source) {
            return Ok(source);
        }
        let gateway = target.gateway_variable();
        let mut asking = self.go.command(Platform::current(), gateway.as_ref());
        // It runs here, whatever it is built for.
        asking.env_remove("GOOS").env_remove("GOARCH");
        self.with(
            &mut asking,
            &["build", "-trimpath", "-buildvcs=false"],
            modules,
        );
        let program = folder.join("asked");
        asking.arg("-o").arg(&program).arg(".");
        step::run(&mut asking, "building the plugin to ask it for its note")
            .map_err(missing::assembly_with_c)?;
        let mut asked = Command::new(&program);
        asked
            .current_dir(&self.go.folder)
            .arg("gantry-note")
            .env_remove("GANTRY_GATEWAY_VERSION")
            .envs(gateway.map(|version| ("GANTRY_GATEWAY_VERSION", version)));
        let note = step::run_for(&mut asked, "asking the plugin for its note", NOTE_LIMIT)?.answer;
        if !note.starts_with(NOTE_HEAD) {
            return Err(BuildError::NotAPlugin {
                path: self.go.folder.clone(),
                expected: "a program that writes its note",
                found: "one that writes none".to_owned(),
                advice: "func main() { gantry.Main() }",
            });
        }
        write(&source, note.as_bytes())?;
        self.noted.push(source.clone());
        Ok(source)
    }

    /// What can end a worker; which functions there are, the plugin says itself.
    fn scan(&self, target: &BuildTarget) -> Result<Scan, BuildError> {
        scan::run(&self.sdk, &scan::Question::of(&self.go, target.platform))
    }
}

impl Builder for Module {
    fn build(&mut self, target: &BuildTarget, room: &Room) -> Result<Compiled, BuildError> {
        let found = self.scan(target)?;
        let modules = self.modules(&found, target, room)?;
        let modules = modules.as_ref();
        let mut remarks = Remarks {
            warnings: found.warnings,
            skipped: Vec::new(),
        };
        let mut overlay = Overlay::default();
        let mut tags = self.go.tags();
        match os_package::lay(&self.go, room, &mut overlay)? {
            Some(unknown) => remarks.warnings.push(unknown),
            None => tags = format!("{},{tags}", os_package::TAG),
        }
        let folder = room.of(target)?;
        let library = folder.join("plugin.so");
        let doing = format!("compiling for {target}");
        let mut listing = self.go.for_target(target);
        self.with(&mut listing, &["list", "-deps", kept::FIELDS], modules);
        listing.arg(".");
        let mut inputs = Inputs::new(&self.go, target)?;
        inputs.take_packages(&step::run(&mut listing, &doing)?.answer)?;
        inputs.take(os_package::changes().as_bytes())?;
        let inputs = inputs.finish();
        if kept::is_kept(&library, &inputs) {
            return Ok(Compiled {
                library,
                said: String::new(),
                remarks,
            });
        }
        kept::forget(&library)?;
        let note = self.note(target, modules, room)?;
        let object = note::lay(&self.go, target.platform, &note, &folder, &mut overlay)?;
        let overlaid = folder.join("overlay.json");
        overlay.write(&overlaid)?;
        let mut command = self.go.for_target(target);
        self.with(&mut command, &["build"], modules);
        command
            .arg("-overlay")
            .arg(&overlaid)
            .arg(format!("-tags={tags}"))
            .args(self.go.compile_arguments(&library, object.as_deref()));
        let output = step::run(&mut command, &doing).map_err(missing::assembly_with_c)?;
        kept::keep(&library, &inputs)?;
        Ok(Compiled {
            library,
            said: output.said,
            remarks,
        })
    }
}
