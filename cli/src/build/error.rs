//! Why a plugin could not be built, and what to do then. Each refusal has a stable code.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use gantry_bundle::InspectError;
use gantry_domain::Platform;
use thiserror::Error;

use super::go::of_a_fork;
use super::remarks::{Finding, in_order};
use super::toolchain::Missing;
use crate::exit::Exit;

/// Why a plugin could not be built.
#[derive(Debug, Error)]
pub(crate) enum BuildError {
    /// The source folder cannot be read.
    #[error("{}: expected a folder with a plugin's source", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// No language's files are in the folder.
    #[error("{}: expected Cargo.toml, go.mod, *.go or *.c, found none of them", .0.display())]
    LanguageUnknown(PathBuf),
    /// Files of two languages are in the folder.
    #[error("{}: expected one language, found {} and {}", folder.display(), found[0], found[1])]
    LanguageAmbiguous {
        folder: PathBuf,
        found: [&'static str; 2],
    },
    /// The language is clear, but this builds no plugin.
    #[error("{}: expected {expected}, found {found}", path.display())]
    NotAPlugin {
        path: PathBuf,
        expected: &'static str,
        found: String,
        advice: &'static str,
    },
    /// Programs or libraries that a build needs.
    #[error("not found: {}", names(.0))]
    ToolchainMissing(Vec<Missing>),
    /// Without zig there is one platform.
    #[error("--system-toolchain builds for {} only, found --target {}", Platform::current(), .0)]
    ForeignPlatform(Platform),
    /// Libraries for any gateway version bear the plain name, of which there is one.
    #[error("two platforms: expected --gateway-version, found none")]
    NamesCollide,
    /// More libraries than a call makes.
    #[error("expected at most {max} libraries (platforms × gateway versions), found {found}")]
    TooMany { max: usize, found: usize },
    /// The plugin's name makes no file name.
    #[error("plugin name {name:?}: expected {expected}")]
    Name { name: String, expected: String },
    /// Places in the source that cannot work, in order.
    #[error("{}", first(.0))]
    SourceRefused(Vec<Finding>),
    /// A module that the source needs and that Go cannot get. What Go said is printed above this.
    #[error("module {module}: expected Go to find it, and it does not")]
    ModuleMissing { module: String, said: String },
    /// A module whose path Go's own library has, so that Go cannot tell the two apart.
    #[error(
        "module {0}: expected a path of its own, found that of a package of Go's standard library"
    )]
    ModuleName(String),
    /// A compiler refused. What it said is printed above this.
    #[error("{doing} failed ({status})")]
    Failed {
        doing: String,
        status: ExitStatus,
        said: String,
    },
    /// The author's own code did not come to its end. What it said is printed above this.
    #[error("{doing}: expected an end within {limit_s} s, and there was none")]
    Overdue {
        doing: String,
        limit_s: u64,
        said: String,
    },
    /// A program of the toolchain could not be run.
    #[error("run {program}")]
    Program {
        program: String,
        #[source]
        source: io::Error,
    },
    /// A program of the toolchain answered in a way that makes no sense here.
    #[error("{program}: expected {expected}, found another answer")]
    Answer {
        program: &'static str,
        expected: &'static str,
    },
    /// The library was built, and a push would refuse it.
    #[error("{}: {}", .0.file, .0.refusal)]
    Refused(InspectError),
    /// The library is not what was asked for.
    #[error("{file}: expected a library {expected}, found one {found}")]
    Differs {
        file: String,
        expected: String,
        found: String,
    },
    /// A file of ours cannot be read or written.
    #[error("{}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl BuildError {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn source_refused(mut findings: Vec<Finding>) -> Self {
        in_order(&mut findings);
        Self::SourceRefused(findings)
    }

    /// A stable code.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Folder { .. } => "FOLDER_UNREADABLE",
            Self::LanguageUnknown(_) => "LANGUAGE_UNKNOWN",
            Self::LanguageAmbiguous { .. } => "LANGUAGE_AMBIGUOUS",
            Self::NotAPlugin { .. } => "NOT_A_PLUGIN",
            Self::ToolchainMissing(_) => "TOOLCHAIN_MISSING",
            Self::ForeignPlatform(_) => "TARGET_NEEDS_ZIG",
            Self::NamesCollide => "GATEWAY_VERSION_NEEDED",
            Self::TooMany { .. } => "TARGETS_TOO_MANY",
            Self::Name { .. } => "NAME_INVALID",
            Self::SourceRefused(findings) => findings
                .first()
                .map_or("SOURCE_REFUSED", |first| &first.code),
            Self::ModuleMissing { .. } => "MODULE_MISSING",
            Self::ModuleName(_) => "MODULE_NAME",
            Self::Failed { .. } => "BUILD_FAILED",
            Self::Overdue { .. } => "INIT_TIMEOUT",
            Self::Program { .. } | Self::Answer { .. } => "TOOLCHAIN_BROKEN",
            Self::Refused(error) => error.code(),
            Self::Differs { .. } => "TARGET_DIFFERS",
            Self::File { .. } => "FILE_UNUSABLE",
        }
    }

    /// What to do next. Places in the source have advice of their own.
    pub(crate) fn hints(&self) -> Vec<String> {
        let one = |hint: &str| vec![hint.to_owned()];
        match self {
            Self::ToolchainMissing(missing) => missing
                .iter()
                .map(|missing| format!("install {}: {}", missing.what, missing.command))
                .collect(),
            Self::LanguageUnknown(_) | Self::Folder { .. } => {
                one("name the folder that holds the plugin's Cargo.toml, go.mod, *.go or *.c")
            }
            Self::LanguageAmbiguous { .. } => {
                one("say which with --language rust, --language go or --language c")
            }
            Self::NotAPlugin { advice, .. } => one(advice),
            Self::ForeignPlatform(_) => one("leave --system-toolchain out: zig builds for both"),
            Self::NamesCollide => one(
                "give --gateway-version, so that file names tell the platforms apart, or build one \
                 --target at a time",
            ),
            Self::Name { .. } => one("give another with --name"),
            Self::ModuleMissing { module, .. } => {
                let general = "check its line in go.mod, GOPROXY and GOPRIVATE, or keep it in vendor/ with \
                               go mod vendor";
                of_a_fork(module).into_iter().chain(one(general)).collect()
            }
            Self::ModuleName(_) => one(
                "go mod edit -module example.com/plugin, and the same path where its packages are imported",
            ),
            Self::Refused(error) => error.advice().into_iter().map(str::to_owned).collect(),
            Self::Differs { .. } => one(
                "the note must take the gateway version from GANTRY_GATEWAY_VERSION, as the SDKs' \
                 macros do",
            ),
            Self::Overdue { .. } => one(
                "functions called init run when the plugin is built, too: start what waits when it is first \
                 needed, or in a goroutine",
            ),
            Self::SourceRefused(_)
            | Self::TooMany { .. }
            | Self::Failed { .. }
            | Self::Program { .. }
            | Self::Answer { .. }
            | Self::File { .. } => Vec::new(),
        }
    }

    /// The exit code of this refusal.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Folder { .. }
            | Self::LanguageUnknown(_)
            | Self::LanguageAmbiguous { .. }
            | Self::NotAPlugin { .. }
            | Self::ModuleName(_)
            | Self::ForeignPlatform(_)
            | Self::NamesCollide
            | Self::TooMany { .. }
            | Self::Name { .. } => Exit::Usage,
            Self::ToolchainMissing(_) => Exit::NotFound,
            Self::ModuleMissing { .. }
            | Self::Failed { .. }
            | Self::Overdue { .. }
            | Self::Program { .. }
            | Self::Answer { .. }
            | Self::File { .. } => Exit::Failed,
            Self::SourceRefused(_) | Self::Refused(_) | Self::Differs { .. } => Exit::Unverified,
        }
    }
}

fn names(missing: &[Missing]) -> String {
    let names: Vec<_> = missing
        .iter()
        .map(|missing| missing.what.as_str())
        .collect();
    names.join(", ")
}

fn first(findings: &[Finding]) -> String {
    findings.first().map(Finding::to_string).unwrap_or_default()
}
