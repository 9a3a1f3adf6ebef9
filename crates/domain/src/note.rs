//! The note that a library carries about itself: an ELF note of owner `GANTRY`, type 1, with a JSON
//! descriptor. It is a declaration that can be read without running the library; a gateway's probe
//! holds it against the descriptor that the loaded library gives.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value, json};

use crate::json::{Fields, Findings, canonical, parse_object};
use crate::{AbiVersion, FieldError, FunctionName, GatewayVersion, Hook, HookSet};

/// Bytes of a note, at most.
pub const NOTE_BYTES_MAX: usize = 64 << 10;
/// Functions in a library, at most.
pub const NOTE_FUNCTIONS_MAX: usize = 256;

/// What a function declares about how it must be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionFlag {
    /// It may wait for the network, the disk or a lock, so it must not run inline.
    MayBlock,
    /// It reads or replaces the request's body, so that must be there whole before it runs.
    WantsRequestBody,
    /// It reads or replaces the response's body.
    WantsResponseBody,
    /// It may answer later, from any thread.
    MayPend,
}

impl FunctionFlag {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [
        Self::MayBlock,
        Self::WantsRequestBody,
        Self::WantsResponseBody,
        Self::MayPend,
    ];

    /// The name in notes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MayBlock => "may_block",
            Self::WantsRequestBody => "wants_request_body",
            Self::WantsResponseBody => "wants_response_body",
            Self::MayPend => "may_pend",
        }
    }
}

/// A function as a note declares it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotedFunction {
    /// Its name.
    pub name: FunctionName,
    /// Where it may run.
    pub hooks: HookSet,
    /// How it must be called, in order, each once.
    pub flags: Vec<FunctionFlag>,
    /// It ends within the call although its flags let it end later. Only notes say so: a gateway calls it
    /// as its flags say.
    pub inline: bool,
}

/// What a library says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginNote {
    /// The contract it speaks.
    pub abi: AbiVersion,
    /// The language it was written in, for people.
    pub language: String,
    /// The SDK's version, for people.
    pub sdk: String,
    /// The plugin's own name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// The gateway version it was built for, if for one.
    pub gateway_version: Option<GatewayVersion>,
    /// What it offers, sorted by name.
    pub functions: Vec<NotedFunction>,
}

impl PluginNote {
    /// Reads a note's descriptor.
    ///
    /// # Errors
    /// Every mistake in it, with its path.
    pub fn parse(descriptor: &[u8]) -> Result<Self, Vec<FieldError>> {
        let map = parse_object(descriptor, NOTE_BYTES_MAX, 8).map_err(|e| vec![e])?;
        let mut findings = Findings::default();
        let note = Self::read(map, &mut findings);
        match note {
            Some(note) if findings.errors.is_empty() => Ok(note),
            _ => Err(findings.errors),
        }
    }

    fn read(map: Map<String, Value>, findings: &mut Findings) -> Option<Self> {
        let mut fields = Fields::new("", map, findings);
        let abi = fields.object("abi");
        let language = fields.text("language").unwrap_or_default();
        let sdk = fields.text("sdk").unwrap_or_default();
        let name = fields.required::<String>("name", "the plugin's name");
        let version = fields.required::<String>("version", "the plugin's version");
        let gateway_version = fields.parsed("gateway_version");
        let functions = fields.array("functions").unwrap_or_default();
        if functions.is_empty() || functions.len() > NOTE_FUNCTIONS_MAX {
            let found = functions.len().to_string();
            fields.error(
                "functions",
                "FIELD_INVALID",
                format!("1 to {NOTE_FUNCTIONS_MAX} functions"),
                found,
            );
        }
        // A note may grow: what a newer SDK adds is not for us to refuse.
        let abi = read_abi(abi, findings);
        let mut functions: Vec<_> = functions
            .into_iter()
            .take(NOTE_FUNCTIONS_MAX)
            .enumerate()
            .filter_map(|(i, value)| read_function(i, value, findings))
            .collect();
        functions.sort();
        if let Some(pair) = functions
            .windows(2)
            .find(|pair| pair[0].name == pair[1].name)
        {
            findings.error(
                "functions",
                "FIELD_INVALID",
                "each function once",
                pair[0].name.as_str(),
            );
        }
        Some(Self {
            abi: abi?,
            language,
            sdk,
            name: name?,
            version: version?,
            gateway_version,
            functions,
        })
    }

    /// The function of this name.
    pub fn function(&self, name: &FunctionName) -> Option<&NotedFunction> {
        self.functions
            .iter()
            .find(|function| function.name == *name)
    }

