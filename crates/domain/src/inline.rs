//! Where a function runs: in the gateway's own call, or where it may wait. It is built into a library,
//! by the language or by what the author says in the source or in the bundle's manifest.

use std::fmt;

use serde_json::{Value, json};

use crate::{FunctionFlag, NotedFunction};

/// Where a function runs, as the `inline` of a manifest's entry says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inline {
    /// Where it may wait: `false`.
    Apart,
    /// In the gateway's call, without the body: `true`.
    Call,
    /// In the gateway's call, with the body: `"body"`.
    CallWithBody,
}

impl Inline {
    /// What a field may hold.
    pub const EXPECTED: &'static str = "true, \"body\" (it reads or replaces the body) or false";

    /// Where a function of a library runs.
    pub fn of(function: &NotedFunction) -> Self {
        let has = |wanted: &[FunctionFlag]| function.flags.iter().any(|flag| wanted.contains(flag));
        let apart = has(&[FunctionFlag::MayBlock, FunctionFlag::MayPend]);
        let body = has(&[
            FunctionFlag::WantsRequestBody,
            FunctionFlag::WantsResponseBody,
        ]);
        match (apart && !function.inline, body) {
            (true, _) => Self::Apart,
            (false, false) => Self::Call,
            (false, true) => Self::CallWithBody,
        }
    }

    /// Reads a field's value; `None` for one that says nothing.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(false) => Some(Self::Apart),
            Value::Bool(true) => Some(Self::Call),
            Value::String(text) if text == "body" => Some(Self::CallWithBody),
            _ => None,
        }
    }

    /// The field's value.
    pub fn to_json(self) -> Value {
        match self {
            Self::Apart => json!(false),
            Self::Call => json!(true),
            Self::CallWithBody => json!("body"),
        }
    }
}

impl fmt::Display for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_json().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_and_others_say_nothing() {
        for inline in [Inline::Apart, Inline::Call, Inline::CallWithBody] {
            assert_eq!(Inline::from_json(&inline.to_json()), Some(inline));
        }
        for other in [json!("yes"), json!(1), json!(null), json!({})] {
            assert_eq!(Inline::from_json(&other), None);
        }
    }

    #[test]
    fn flags_say_where_a_function_runs_unless_its_note_does() {
        use FunctionFlag::{MayBlock, MayPend, WantsRequestBody, WantsResponseBody};
        let cases: [(&[FunctionFlag], bool, Inline); 8] = [
            (&[], false, Inline::Call),
            (&[WantsRequestBody], false, Inline::CallWithBody),
            (&[WantsResponseBody], false, Inline::CallWithBody),
            (&[MayBlock], false, Inline::Apart),
            (&[MayBlock, WantsRequestBody], false, Inline::Apart),
            (&[MayPend], false, Inline::Apart),
            (&[MayPend], true, Inline::Call),
            (&[WantsResponseBody, MayPend], true, Inline::CallWithBody),
        ];
        for (flags, inline, expected) in cases {
            let function = NotedFunction {
                name: "F".parse().unwrap(),
                hooks: [crate::Hook::Pre].into_iter().collect(),
                flags: flags.to_vec(),
                inline,
            };
            assert_eq!(Inline::of(&function), expected, "{flags:?} {inline}");
        }
    }
}
