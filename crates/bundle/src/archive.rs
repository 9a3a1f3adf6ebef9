//! Unpacks a zip archive that somebody else wrote, within limits.
//!
//! An archive is a way to overwrite files (`../`, absolute paths, symbolic links), to fill a disk
//! (bombs, overlapping entries) and to show two readers two different contents (double names, headers
//! that contradict each other). Each is refused before or while it happens; nothing is written outside
//! the folder that was given.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::rc::Rc;

use gantry_domain::{FileName, Limits};
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::source::{BundleError, MANIFEST};

/// Unpacked bytes per packed byte, at most. Machine code packs three to six times, a file of zeros a
/// thousand times.
const RATIO_MAX: u64 = 200;
/// Unpacked bytes of one entry that are allowed at any ratio.
const RATIO_FREE_BYTES: u64 = 1 << 20;
/// Bytes of headers per file, at most, beside the content.
const HEADER_BYTES_MAX: u64 = 64 << 10;
/// Bytes that finding the directory of entries may take, at most.
const SEARCH_BYTES_MAX: u64 = 1 << 20;
/// The bits of a Unix mode that tell the kind of file, and their value for a regular one.
const MODE_KIND: u32 = 0o170_000;
const MODE_REGULAR: u32 = 0o100_000;

/// Bytes of an archive, at most: the files as they are, and headers.
pub(crate) const fn archive_bytes_max(limits: &Limits) -> u64 {
    limits.bundle_bytes_max + headers_max(limits)
}

const fn headers_max(limits: &Limits) -> u64 {
    (limits.bundle_files_max as u64 + 1) * HEADER_BYTES_MAX
}

/// Unpacks `archive`, which was opened from `path`, into `folder`. Returns the entries' names.
pub(crate) fn unpack(
    archive: File,
    path: &Path,
    folder: &Path,
    limits: &Limits,
) -> Result<Vec<FileName>, BundleError> {
    let entries_max = limits.bundle_files_max as u64 + 1;
    let size = archive
        .metadata()
        .map_err(|e| BundleError::unreadable(path, e))?
        .len();
    within("bytes of the archive", size, archive_bytes_max(limits))?;
    let malformed = |e: ZipError| refuse(path, e);
    let left = Rc::new(Cell::new(headers_max(limits) + SEARCH_BYTES_MAX));
    let metered = Metered {
        file: archive,
        left: Rc::clone(&left),
    };
    let mut zip = ZipArchive::new(metered).map_err(malformed)?;
    left.set(u64::MAX);
    within("entries of the archive", zip.len() as u64, entries_max)?;
    let names = check_names(&zip)?;
    zip.validate_header_consistency().map_err(malformed)?;

    let mut left = limits.bundle_bytes_max;
    for (index, name) in names.iter().enumerate() {
        let entry = zip.by_index(index).map_err(malformed)?;
        let max = match name.as_str() {
            MANIFEST => limits.manifest_bytes_max as u64,
            _ => limits.file_bytes_max.min(left),
        };
        let out = folder.join(name.as_str());
        let written = unpack_entry(entry, name, &out, max, path)?;
        left = left.saturating_sub(written);
    }
    Ok(names)
}

/// Gives up after so many bytes: the directory of entries is read as a whole, and says itself how long
/// it is.
struct Metered {
    file: File,
    left: Rc<Cell<u64>>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let left = self.left.get().checked_sub(count as u64);
        let left = left.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.left.set(left);
        Ok(count)
    }
}

impl Seek for Metered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn within(what: &str, found: u64, max: u64) -> Result<(), BundleError> {
    if found <= max {
        return Ok(());
    }
    Err(BundleError::TooLarge {
        what: what.to_owned(),
        max,
        found,
    })
}

