//! `gantry bundle build`: a bundle from a folder as Tyk's own tool takes it, with its manifest unchanged.
//!
//! Invariant: nothing in the folder is changed, and what is packed is judged as every other bundle.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use clap::Args;
use gantry_bundle::source::MANIFEST;
use gantry_bundle::{BundleError, BundleSource};
use gantry_domain::manifest::DraftManifest;
use gantry_domain::resolution::matches;
use gantry_domain::{BundleName, BundleVersion, FieldError, FileName, Limits};
use serde_json::{Map, Value, json};

use super::{Packed, pack_source};
use crate::error::CliError;
use crate::import::{Outcome, Report, middleware};
use crate::printer::Printer;
use crate::settings::read_text;

/// Arguments of `gantry bundle build`.
#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    after_help = "Examples:
  gantry bundle build --name orders-hooks --version 1.2.0
  gantry bundle build ./bundle --name orders-hooks --version 1.2.0 --out hooks.zip -o json

The manifest may be Tyk's, without name and version. Its libraries are those that `gantry build` made:
under the name that it lists, or by the convention NAME_VERSION_OS_ARCH.so."
)]
pub(crate) struct Build {
    /// A folder with manifest.json, or the manifest.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The bundle's name, where the manifest has none.
    #[arg(long)]
    name: Option<BundleName>,
    /// The bundle's version, where the manifest has none.
    #[arg(long)]
    version: Option<BundleVersion>,
    /// The zip to write; NAME-VERSION.zip in the current folder without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Pack libraries that would be refused, too.
    #[arg(long)]
    no_inspect: bool,
}

pub(super) fn run(arguments: Build, printer: &Printer) -> Result<(), CliError> {
    let limits = Limits::default();
    let (folder, path) = places(&arguments.path);
    let failed = |source| CliError::File {
        path: path.clone(),
        source,
    };
    let text = read_text(&path, limits.manifest_bytes_max as u64).map_err(failed)?;
    let from = serde_json::from_str(&text).map_err(|e| failed(e.into()))?;
    let mut report = Report::default();
    let to = map(from, &arguments, &folder, &mut report)?;
    for finding in report.findings() {
        match finding.outcome {
            Outcome::Refused => printer.warn(finding.line()),
            _ => printer.note(finding.line()),
        }
    }
    if report.has(Outcome::Refused) {
        return Err(CliError::ManifestRefused { path });
    }
    let source = assemble(&folder, &to, &limits)?;
    pack_source(
        &source,
        Packed {
            out: arguments.out,
            inspects: !arguments.no_inspect,
            mapped: report.findings().to_vec(),
        },
        printer,
    )
}