    /// The note as a document.
    pub fn to_json(&self) -> Value {
        let functions: Vec<_> = self.functions.iter().map(NotedFunction::to_json).collect();
        let mut note = json!({
            "abi": {"major": self.abi.major, "minor": self.abi.minor},
            "language": self.language, "sdk": self.sdk,
            "name": self.name, "version": self.version, "functions": functions,
        });
        if let Some(version) = self.gateway_version {
            note["gateway_version"] = json!(version.to_string());
        }
        note
    }
}

impl fmt::Display for PluginNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&canonical(&self.to_json()))
    }
}

impl NotedFunction {
    fn to_json(&self) -> Value {
        let hooks: Vec<_> = self.hooks.iter().map(Hook::as_str).collect();
        let flags: Vec<_> = self.flags.iter().map(|flag| flag.as_str()).collect();
        let mut function = json!({"name": self.name.as_str(), "hooks": hooks, "flags": flags});
        if self.inline {
            function["inline"] = json!(true);
        }
        function
    }
}

fn read_abi(map: Option<Map<String, Value>>, findings: &mut Findings) -> Option<AbiVersion> {
    let Some(map) = map else {
        findings.error(
            "abi",
            "FIELD_MISSING",
            "the contract's version, {\"major\": 0, \"minor\": 1}",
            "nothing",
        );
        return None;
    };
    let mut fields = Fields::new("abi", map, findings);
    let (major, minor) = (fields.unsigned("major"), fields.unsigned("minor"));
    fields.finish();
    let small = |n: Option<u64>| n.and_then(|n| u32::try_from(n).ok());
    let version = small(major).zip(small(minor));
    if version.is_none() {
        findings.error(
            "abi",
            "FIELD_INVALID",
            "two small numbers, major and minor",
            "others",
        );
    }
    version.map(|(major, minor)| AbiVersion { major, minor })
}

fn read_function(i: usize, value: Value, findings: &mut Findings) -> Option<NotedFunction> {
    let path = format!("functions[{i}]");
    let Value::Object(map) = value else {
        findings.error(
            path,
            "FIELD_TYPE",
            "an object",
            crate::json::describe(&value),
        );
        return None;
    };
    let mut fields = Fields::new(path.clone(), map, findings);
    let name = fields.required("name", "the function's name");
    let hooks = fields.array("hooks").unwrap_or_default();
    let flags = fields.array("flags").unwrap_or_default();
    let inline = fields.boolean("inline").unwrap_or(false);
    let hooks = hooks
        .iter()
        .map(|hook| hook.as_str().and_then(|hook| hook.parse::<Hook>().ok()))
        .collect::<Option<HookSet>>()
        .filter(|hooks| !hooks.is_empty());
    let flags = flags
        .iter()
        .map(|flag| {
            let mut known = FunctionFlag::ALL.into_iter();
            known.find(|known| flag.as_str() == Some(known.as_str()))
        })
        .collect::<Option<BTreeSet<_>>>();
    if hooks.is_none() {
        findings.error(
            format!("{path}.hooks"),
            "FIELD_INVALID",
            "at least one of pre, auth, post_auth, post, response",
            "other",
        );
    }
    if flags.is_none() {
        findings.error(
            format!("{path}.flags"),
            "FIELD_INVALID",
            "any of may_block, wants_request_body, wants_response_body, may_pend",
            "other",
        );
    }
    Some(NotedFunction {
        name: name?,
        hooks: hooks?,
        flags: flags?.into_iter().collect(),
        inline,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = r#"{"abi":{"major":0,"minor":1},"language":"c","sdk":"0.1.0","name":"n","version":"1.0.0",
        "gateway_version":"5.3.0","functions":[{"name":"B","hooks":["pre","post"],"flags":[]},
        {"name":"A","hooks":["auth"],"flags":["wants_request_body","may_block"],"inline":true}],"added_later":{}}"#;

    #[test]
    fn note_reads_sorts_and_prints_back() {
        let note = PluginNote::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.functions[0].name.as_str(), "A");
        let flags = [FunctionFlag::MayBlock, FunctionFlag::WantsRequestBody];
        assert_eq!(note.functions[0].flags, flags);
        let inline = note.functions.iter().map(|function| function.inline);
        assert_eq!(inline.collect::<Vec<_>>(), [true, false]);
        assert_eq!(note.gateway_version, Some(GatewayVersion::new(5, 3, 0)));
        assert_eq!(
            PluginNote::parse(note.to_string().as_bytes()).unwrap(),
            note
        );
    }

    #[test]
    fn note_without_functions_or_with_a_doubled_one_is_refused() {
        let without = NOTE.replace(r#""name":"A""#, r#""name":"B""#);
        assert_eq!(
            PluginNote::parse(without.as_bytes()).unwrap_err()[0].path,
            "functions"
        );
        let empty = r#"{"abi":{"major":0,"minor":1},"name":"n","version":"1","functions":[]}"#;
        assert_eq!(
            PluginNote::parse(empty.as_bytes()).unwrap_err()[0].path,
            "functions"
        );
    }
}
