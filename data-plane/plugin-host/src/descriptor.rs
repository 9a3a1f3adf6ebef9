//! What a loaded library says it is, copied out of its tables and checked.

use gantry_domain::{AbiVersion, FunctionName, HookSet, NotedFunction, PluginNote};

/// A library's descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The plugin's name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// The contract that it was built for.
    pub abi: AbiVersion,
    /// What it offers, sorted by name, as a note would declare it.
    pub functions: Vec<NotedFunction>,
}

impl Descriptor {
    /// The function of this name.
    pub fn function(&self, name: &FunctionName) -> Option<&NotedFunction> {
        self.functions
            .iter()
            .find(|function| function.name == *name)
    }

    /// The first difference between the library and the note it was admitted by, in words; `None` if
    /// the note tells the truth.
    pub fn differs_from(&self, note: &PluginNote) -> Option<String> {
        let differs = |what: &str, table: &str, noted: &str| {
            (table != noted)
                .then(|| format!("{what} is {table:?} in the table, {noted:?} in the note"))
        };
        differs("name", &self.name, &note.name)
            .or_else(|| differs("version", &self.version, &note.version))
            .or_else(|| differs("contract", &self.abi.to_string(), &note.abi.to_string()))
            .or_else(|| self.functions_differ(note))
    }

    fn functions_differ(&self, note: &PluginNote) -> Option<String> {
        for function in &self.functions {
            let Some(noted) = note.function(&function.name) else {
                return Some(format!(
                    "function {} is in the table, not in the note",
                    function.name
                ));
            };
            if function.hooks != noted.hooks {
                let (table, note) = (hooks(function.hooks), hooks(noted.hooks));
                return Some(format!(
                    "function {} is for {table} in the table, for {note} in the note",
                    function.name
                ));
            }
            if function.flags != noted.flags {
                return Some(format!(
                    "function {} has other flags in the table than in the note",
                    function.name
                ));
            }
        }
        let extra = note
            .functions
            .iter()
            .find(|noted| self.function(&noted.name).is_none())?;
        Some(format!(
            "function {} is in the note, not in the table",
            extra.name
        ))
    }
}

fn hooks(set: HookSet) -> String {
    if set.is_empty() {
        "no hook".to_owned()
    } else {
        set.to_string()
    }
}
