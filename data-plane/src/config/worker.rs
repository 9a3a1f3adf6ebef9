//! `[worker]`: the environment of workers and of the probe, and when a worker is replaced.
//!
//! Invariant: what the supervisor sets for every worker cannot be set here by name: the loader and the
//! runtimes of Go read it before anything of ours runs.

use std::collections::BTreeMap;

use gantry_domain::json::{Fields, Findings, describe};
use serde_json::{Map, Value};

use super::read::{bounded, count, timeout};

/// Variables of a worker, at most.
const ENV_MAX: usize = 256;
/// Bytes of a variable's name, at most.
const ENV_NAME_BYTES_MAX: usize = 128;
/// Bytes of a variable's value, at most.
const ENV_VALUE_BYTES_MAX: usize = 32 << 10;
/// Bytes of all names and values together, at most: an exec takes two megabytes at best.
const ENV_BYTES_MAX: usize = 256 << 10;
/// Processors of one Go runtime, at most.
const GO_MAX_PROCS_MAX: u64 = 1024;
/// Bytes of one Go runtime's memory limit, at least: below it nothing but collecting goes on.
const GO_MEMORY_LIMIT_MIN: u64 = 4 << 20;
/// Bytes, at most, of anything that is a number of bytes here.
const BYTES_MAX: u64 = 1 << 50;
/// A worker's resident memory by which it can be replaced, bytes, at least: without a library it has
/// some megabytes.
const MEMORY_BYTES_MIN: u64 = 16 << 20;
/// Pending calls of one function, at most: a worker has place for about a million.
const PENDING_CALLS_MAX: u64 = 100_000;
/// Libraries, at most, in any threshold: there is no worker that holds more.
const LIBRARIES_MAX: u64 = 100_000;

/// `[worker]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The environment of workers and of the probe, beside what the supervisor sets.
    pub env: BTreeMap<String, String>,
    /// Time that open connections get when a worker drains, milliseconds.
    pub drain_timeout_ms: u64,
    /// Time for a call of a function that pends or blocks, milliseconds, where nothing else is said.
    pub plugin_deadline_ms: u64,
    /// Calls of one function that pend or were given up, at most.
    pub pending_calls_max: usize,
    /// Processors that each Go runtime uses at once (`GOMAXPROCS`); all where absent.
    pub go_max_procs: Option<u64>,
    /// Bytes by which each Go runtime collects harder (`GOMEMLIMIT`); none where absent.
    pub go_memory_limit_bytes: Option<u64>,
    /// When a worker is replaced.
    pub replace_at: ReplaceAt,
}

/// `[worker.replace_at]`: what a worker has piled up when another takes its place. Libraries are never
/// unloaded; those that no generation holds any more are stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplaceAt {
    /// Stale Go libraries: each keeps a runtime with its threads.
    pub stale_go_libraries: u64,
    /// Go libraries ever loaded, if at least one of them is stale: each takes static thread-local
    /// storage, of which there is a fixed amount.
    pub go_libraries: u64,
    /// Stale libraries of other languages.
    pub stale_libraries: u64,
    /// Resident memory, bytes; never for its sake where absent.
    pub memory_bytes: Option<u64>,
}

impl Default for ReplaceAt {
    fn default() -> Self {
        Self {
            stale_go_libraries: 8,
            go_libraries: 128,
            stale_libraries: 200,
            memory_bytes: None,
        }
    }
}

/// Reads the section.
pub(super) fn read_worker(map: Map<String, Value>, findings: &mut Findings) -> Worker {
    let mut fields = Fields::new("worker", map, findings);
    let env = fields.object("env").unwrap_or_default();
    let replace_at = fields.object("replace_at").unwrap_or_default();
    let drain_timeout_ms = timeout(&mut fields, "drain_timeout_ms", 30_000);
    let plugin_deadline_ms = timeout(&mut fields, "plugin_deadline_ms", 30_000);
    let pending_calls_max = count(&mut fields, "pending_calls_max", 4096, PENDING_CALLS_MAX);
    let go_max_procs = optional(&mut fields, "go_max_procs", 1, GO_MAX_PROCS_MAX);
    let limit = "go_memory_limit_bytes";
    let go_memory_limit_bytes = optional(&mut fields, limit, GO_MEMORY_LIMIT_MIN, BYTES_MAX);
    fields.finish();
    Worker {
        env: read_env(env, findings),
        drain_timeout_ms,
        plugin_deadline_ms,
        pending_calls_max,
        go_max_procs,
        go_memory_limit_bytes,
        replace_at: read_replace_at(replace_at, findings),
    }
}

