//! Plugins as their authors wrote them for Tyk: functions of two shapes in a `package main`.
//!
//! Their imports of Tyk's packages are met by our own; the glue that registers the functions is laid
//! over the folder. The note comes from a program that registers the same functions with nothing in
//! them, so that nothing of the author's runs.

use std::path::{Path, PathBuf};

use gantry_domain::Platform;

use super::super::room::{Room, write};
use super::super::sdk::Sdk;
use super::super::target::gateway_folder;
use super::super::{BuildError, BuildTarget, Builder, Compiled, Manifest, Remarks, Request, step};
use super::kept::{self, Inputs};
use super::modules::{Author, Modules};
use super::overlay::Overlay;
use super::program::Go;
use super::scan::{Question, Scan};
use super::{NOTE_FILE, NOTE_HEAD, missing, note, os_package, scan};

/// The file of the glue, laid over the author's folder.
const GLUE_FILE: &str = "glue_gantry.go";
/// The build tag that Tyk's own compiler sets, by which some authors say what belongs to the plugin.
const TAG: &str = "goplugin";

/// A plugin written for Tyk.
#[derive(Debug)]
pub(super) struct Plugin {
    go: Go,
    sdk: Sdk,
    author: Author,
    name: String,
    version: String,
    manifest: Manifest,
}

impl Plugin {
    pub(super) fn open(go: Go, sdk: Sdk, request: &Request) -> Result<Self, BuildError> {
        let author = Author::read(&go)?;
        let name = match &request.name {
            Some(name) => name.clone(),
            None => author.name(&go.folder),
        };
        Ok(Self {
            go,
            sdk,
            author,
            name,
            version: request.plugin_version.clone(),
            manifest: request.manifest.clone(),
        })
    }

    /// What the source offers to a target; refused if any of it cannot work.
    fn scan(&self, target: &BuildTarget) -> Result<Scan, BuildError> {
        let mut question = Question::of(&self.go, target.platform);
        let file = target.file_name(&self.name)?;
        let wishes = self.manifest.of(&file).cloned().collect();
        question.manifest = Some((self.manifest.path().to_owned(), wishes));
        question.plugin = Some((self.name.clone(), self.version.clone()));
        question.modules = self.author.local();
        question.requires = self.author.requires();
        question.tags = format!("{TAG},{}", question.tags);
        let found = scan::run(&self.sdk, &question)?;
        if !found.refusals.is_empty() {
            return Err(BuildError::source_refused(found.refusals));
        }
        if found.functions.is_empty() {
            return Err(BuildError::NotAPlugin {
                path: self.go.folder.clone(),
                expected: "an exported func(http.ResponseWriter, *http.Request) or \
                           func(http.ResponseWriter, *http.Response, *http.Request)",
                found: match found.skipped.first() {
                    Some(first) => format!("none; {} is no hook: {}", first.name, first.reason),
                    None => "none".to_owned(),
                },
                advice: "export a function of this shape, as Tyk calls it, or import \
                         gantry.example/sdk/go and register functions: see docs/BUILDING.md",
            });
        }
        Ok(found)
    }

    /// The note, told by a program that has the same functions and nothing in them.
    fn note(&self, target: &BuildTarget, found: &Scan, room: &Room) -> Result<PathBuf, BuildError> {
        let name = format!(
            "note-{}-{}",
            gateway_folder(target.gateway_version),
            target.platform
        );
        let folder = room.folder(&name)?;
        let source = folder.join(NOTE_FILE);
        let made_from = folder.join("made-from");
        let wanted = format!("{}\n{}", self.sdk.version, found.note);
        if source.is_file() && std::fs::read_to_string(&made_from).is_ok_and(|it| it == wanted) {
            return Ok(source);
        }
        let program = room.folder(&format!("{name}/program"))?;
        write(&program.join("main.go"), found.note.as_bytes())?;
        let mut module = "module plugin.example/note\n\ngo 1.21\n".to_owned();
        for each in found.modules.iter().filter(|each| each.path == each.served) {
            module = format!("{module}\nrequire {} {}\n", each.path, self.sdk.version);
        }
        write(&program.join("go.mod"), module.as_bytes())?;
        let gateway = target.gateway_variable();
        let mut asking = self.go.command(Platform::current(), gateway.as_ref());
        self.go.with_modules(&mut asking, &self.sdk, true);
        asking
            .current_dir(&program)
            .env_remove("GOOS")
            .env_remove("GOARCH")
            .env("GOFLAGS", "-mod=mod")
            .args(["run", "-trimpath", "-buildvcs=false", ".", "gantry-note"]);
        let note = step::run(&mut asking, "making the note")?.answer;
        if !note.starts_with(NOTE_HEAD) {
            return Err(BuildError::Answer {
                program: "the program that tells the note",
                expected: "the note's source",
            });
        }
        write(&source, note.as_bytes())?;
        write(&made_from, wanted.as_bytes())?;
        Ok(source)
    }

