//! `gantry build`: builds a plugin for every gateway version and platform. Needs no control plane.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use gantry_domain::{GatewayVersion, Platform};
use indicatif::ProgressBar;
use serde::Serialize;

use super::bundle::FunctionView;
use crate::build::{
    BuildError, Built, Event, Finding, GLIBC_FLOOR, Language, Manifest, Request, Skipped, build,
    in_order,
};
use crate::context::Context;
use crate::error::CliError;
use crate::printer::Printer;
use crate::view::{Shown, View, Warning, or_dash, short, size};

/// Arguments of `gantry build`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry build ./hooks                          hooks.so for any gateway version
  gantry build ./hooks --gateway-version v5.3.0 --gateway-version v5.4.0 \\
    --target linux/amd64 --target linux/arm64 --out bundle
                                                hooks_v5.3.0_linux_amd64.so and three more

The folder holds a package with a cdylib (Rust), a package main (Go: on the
Go SDK, or as written for Tyk), or *.c files (C).
Each library is inspected as `gantry push` does before it is written; nothing built for another
platform is run. Libraries need glibc 2.17 or newer. For that zig links: `pip install ziglang`, and
for Rust `pip install cargo-zigbuild`.")]
pub(crate) struct Build {
    /// The folder of the plugin's source.
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Gateway version to build for, such as v5.3.0; may be given more than once. Any without it.
    #[arg(long = "gateway-version", value_name = "VERSION")]
    gateway_versions: Vec<GatewayVersion>,
    /// Platform to build for, linux/amd64 or linux/arm64; may be given more than once. This machine's
    /// without it.
    #[arg(long = "target", value_name = "OS/ARCH")]
    targets: Vec<Platform>,
    /// The folder that libraries are written to.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// The plugin's name in file names; the one that it gives itself without this.
    #[arg(long)]
    name: Option<String>,
    /// The bundle's manifest, whose hooks may say which functions run inline; manifest.json in the folder
    /// without this, if there is one.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// The version of a plugin written for Tyk, which does not say its own.
    #[arg(long, value_name = "VERSION", default_value = "0.0.0", value_parser = plugin_version)]
    plugin_version: String,
    /// The language, where the folder leaves it open.
    #[arg(long)]
    language: Option<Language>,
    /// Build for this machine with its own C compiler instead of zig; the library then needs a glibc as
    /// new as this machine's, or nearly.
    #[arg(long)]
    system_toolchain: bool,
    /// The folder for what is kept between builds; below `XDG_CACHE_HOME` or `~/.cache` without it.
    #[arg(long, value_name = "DIR", env = "GANTRY_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
}

