//! `gantry bundle`: looks at bundles and libraries, and packs folders. Needs no control plane.

mod build;

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gantry_bundle::hash::hash_reader;
use gantry_bundle::source::MANIFEST;
use gantry_bundle::{BundleError, BundleSource, InspectError, Inspection, inspect_reader, pack};
use gantry_domain::{FieldError, FileName, Inline, Limits, NotedFunction};
use serde::Serialize;

use crate::context::Context;
use crate::error::CliError;
use crate::import::Finding;
use crate::printer::Printer;
use crate::view::{Shown, View, Warning, or_dash, short, size};

/// What can be done with bundles.
#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Show what a library is, or what each library of a bundle is, without running it.
    #[command(visible_alias = "check")]
    Inspect(Inspect),
    /// Pack a folder into a zip, with digests filled in. The same folder gives the same bytes.
    Pack(Pack),
    /// Make a zip of a folder with a manifest of Tyk's, as it is, and say what becomes of its fields.
    Build(build::Build),
}

/// Arguments of `gantry bundle inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry bundle inspect ./hooks
  gantry bundle inspect hooks-1.2.0.zip -o json
  gantry bundle inspect target/release/libhooks.so

Exits with 3 if a library would be refused; each is shown with its reason.")]
pub(crate) struct Inspect {
    /// A library, a folder with manifest.json, or a zip.
    path: PathBuf,
}

/// Arguments of `gantry bundle pack`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry bundle pack ./hooks                    writes hooks-1.2.0.zip here
  gantry bundle pack ./hooks --out /tmp/h.zip")]
pub(crate) struct Pack {
    /// A folder with manifest.json.
    path: PathBuf,
    /// The zip to write; NAME-VERSION.zip in the current folder without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Pack libraries that would be refused, too.
    #[arg(long)]
    no_inspect: bool,
}

/// A function as a library's note declares it.
#[derive(Debug, Serialize)]
pub(super) struct FunctionView {
    name: String,
    hooks: Vec<String>,
    flags: Vec<String>,
    /// What a manifest may say of where it runs.
    inline: serde_json::Value,
}

impl From<NotedFunction> for FunctionView {
    fn from(function: NotedFunction) -> Self {
        let flags = function.flags.iter().map(|flag| flag.as_str().to_owned());
        Self {
            name: function.name.to_string(),
            hooks: function.hooks.iter().map(|hook| hook.to_string()).collect(),
            flags: flags.collect(),
            inline: Inline::of(&function).to_json(),
        }
    }
}

impl FunctionView {
    /// The same for people.
    pub(super) fn shown(&self) -> String {
        format!("{} ({})", self.name, self.hooks.join(", "))
    }
}

/// A library, accepted or refused.
#[derive(Debug, Serialize)]
struct LibraryView {
    file: String,
    sha256: String,
    size_bytes: u64,
    accepted: bool,
    platform: Option<String>,
    gateway_version: Option<String>,
    libc: Option<String>,
    abi: Option<String>,
    language: Option<String>,
    functions: Vec<FunctionView>,
    warnings: Vec<Warning>,
    refusal: Option<RefusalView>,
}

#[derive(Debug, Serialize)]
struct RefusalView {
    code: String,
    message: String,
    advice: Option<String>,
}

#[derive(Debug, Serialize)]
struct InspectedView {
    bundle: Option<String>,
    version: Option<String>,
    files: Vec<LibraryView>,
    warnings: Vec<Warning>,
}

impl LibraryView {
    fn new(
        file: &FileName,
        sha256: String,
        size_bytes: u64,
        verdict: Result<Inspection, InspectError>,
    ) -> Self {
        let mut view = Self {
            file: file.to_string(),
            sha256,
            size_bytes,
            accepted: verdict.is_ok(),
            platform: None,
            gateway_version: None,
            libc: None,
            abi: None,
            language: None,
            functions: Vec::new(),
            warnings: Vec::new(),
            refusal: None,
        };
        match verdict {
            Ok(inspection) => view.accept(inspection),
            Err(error) => {
                view.refusal = Some(RefusalView {
                    code: error.code().to_owned(),
                    message: error.refusal.to_string(),
                    advice: error.advice().map(str::to_owned),
                });
            }
        }
        view
    }

