//! Writes the archive of a bundle: the same bundle gives the same bytes, on every machine.

use std::fs::File;
use std::io::{self, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::source::{BundleError, BundleSource, MANIFEST};

/// Deflate level: beyond it archives of machine code hardly shrink.
const LEVEL: i64 = 6;

/// Writes `source` as a zip archive: the canonical manifest, complete with digests, and then the files
/// in its order. Times and permissions are fixed, so equal bundles are equal archives.
///
/// # Errors
/// A file that cannot be read, or `out` that cannot be written.
pub fn pack(source: &BundleSource, out: impl Write + Seek) -> Result<(), BundleError> {
    let broken = |e: zip::result::ZipError| BundleError::unwritable(io::Error::from(e));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(LEVEL))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(out);
    zip.start_file(MANIFEST, options).map_err(broken)?;
    zip.write_all(source.manifest().canonical().as_bytes())
        .map_err(BundleError::unwritable)?;
    for file in source.files() {
        let path = source.path_of(&file.name);
        let mut reader = File::open(&path).map_err(|e| BundleError::unreadable(&path, e))?;
        zip.start_file(
            file.name.as_str(),
            options.large_file(file.size_bytes >= 0xffff_0000),
        )
        .map_err(broken)?;
        io::copy(&mut reader, &mut zip).map_err(|e| BundleError::unreadable(&path, e))?;
    }
    zip.finish().map_err(broken)?;
    Ok(())
}
