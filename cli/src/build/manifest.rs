//! What a bundle's manifest says of where functions run (`inline`), for libraries that are built from
//! source. Everything else in it is looked at when the bundle is packed or pushed.
//!
//! Invariant: what an entry asks for is built, or refused by file and field; never passed over.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gantry_bundle::source::MANIFEST;
use gantry_domain::json::{describe, parse_object};
use gantry_domain::resolution::matches;
use gantry_domain::{FileName, FunctionName, Hook, Inline, Limits, PluginNote};
use serde_json::{Map, Value};

use super::{BuildError, Finding};

/// The entries of a manifest that say where their function runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manifest {
    /// The file, as it is called in refusals.
    path: PathBuf,
    wishes: Vec<Wish>,
    /// The libraries that its entries name, each with the first place.
    libraries: BTreeMap<FileName, String>,
}

/// What one entry says.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) function: FunctionName,
    pub(super) inline: Inline,
    /// Its place, such as `custom_middleware.pre[0].inline`.
    pub(super) field: String,
    library: FileName,
}

impl Manifest {
    /// Reads a manifest: the one that is named, else the one in the folder, if there is one.
    pub(crate) fn read(named: Option<&Path>, folder: &Path) -> Result<Self, BuildError> {
        let path = named.map_or_else(|| folder.join(MANIFEST), Path::to_owned);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if named.is_none() && e.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(e) => return Err(BuildError::file(&path, e)),
        };
        let mut findings = Vec::new();
        let limits = Limits::default();
        let map = parse_object(&bytes, limits.manifest_bytes_max, limits.json_depth_max);
        let map = map.unwrap_or_else(|e| {
            let message = format!("expected {}, found {}", e.expected, e.found);
            findings.push(finding(&path, e.code, message, ""));
            Map::new()
        });
        let wishes = wishes(&map, &mut |code, message| {
            findings.push(finding(&path, code, message, ""));
        });
        if findings.is_empty() {
            Ok(Self {
                path,
                wishes,
                libraries: libraries(&map),
            })
        } else {
            Err(BuildError::source_refused(findings))
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of the functions of a library.
    pub(super) fn of<'a>(&'a self, file: &'a FileName) -> impl Iterator<Item = &'a Wish> {
        let wishes = self.wishes.iter();
        wishes.filter(|wish| matches(&wish.library, file).is_some())
    }

    /// Holds a library that was built against it. What it refuses comes as an error, what its author
    /// should know as the answer.
    pub(super) fn check(
        &self,
        file: &FileName,
        note: &PluginNote,
    ) -> Result<Option<Finding>, BuildError> {
        let refused: Vec<_> = self
            .of(file)
            .filter_map(|wish| self.differs(wish, file, note))
            .collect();
        if !refused.is_empty() {
            return Err(BuildError::source_refused(refused));
        }
        Ok(self.elsewhere(file))
    }

    /// Says that the manifest is for other libraries.
    fn elsewhere(&self, file: &FileName) -> Option<Finding> {
        let advice = "if it means this library, name it alike: --name, or path in the manifest";
        let told = |code, message| Some(finding(&self.path, code, message, advice));
        match self.wishes.first() {
            Some(Wish { library, field, .. }) if self.of(file).next().is_none() => {
                let message =
                    format!("{field} is for {library}; no entry with inline is for {file}");
                return told("INLINE_ELSEWHERE", message);
            }
            _ => {}
        }
        let (library, field) = self.libraries.first_key_value()?;
        let is_named = |library| matches(library, file).is_some();
        if self.libraries.keys().any(is_named) {
            return None;
        }
        let message = format!("{field} is for {library}; no entry is for {file}");
        told("MANIFEST_ELSEWHERE", message)
    }

    fn differs(&self, wish: &Wish, file: &FileName, note: &PluginNote) -> Option<Finding> {
        let Wish {
            function,
            inline,
            field,
            ..
        } = wish;
        let Some(noted) = note.function(function) else {
            let message = format!("{field}: expected a function of {file}, found {function}");
            let advice = "name the function as the source does";
            let code = "INLINE_FUNCTION_UNKNOWN";
            return Some(finding(&self.path, code, message, advice));
        };
        let built = Inline::of(noted);
        (built != *inline).then(|| {
            let message =
                format!("{field}: expected {built}, as {file} declares of {function}, found {inline}");
            let advice = "a function that may block or pend runs apart, one that wants the body has \"body\": \
                          change what it declares, or what the manifest says";
            finding(&self.path, "INLINE_DIFFERS", message, advice)
        })
    }
}

fn finding(path: &Path, code: &str, message: String, advice: &str) -> Finding {
    Finding {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        code: code.to_owned(),
        message,
        advice: advice.to_owned(),
    }
}

/// The entries of all hooks, each with its place.
fn entries(map: &Map<String, Value>) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    let hooks = map.get("custom_middleware").and_then(Value::as_object);
    for hook in Hook::ALL {
        let Some(value) = hooks.and_then(|hooks| hooks.get(hook.field())) else {
            continue;
        };
        let at = format!("custom_middleware.{}", hook.field());
        match value {
            Value::Array(entries) => {
                let entries = entries.iter().enumerate();
                found.extend(entries.map(|(i, entry)| (format!("{at}[{i}]"), entry)));
            }
            entry => found.push((at, entry)),
        }
    }
    found
}

