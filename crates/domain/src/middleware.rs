//! `custom_middleware`: which functions of which files run at which hook. The same object stands in
//! a bundle's manifest and in an API definition; its field names are those that gateway users know.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::json::{Fields, Findings, describe};
use crate::{FileName, FunctionName, Hook, Inline, Limits};

/// The longest time that an entry may give to a call, milliseconds: an hour.
pub const DEADLINE_MS_MAX: u64 = 3_600_000;

/// One function at one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookEntry {
    /// The function's name within its library.
    pub function: FunctionName,
    /// The library, by the name that resolution starts from.
    pub path: FileName,
    /// Kept but not run.
    pub disabled: bool,
    /// Time for a call that pends or blocks, milliseconds; the gateway's own where absent.
    pub deadline_ms: Option<u64>,
    /// Where its author says that it runs. Only manifests say so.
    pub inline: Option<Inline>,
}

/// What a middleware stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Document {
    Definition,
    Manifest,
}

/// The functions of an API or a bundle, by hook, in the order in which they run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Middleware {
    entries: [Vec<HookEntry>; 5],
}

impl Middleware {
    /// All entries of a hook, disabled ones too.
    pub fn entries(&self, hook: Hook) -> &[HookEntry] {
        &self.entries[hook as usize]
    }

    /// The entries that run, with hook and position among all entries of the hook.
    pub fn enabled(&self) -> impl Iterator<Item = (Hook, usize, &HookEntry)> {
        Hook::ALL.into_iter().flat_map(move |hook| {
            let entries = self.entries(hook).iter().enumerate();
            entries
                .filter(|(_, entry)| !entry.disabled)
                .map(move |(i, entry)| (hook, i, entry))
        })
    }

    /// Whether any function runs at the hook.
    pub fn runs_at(&self, hook: Hook) -> bool {
        self.entries(hook).iter().any(|entry| !entry.disabled)
    }

    /// Whether there are no entries at all.
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(Vec::is_empty)
    }

    /// Reads the object at `path` of an API definition. What is wrong goes to `findings`.
    pub fn read(
        path: &str,
        map: Map<String, Value>,
        limits: &Limits,
        findings: &mut Findings,
    ) -> Self {
        Self::read_in(Document::Definition, path, map, limits, findings)
    }

    /// Reads the object at `path` of a bundle's manifest, whose entries may say `inline`.
    pub fn read_of_manifest(
        path: &str,
        map: Map<String, Value>,
        limits: &Limits,
        findings: &mut Findings,
    ) -> Self {
        let middleware = Self::read_in(Document::Manifest, path, map, limits, findings);
        middleware.check_inline(path, findings);
        middleware
    }

    fn read_in(
        document: Document,
        path: &str,
        map: Map<String, Value>,
        limits: &Limits,
        findings: &mut Findings,
    ) -> Self {
        let mut fields = Fields::new(path, map, findings);
        check_driver(&mut fields);
        let mut middleware = Self::default();
        for hook in Hook::ALL {
            let entries = match hook {
                Hook::Auth => fields
                    .object(hook.field())
                    .map(|map| vec![Value::Object(map)]),
                _ => fields.array(hook.field()),
            }
            .unwrap_or_default();
            if entries.len() > limits.hook_entries_max {
                let max = limits.hook_entries_max;
                fields.error(
                    hook.field(),
                    "TOO_MANY",
                    format!("at most {max} entries"),
                    entries.len().to_string(),
                );
                continue;
            }
            let field = fields.path(hook.field());
            for (i, value) in entries.into_iter().enumerate() {
                let at = place(&field, hook, i);
                let entry = read_entry(document, &at, value, fields.findings());
                middleware.entries[hook as usize].extend(entry);
            }
        }
        fields.finish();
        middleware
    }

    /// A function is built once, whatever hooks name it: what entries say of it must agree.
    fn check_inline(&self, path: &str, findings: &mut Findings) {
        let mut said: BTreeMap<_, (Inline, String)> = BTreeMap::new();
        for (hook, i, entry) in self.enabled() {
            let Some(inline) = entry.inline else {
                continue;
            };
            let at = place(&format!("{path}.{}", hook.field()), hook, i);
            let first = said.entry((&entry.path, &entry.function));
            let (known, before) = &*first.or_insert_with(|| (inline, at.clone()));
            if *known != inline {
                let expected = format!("{known}, as {before} says of {}", entry.function);
                let at = format!("{at}.inline");
                findings.error(at, "INLINE_CONFLICT", expected, inline.to_string());
            }
        }
    }

    /// The object, as `read` takes it.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("driver".into(), json!("goplugin"));
        for hook in Hook::ALL {
            let entries: Vec<_> = self.entries(hook).iter().map(HookEntry::to_json).collect();
            match (hook, entries.is_empty()) {
                (_, true) => {}
                (Hook::Auth, false) => drop(map.insert(hook.field().into(), entries[0].clone())),
                (_, false) => drop(map.insert(hook.field().into(), Value::Array(entries))),
            }
        }
        Value::Object(map)
    }
}