/// A library that was built.
#[derive(Debug, Serialize)]
struct BuiltView {
    path: PathBuf,
    sha256: String,
    size_bytes: u64,
    target: String,
    gateway_version: Option<String>,
    glibc: Option<String>,
    abi: String,
    language: String,
    name: String,
    version: String,
    functions: Vec<FunctionView>,
    /// Functions of the source that no hook can name.
    skipped: Vec<Skipped>,
    warnings: Vec<Warning>,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct BuildView(Vec<BuiltView>);

impl From<Built> for BuiltView {
    fn from(built: Built) -> Self {
        let file = built.path.display().to_string();
        let target = built.inspection.target;
        let note = built.inspection.note;
        let warn = |code: &str, message: String| Warning {
            path: file.clone(),
            code: code.to_owned(),
            message,
        };
        let mut warnings: Vec<_> = built
            .inspection
            .warnings
            .iter()
            .map(|warning| warn(warning.code(), warning.message().to_owned()))
            .collect();
        let of_source = |finding: &Finding| Warning {
            path: finding.place(),
            code: finding.code.clone(),
            message: match finding.advice.as_str() {
                "" => finding.message.clone(),
                advice => format!("{}; {advice}", finding.message),
            },
        };
        let mut found = built.remarks.warnings;
        in_order(&mut found);
        warnings.extend(found.iter().map(of_source));
        if let Some(libc) = target.libc.filter(|libc| *libc > GLIBC_FLOOR) {
            let message = format!("needs glibc {libc}: gateways on older machines pass it over");
            warnings.push(warn("GLIBC_ABOVE_FLOOR", message));
        }
        Self {
            path: built.path,
            sha256: built.hashed.digest.to_string(),
            size_bytes: built.hashed.size_bytes,
            target: target.platform.to_string(),
            gateway_version: target.gateway_version.map(|version| version.to_string()),
            glibc: target.libc.map(|libc| libc.to_string()),
            abi: target.abi.to_string(),
            language: note.language,
            name: note.name,
            version: note.version,
            functions: note.functions.into_iter().map(FunctionView::from).collect(),
            skipped: built.remarks.skipped,
            warnings,
        }
    }
}

impl View for BuildView {
    fn shown(&self) -> Shown {
        let row = |built: &BuiltView| {
            let functions: Vec<_> = built.functions.iter().map(FunctionView::shown).collect();
            vec![
                built.path.display().to_string(),
                built.target.clone(),
                built
                    .gateway_version
                    .clone()
                    .unwrap_or_else(|| "any".to_owned()),
                or_dash(built.glibc.as_ref()),
                built.abi.clone(),
                size(built.size_bytes),
                short(&built.sha256),
                functions.join("\n"),
            ]
        };
        Shown::Table {
            head: vec![
                "FILE",
                "PLATFORM",
                "GATEWAY",
                "GLIBC",
                "ABI",
                "SIZE",
                "SHA256",
                "FUNCTIONS",
            ],
            rows: self.0.iter().map(row).collect(),
        }
    }
}

pub(super) fn run(arguments: Build, context: &Context) -> Result<(), CliError> {
    let printer = context.printer();
    let folder = arguments.folder.display().to_string();
    let manifest = Manifest::read(arguments.manifest.as_deref(), &arguments.folder);
    let manifest = manifest.map_err(|error| refused(error, printer))?;
    let request = request(arguments, manifest)?;
    let watcher = Watcher {
        printer,
        bar: printer.spinner(),
        said: RefCell::default(),
        folder,
    };
    let built = build(&request, &|event| watcher.watch(&event));
    watcher.bar.finish_and_clear();
    let built = built.map_err(|error| refused(error, printer))?;
    let view = BuildView(built.into_iter().map(BuiltView::from).collect());
    printer.data(&view)?;
    // Every target of one source has the same to say.
    let mut said = BTreeSet::new();
    for built in &view.0 {
        for skipped in &built.skipped {
            let Skipped {
                name,
                file,
                line,
                reason,
            } = skipped;
            let words = format!("{file}:{line}: {name} is no hook: {reason}");
            if said.insert(words.clone()) {
                printer.note(words);
            }
        }
        for warning in &built.warnings {
            if said.insert(format!(
                "{}{}{}",
                warning.path, warning.code, warning.message
            )) {
                printer.warnings(std::slice::from_ref(warning));
            }
        }
    }
    Ok(())
}

/// Prints what an error has to say beside itself.
fn refused(error: BuildError, printer: &Printer) -> CliError {
    if let BuildError::Failed { said, .. }
    | BuildError::Overdue { said, .. }
    | BuildError::ModuleMissing { said, .. } = &error
    {
        printer.quoted(said);
    }
    CliError::Build(error)
}

fn request(arguments: Build, manifest: Manifest) -> Result<Request, CliError> {
    let mut platforms = arguments.targets;
    if platforms.is_empty() {
        platforms.push(Platform::current());
    }
    let cache = arguments.cache_dir.or_else(cache_home);
    Ok(Request {
        folder: arguments.folder,
        language: arguments.language,
        gateway_versions: arguments.gateway_versions,
        platforms,
        out: arguments.out,
        name: arguments.name,
        manifest,
        plugin_version: arguments.plugin_version,
        system_toolchain: arguments.system_toolchain,
        cache: cache.ok_or(CliError::Usage {
            message: "no folder for what is kept between builds".to_owned(),
            hint: "use --cache-dir, GANTRY_CACHE_DIR, XDG_CACHE_HOME or HOME",
        })?,
    })
}

fn plugin_version(text: &str) -> Result<String, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
    if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("expected a version such as 1.2.0, of letters, digits, '.', '-' and '+'".to_owned())
    }
}

fn cache_home() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = match set("XDG_CACHE_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(set("HOME")?).join(".cache"),
    };
    Some(base.join("gantry/build"))
}

/// Tells what happens, as it happens.
struct Watcher<'a> {
    printer: &'a Printer,
    bar: ProgressBar,
    /// What compilers said already: each target of one source gets the same warnings.
    said: RefCell<BTreeSet<String>>,
    folder: String,
}

impl Watcher<'_> {
    fn watch(&self, event: &Event<'_>) {
        match event {
            Event::Detected(language) => self.bar.suspend(|| {
                let folder = &self.folder;
                self.printer
                    .note(format_args!("Building the {language} plugin in {folder}"));
            }),
            Event::Begun {
                target,
                number,
                total,
            } => {
                let words = format!("{number}/{total} {target}");
                if self.bar.is_hidden() {
                    self.printer.note(&words);
                }
                self.bar.set_message(words);
            }
            Event::Said(words) => {
                if self.said.borrow_mut().insert((*words).to_owned()) {
                    self.bar.suspend(|| self.printer.quoted(words));
                }
            }
        }
    }
}