/// What an entry says under a name; nothing that is no text.
fn text<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The library that an entry names: a file in a bundle, whatever folders Tyk finds it in.
fn library(entry: &Value) -> &str {
    text(entry, "path").rsplit('/').next().unwrap_or_default()
}

fn is_off(entry: &Value) -> bool {
    entry.get("disabled") == Some(&Value::Bool(true))
}

/// The libraries that entries name which run.
fn libraries(map: &Map<String, Value>) -> BTreeMap<FileName, String> {
    let mut found = BTreeMap::new();
    for (at, entry) in entries(map) {
        let named = library(entry).parse().ok();
        let is_library = |file: &FileName| file.as_str().strip_suffix(".so").is_some();
        if let Some(file) = named.filter(|file| is_library(file) && !is_off(entry)) {
            found.entry(file).or_insert(format!("{at}.path"));
        }
    }
    found
}

/// The entries that say something, and run. The manifest may be Tyk's, so nothing else is judged.
fn wishes(map: &Map<String, Value>, refuse: &mut impl FnMut(&str, String)) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = Vec::new();
    for (at, entry) in entries(map) {
        match wish(&at, entry) {
            None => {}
            Some(Ok(wish)) => wishes.push(wish),
            Some(Err((field, expected, found))) => {
                refuse(
                    "FIELD_INVALID",
                    format!("{field}: expected {expected}, found {found}"),
                );
            }
        }
    }
    let mut said: BTreeMap<_, &Wish> = BTreeMap::new();
    for wish in &wishes {
        let before = said.entry((&wish.library, &wish.function)).or_insert(wish);
        if before.inline != wish.inline {
            let (field, expected, found) = (&wish.field, before.inline, wish.inline);
            let by = &before.field;
            let message = format!("{field}: expected {expected}, as {by} says, found {found}");
            refuse("INLINE_CONFLICT", message);
        }
    }
    wishes
}

type Wrong = (String, String, String);

