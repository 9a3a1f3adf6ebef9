//! `gantry import`: definitions of other gateways become ours. Needs no control plane.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gantry_domain::{ApiDefinition, Limits};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::error::CliError;
use crate::import::classic::Choices;
use crate::import::endpoints::Reach;
use crate::import::{Finding, Outcome, Report, classic, openapi, paths};
use crate::printer::Printer;
use crate::settings::read_text;
use crate::view::{Shown, View};

/// Bytes of a file, at most: `OpenAPI` documents are far larger than what is taken from them.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Definitions of a file, at most.
const DEFINITIONS_MAX: usize = 10_000;

/// What can be imported.
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Make API definitions from Tyk's, classic or `OpenAPI`.
    Tyk(Tyk),
}

/// Arguments of `gantry import tyk`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry import tyk orders.json > gantry-orders.json
  gantry import tyk exported/*.json --out apis
  gantry import tyk orders.json --drop enable_ip_whitelisting | gantry api put - --env staging

Every field that is not kept is listed on standard error with what became of it. Exits with 3, and
writes nothing, where a field refuses; with 2 where one that may protect the API was given up with
--drop. Methods of authentication cannot be given up.")]
pub(crate) struct Tyk {
    /// API definitions (JSON): one, a list, or what the dashboard exports; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// A folder for `API_ID.json` of each definition; standard output takes one.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A field, by its path, without whose protection the API is to be imported; one that no definition
    /// has is refused.
    #[arg(long, value_name = "PATH")]
    drop: Vec<String>,
    /// Which requests an endpoint's path means.
    #[arg(long, value_enum, default_value = "anywhere")]
    endpoints: Reach,
    /// The bundle, where the definition names one.
    #[arg(long, value_name = "NAME")]
    bundle: Option<String>,
    /// The API's id, in place of the one in the definition.
    #[arg(long, value_name = "ID")]
    api_id: Option<String>,
    /// A file for what became of each field (JSON).
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// The definition alone, in either form, so that it can be put.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct ImportedView(Value);

impl View for ImportedView {
    fn shown(&self) -> Shown {
        Shown::Text(format!("{:#}", self.0))
    }
}

/// What became of the fields of one definition.
#[derive(Debug, Serialize)]
struct ReportView<'a> {
    source: &'a str,
    accepted: bool,
    fields_at_default: usize,
    findings: &'a [Finding],
}

/// One definition, imported or not.
struct Imported {
    /// File and place in it.
    source: String,
    report: Report,
    definition: Option<Value>,
}

pub(super) fn run(command: Import, context: &Context) -> Result<(), CliError> {
    let Import::Tyk(arguments) = command;
    let choices = Choices {
        reach: arguments.endpoints,
        bundle: arguments.bundle.clone(),
        api_id: arguments.api_id.clone(),
    };
    let mut all = Vec::new();
    for file in &arguments.files {
        all.extend(documents(file)?);
    }
    check_drops(&arguments.drop, &all)?;
    let import = |(source, document)| import(source, document, &choices, &arguments.drop);
    let imported: Vec<_> = all.into_iter().map(import).collect();
    let printer = context.printer();
    tell_idle_drops(&arguments.drop, &imported, printer);
    tell(&imported, printer);
    if let Some(path) = &arguments.report {
        write_report(path, &imported)?;
    }
    let refused = imported
        .iter()
        .filter(|each| each.definition.is_none())
        .count();
    if refused > 0 {
        return Err(CliError::ImportRefused {
            refused,
            total: imported.len(),
        });
    }
    write(&imported, arguments.out.as_deref(), printer)?;
    let dropped = imported
        .iter()
        .filter(|each| each.report.has(Outcome::Dropped))
        .count();
    if dropped > 0 {
        return Err(CliError::ImportDropped { dropped });
    }
    Ok(())
}

/// A definition, and the file and the place in it that it came from.
type Document = (String, Map<String, Value>);

/// The definitions of a file.
fn documents(path: &Path) -> Result<Vec<Document>, CliError> {
    let failed = |source| CliError::File {
        path: path.to_owned(),
        source,
    };
    let invalid = |message: String| {
        failed(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            message,
        ))
    };
    let text = read_text(path, FILE_BYTES_MAX).map_err(failed)?;
    let value: Value = serde_json::from_str(&text).map_err(|e| invalid(e.to_string()))?;
    let name = path.display().to_string();
    let mut found = Vec::new();
    let values = match value {
        Value::Array(values) => values,
        Value::Object(mut map) => match map.remove("apis") {
            Some(Value::Array(values)) => values,
            Some(other) => {
                map.insert("apis".to_owned(), other);
                vec![Value::Object(map)]
            }
            None => vec![Value::Object(map)],
        },
        other => vec![other],
    };
    if values.len() > DEFINITIONS_MAX {
        let found = values.len();
        return Err(invalid(format!(
            "expected at most {DEFINITIONS_MAX} definitions, found {found}"
        )));
    }
    let several = values.len() > 1;
    for (i, value) in values.into_iter().enumerate() {
        let Value::Object(mut map) = value else {
            return Err(invalid(
                "expected API definitions, which are objects".to_owned(),
            ));
        };
        if let Some(Value::Object(inner)) = map.remove("api_definition") {
            map = inner;
        }
        let source = if several {
            format!("{name}[{i}]")
        } else {
            name.clone()
        };
        found.push((source, map));
    }
    Ok(found)
}

/// A path that names no field of any definition is a slip, and would be taken for consent.
fn check_drops(drops: &[String], documents: &[Document]) -> Result<(), CliError> {
    if drops.is_empty() {
        return Ok(());
    }
    let fields: BTreeSet<_> = documents
        .iter()
        .flat_map(|(_, document)| paths(document))
        .collect();
    let Some(slip) = drops.iter().find(|path| !fields.contains(*path)) else {
        return Ok(());
    };
    let nearest = fields
        .iter()
        .min_by_key(|path| strsim::levenshtein(path, slip));
    let nearest = nearest.map_or(String::new(), |path| format!("; the nearest is {path}"));
    Err(CliError::Usage {
        message: format!(
            "--drop {slip}: expected a field of a definition, found none of this path{nearest} \
             (DROP_UNKNOWN)"
        ),
        hint: "name the field as the list of what became of each does",
    })
}

/// Says which paths gave nothing up.
fn tell_idle_drops(drops: &[String], imported: &[Imported], printer: &Printer) {
    let dropped: BTreeSet<_> = imported
        .iter()
        .flat_map(|each| each.report.findings())
        .filter(|finding| finding.outcome == Outcome::Dropped)
        .map(|finding| finding.path.as_str())
        .collect();
    for path in drops.iter().filter(|path| !dropped.contains(path.as_str())) {
        printer.warn(format!(
            "--drop {path}: gives nothing up: the field is off, is imported, or cannot be given up (DROP_IDLE)"
        ));
    }
}

fn import(
    source: String,
    document: Map<String, Value>,
    choices: &Choices,
    drop: &[String],
) -> Imported {
    let mut report = Report::giving_up(drop);
    let definition = if document.contains_key(openapi::EXTENSION) {
        openapi::map(&document, choices, &mut report)
    } else {
        classic::map(document, choices, &mut report)
    };
    // By the rules of `gantry api put`, which is what comes next.
    let parsed = ApiDefinition::parse(definition.to_string().as_bytes(), &Limits::default());
    let checked = parsed.and_then(|(definition, _)| definition.complete(None));
    let definition = match checked {
        Ok(checked) => Some(with_document(checked.to_json(), definition)),
        Err(errors) => {
            report.refuse(&errors);
            None
        }
    };
    Imported {
        source,
        definition: definition.filter(|_| !report.has(Outcome::Refused)),
        report,
    }
}

/// A stored definition names its `OpenAPI` document by digest; one that is to be put holds it.
fn with_document(mut checked: Value, mut mapped: Value) -> Value {
    if let Some(document) = mapped.get_mut(openapi::OPENAPI) {
        checked[openapi::OPENAPI] = document.take();
    }
    checked
}

/// Lists what became of each field; what refuses comes last, where it is read.
fn tell(imported: &[Imported], printer: &Printer) {
    for each in imported {
        let source = &each.source;
        let (refused, rest): (Vec<_>, Vec<_>) = each
            .report
            .findings()
            .iter()
            .partition(|finding| finding.outcome == Outcome::Refused);
        for finding in rest {
            let line = format!("{source}: {}", finding.line());
            match finding.outcome {
                Outcome::Ignored | Outcome::Replaced => printer.note(line),
                _ => printer.warn(line),
            }
        }
        if let more @ 1.. = each.report.at_default() {
            printer.note(format!("{source}: {more} more fields are empty or off"));
        }
        for finding in refused {
            printer.warn(format!("{source}: {}", finding.line()));
        }
    }
}

fn write(imported: &[Imported], out: Option<&Path>, printer: &Printer) -> Result<(), CliError> {
    let definitions = imported.iter().filter_map(|each| each.definition.as_ref());
    let Some(folder) = out else {
        let definitions: Vec<_> = definitions.collect();
        let [definition] = definitions.as_slice() else {
            return Err(CliError::Usage {
                message: format!(
                    "expected one definition for standard output, found {}",
                    definitions.len()
                ),
                hint: "give a folder with --out",
            });
        };
        return printer.data(&ImportedView((*definition).clone()));
    };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CliError::Written { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    for definition in definitions {
        // The domain has read it, so it has one, and it is a file name.
        let api_id = definition["api_id"].as_str().unwrap_or_default();
        let path = folder.join(format!("{api_id}.json"));
        if path.exists() {
            let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(CliError::Written { path, source });
        }
        fs::write(&path, format!("{definition:#}\n")).map_err(failed(&path))?;
        printer.note(format!("wrote {}", path.display()));
    }
    Ok(())
}

fn write_report(path: &Path, imported: &[Imported]) -> Result<(), CliError> {
    let views: Vec<_> = imported
        .iter()
        .map(|each| ReportView {
            source: &each.source,
            accepted: each.definition.is_some(),
            fields_at_default: each.report.at_default(),
            findings: each.report.findings(),
        })
        .collect();
    let text = serde_json::to_string_pretty(&views).map_err(|e| CliError::Output(e.into()))?;
    fs::write(path, text + "\n").map_err(|source| CliError::Written {
        path: path.to_owned(),
        source,
    })
}