    fn accept(&mut self, inspection: Inspection) {
        let Inspection {
            target,
            note,
            warnings,
        } = inspection;
        self.platform = Some(target.platform.to_string());
        self.gateway_version = target.gateway_version.map(|version| version.to_string());
        self.libc = target.libc.map(|libc| libc.to_string());
        self.abi = Some(target.abi.to_string());
        self.language = Some(note.language);
        self.functions = note.functions.into_iter().map(FunctionView::from).collect();
        let warnings = warnings.into_iter().map(|warning| Warning {
            path: self.file.clone(),
            code: warning.code().to_owned(),
            message: warning.message().to_owned(),
        });
        self.warnings = warnings.collect();
    }

    fn row(&self) -> Vec<String> {
        let functions: Vec<_> = self.functions.iter().map(FunctionView::shown).collect();
        vec![
            self.file.clone(),
            or_dash(self.platform.as_ref()),
            match (&self.gateway_version, self.accepted) {
                (Some(version), _) => version.clone(),
                (None, true) => "any".to_owned(),
                (None, false) => "-".to_owned(),
            },
            or_dash(self.libc.as_ref()),
            or_dash(self.abi.as_ref()),
            size(self.size_bytes),
            short(&self.sha256),
            match &self.refusal {
                Some(refusal) => refusal.code.clone(),
                None => "accepted".to_owned(),
            },
            functions.join("\n"),
        ]
    }
}