impl HookEntry {
    fn to_json(&self) -> Value {
        let mut entry = json!({"name": self.function.as_str(), "path": self.path.as_str()});
        self.write_rest(&mut entry);
        entry
    }

    /// What entries of hooks and of endpoints have in common, where it is not the default.
    pub(crate) fn write_rest(&self, entry: &mut Value) {
        if self.disabled {
            entry["disabled"] = json!(true);
        }
        if let Some(deadline_ms) = self.deadline_ms {
            entry["deadline_ms"] = json!(deadline_ms);
        }
        if let Some(inline) = self.inline {
            entry["inline"] = inline.to_json();
        }
    }
}

/// Where an entry of a hook stands: `auth_check` has one.
pub(crate) fn place(field: &str, hook: Hook, position: usize) -> String {
    match hook {
        Hook::Auth => field.to_owned(),
        _ => format!("{field}[{position}]"),
    }
}

/// Reads where a function runs. That is built into its library, so a definition cannot ask for it.
fn read_inline(document: Document, fields: &mut Fields<'_>) -> Option<Inline> {
    let value = fields.value("inline")?;
    if document == Document::Definition {
        let expected = "no such field: a function runs inline where its source or its bundle's manifest \
                        says so";
        fields.error("inline", "FIELD_UNKNOWN", expected, describe(&value));
        return None;
    }
    let inline = Inline::from_json(&value);
    if inline.is_none() {
        fields.error(
            "inline",
            "FIELD_INVALID",
            Inline::EXPECTED,
            describe(&value),
        );
    }
    inline
}

/// Reads how long a call may take.
pub(crate) fn read_deadline(fields: &mut Fields<'_>) -> Option<u64> {
    let deadline_ms = fields.unsigned("deadline_ms")?;
    if !(1..=DEADLINE_MS_MAX).contains(&deadline_ms) {
        let expected = format!("1 to {DEADLINE_MS_MAX} milliseconds");
        fields.error(
            "deadline_ms",
            "FIELD_INVALID",
            expected,
            deadline_ms.to_string(),
        );
    }
    Some(deadline_ms)
}

/// An empty or foreign driver would mean that the functions silently never run.
fn check_driver(fields: &mut Fields<'_>) {
    const EXPECTED: &str = "\"goplugin\" or \"native\" (the same)";
    if !fields.has("driver") {
        fields.error("driver", "DRIVER_UNSUPPORTED", EXPECTED, "nothing");
        return;
    }
    if let Some(driver) = fields.text("driver")
        && !matches!(driver.as_str(), "goplugin" | "native")
    {
        fields.error(
            "driver",
            "DRIVER_UNSUPPORTED",
            EXPECTED,
            format!("{driver:?}"),
        );
    }
}

fn read_entry(
    document: Document,
    path: &str,
    value: Value,
    findings: &mut Findings,
) -> Option<HookEntry> {
    let Value::Object(map) = value else {
        findings.error(
            path,
            "FIELD_TYPE",
            "an object with name and path",
            describe(&value),
        );
        return None;
    };
    let mut fields = Fields::new(path, map, findings);
    let function = fields.required("name", "the function's name");
    let library = fields.required("path", "the library's file name");
    let disabled = fields.boolean("disabled").unwrap_or(false);
    let deadline_ms = read_deadline(&mut fields);
    let inline = read_inline(document, &mut fields);
    for (name, why) in [
        (
            "require_session",
            "native functions always see the session when there is one",
        ),
        (
            "raw_body_only",
            "native functions always see the body as it is",
        ),
    ] {
        if fields.boolean(name).is_some() {
            let at = fields.path(name);
            fields
                .findings()
                .warn(at, "FIELD_IGNORED", format!("has no effect: {why}"));
        }
    }
    fields.finish();
    Some(HookEntry {
        function: function?,
        path: library?,
        disabled,
        deadline_ms,
        inline,
    })
}
