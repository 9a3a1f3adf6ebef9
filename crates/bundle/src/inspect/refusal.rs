//! Everything that keeps a library out, each with a stable code, what was expected and what came.

use gantry_domain::{AbiVersion, FieldError, FileName, GatewayVersion, Platform};
use thiserror::Error;

/// A library that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}: {refusal} ({})", refusal.code())]
pub struct InspectError {
    /// The file.
    pub file: FileName,
    /// Why.
    pub refusal: Refusal,
}

impl InspectError {
    /// The stable code of the refusal.
    pub const fn code(&self) -> &'static str {
        self.refusal.code()
    }

    /// What its author can do, where there is one thing to do.
    pub const fn advice(&self) -> Option<&'static str> {
        self.refusal.advice()
    }
}

/// Why a library was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The file could not be read; says nothing about what is in it.
    #[error("expected a readable file, found: {0}")]
    Unreadable(String),
    /// Another kind of file.
    #[error("expected an ELF shared library, found {0}")]
    NotElf(String),
    /// ELF that contradicts itself or ends too early.
    #[error("expected a well-formed ELF file, found {0}")]
    Malformed(&'static str),
    /// 32-bit or big-endian.
    #[error("expected a 64-bit little-endian library, found {0}")]
    Class(&'static str),
    /// An executable, an object file or a core.
    #[error("expected a shared library (ET_DYN), found {0}")]
    Type(String),
    /// A processor that no gateway runs on.
    #[error("expected machine x86-64 or AArch64, found ELF machine {0}")]
    Machine(u16),
    /// The name says another platform than the machine code.
    #[error("expected a library for {name}, as its name says, found one for {machine}")]
    NamePlatform {
        /// From the file name.
        name: Platform,
        /// From the ELF header.
        machine: Platform,
    },
    /// The name says another gateway version than the note.
    #[error("expected one gateway version, found {name} in its name and {note} in its note")]
    NameVersion {
        /// From the file name.
        name: GatewayVersion,
        /// From the note.
        note: GatewayVersion,
    },
    /// No note of owner `GANTRY`.
    #[error("expected an ELF note of owner GANTRY, type 1, found none")]
    NoteMissing,
    /// A plugin of Go's own `plugin` package, which only the very same Go program can load.
    #[error("expected a C shared library, found a Go library of -buildmode=plugin")]
    GoPluginBuildMode,
    /// A note that does not parse.
    #[error("expected a valid note, found {}", list(.0))]
    NoteInvalid(Vec<FieldError>),
    /// Several notes of owner `GANTRY`.
    #[error("expected one note of owner GANTRY, found {0}")]
    NoteRepeated(usize),
    /// A contract that this version of Gantry does not serve.
    #[error("expected a plugin contract that {host} serves, found {plugin}")]
    Abi {
        /// Ours.
        host: AbiVersion,
        /// From the note.
        plugin: AbiVersion,
    },
    /// The entry function is not among the exported symbols.
    #[error("expected the exported function {symbol}, found {found}")]
    EntryMissing {
        /// Its name.
        symbol: &'static str,
        /// What there is instead.
        found: &'static str,
    },
    /// A library that gateways do not provide.
    #[error("expected only glibc and libgcc_s as needed libraries, found {0:?}")]
    Needed(String),
    /// A search path of its own, by which foreign code could be loaded.
    #[error("expected no RPATH or RUNPATH, found {0:?}")]
    RunPath(String),
    /// Relocations that write to code.
    #[error("expected position-independent code, found text relocations")]
    TextRelocations,
    /// Loading it would make all stacks of the process executable.
    #[error("expected a non-executable stack, found {0}")]
    ExecutableStack(&'static str),
    /// A symbol version whose glibc is not known.
    #[error("expected glibc symbol versions such as GLIBC_2.17, found {0:?}")]
    LibcVersion(String),
    /// Go before 1.21.
    #[error("expected a library built with Go 1.21 or newer, found {0}")]
    GoTooOld(String),
}

impl Refusal {
    /// A stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "FILE_UNREADABLE",
            Self::NotElf(_) => "ELF_MISSING",
            Self::Malformed(_) => "ELF_MALFORMED",
            Self::Class(_) => "ELF_CLASS",
            Self::Type(_) => "ELF_TYPE",
            Self::Machine(_) => "ELF_MACHINE",
            Self::NamePlatform { .. } => "NAME_PLATFORM_MISMATCH",
            Self::NameVersion { .. } => "NAME_VERSION_MISMATCH",
            Self::NoteMissing => "NOTE_MISSING",
            Self::GoPluginBuildMode => "GO_PLUGIN_BUILDMODE",
            Self::NoteInvalid(_) | Self::NoteRepeated(_) => "NOTE_INVALID",
            Self::Abi { .. } => "ABI_MISMATCH",
            Self::EntryMissing { .. } => "ENTRY_MISSING",
            Self::Needed(_) => "NEEDED_REFUSED",
            Self::RunPath(_) => "RUNPATH_REFUSED",
            Self::TextRelocations => "TEXTREL_REFUSED",
            Self::ExecutableStack(_) => "EXECSTACK_REFUSED",
            Self::LibcVersion(_) => "LIBC_VERSION_UNKNOWN",
            Self::GoTooOld(_) => "GO_TOO_OLD",
        }
    }

    /// What the author can do, where there is one thing to do.
    pub const fn advice(&self) -> Option<&'static str> {
        match self {
            Self::GoPluginBuildMode => Some(
                "build its source folder with `gantry build FOLDER`, which takes the same source",
            ),
            Self::NoteMissing | Self::NoteInvalid(_) | Self::NoteRepeated(_) => Some(
                "declare the plugin once with its SDK's macro (C: GANTRY_NOTE, Rust: \
                 gantry_plugin's), which writes note and table from the same facts",
            ),
            Self::EntryMissing { .. } => Some(
                "export the function with default visibility; the SDK's macro does, and \
                 `nm -D NAME.so` shows it",
            ),
            Self::NamePlatform { .. } | Self::NameVersion { .. } => {
                Some("rename the file or take the build that belongs to the name")
            }
            Self::Type(_) => Some("link it with -shared (Rust: crate-type = [\"cdylib\"])"),
            Self::TextRelocations => Some("compile with -fPIC"),
            Self::ExecutableStack(_) => {
                Some("link with -z noexecstack; assembler files need a .note.GNU-stack section")
            }
            Self::RunPath(_) => Some("link without -rpath"),
            Self::Needed(_) => Some("link other libraries statically"),
            Self::Abi { .. } => Some("build the plugin with the SDK of this Gantry release"),
            Self::GoTooOld(_) => Some("build it with a newer Go toolchain"),
            Self::Unreadable(_)
            | Self::NotElf(_)
            | Self::Malformed(_)
            | Self::Class(_)
            | Self::Machine(_)
            | Self::LibcVersion(_) => None,
        }
    }
}

fn list(errors: &[FieldError]) -> String {
    let messages: Vec<_> = errors.iter().map(ToString::to_string).collect();
    messages.join("; ")
}
