//! Looks at a folder without running it, for `gantry-gateway check`.

use std::fmt;
use std::path::Path;

use gantry_domain::{FieldWarning, GatewayProfile};

use super::compose::compose;
use super::contents::{self, Content, Contents};
use super::look::{Item, look};
use crate::config::Folder;
use crate::supervisor::plan::{WantedApi, plan};

/// What is wrong, and what should be known.
#[derive(Debug, Default)]
pub struct Findings {
    /// A line for each file or API.
    pub complaints: Vec<String>,
    /// Likewise.
    pub warnings: Vec<String>,
    /// APIs that would be served.
    pub apis: usize,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.complaints {
            writeln!(f, "error: {line}")?;
        }
        for line in &self.warnings {
            writeln!(f, "warning: {line}")?;
        }
        let (apis, complaints) = (self.apis, self.complaints.len());
        writeln!(f, "{apis} API(s) can be served; {complaints} complaint(s)")
    }
}

/// Reads everything once, as a gateway of this profile would at its first start. No library is run.
pub fn check(folder: &Folder, profile: &GatewayProfile, unpacked: &Path) -> Findings {
    let mut findings = Findings::default();
    let seen = match look(&folder.path) {
        Ok(seen) => seen,
        Err(e) => {
            findings.complaints.push(e.to_string());
            return findings;
        }
    };
    if !seen.keys().any(|item| matches!(item, Item::Api(_))) {
        let empty = "apis: expected at least one API definition, found none (FOLDER_EMPTY)";
        findings.complaints.push(empty.into());
    }
    let none = Contents::new();
    let contents = contents::read(&folder.path, &seen, &none, &folder.tenant, unpacked);
    let composed = compose(&contents, None, folder);
    let refused = composed.complaints.iter();
    findings.complaints.extend(refused.map(|complaint| {
        let (file, message, code) = (&complaint.file, &complaint.message, complaint.code);
        format!("{file}: {message} ({code})")
    }));
    if let Some((_, content)) = contents.get(&Item::Keys)
        && let Content::Keys(Err(refused)) = &**content
    {
        let (message, code) = (&refused.message, refused.code);
        findings
            .complaints
            .push(format!("{}: {message} ({code})", Item::Keys.file()));
    }
    let wanted = plan(&composed.snapshot, profile, &folder.tenant);
    for (id, api) in &wanted.apis {
        let file = Item::Api(format!("{id}.json")).file();
        let known = composed
            .complaints
            .iter()
            .any(|complaint| complaint.file == file);
        match api {
            WantedApi::Run(plan) => {
                findings.apis += 1;
                let endpoints = plan.endpoints.iter();
                let failed = endpoints.filter_map(|endpoint| endpoint.function.as_ref().err());
                let lines = failed.map(|failure| format!("{file}: {failure}"));
                findings.complaints.extend(lines);
            }
            WantedApi::Refuse { .. } if known => {}
            WantedApi::Refuse { failure, .. } => {
                findings.complaints.push(format!(
                    "{file}: {}",
                    coded(&failure.code, &failure.message)
                ));
            }
        }
    }
    let warning = |(file, warning): &(String, FieldWarning)| format!("{file}: {warning}");
    findings
        .warnings
        .extend(composed.warnings.iter().map(warning));
    findings
}

/// Some messages end with their code.
fn coded(code: &str, message: &str) -> String {
    if message.contains(code) {
        message.to_owned()
    } else {
        format!("{message} ({code})")
    }
}
