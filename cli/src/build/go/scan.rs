//! What the generator says about a plugin's source: functions, refusals, warnings, and the glue.

use std::path::PathBuf;

use gantry_domain::Platform;
use serde::Deserialize;

use super::super::manifest::Wish;
use super::super::sdk::Sdk;
use super::super::{BuildError, Finding, Skipped, step};
use super::program::Go;

/// A module and its version.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Requirement {
    pub(super) path: String,
    pub(super) version: String,
}

/// A module of the SDK.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct SdkModule {
    /// The path by which plugins import it.
    pub(super) path: String,
    /// The path under which Go finds it.
    pub(super) served: String,
}

/// What the generator found.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Scan {
    pub(super) functions: Vec<serde_json::Value>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) refusals: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
    pub(super) imports: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) needs: Vec<Requirement>,
    pub(super) sums: String,
    pub(super) modules: Vec<SdkModule>,
    pub(super) glue: String,
    pub(super) note: String,
}

/// What the generator is asked.
#[derive(Debug)]
pub(super) struct Question {
    folder: PathBuf,
    platform: Platform,
    pub(super) tags: String,
    /// Name and version of the plugin.
    pub(super) plugin: Option<(String, String)>,
    /// What the manifest says of its functions, under this name.
    pub(super) manifest: Option<(PathBuf, Vec<Wish>)>,
    /// Modules whose source is on this machine, with their folders.
    pub(super) modules: Vec<(String, PathBuf)>,
    /// Modules that the author's module file requires.
    pub(super) requires: Vec<String>,
}

impl Question {
    pub(super) fn of(go: &Go, platform: Platform) -> Self {
        Self {
            folder: go.folder.clone(),
            platform,
            tags: go.tags(),
            plugin: None,
            manifest: None,
            modules: Vec::new(),
            requires: Vec::new(),
        }
    }
}

/// Asks the generator. Nothing of the plugin runs.
pub(super) fn run(sdk: &Sdk, question: &Question) -> Result<Scan, BuildError> {
    let mut asking = sdk.generator();
    asking
        .arg("scan")
        .arg("-dir")
        .arg(&question.folder)
        .arg("-sdk")
        .arg(sdk.sources())
        .args(["-goos", question.platform.os.as_str()])
        .args(["-goarch", question.platform.arch.as_str()])
        .args(["-tags", &question.tags])
        .args(["-requires", &question.requires.join(",")]);
    if let Some((name, version)) = &question.plugin {
        asking.args(["-name", name, "-version", version]);
    }
    if let Some((path, wishes)) = &question.manifest {
        asking.arg("-manifest").arg(path);
        for wish in wishes {
            let Wish {
                function,
                inline,
                field,
                ..
            } = wish;
            asking.args(["-inline", &format!("{function}={inline}={field}")]);
        }
    }
    for (path, folder) in &question.modules {
        asking
            .arg("-module")
            .arg(format!("{path}={}", folder.display()));
    }
    let answer = step::run(&mut asking, "reading the plugin's source")?.answer;
    serde_json::from_str(&answer).map_err(|_| BuildError::Answer {
        program: "gantry-tyk",
        expected: "what it found as JSON",
    })
}
