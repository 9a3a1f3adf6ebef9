//! What the Go toolchain writes about a build. Read from the section `.go.buildinfo`, which loading
//! does not need and which may lie: good for advice and for refusing honest mistakes, no proof.

use object::elf::FileHeader64;
use object::endian::LittleEndian;
use object::read::ReadRef;
use object::read::elf::{FileHeader as _, SectionHeader as _};

const LE: LittleEndian = LittleEndian;
/// Bytes of build information that are looked at.
const BUILD_INFO_BYTES_MAX: u64 = 256 << 10;
/// Sections that are looked at; a stripped Go library has about 30.
const SECTIONS_MAX: usize = 512;
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The header before the text in the form that Go writes since 1.18.
const HEADER_BYTES: usize = 32;

/// A Go build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GoBuild {
    /// Such as `go1.22.3`; empty if unreadable.
    pub(super) version: String,
    /// Whether it was made for Go's own `plugin` package.
    pub(super) is_go_plugin: bool,
}

impl GoBuild {
    /// Whether the toolchain is known to be older than 1.21, which made entering Go from a thread of
    /// the host 35 times cheaper.
    pub(super) fn is_too_old(&self) -> bool {
        let minor = self
            .version
            .strip_prefix("go1.")
            .map(|rest| {
                rest.chars()
                    .take_while(char::is_ascii_digit)
                    .collect::<String>()
            })
            .and_then(|minor| minor.parse::<u32>().ok());
        minor.is_some_and(|minor| minor < 21)
    }
}

/// The build information, if the library is from Go and still has it.
pub(super) fn build_info<'d, R: ReadRef<'d>>(data: R) -> Option<GoBuild> {
    let header = FileHeader64::<LittleEndian>::parse(data).ok()?;
    if usize::from(header.e_shnum(LE)) > SECTIONS_MAX {
        return None;
    }
    let sections = header.sections(LE, data).ok()?;
    let (_, section) = sections.section_by_name(LE, b".go.buildinfo")?;
    let (offset, size) = section.file_range(LE)?;
    let bytes = data
        .read_bytes_at(offset, size.min(BUILD_INFO_BYTES_MAX))
        .ok()?;
    let text = bytes.strip_prefix(MAGIC).and(bytes.get(HEADER_BYTES..))?;
    Some(GoBuild {
        version: version(text),
        is_go_plugin: contains(text, b"-buildmode=plugin"),
    })
}

/// The first text: its length in one byte (versions are short), then the version.
fn version(text: &[u8]) -> String {
    text.split_first()
        .and_then(|(length, rest)| rest.get(..usize::from(*length)))
        .filter(|version| version.starts_with(b"go"))
        .map(|version| String::from_utf8_lossy(version).into_owned())
        .unwrap_or_default()
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_before_1_21_are_too_old() {
        for (version, too_old) in [
            ("go1.19.8", true),
            ("go1.20", true),
            ("go1.21rc2", false),
            ("go1.27.3", false),
            ("devel go1.99", false),
            ("", false),
        ] {
            let build = GoBuild {
                version: version.into(),
                is_go_plugin: false,
            };
            assert_eq!(build.is_too_old(), too_old, "{version}");
        }
    }
}
