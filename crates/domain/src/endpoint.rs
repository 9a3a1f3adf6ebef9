//! `extended_paths.go_plugin`: functions that run for one method and path of an API, before those at
//! `post`. What an entry says is decided here, and which requests it means; nothing runs here.
//!
//! A path is matched after the listen path is taken off, percent-decoded, as a whole, with or without a
//! slash at its end. It is a regular expression in which `{name}` stands for one segment.
//!
//! Invariant: a pattern that was read compiles within [`PATTERN_BYTES_MAX`], and matching takes time
//! linear in the path's length.

use std::fmt;
use std::str::FromStr;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::json::{Fields, Findings, describe};
use crate::middleware::read_deadline;
use crate::{Hook, HookEntry, Limits};

/// Where the entries stand in a definition.
pub const FIELD: &str = "extended_paths.go_plugin";
/// The hook that a function of an endpoint is started for and called at: it does what a function at
/// `post` does, for fewer requests.
pub const HOOK: Hook = Hook::Post;
/// Bytes of a path pattern, at most.
pub const PATH_BYTES_MAX: usize = 512;
/// Bytes of a compiled pattern, at most.
pub const PATTERN_BYTES_MAX: usize = 64 << 10;
/// How deep groups of a pattern nest, at most.
const NESTING_MAX: u32 = 16;

/// A text that is no path pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// It could not match what it seems to.
    #[error("a path from `/` on, or a regular expression from `^` on")]
    Begin,
    /// It is too long.
    #[error("at most {PATH_BYTES_MAX} bytes")]
    Long,
    /// It is no regular expression, or one that is too large.
    #[error("a regular expression of linear time and at most {PATTERN_BYTES_MAX} bytes: {0}")]
    Regex(String),
}

/// Which paths an entry means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern(String);

impl PathPattern {
    /// The text, as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compiles it.
    ///
    /// # Errors
    /// Never for a pattern that was read by the same release.
    pub fn compile(&self) -> Result<PathMatcher, PatternError> {
        let expression = with_segments(without_final_slash(&self.0));
        // By itself first: a parenthesis too many must not close the group around it.
        build(&expression)?;
        build(&format!(r"\A(?:{expression})/?\z")).map(PathMatcher)
    }
}

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATH_BYTES_MAX {
            return Err(PatternError::Long);
        }
        if !text.starts_with(['/', '^']) {
            return Err(PatternError::Begin);
        }
        let pattern = Self(text.to_owned());
        pattern.compile().map(|_| pattern)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct PathMatcher(Regex);

impl PathMatcher {
    /// Whether a path is meant: percent-decoded, without the listen path; empty is the same as `/`.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.0.is_match(if path.is_empty() { b"/" } else { path })
    }
}

/// Bytes and not characters: a segment may hold any bytes, and one that is no text must not slip past.
fn build(expression: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(expression)
        .unicode(false)
        .dot_matches_new_line(true)
        .nest_limit(NESTING_MAX)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| PatternError::Regex(last_line(&error.to_string())))
}