impl View for InspectedView {
    fn shown(&self) -> Shown {
        Shown::Table {
            head: vec![
                "FILE",
                "PLATFORM",
                "GATEWAY",
                "GLIBC",
                "ABI",
                "SIZE",
                "SHA256",
                "VERDICT",
                "FUNCTIONS",
            ],
            rows: self.files.iter().map(LibraryView::row).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct PackedView {
    path: PathBuf,
    bundle: String,
    version: String,
    sha256: String,
    size_bytes: u64,
    files: usize,
    /// What became of fields of a manifest of Tyk's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mapped: Vec<Finding>,
}

impl View for PackedView {
    fn shown(&self) -> Shown {
        Shown::Record(vec![
            ("path", self.path.display().to_string()),
            ("bundle", format!("{}@{}", self.bundle, self.version)),
            ("files", self.files.to_string()),
            ("size", size(self.size_bytes)),
            ("sha256", self.sha256.clone()),
        ])
    }
}

pub(super) fn run(command: Bundle, context: &Context) -> Result<(), CliError> {
    match command {
        Bundle::Inspect(arguments) => inspect(&arguments.path, context.printer()),
        Bundle::Pack(arguments) => pack_folder(arguments, context.printer()),
        Bundle::Build(arguments) => build::run(arguments, context.printer()),
    }
}

fn inspect(path: &Path, printer: &Printer) -> Result<(), CliError> {
    let mut misfits = Vec::new();
    let view = if is_library(path) {
        InspectedView {
            bundle: None,
            version: None,
            files: vec![inspect_library(path)?],
            warnings: Vec::new(),
        }
    } else {
        let bundle = BundleSource::open(path, &Limits::default())?;
        let files;
        (files, misfits) = inspect_bundle(&bundle)?;
        InspectedView {
            bundle: Some(bundle.manifest().name.to_string()),
            version: Some(bundle.manifest().version.to_string()),
            files,
            warnings: bundle.warnings().iter().map(Warning::from).collect(),
        }
    };
    printer.data(&view)?;
    printer.warnings(&view.warnings);
    judge(&view.files, misfits, printer)
}

/// Everything that is neither a folder, a manifest nor a zip is taken for a library, so that one with
/// a strange name still gets a verdict.
fn is_library(path: &Path) -> bool {
    let is_zip = path
        .extension()
        .is_some_and(|suffix| suffix.eq_ignore_ascii_case("zip"));
    path.is_file() && !is_zip && path.file_name().is_some_and(|name| name != MANIFEST)
}

fn inspect_library(path: &Path) -> Result<LibraryView, CliError> {
    let failed = |source| CliError::File {
        path: path.to_owned(),
        source,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name: FileName = name
        .parse()
        .map_err(|e| failed(io::Error::new(io::ErrorKind::InvalidInput, e)))?;
    let open = || File::open(path).map_err(failed);
    let hashed = hash_reader(open()?, Limits::default().file_bytes_max).map_err(failed)?;
    let verdict = inspect_reader(open()?, &name);
    let sha256 = hashed.digest.to_string();
    Ok(LibraryView::new(&name, sha256, hashed.size_bytes, verdict))
}

/// Each library, and what is wrong with the functions of them that the manifest names.
fn inspect_bundle(bundle: &BundleSource) -> Result<(Vec<LibraryView>, Vec<FieldError>), CliError> {
    let verdicts = bundle.inspect()?;
    let misfits = bundle.misfits(&verdicts);
    let files = bundle.files().iter().zip(verdicts);
    let views = files.map(|(file, verdict)| {
        LibraryView::new(
            &file.name,
            file.digest.to_string(),
            file.size_bytes,
            verdict,
        )
    });
    Ok((views.collect(), misfits))
}

/// Says what is wrong with each refused library; fails if there is one, or if the manifest does not fit them.
fn judge(
    files: &[LibraryView],
    misfits: Vec<FieldError>,
    printer: &Printer,
) -> Result<(), CliError> {
    let mut refused = 0;
    for file in files {
        printer.warnings(&file.warnings);
        let Some(refusal) = &file.refusal else {
            continue;
        };
        refused += 1;
        printer.warn(format_args!(
            "{}: {} ({})",
            file.file, refusal.message, refusal.code
        ));
        if let Some(advice) = &refusal.advice {
            printer.hint(advice);
        }
    }
    match refused {
        0 if misfits.is_empty() => Ok(()),
        0 => Err(BundleError::Manifest(misfits).into()),
        refused => Err(CliError::LibrariesRefused {
            refused,
            total: files.len(),
        }),
    }
}

/// Refuses a bundle with a library, or a manifest, that a control plane would refuse.
pub(super) fn refuse_unfit(bundle: &BundleSource, printer: &Printer) -> Result<(), CliError> {
    let (files, misfits) = inspect_bundle(bundle)?;
    judge(&files, misfits, printer)
}

fn pack_folder(arguments: Pack, printer: &Printer) -> Result<(), CliError> {
    let bundle = BundleSource::open(&arguments.path, &Limits::default())?;
    let packed = Packed {
        out: arguments.out,
        inspects: !arguments.no_inspect,
        mapped: Vec::new(),
    };
    pack_source(&bundle, packed, printer)
}

/// How a bundle is packed.
struct Packed {
    out: Option<PathBuf>,
    inspects: bool,
    mapped: Vec<Finding>,
}

fn pack_source(bundle: &BundleSource, packed: Packed, printer: &Printer) -> Result<(), CliError> {
    let warnings: Vec<_> = bundle.warnings().iter().map(Warning::from).collect();
    printer.warnings(&warnings);
    if packed.inspects {
        refuse_unfit(bundle, printer)?;
    }
    let manifest = bundle.manifest();
    let path = packed
        .out
        .unwrap_or_else(|| format!("{}-{}.zip", manifest.name, manifest.version).into());
    write_whole(bundle, &path)?;
    let failed = |source| CliError::File {
        path: path.clone(),
        source,
    };
    let file = File::open(&path).map_err(failed)?;
    let hashed = hash_reader(file, u64::MAX).map_err(failed)?;
    printer.data(&PackedView {
        bundle: manifest.name.to_string(),
        version: manifest.version.to_string(),
        sha256: hashed.digest.to_string(),
        size_bytes: hashed.size_bytes,
        files: bundle.files().len(),
        mapped: packed.mapped,
        path: path.clone(),
    })
}

/// Writes the archive beside its place and moves it there, so that a half-written one is never seen.
fn write_whole(bundle: &BundleSource, path: &Path) -> Result<(), CliError> {
    let failed = |source| BundleError::Unwritable(source);
    let folder = path.parent().filter(|parent| *parent != Path::new(""));
    // An archive is as open to others as any file that its user makes.
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    pack(bundle, &mut file)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}
