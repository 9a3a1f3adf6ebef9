//! Why a library was not loaded, a function not started, a call failed. Each has a stable code.

use std::path::PathBuf;

use gantry_domain::{AbiVersion, FunctionFlag, FunctionName, Hook, HookSet};
use thiserror::Error;

/// Why a library cannot be loaded. The library stays mapped, because its constructors ran.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The system's loader refused it: missing, wrong architecture, missing dependencies.
    #[error("open library {path}: {reason}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// It is a library, but no plugin.
    #[error("library {path} does not export {symbol}", symbol = gantry_abi::SYMBOL)]
    EntryMissing {
        /// The file.
        path: PathBuf,
    },
    /// A pointer of its tables is null or misaligned.
    #[error("{what} is {found}; expected a valid pointer")]
    BadPointer {
        /// The pointer's place in the tables.
        what: String,
        /// `null` or `misaligned`.
        found: &'static str,
    },
    /// A table that ends before fields that every version has.
    #[error("{what} has {found} bytes; expected at least {expected}")]
    TableTooSmall {
        /// The table.
        what: String,
        /// The size it says.
        found: u32,
        /// The size of the first version.
        expected: usize,
    },
    /// It was built for another version of the contract.
    #[error(
        "the library speaks contract {found}; this gateway speaks {host} and loads the same major version, minor up to its own"
    )]
    AbiMismatch {
        /// The library's version.
        found: AbiVersion,
        /// This host's version.
        host: AbiVersion,
    },
    /// Bits that this host does not know.
    #[error("{what} has the bits {bits:#x}, which this gateway does not know")]
    BitsUnknown {
        /// The field.
        what: String,
        /// The bits.
        bits: u64,
    },
    /// Bits that the contract reserves and this host does not serve.
    #[error("{what} asks with the bits {bits:#x} for what this gateway does not offer yet")]
    BitsUnsupported {
        /// The field.
        what: String,
        /// The bits.
        bits: u64,
    },
    /// A name or version that is none.
    #[error("{what}: {reason}")]
    NameInvalid {
        /// The field.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// No function, or too many.
    #[error("the library has {found} functions; expected 1 to {max}", max = gantry_abi::limits::FUNCTIONS_MAX)]
    FunctionCount {
        /// The number it says.
        found: usize,
    },
    /// Two functions of one name.
    #[error("function {0} is there twice")]
    FunctionDuplicate(FunctionName),
    /// A function for no hook.
    #[error("function {0} is for no hook; expected at least one")]
    NoHook(FunctionName),
    /// A function wants a body that none of its hooks has.
    #[error("function {function} is for {hooks} and declares {flag}; none of these hooks has that body", flag = .flag.as_str())]
    BodyNowhere {
        /// The function.
        function: FunctionName,
        /// What it declares.
        flag: FunctionFlag,
        /// Its hooks.
        hooks: HookSet,
    },
}

impl LoadError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "LIBRARY_OPEN_FAILED",
            Self::EntryMissing { .. } => "ENTRY_MISSING",
            Self::BadPointer { .. } => "TABLE_POINTER_INVALID",
            Self::TableTooSmall { .. } => "TABLE_TOO_SMALL",
            Self::AbiMismatch { .. } => "ABI_MISMATCH",
            Self::BitsUnknown { .. } => "FLAG_UNKNOWN",
            Self::BitsUnsupported { .. } => "FLAG_UNSUPPORTED",
            Self::NameInvalid { .. } => "NAME_INVALID",
            Self::FunctionCount { .. } => "FUNCTION_COUNT",
            Self::FunctionDuplicate(_) => "FUNCTION_DUPLICATE",
            Self::NoHook(_) => "FUNCTION_WITHOUT_HOOK",
            Self::BodyNowhere { .. } => "FUNCTION_BODY_NOWHERE",
        }
    }
}

/// Why a function was not started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The library has no such function.
    #[error("the library has no function {function}; it offers {offered}")]
    FunctionUnknown {
        /// The name asked for.
        function: FunctionName,
        /// The names there are.
        offered: String,
    },
    /// The function is not for this hook.
    #[error("function {function} is not for hook {hook}; it is for {offered}")]
    HookNotOffered {
        /// The function.
        function: FunctionName,
        /// The hook asked for.
        hook: Hook,
        /// The hooks it is for.
        offered: String,
    },
    /// The plugin refused, usually because of its configuration.
    #[error("function {function} did not start: {reason} (it returned {returned})")]
    Refused {
        /// The function.
        function: FunctionName,
        /// The plugin's words.
        reason: String,
        /// The number it returned.
        returned: i32,
    },
}

impl StartError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::FunctionUnknown { .. } => "FUNCTION_UNKNOWN",
            Self::HookNotOffered { .. } => "HOOK_NOT_OFFERED",
            Self::Refused { .. } => "START_REFUSED",
        }
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct CallFailure {
    /// The stable code.
    pub code: &'static str,
    /// What happened, for the log; names the function.
    pub message: String,
}

impl CallFailure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