/// The library draws a picture before it says what is wrong.
fn last_line(text: &str) -> String {
    let line = text.lines().next_back().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// Any path is meant with and without a slash at its end, whichever way it is written.
fn without_final_slash(pattern: &str) -> &str {
    match pattern.strip_suffix('/') {
        Some(bare) if !matches!(bare, "" | "^") && !bare.ends_with('\\') => bare,
        _ => pattern,
    }
}

/// Writes each `{name}` as one segment. What stands in a class or after a backslash is left alone, and
/// `{2}` and `{2,3}` are repetitions.
fn with_segments(pattern: &str) -> String {
    let mut expression = String::with_capacity(pattern.len() + 16);
    let (mut rest, mut in_class) = (pattern, false);
    while let Some(character) = rest.chars().next() {
        let mut taken = character.len_utf8();
        match character {
            '\\' => taken = escape_length(rest),
            '[' => in_class = true,
            ']' => in_class = false,
            '{' if !in_class => {
                if let Some(length) = name_length(&rest[1..]) {
                    expression.push_str("(?-u:[^/]+)");
                    rest = &rest[length + 2..];
                    continue;
                }
            }
            _ => {}
        }
        expression.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    expression
}

/// The bytes of an escape: `\p{Greek}` and its like with their braces.
fn escape_length(text: &str) -> usize {
    let Some(kind) = text[1..].chars().next() else {
        return 1;
    };
    let begun = 1 + kind.len_utf8();
    if matches!(kind, 'p' | 'P' | 'x' | 'u' | 'U' | 'b') && text[begun..].starts_with('{') {
        return text.find('}').map_or(begun, |end| end + 1);
    }
    begun
}

/// The bytes of a name that ends with a brace.
fn name_length(text: &str) -> Option<usize> {
    let name = &text[..text.find('}')?];
    let begins = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let goes_on = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    let is_name = name.bytes().next().is_some_and(begins) && name.bytes().all(goes_on);
    is_name.then_some(name.len())
}

/// One function of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointEntry {
    /// The method, in capitals.
    pub method: String,
    /// The path.
    pub path: PathPattern,
    /// The function and its file.
    pub entry: HookEntry,
}

impl EndpointEntry {
    /// Where an entry stands in its definition.
    pub fn place(position: usize) -> String {
        format!("{FIELD}[{position}]")
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "method": self.method, "path": self.path.as_str(),
            "plugin_path": self.entry.path.as_str(), "func_name": self.entry.function.as_str(),
        });
        self.entry.write_rest(&mut entry);
        entry
    }
}

/// Whether an entry for one method means a request of another. As in most servers, what is said of GET
/// holds for HEAD, which asks for the same without its content.
pub fn method_matches(entry: &str, request: &str) -> bool {
    entry == request || (entry == "GET" && request == "HEAD")
}

/// Reads `extended_paths`. What is wrong goes to `findings`.
pub fn read(
    map: Map<String, Value>,
    limits: &Limits,
    findings: &mut Findings,
) -> Vec<EndpointEntry> {
    let mut fields = Fields::new("extended_paths", map, findings);
    let entries = fields.array("go_plugin").unwrap_or_default();
    let (count, max) = (entries.len(), limits.endpoint_entries_max);
    if count > max {
        let expected = format!("at most {max} entries");
        fields.error("go_plugin", "TOO_MANY", expected, count.to_string());
    }
    fields.finish();
    if count > max {
        return Vec::new();
    }
    let entries = entries.into_iter().enumerate();
    entries
        .filter_map(|(i, value)| read_entry(&EndpointEntry::place(i), value, findings))
        .collect()
}

/// The object, as [`read`] takes it.
pub fn to_json(entries: &[EndpointEntry]) -> Value {
    let entries: Vec<_> = entries.iter().map(EndpointEntry::to_json).collect();
    json!({"go_plugin": entries})
}

fn read_entry(path: &str, value: Value, findings: &mut Findings) -> Option<EndpointEntry> {
    let Value::Object(map) = value else {
        let expected = "an object with method, path, plugin_path and func_name";
        findings.error(path, "FIELD_TYPE", expected, describe(&value));
        return None;
    };
    let mut fields = Fields::new(path, map, findings);
    let method: Option<String> = fields.required("method", "the method, such as GET");
    let method = method.and_then(|method| {
        let is_token = !method.is_empty() && method.len() <= 32;
        if is_token && method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') {
            return Some(method.to_ascii_uppercase());
        }
        let found = describe(&Value::String(method));
        fields.error("method", "FIELD_INVALID", "a method, such as GET", found);
        None
    });
    let pattern = fields.required("path", "the endpoint's path");
    let library = fields.required("plugin_path", "the library's file name");
    let function = fields.required("func_name", "the function's name");
    let disabled = fields.boolean("disabled").unwrap_or(false);
    let deadline_ms = read_deadline(&mut fields);
    fields.finish();
    Some(EndpointEntry {
        method: method?,
        path: pattern?,
        entry: HookEntry {
            function: function?,
            path: library?,
            disabled,
            deadline_ms,
            inline: None,
        },
    })
}

#[cfg(test)]
mod tests;
