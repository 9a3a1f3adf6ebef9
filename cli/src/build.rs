//! Builds a plugin from its author's folder, for every target in one call.
//!
//! [`language`] says what the folder holds, [`toolchain`] finds what builds it, one builder per
//! language ([`rust`], [`go`], [`c`]) compiles into a [`room`] of our own, and [`output`] holds each
//! library against the same rules as a push does before it takes its place.
//!
//! Invariants: nothing is written to the author's folder but what `cargo` itself writes there; no file
//! appears in the output folder unless every target was built and admitted, and none of them half
//! written; nothing built for another platform is run.
//!
//! Not here: what is printed, and how ([`crate::commands`]).

mod c;
mod error;
mod go;
mod language;
mod manifest;
mod output;
mod remarks;
mod room;
mod rust;
mod sdk;
mod step;
mod target;
mod toolchain;

use std::path::{Path, PathBuf};

use gantry_domain::{GatewayVersion, Platform};

pub(crate) use error::BuildError;
pub(crate) use language::Language;
pub(crate) use manifest::Manifest;
pub(crate) use output::Built;
pub(crate) use remarks::{Finding, Remarks, Skipped, in_order};
pub(crate) use target::{BuildTarget, GLIBC_FLOOR};

use room::Room;
use toolchain::{Missing, Tools};

/// Libraries of one call, at most.
const BUILDS_MAX: usize = 64;

/// What to build.
#[derive(Debug)]
pub(crate) struct Request {
    /// The author's folder.
    pub(crate) folder: PathBuf,
    /// The language, where the folder leaves it open.
    pub(crate) language: Option<Language>,
    /// Gateway versions; none means one library for any.
    pub(crate) gateway_versions: Vec<GatewayVersion>,
    /// Platforms, at least one.
    pub(crate) platforms: Vec<Platform>,
    /// Where libraries go.
    pub(crate) out: PathBuf,
    /// The plugin's name in file names; its own without it.
    pub(crate) name: Option<String>,
    /// What the bundle's manifest says of the plugin's functions.
    pub(crate) manifest: Manifest,
    /// The version of a plugin that does not say its own.
    pub(crate) plugin_version: String,
    /// The machine's compiler instead of zig.
    pub(crate) system_toolchain: bool,
    /// Where what is between source and library is kept.
    pub(crate) cache: PathBuf,
}

/// What happens, for those who watch.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// The folder holds a plugin in this language.
    Detected(Language),
    /// A build begins: the `number`th of `total`.
    Begun {
        target: &'a BuildTarget,
        number: usize,
        total: usize,
    },
    /// What the compiler said about a build that it made all the same.
    Said(&'a str),
}

/// Compiles a plugin of one language.
trait Builder {
    /// Compiles for a target and gives the library, which stays until the next build of that target.
    fn build(&mut self, target: &BuildTarget, room: &Room) -> Result<Compiled, BuildError>;
}

/// A library that was compiled, and nothing known of it yet.
#[derive(Debug)]
struct Compiled {
    library: PathBuf,
    /// What the compiler said.
    said: String,
    /// What is to be said about the source.
    remarks: Remarks,
}