fn refuse(path: &Path, e: ZipError) -> BundleError {
    match e {
        ZipError::Io(e) if e.kind() == io::ErrorKind::FileTooLarge => BundleError::Headers,
        ZipError::Io(e) if e.kind() != io::ErrorKind::UnexpectedEof => {
            BundleError::unreadable(path, e)
        }
        other => BundleError::NotAnArchive {
            path: path.to_owned(),
            found: other.to_string(),
        },
    }
}

fn entry_error(entry: &str, code: &'static str, expected: &str, found: &str) -> BundleError {
    BundleError::Entry {
        entry: entry.chars().take(200).collect(),
        code,
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

/// A bundle is flat, so every name is a plain file name: with that, no path leaves the folder.
fn check_names(zip: &ZipArchive<Metered>) -> Result<Vec<FileName>, BundleError> {
    if zip.has_duplicate_names() {
        let duplicate = "several entries of one name";
        return Err(entry_error(
            "",
            "ENTRY_DUPLICATE",
            "each name once",
            duplicate,
        ));
    }
    zip.file_names_raw()
        .map(|raw| {
            let name = String::from_utf8_lossy(raw);
            name.parse::<FileName>()
                .map_err(|e| entry_error(&name, "ENTRY_NAME", "a plain file name", &e.to_string()))
        })
        .collect()
}

fn unpack_entry(
    mut entry: ZipFile<'_, Metered>,
    name: &FileName,
    out: &Path,
    bytes_max: u64,
    archive: &Path,
) -> Result<u64, BundleError> {
    check_kind(&entry, name)?;
    let ratio_max = entry
        .compressed_size()
        .saturating_mul(RATIO_MAX)
        .saturating_add(RATIO_FREE_BYTES);
    let mut file = File::create_new(out).map_err(BundleError::unwritable)?;
    let mut buffer = vec![0; 64 << 10];
    let mut written = 0;
    loop {
        let chunk = match entry.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => &buffer[..count],
            Err(e) => return Err(refuse_content(archive, name, &e)),
        };
        written += chunk.len() as u64;
        within(&format!("bytes of {name}"), written, bytes_max)?;
        if written > ratio_max {
            let expected = format!("at most {RATIO_MAX} times its packed size");
            return Err(entry_error(name.as_str(), "ENTRY_RATIO", &expected, "more"));
        }
        file.write_all(chunk).map_err(BundleError::unwritable)?;
    }
    if written != entry.size() {
        let (expected, found) = (entry.size().to_string(), written.to_string());
        return Err(entry_error(name.as_str(), "ENTRY_SIZE", &expected, &found));
    }
    Ok(written)
}

/// Damaged content and a failing disk both come as I/O errors; only the former has no OS error.
fn refuse_content(archive: &Path, name: &FileName, e: &io::Error) -> BundleError {
    match e.raw_os_error() {
        Some(os) => BundleError::unreadable(archive, io::Error::from_raw_os_error(os)),
        None => entry_error(
            name.as_str(),
            "ENTRY_DAMAGED",
            "intact content",
            &e.to_string(),
        ),
    }
}

fn check_kind(entry: &ZipFile<'_, Metered>, name: &FileName) -> Result<(), BundleError> {
    let refuse = |code, expected, found| Err(entry_error(name.as_str(), code, expected, found));
    if entry.is_symlink() {
        return refuse("ENTRY_NOT_A_FILE", "a regular file", "a symbolic link");
    }
    let kind = entry.unix_mode().unwrap_or(0) & MODE_KIND;
    if entry.is_dir() || (kind != 0 && kind != MODE_REGULAR) {
        return refuse("ENTRY_NOT_A_FILE", "a regular file", "something else");
    }
    if entry.encrypted() {
        return refuse("ENTRY_ENCRYPTED", "an unencrypted file", "an encrypted one");
    }
    match entry.compression() {
        CompressionMethod::Stored | CompressionMethod::Deflated => Ok(()),
        _ => refuse(
            "ENTRY_COMPRESSION",
            "deflate or none",
            "another compression",
        ),
    }
}