fn read_replace_at(map: Map<String, Value>, findings: &mut Findings) -> ReplaceAt {
    let mut fields = Fields::new("worker.replace_at", map, findings);
    let defaults = ReplaceAt::default();
    let mut count = |name, default| bounded(&mut fields, name, default, 1, LIBRARIES_MAX);
    let replace_at = ReplaceAt {
        stale_go_libraries: count("stale_go_libraries", defaults.stale_go_libraries),
        go_libraries: count("go_libraries", defaults.go_libraries),
        stale_libraries: count("stale_libraries", defaults.stale_libraries),
        memory_bytes: optional(&mut fields, "memory_bytes", MEMORY_BYTES_MIN, BYTES_MAX),
    };
    fields.finish();
    replace_at
}

fn optional(fields: &mut Fields<'_>, name: &str, min: u64, max: u64) -> Option<u64> {
    let value = fields.unsigned(name)?;
    if !(min..=max).contains(&value) {
        let expected = format!("{min} to {max}");
        fields.error(name, "OUT_OF_RANGE", expected, value.to_string());
    }
    Some(value)
}

fn read_env(map: Map<String, Value>, findings: &mut Findings) -> BTreeMap<String, String> {
    if map.len() > ENV_MAX {
        let expected = format!("at most {ENV_MAX} variables");
        findings.error("worker.env", "TOO_MANY", expected, map.len().to_string());
        return BTreeMap::new();
    }
    let mut env = BTreeMap::new();
    for (name, value) in map {
        match read_variable(&name, value) {
            Ok(text) => drop(env.insert(name, text)),
            Err((code, expected, found)) => {
                // A name of any length must not become a path of that length.
                let shown: String = name.chars().take(ENV_NAME_BYTES_MAX).collect();
                findings.error(format!("worker.env.{shown}"), code, expected, found);
            }
        }
    }
    let bytes: usize = env.iter().map(|(name, text)| name.len() + text.len()).sum();
    if bytes > ENV_BYTES_MAX {
        let expected = format!("at most {ENV_BYTES_MAX} bytes of names and values together");
        findings.error(
            "worker.env",
            "TOO_LARGE",
            expected,
            format!("{bytes} bytes"),
        );
    }
    env
}

/// The value of a variable; or code, expectation and finding.
fn read_variable(name: &str, value: Value) -> Result<String, (&'static str, String, String)> {
    let starts_right = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let consists_right = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !starts_right || !consists_right || name.len() > ENV_NAME_BYTES_MAX {
        let expected = format!(
            "a name of letters, digits and _, not beginning with a digit, of at most {ENV_NAME_BYTES_MAX} bytes"
        );
        return Err(("FIELD_INVALID", expected, format!("{} bytes", name.len())));
    }
    if let Some(advice) = reserved(name) {
        return Err(("FIELD_CONFLICT", advice.to_owned(), name.to_owned()));
    }
    match value {
        Value::String(text) if text.len() > ENV_VALUE_BYTES_MAX => {
            let expected = format!("at most {ENV_VALUE_BYTES_MAX} bytes");
            Err(("TOO_LARGE", expected, format!("{} bytes", text.len())))
        }
        Value::String(text) if text.contains('\0') => {
            let found = "a NUL character".to_owned();
            Err(("FIELD_INVALID", "text without NUL".to_owned(), found))
        }
        Value::String(text) => Ok(text),
        other => Err(("FIELD_TYPE", "text".to_owned(), describe(&other))),
    }
}

