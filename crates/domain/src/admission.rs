//! Whether the files of a release fit what hooks name: the same answer for a bundle that is published
//! and for one that lies in a gateway's folder.

use crate::json::Findings;
use crate::middleware::place;
use crate::resolution::{Convention, matches};
use crate::{
    Artifact, EndpointEntry, FieldError, FieldWarning, Hook, HookEntry, Inline, Middleware,
    endpoint,
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
        let place = place(&format!("{path}.{}", hook.field()), hook, position);
        let fields = [format!("{place}.path"), format!("{place}.name")];
        check_entry(fields, hook, entry, artifacts, &mut findings);
        check_inline(&place, entry, artifacts, &mut findings);
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

/// Where a function runs is built into it: what a manifest says of it must be so, or it would be ignored.
fn check_inline<'a>(
    place: &str,
    entry: &HookEntry,
    artifacts: &(impl IntoIterator<Item = &'a Artifact> + Clone),
    findings: &mut Findings,
) {
    let Some(said) = entry.inline else {
        return;
    };
    let answering = artifacts.clone().into_iter();
    for artifact in answering.filter(|file| matches(&entry.path, &file.file).is_some()) {
        let built = artifact.note.function(&entry.function).map(Inline::of);
        if let Some(built) = built.filter(|built| *built != said) {
            let (file, function) = (&artifact.file, &entry.function);
            let expected = format!(
                "{file} with {function} built so, {said} (build it again: `gantry build --manifest` with \
                 this manifest)"
            );
            let field = format!("{place}.inline");
            findings.error(
                field,
                "INLINE_DIFFERS",
                expected,
                format!("a build with {built}"),
            );
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Limits, Manifest, PluginNote, Target};

    fn library(file: &str, function: &str) -> Artifact {
        let note = format!(
            r#"{{"abi":{{"major":0,"minor":1}},"name":"n","version":"1","functions":[{function}]}}"#
        );
        let note = PluginNote::parse(note.as_bytes()).unwrap();
        Artifact {
            file: file.parse().unwrap(),
            digest: Digest::of(file),
            size_bytes: 1,
            target: Target {
                platform: "linux/amd64".parse().unwrap(),
                gateway_version: None,
                libc: None,
                abi: note.abi,
            },
            note,
            key: String::new(),
        }
    }

    fn check(entry: &str, libraries: &[Artifact]) -> Vec<FieldError> {
        let text = format!(
            r#"{{"name":"b","version":"1.0.0","file_list":["hooks.so"],"sha256":{{"hooks.so":"{}"}},
                "custom_middleware":{{"driver":"goplugin","pre":[{entry}]}}}}"#,
            Digest::of("x")
        );
        let manifest = Manifest::parse(text.as_bytes(), &Limits::default()).unwrap();
        check_entries("custom_middleware", &manifest.middleware, &libraries)
    }

    #[test]
    fn inline_that_a_library_was_not_built_with_is_refused_with_what_to_do() {
        let apart = r#"{"name":"F","hooks":["pre"],"flags":["may_pend"]}"#;
        let inline = r#"{"name":"F","hooks":["pre"],"flags":["may_pend"],"inline":true}"#;
        let native = r#"{"name":"F","hooks":["pre"],"flags":["wants_request_body"]}"#;
        let cases = [
            (apart, "false", true),
            (apart, "true", false),
            (apart, r#""body""#, false),
            (inline, "true", true),
            (inline, r#""body""#, false),
            (inline, "false", false),
            (native, r#""body""#, true),
            (native, "true", false),
            (native, "false", false),
        ];
        for (function, said, is_so) in cases {
            let entry = format!(r#"{{"name":"F","path":"hooks.so","inline":{said}}}"#);
            let found = check(&entry, &[library("hooks.so", function)]);
            assert_eq!(found.is_empty(), is_so, "{function} {said}");
            for error in found {
                assert_eq!(error.code, "INLINE_DIFFERS");
                assert_eq!(error.path, "custom_middleware.pre[0].inline");
                assert!(error.expected.contains("gantry build --manifest"));
            }
            let silent = check(
                r#"{"name":"F","path":"hooks.so"}"#,
                &[library("hooks.so", function)],
            );
            assert_eq!(silent, []);
        }
    }

    #[test]
    fn every_build_that_answers_must_be_built_as_its_manifest_says() {
        let apart = r#"{"name":"F","hooks":["pre"],"flags":["may_pend"]}"#;
        let inline = r#"{"name":"F","hooks":["pre"],"flags":["may_pend"],"inline":true}"#;
        let builds = [
            library("hooks_v5.3.0_linux_amd64.so", inline),
            library("hooks_v5.4.0_linux_amd64.so", apart),
            library("other.so", apart),
        ];
        let found = check(r#"{"name":"F","path":"hooks.so","inline":true}"#, &builds);
        let [one] = &found[..] else {
            panic!("{found:?}")
        };
        assert!(
            one.expected.contains("hooks_v5.4.0_linux_amd64.so"),
            "{one}"
        );
        assert_eq!(one.found, "a build with false");
    }
}