    /// What `go list` and `go build` are both told.
    fn arguments(modules: &Modules, overlay: &Path, found: &Scan) -> Vec<String> {
        vec![
            format!("-modfile={}", modules.file.display()),
            format!("-overlay={}", overlay.display()),
            format!("-tags={}", found.tags.join(",")),
        ]
    }

    /// Every package of the build, and how modules were looked up. Modules are looked up only where the module file does not say all:
    /// Go would ask for each that it names, needed or not.
    fn packages(
        &self,
        target: &BuildTarget,
        modules: &Modules,
        arguments: &[String],
    ) -> Result<(&'static str, String), BuildError> {
        let list = |mode: &'static str| {
            let mut listing = self.go.for_target(target);
            self.go
                .with_modules(&mut listing, &self.sdk, modules.offline);
            listing
                .args(["list", "-deps", mode, kept::FIELDS])
                .args(arguments)
                .arg(".");
            let answer = step::run(&mut listing, "finding its modules")?.answer;
            Ok((mode, answer))
        };
        if modules.offline {
            return list("-mod=mod").map_err(missing::explained);
        }
        list("-mod=readonly")
            .or_else(|_| list("-mod=mod"))
            .map_err(missing::explained)
    }
}

impl Builder for Plugin {
    fn build(&mut self, target: &BuildTarget, room: &Room) -> Result<Compiled, BuildError> {
        let mut found = self.scan(target)?;
        let folder = room.of(target)?;
        let mut overlay = Overlay::default();
        match os_package::lay(&self.go, room, &mut overlay)? {
            Some(unknown) => found.warnings.push(unknown),
            None => found.tags.push(os_package::TAG.to_owned()),
        }
        let glue = folder.join(GLUE_FILE);
        write(&glue, found.glue.as_bytes())?;
        overlay.lay(&self.go.folder.join(GLUE_FILE), &glue);
        let shared = room.folder(&format!("modules-{}", target.platform))?;
        let modules = self
            .author
            .write(&self.go, &self.sdk, &found, &shared, &mut overlay)?;
        let note = self.note(target, &found, room)?;
        let object = note::lay(&self.go, target.platform, &note, &folder, &mut overlay)?;
        let overlaid = folder.join("overlay.json");
        overlay.write(&overlaid)?;
        let arguments = Self::arguments(&modules, &overlaid, &found);

        let mut inputs = Inputs::new(&self.go, target)?;
        let (mode, packages) = self.packages(target, &modules, &arguments)?;
        inputs.take_packages(&packages)?;
        for path in [&glue, &note, &modules.file] {
            let bytes = std::fs::read(path).map_err(|e| BuildError::file(path, e))?;
            inputs.take(&bytes)?;
        }
        inputs.take(found.tags.join(",").as_bytes())?;
        inputs.take(os_package::changes().as_bytes())?;
        let inputs = inputs.finish();
        let library = folder.join("plugin.so");
        let remarks = Remarks {
            warnings: found.warnings,
            skipped: found.skipped,
        };
        if kept::is_kept(&library, &inputs) {
            return Ok(Compiled {
                library,
                said: String::new(),
                remarks,
            });
        }
        kept::forget(&library)?;
        let mut command = self.go.for_target(target);
        self.go
            .with_modules(&mut command, &self.sdk, modules.offline);
        command
            .args(["build", mode])
            .args(&arguments)
            .args(self.go.compile_arguments(&library, object.as_deref()));
        let output = step::run(&mut command, &format!("compiling for {target}"))
            .map_err(missing::assembly_with_c)?;
        kept::keep(&library, &inputs)?;
        Ok(Compiled {
            library,
            said: output.said,
            remarks,
        })
    }
}
