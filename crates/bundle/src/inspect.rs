//! Admission: whether a gateway could load a library, and for which target, from its bytes alone.
//!
//! Nothing is run or mapped: loading a library runs its constructors, so looking comes first. What is
//! admitted here is compatible as far as bytes can show; whether it is trusted is for its uploader's
//! rights, and whether it works is for the probe.

mod go;
mod image;
mod refusal;

use std::io::{self, Read, Seek, SeekFrom};

use gantry_domain::resolution::Convention;
use gantry_domain::{
    AbiVersion, Arch, FileName, GatewayVersion, LibcVersion, Os, Platform, PluginNote, Target,
};
use object::elf;
use object::read::{ReadCache, ReadRef};

pub use refusal::{InspectError, Refusal};

use image::{Dynamic, Image, Stack};

/// The contract that libraries are admitted for.
pub const HOST_ABI: AbiVersion = AbiVersion {
    major: gantry_abi::ABI_MAJOR,
    minor: gantry_abi::ABI_MINOR,
};

/// Libraries that a gateway's machine provides, by the names under which they are needed. Other
/// spellings, such as the `libc.so` of musl, are other libraries.
const NEEDED_ALLOWED: [&str; 10] = [
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libgcc_s.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "linux-vdso.so.1",
];

/// What a library is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What it was built for.
    pub target: Target,
    /// What it says about itself.
    pub note: PluginNote,
    /// What its author should know.
    pub warnings: Vec<InspectionWarning>,
}

/// Something admitted that the library's author should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InspectionWarning {
    /// A segment is writable and executable at once.
    WritableCode,
}

impl InspectionWarning {
    /// A stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::WritableCode => "SEGMENT_WRITABLE_CODE",
        }
    }

    /// What it means.
    pub const fn message(self) -> &'static str {
        match self {
            Self::WritableCode => {
                "a segment is writable and executable; hardened hosts refuse to load it"
            }
        }
    }
}

/// Inspects the bytes of a library that is called `file`.
///
/// # Errors
/// The first reason to refuse it.
pub fn inspect(bytes: &[u8], file: &FileName) -> Result<Inspection, InspectError> {
    admit(bytes, file).map_err(|refusal| InspectError {
        file: file.clone(),
        refusal,
    })
}

/// Inspects a library in place, reading only the pages that matter. `reader` should be unbuffered.
///
/// # Errors
/// The first reason to refuse it; [`Refusal::Unreadable`] when reading failed.
pub fn inspect_reader(
    reader: impl Read + Seek,
    file: &FileName,
) -> Result<Inspection, InspectError> {
    let cache = ReadCache::new(Watched {
        inner: reader,
        failure: None,
    });
    let verdict = admit(&cache, file);
    let verdict = match cache.into_inner().failure {
        Some(failure) => Err(Refusal::Unreadable(failure)),
        None => verdict,
    };
    verdict.map_err(|refusal| InspectError {
        file: file.clone(),
        refusal,
    })
}

/// Remembers that reading failed: below it, a failing disk and a file that is cut off look the same.
struct Watched<R> {
    inner: R,
    failure: Option<String>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).inspect_err(|e| {
            if e.kind() != io::ErrorKind::Interrupted {
                self.failure = Some(e.to_string());
            }
        })
    }
}

impl<R: Seek> Seek for Watched<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// The rules in the order in which an author can best act on them: what kind of file, for what
/// machine, of what contract, and only then how it was linked.
fn admit<'d, R: ReadRef<'d>>(data: R, file: &FileName) -> Result<Inspection, Refusal> {
    let image = Image::parse(data)?;
    let convention = Convention::of(file);
    let platform = platform(image.machine())?;
    if let Some(convention) = convention
        && convention.platform != platform
    {
        return Err(Refusal::NamePlatform {
            name: convention.platform,
            machine: platform,
        });
    }
    let dynamic = image.dynamic()?;
    if dynamic.is_program() {
        return Err(Refusal::Type("a position-independent executable".into()));
    }
    let note = note(&image, data)?;
    if !HOST_ABI.runs(note.abi) {
        return Err(Refusal::Abi {
            host: HOST_ABI,
            plugin: note.abi,
        });
    }
    let named = convention.map(|convention| convention.gateway_version);
    let gateway_version = gateway_version(named, note.gateway_version)?;
    check_entry(&dynamic)?;
    check_linking(&image, &dynamic)?;
    let target = Target {
        platform,
        gateway_version,
        libc: libc(&dynamic)?,
        abi: note.abi,
    };
    let warnings = image
        .has_writable_code()
        .then_some(InspectionWarning::WritableCode)
        .into_iter()
        .collect();
    Ok(Inspection {
        target,
        note,
        warnings,
    })
}