/// Why a variable cannot be set, if it cannot. `GODEBUG` can: it changes what its plugins do, and
/// nothing of ours.
fn reserved(name: &str) -> Option<&'static str> {
    match name {
        "GOMAXPROCS" => Some("worker.go_max_procs instead"),
        "GOMEMLIMIT" => Some("worker.go_memory_limit_bytes instead"),
        "RUST_BACKTRACE" | "RUST_LIB_BACKTRACE" | "GLIBC_TUNABLES" => {
            Some("another variable: the supervisor sets this one")
        }
        _ if name.starts_with("LD_") => {
            Some("another variable: this one changes what the loader loads into every worker")
        }
        _ if name.starts_with("GANTRY_") => {
            Some("another variable: these configure the gateway itself")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(document: &Value) -> Result<Worker, Vec<(String, &'static str)>> {
        let mut findings = Findings::default();
        let Value::Object(map) = document.clone() else {
            panic!("a table was expected");
        };
        let worker = read_worker(map, &mut findings);
        let errors: Vec<_> = findings
            .errors
            .into_iter()
            .map(|e| (e.path, e.code))
            .collect();
        if errors.is_empty() {
            Ok(worker)
        } else {
            Err(errors)
        }
    }

    fn refusal(name: &str, value: &Value) -> (String, &'static str) {
        let mut errors = read(&json!({"env": {name: value}})).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.remove(0)
    }

    #[test]
    fn variables_that_undo_what_workers_rely_on_are_refused() {
        for name in [
            "GLIBC_TUNABLES",
            "RUST_BACKTRACE",
            "RUST_LIB_BACKTRACE",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "GOMAXPROCS",
            "GOMEMLIMIT",
            "GANTRY_TOKEN",
        ] {
            let (path, code) = refusal(name, &json!("1"));
            assert_eq!(
                (path, code),
                (format!("worker.env.{name}"), "FIELD_CONFLICT")
            );
        }
        let allowed =
            json!({"env": {"GODEBUG": "netdns=go", "https_proxy": "http://p:1", "_X9": ""}});
        assert_eq!(read(&allowed).unwrap().env.len(), 3);
    }

    #[test]
    fn names_and_values_beyond_their_bounds_are_refused() {
        for name in ["", "9A", "A=B", "A B", "Ä", "A\0", &"A".repeat(129)] {
            assert_eq!(refusal(name, &json!("1")).1, "FIELD_INVALID", "{name:?}");
        }
        assert_eq!(refusal("A", &json!("\0")).1, "FIELD_INVALID");
        assert_eq!(refusal("A", &json!(1)).1, "FIELD_TYPE");
        assert_eq!(
            refusal("A", &json!("x".repeat((32 << 10) + 1))).1,
            "TOO_LARGE"
        );
        let many: Map<_, _> = (0..257).map(|n| (format!("A{n}"), json!(""))).collect();
        assert_eq!(read(&json!({"env": many})).unwrap_err()[0].1, "TOO_MANY");
        let large = "x".repeat(32 << 10);
        let large: Map<_, _> = (0..8).map(|n| (format!("A{n}"), json!(large))).collect();
        assert_eq!(read(&json!({"env": large})).unwrap_err()[0].1, "TOO_LARGE");
    }

    #[test]
    fn thresholds_have_defaults_and_bounds() {
        let worker = read(&json!({})).unwrap();
        assert_eq!(worker.replace_at, ReplaceAt::default());
        assert_eq!(
            (worker.go_max_procs, worker.go_memory_limit_bytes),
            (None, None)
        );
        let errors = read(&json!({
            "go_max_procs": 0, "go_memory_limit_bytes": 1,
            "replace_at": {"stale_go_libraries": 0, "memory_bytes": 1, "surprise": 1},
        }))
        .unwrap_err();
        let paths: Vec<_> = errors.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "worker.go_max_procs",
                "worker.go_memory_limit_bytes",
                "worker.replace_at.stale_go_libraries",
                "worker.replace_at.memory_bytes",
                "worker.replace_at.surprise"
            ]
        );
    }
}