fn places(path: &Path) -> (PathBuf, PathBuf) {
    if path.is_dir() {
        return (path.to_owned(), path.join(MANIFEST));
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    (parent.unwrap_or(Path::new(".")).to_owned(), path.to_owned())
}

/// The manifest in our form.
fn map(
    mut from: Map<String, Value>,
    arguments: &Build,
    folder: &Path,
    report: &mut Report,
) -> Result<Value, CliError> {
    let named = |field: &str, given: Option<String>, from: &mut Map<String, Value>| {
        let written = from.remove(field);
        match (written, given) {
            (Some(written), Some(given)) if written != json!(given) => {
                Err(conflict(field, &written, &given))
            }
            (written, given) => Ok(written.or_else(|| given.map(Value::String))),
        }
    };
    let name = named(
        "name",
        arguments.name.as_ref().map(ToString::to_string),
        &mut from,
    )?;
    let version = named(
        "version",
        arguments.version.as_ref().map(ToString::to_string),
        &mut from,
    )?;
    let (Some(name), Some(version)) = (name, version) else {
        return Err(CliError::Usage {
            message: "expected the bundle's name and version, which Tyk's manifests do not have"
                .to_owned(),
            hint: "give --name and --version",
        });
    };
    for (field, why) in [
        (
            "checksum",
            "MD5 says nothing about who made a file; each file gets its SHA-256",
        ),
        (
            "signature",
            "it covers neither the manifest nor the names of files; each file gets its SHA-256",
        ),
    ] {
        if let Some(value) = from.remove(field)
            && value != ""
        {
            report.note(field, &value, Outcome::Ignored, "FIELD_IGNORED", why);
        }
    }
    // What is of another type stays, and is refused with the rest.
    let hooks = match from.remove("custom_middleware") {
        Some(Value::Object(hooks)) => {
            middleware::map("custom_middleware", hooks, report).map(Value::Object)
        }
        other => other,
    };
    if let Some(hooks) = hooks {
        from.insert("custom_middleware".to_owned(), hooks);
    }
    let files = match from.remove("file_list") {
        Some(Value::Array(list)) => Some(files(list, folder, report)?),
        other => other,
    };
    if let Some(files) = files {
        from.insert("file_list".to_owned(), files);
    }
    from.insert("name".to_owned(), name);
    from.insert("version".to_owned(), version);
    // What else is there is ours, or a mistake that is named as every other.
    Ok(Value::Object(from))
}

fn conflict(field: &str, written: &Value, given: &str) -> CliError {
    CliError::Bundle(BundleError::Manifest(vec![FieldError {
        path: field.to_owned(),
        code: "FIELD_CONFLICT",
        expected: format!("{given:?}, as --{field} says"),
        found: written.to_string(),
    }]))
}

/// The files: those that are listed, and for one that is not there the builds of it that are.
fn files(list: Vec<Value>, folder: &Path, report: &mut Report) -> Result<Value, CliError> {
    let mut files: Vec<Value> = Vec::with_capacity(list.len());
    for (i, value) in list.into_iter().enumerate() {
        let wanted = value
            .as_str()
            .and_then(|name| name.parse::<FileName>().ok());
        let builds = match &wanted {
            Some(wanted) if !folder.join(wanted.as_str()).exists() => builds_of(wanted, folder)?,
            _ => Vec::new(),
        };
        if builds.is_empty() {
            files.push(value);
            continue;
        }
        let why = format!("{}: its builds lie beside the manifest", builds.join(", "));
        report.note(
            format!("file_list[{i}]"),
            &value,
            Outcome::Replaced,
            "FILE_REPLACED",
            why,
        );
        files.extend(builds.into_iter().map(Value::String));
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.to_string()));
    Ok(Value::Array(files))
}

/// The files in the folder that a gateway would take for this name.
fn builds_of(wanted: &FileName, folder: &Path) -> Result<Vec<String>, CliError> {
    let failed = |source| CliError::File {
        path: folder.to_owned(),
        source,
    };
    let mut builds = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.to_str().and_then(|name| name.parse::<FileName>().ok());
        builds.extend(
            name.filter(|name| matches(wanted, name).is_some())
                .map(|name| name.to_string()),
        );
    }
    builds.sort();
    Ok(builds)
}

/// The bundle: the files where they lie, under a manifest of their own.
fn assemble(folder: &Path, manifest: &Value, limits: &Limits) -> Result<BundleSource, CliError> {
    let text = manifest.to_string();
    let draft = DraftManifest::parse(text.as_bytes(), limits).map_err(BundleError::Manifest)?;
    let unwritable = BundleError::Unwritable;
    let room = tempfile::tempdir().map_err(unwritable)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CliError::File { path, source }
    };
    let folder = fs::canonicalize(folder).map_err(failed(folder))?;
    for (name, _) in &draft.files {
        let file = folder.join(name.as_str());
        if file.exists() {
            symlink(&file, room.path().join(name.as_str())).map_err(unwritable)?;
        }
    }
    fs::write(room.path().join(MANIFEST), text).map_err(unwritable)?;
    Ok(BundleSource::open_in(room, limits)?)
}