/// Builds every target, and puts the libraries in their place.
pub(crate) fn build(
    request: &Request,
    watch: &dyn Fn(Event<'_>),
) -> Result<Vec<Built>, BuildError> {
    let targets = targets(request)?;
    let folder = request
        .folder
        .canonicalize()
        .and_then(|folder| folder.read_dir().map(|_| folder))
        .map_err(|source| BuildError::Folder {
            path: request.folder.clone(),
            source,
        })?;
    let language = match request.language {
        Some(language) => language,
        None => language::detect(&folder)?,
    };
    watch(Event::Detected(language));
    let tools = Tools::find(request.system_toolchain);
    // Compilers are run in folders of their own.
    let cache =
        std::path::absolute(&request.cache).map_err(|e| BuildError::file(&request.cache, e))?;
    let room = Room::enter(&cache, &folder)?;
    let mut builder = builder(language, &folder, tools, request, &cache)?;
    let mut admitted = Vec::with_capacity(targets.len());
    for (i, target) in targets.iter().enumerate() {
        watch(Event::Begun {
            target,
            number: i + 1,
            total: targets.len(),
        });
        let compiled = builder.build(target, &room)?;
        if !compiled.said.is_empty() {
            watch(Event::Said(&compiled.said));
        }
        admitted.push(output::admit(compiled, target, request)?);
    }
    output::place(admitted, &request.out)
}

fn builder(
    language: Language,
    folder: &Path,
    tools: Tools,
    request: &Request,
    cache: &Path,
) -> Result<Box<dyn Builder>, BuildError> {
    Ok(match language {
        Language::Rust => Box::new(rust::Crate::open(folder, tools, &request.platforms)?),
        Language::Go => go::open(folder, tools, request, cache)?,
        Language::C => Box::new(c::Sources::open(folder, tools)?),
    })
}

/// Refuses if a tool is missing, naming each.
fn require(missing: Vec<Missing>) -> Result<(), BuildError> {
    if missing.is_empty() {
        Ok(())
    } else {
        Err(BuildError::ToolchainMissing(missing))
    }
}

/// Every platform for every gateway version, each once.
fn targets(request: &Request) -> Result<Vec<BuildTarget>, BuildError> {
    let mut versions: Vec<_> = request.gateway_versions.iter().copied().map(Some).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.is_empty() {
        versions.push(None);
    }
    let mut platforms = request.platforms.clone();
    platforms.sort_unstable();
    platforms.dedup();
    if versions == [None] && platforms.len() > 1 {
        return Err(BuildError::NamesCollide);
    }
    let foreign = |platform: &&Platform| **platform != Platform::current();
    if request.system_toolchain
        && let Some(platform) = platforms.iter().find(foreign)
    {
        return Err(BuildError::ForeignPlatform(*platform));
    }
    if versions.len() * platforms.len() > BUILDS_MAX {
        return Err(BuildError::TooMany {
            max: BUILDS_MAX,
            found: versions.len() * platforms.len(),
        });
    }
    let all = versions.into_iter().flat_map(|gateway_version| {
        platforms.iter().map(move |platform| BuildTarget {
            platform: *platform,
            gateway_version,
        })
    });
    Ok(all.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(versions: &[&str], platforms: &[&str]) -> Request {
        Request {
            folder: PathBuf::new(),
            language: None,
            gateway_versions: versions.iter().map(|v| v.parse().unwrap()).collect(),
            platforms: platforms.iter().map(|p| p.parse().unwrap()).collect(),
            out: PathBuf::new(),
            name: None,
            manifest: Manifest::default(),
            plugin_version: String::new(),
            system_toolchain: false,
            cache: PathBuf::new(),
        }
    }

    #[test]
    fn targets_are_each_version_on_each_platform_once() {
        let request = request(
            &["v5.3.0", "5.2.1", "5.3.0-rc1"],
            &["linux/arm64", "linux/amd64"],
        );
        let targets = targets(&request).unwrap();
        let names: Vec<_> = targets
            .iter()
            .map(|target| target.file_name("p").unwrap().to_string())
            .collect();
        assert_eq!(
            names,
            [
                "p_v5.2.1_linux_amd64.so",
                "p_v5.2.1_linux_arm64.so",
                "p_v5.3.0_linux_amd64.so",
                "p_v5.3.0_linux_arm64.so"
            ]
        );
    }

    #[test]
    fn library_for_any_gateway_bears_the_plain_name_and_so_has_one_platform() {
        let one = targets(&request(&[], &["linux/arm64"])).unwrap();
        assert_eq!(one[0].file_name("p").unwrap().as_str(), "p.so");
        let refusal = targets(&request(&[], &["linux/arm64", "linux/amd64"])).unwrap_err();
        assert_eq!(refusal.code(), "GATEWAY_VERSION_NEEDED");
    }

    #[test]
    fn too_many_builds_and_foreign_ones_without_zig_are_refused() {
        let versions: Vec<_> = (0..=BUILDS_MAX).map(|i| format!("1.0.{i}")).collect();
        let versions: Vec<_> = versions.iter().map(String::as_str).collect();
        let refusal = targets(&request(&versions, &["linux/amd64"])).unwrap_err();
        assert_eq!(refusal.code(), "TARGETS_TOO_MANY");
        let mut both = request(&["5.3.0"], &["linux/amd64", "linux/arm64"]);
        both.system_toolchain = true;
        assert_eq!(targets(&both).unwrap_err().code(), "TARGET_NEEDS_ZIG");
    }
}