fn wish(at: &str, entry: &Value) -> Option<Result<Wish, Wrong>> {
    let said = entry.get("inline").filter(|said| !said.is_null())?;
    if is_off(entry) {
        return None;
    }
    let wrong = |name: &str, expected: String| {
        let found = entry.get(name).map_or("nothing".to_owned(), describe);
        (format!("{at}.{name}"), expected, found)
    };
    let read = || {
        let inline = Inline::from_json(said);
        Ok(Wish {
            inline: inline.ok_or_else(|| wrong("inline", Inline::EXPECTED.to_owned()))?,
            function: text(entry, "name")
                .parse()
                .map_err(|e: gantry_domain::id::NameError| wrong("name", e.to_string()))?,
            library: library(entry)
                .parse()
                .map_err(|e: gantry_domain::id::NameError| wrong("path", e.to_string()))?,
            field: format!("{at}.inline"),
        })
    };
    Some(read())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Manifest, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST), text).unwrap();
        Manifest::read(None, folder.path()).map_err(|error| {
            let BuildError::SourceRefused(findings) = error else {
                panic!("{error:?}")
            };
            let place = folder.path().join("manifest.json: ").display().to_string();
            let told = findings.iter().map(ToString::to_string);
            told.map(|told| told.strip_prefix(&place).unwrap().to_owned())
                .collect()
        })
    }

    fn note(function: &str) -> PluginNote {
        let text = format!(
            r#"{{"abi":{{"major":0,"minor":1}},"name":"n","version":"1","functions":[{function}]}}"#
        );
        PluginNote::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn folder_without_a_manifest_and_a_manifest_of_tyk_say_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let none = Manifest::read(None, folder.path()).unwrap();
        assert!(none.wishes.is_empty());
        let named = folder.path().join("other.json");
        let missing = Manifest::read(Some(&named), folder.path()).unwrap_err();
        assert_eq!(missing.code(), "FILE_UNUSABLE");
        let tyk = read(
            r#"{"file_list": ["x.so"], "custom_middleware": {"driver": "goplugin", "pre": [{"name": "A",
                "path": "x.so", "raw_body_only": false}, 7], "auth_check": {"name": "", "path": ""}}}"#,
        );
        assert!(tyk.unwrap().wishes.is_empty());
    }

    #[test]
    fn entries_say_it_of_the_library_that_they_name() {
        let manifest = read(
            r#"{"custom_middleware": {"pre": [{"name": "A", "path": "x.so"},
                {"name": "B", "path": "middleware/x.so", "inline": "body"},
                {"name": "Off", "path": "x.so", "inline": true, "disabled": true}],
                "auth_check": {"name": "C", "path": "y.so", "inline": true}}}"#,
        )
        .unwrap();
        let of = |file: &str| {
            let file = file.parse().unwrap();
            let wishes = manifest.of(&file);
            wishes
                .map(|wish| format!("{} {} {}", wish.function, wish.inline, wish.field))
                .collect::<Vec<_>>()
        };
        let b = [r#"B "body" custom_middleware.pre[1].inline"#];
        assert_eq!(of("x.so"), b);
        assert_eq!(of("x_v5.3.0_linux_amd64.so"), b);
        assert_eq!(of("y.so"), ["C true custom_middleware.auth_check.inline"]);
        let elsewhere = manifest.check(
            &"z.so".parse().unwrap(),
            &note(r#"{"name":"A","hooks":["pre"],"flags":[]}"#),
        );
        assert_eq!(elsewhere.unwrap().unwrap().code, "INLINE_ELSEWHERE");
    }

    #[test]
    fn manifest_for_other_libraries_is_told_whatever_it_says_of_inline() {
        let manifest = read(
            r#"{"file_list": ["x.so"], "custom_middleware": {"driver": "goplugin",
                "pre": [{"name": "Off", "path": "off.so", "disabled": true}, {"name": "P", "path": "hook.py"}],
                "post": [{"name": "A", "path": "middleware/x.so"}, {"name": "B", "path": "y.so"}],
                "auth_check": {"name": "", "path": ""}}}"#,
        )
        .unwrap();
        let told = |file: &str| {
            let told = manifest.elsewhere(&file.parse().unwrap())?;
            Some(format!("{} {}", told.message, told.code))
        };
        assert_eq!(told("x.so"), None);
        assert_eq!(told("y_v5.3.0_linux_arm64.so"), None);
        let x =
            "custom_middleware.post[0].path is for x.so; no entry is for off.so MANIFEST_ELSEWHERE";
        assert_eq!(told("off.so").as_deref(), Some(x));
        let empty = read(r#"{"custom_middleware": {"pre": []}}"#).unwrap();
        assert!(empty.elsewhere(&"z.so".parse().unwrap()).is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_field() {
        let cases = [
            ("{", "expected JSON"),
            (
                r#"{"custom_middleware": {"pre": [{"name": "A", "path": "x.so", "inline": "yes"}]}}"#,
                r#"custom_middleware.pre[0].inline: expected true, "body""#,
            ),
            (
                r#"{"custom_middleware": {"auth_check": {"name": "a b", "path": "x.so", "inline": true}}}"#,
                "custom_middleware.auth_check.name: expected ",
            ),
            (
                r#"{"custom_middleware": {"pre": [{"name": "A", "path": "x.so", "inline": true}],
                    "post": [{"name": "A", "path": "x.so", "inline": false}]}}"#,
                "custom_middleware.post[0].inline: expected true, as custom_middleware.pre[0].inline says, \
                 found false (INLINE_CONFLICT)",
            ),
        ];
        for (text, expected) in cases {
            let refused = read(text).unwrap_err();
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert!(refused[0].starts_with(expected), "{refused:?}");
        }
    }

    #[test]
    fn library_is_held_against_what_is_said_of_it() {
        let manifest = read(
            r#"{"custom_middleware": {"pre": [{"name": "A", "path": "x.so", "inline": true}]}}"#,
        )
        .unwrap();
        let check = |function: &str| {
            let refused = manifest.check(&"x.so".parse().unwrap(), &note(function));
            refused.map_err(|error| error.code().to_owned())
        };
        let so = check(r#"{"name":"A","hooks":["pre"],"flags":["may_pend"],"inline":true}"#);
        assert_eq!(so, Ok(None));
        let apart = check(r#"{"name":"A","hooks":["pre"],"flags":["may_block"]}"#);
        assert_eq!(apart, Err("INLINE_DIFFERS".to_owned()));
        let body = check(r#"{"name":"A","hooks":["pre"],"flags":["wants_request_body"]}"#);
        assert_eq!(body, Err("INLINE_DIFFERS".to_owned()));
        let gone = check(r#"{"name":"B","hooks":["pre"],"flags":[]}"#);
        assert_eq!(gone, Err("INLINE_FUNCTION_UNKNOWN".to_owned()));
    }
}
