//! Whether the files of a release fit what hooks name: the same answer for a bundle that is published
//! and for one that lies in a gateway's folder.

use crate::json::Findings;
use crate::resolution::{Convention, matches};
use crate::{
    Artifact, EndpointEntry, FieldError, FieldWarning, Hook, HookEntry, Middleware, endpoint,
};

/// What is wrong with the functions that hooks name, given the files that could answer. Which of them
/// does depends on the gateway, so each must offer the function and declare the hook. `path` is where
/// the middleware stands in its document.
pub fn check_entries<'a>(
    path: &str,
    middleware: &Middleware,
    artifacts: &(impl IntoIterator<Item = &'a Artifact> + Clone),
) -> Vec<FieldError> {
    let mut findings = Findings::default();
    for (hook, position, entry) in middleware.enabled() {
        let place = match hook {
            Hook::Auth => format!("{path}.{}", hook.field()),
            _ => format!("{path}.{}[{position}]", hook.field()),
        };
        let fields = [format!("{place}.path"), format!("{place}.name")];
        check_entry(fields, hook, entry, artifacts, &mut findings);
    }
    findings.errors
}

/// What is wrong with the functions of endpoints, by the same rules.
pub fn check_endpoints<'a>(
    endpoints: &[EndpointEntry],
    artifacts: &(impl IntoIterator<Item = &'a Artifact> + Clone),
) -> Vec<FieldError> {
    let mut findings = Findings::default();
    let enabled = endpoints.iter().enumerate();
    for (position, endpoint) in enabled.filter(|(_, endpoint)| !endpoint.entry.disabled) {
        let place = EndpointEntry::place(position);
        let fields = [format!("{place}.plugin_path"), format!("{place}.func_name")];
        let entry = &endpoint.entry;
        check_entry(fields, endpoint::HOOK, entry, artifacts, &mut findings);
    }
    findings.errors
}

fn check_entry<'a>(
    [path, name]: [String; 2],
    hook: Hook,
    entry: &HookEntry,
    artifacts: &(impl IntoIterator<Item = &'a Artifact> + Clone),
    findings: &mut Findings,
) {
    let files = artifacts.clone().into_iter();
    let mut answering = files
        .filter(|file| matches(&entry.path, &file.file).is_some())
        .peekable();
    if answering.peek().is_none() {
        let expected = "the name of a file of the bundle";
        findings.error(path, "FILE_NOT_FOUND", expected, entry.path.as_str());
    }
    for artifact in answering {
        let file = &artifact.file;
        match artifact.note.function(&entry.function) {
            None => {
                let functions = artifact.note.functions.iter();
                let names: Vec<_> = functions.map(|function| function.name.as_str()).collect();
                let expected = format!("a function of {file}, which offers {}", names.join(", "));
                let found = entry.function.as_str();
                findings.error(&name, "FUNCTION_NOT_FOUND", expected, found);
            }
            Some(function) if !function.hooks.contains(hook) => {
                let expected = format!(
                    "a hook that {file} declares for {} ({})",
                    entry.function, function.hooks
                );
                findings.error(&name, "HOOK_UNDECLARED", expected, hook.to_string());
            }
            Some(_) => {}
        }
    }
}

/// A plain file takes precedence over a versioned build of the same library wherever both fit.
pub fn shadowed(artifacts: &[Artifact]) -> Vec<FieldWarning> {
    let plain = artifacts
        .iter()
        .filter(|plain| Convention::of(&plain.file).is_none());
    let pairs = plain.flat_map(|plain| {
        let versioned = artifacts.iter().filter(|versioned| {
            plain.file != versioned.file
                && matches(&plain.file, &versioned.file).is_some()
                && plain.target.platform == versioned.target.platform
        });
        versioned.map(move |versioned| (plain, versioned))
    });
    pairs
        .map(|(plain, versioned)| FieldWarning {
            path: format!("files.{}", versioned.file),
            code: "VERSIONED_SHADOWED",
            message: format!(
                "{} comes first wherever it fits, so {} does not run unless the environment looks \
                 up versioned_first",
                plain.file, versioned.file
            ),
        })
        .collect()
}