fn platform(machine: elf::Machine) -> Result<Platform, Refusal> {
    let arch = match machine {
        elf::EM_X86_64 => Arch::Amd64,
        elf::EM_AARCH64 => Arch::Arm64,
        other => return Err(Refusal::Machine(other.0)),
    };
    Ok(Platform {
        os: Os::Linux,
        arch,
    })
}

fn note<'d, R: ReadRef<'d>>(image: &Image<'d, R>, data: R) -> Result<PluginNote, Refusal> {
    let build = go::build_info(data);
    if let Some(build) = &build
        && build.is_go_plugin
    {
        return Err(Refusal::GoPluginBuildMode);
    }
    let notes = image.notes(gantry_abi::note::OWNER, gantry_abi::note::TYPE)?;
    let note = match notes[..] {
        [] => return Err(Refusal::NoteMissing),
        [note] => PluginNote::parse(note).map_err(Refusal::NoteInvalid)?,
        _ => return Err(Refusal::NoteRepeated(notes.len())),
    };
    match build {
        Some(build) if build.is_too_old() => Err(Refusal::GoTooOld(build.version)),
        _ => Ok(note),
    }
}

/// Name and note must agree; either alone decides.
fn gateway_version(
    named: Option<GatewayVersion>,
    noted: Option<GatewayVersion>,
) -> Result<Option<GatewayVersion>, Refusal> {
    match (named, noted) {
        (Some(name), Some(note)) if name != note => Err(Refusal::NameVersion { name, note }),
        (named, noted) => Ok(named.or(noted)),
    }
}

fn check_entry<'d, R: ReadRef<'d>>(dynamic: &Dynamic<'d, R>) -> Result<(), Refusal> {
    let symbol = gantry_abi::SYMBOL;
    let missing = |found| Refusal::EntryMissing { symbol, found };
    let entry = dynamic
        .exported(symbol)?
        .ok_or_else(|| missing("no such export"))?;
    if object::read::elf::Sym::st_type(entry) == elf::STT_FUNC {
        Ok(())
    } else {
        Err(missing("another kind of symbol"))
    }
}

fn check_linking<'d, R: ReadRef<'d>>(
    image: &Image<'d, R>,
    dynamic: &Dynamic<'d, R>,
) -> Result<(), Refusal> {
    let foreign = dynamic.needed()?.into_iter().find(|name| {
        !NEEDED_ALLOWED
            .iter()
            .any(|allowed| allowed.as_bytes() == *name)
    });
    if let Some(name) = foreign {
        return Err(Refusal::Needed(text(name)));
    }
    if let Some(path) = dynamic.run_path()? {
        return Err(Refusal::RunPath(text(path)));
    }
    if dynamic.has_text_relocations() {
        return Err(Refusal::TextRelocations);
    }
    match image.stack() {
        Stack::Plain => Ok(()),
        Stack::Executable => Err(Refusal::ExecutableStack("an executable one")),
        Stack::Unsaid => Err(Refusal::ExecutableStack(
            "no PT_GNU_STACK, which means an executable one",
        )),
    }
}

/// The highest glibc that the required symbol versions ask for.
fn libc<'d, R: ReadRef<'d>>(dynamic: &Dynamic<'d, R>) -> Result<Option<LibcVersion>, Refusal> {
    let mut highest = None;
    for name in dynamic.required_versions()? {
        let Some(version) = name.strip_prefix(b"GLIBC_") else {
            continue;
        };
        let version = glibc_version(version).ok_or_else(|| Refusal::LibcVersion(text(name)))?;
        highest = highest.max(Some(version));
    }
    Ok(highest)
}

/// `GLIBC_PRIVATE` ties a library to one very build of glibc, so it has no version here. The markers
/// `GLIBC_ABI_…` name features of the dynamic loader; each came with a known release.
fn glibc_version(version: &[u8]) -> Option<LibcVersion> {
    let minor = match version {
        b"ABI_DT_RELR" => 36,
        b"ABI_GNU_TLS" | b"ABI_GNU2_TLS" => 42,
        other => return std::str::from_utf8(other).ok()?.parse().ok(),
    };
    Some(LibcVersion { major: 2, minor })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
