//! A bundle to be published, from a folder or from a zip archive; the same from there on.
//!
//! A folder is read in place. An archive is unpacked into a private temporary folder, because its
//! files are needed several times: hashed, inspected, sent, sent again from an offset. What is opened
//! here is complete: the manifest is legal, each of its files is there and has the digest that the
//! manifest gives. Files can change afterwards in a folder; the receiver finds that out by digest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use gantry_domain::admission::check_entries;
use gantry_domain::manifest::DraftManifest;
use gantry_domain::{Artifact, Digest, FieldError, FieldWarning, FileName, Limits, Manifest};
use tempfile::TempDir;
use thiserror::Error;

use crate::archive;
use crate::hash::{Md5Sum, StreamHasher};
use crate::inspect::{InspectError, Inspection, inspect_reader};

/// The manifest's name in a bundle.
pub const MANIFEST: &str = "manifest.json";
/// What the names of folders begin with that archives are unpacked into.
pub const UNPACKED_PREFIX: &str = "gantry-bundle-";

/// Why a bundle cannot be read or written.
#[derive(Debug, Error)]
pub enum BundleError {
    /// A file or folder that cannot be read or created.
    #[error("read {}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The archive or a temporary file could not be written.
    #[error("write the bundle")]
    Unwritable(#[source] io::Error),
    /// Not a zip archive, or a damaged one.
    #[error("{}: expected a zip archive, found: {found}", path.display())]
    NotAnArchive {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// An entry of the archive that a bundle may not have.
    #[error("{entry:?} in the archive: expected {expected}, found {found}")]
    Entry {
        /// The entry's name.
        entry: String,
        /// Stable code.
        code: &'static str,
        /// What would have been right.
        expected: String,
        /// What came.
        found: String,
    },
    /// The bundle has no `manifest.json` at its top.
    #[error("expected {MANIFEST} at the top of the bundle, found none")]
    ManifestMissing,
    /// The manifest is not legal, or does not fit the files.
    #[error("{MANIFEST}: {}", list(.0))]
    Manifest(Vec<FieldError>),
    /// An archive whose list of entries is longer than any bundle's.
    #[error("headers of the archive: expected those of a bundle's files, found far more")]
    Headers,
    /// More than the limits allow.
    #[error("{what}: expected at most {max}, found {found}")]
    TooLarge {
        /// What is too large or too many.
        what: String,
        /// The limit, inclusive.
        max: u64,
        /// How much there is; at least this much when it was cut off.
        found: u64,
    },
}

impl BundleError {
    /// A stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "FILE_UNREADABLE",
            Self::Unwritable(_) => "BUNDLE_UNWRITABLE",
            Self::NotAnArchive { .. } => "ARCHIVE_MALFORMED",
            Self::Entry { code, .. } => code,
            Self::ManifestMissing => "MANIFEST_MISSING",
            Self::Manifest(_) => "MANIFEST_INVALID",
            Self::Headers | Self::TooLarge { .. } => "TOO_LARGE",
        }
    }

    /// The fields of the manifest that are wrong.
    pub fn fields(&self) -> &[FieldError] {
        match self {
            Self::Manifest(errors) => errors,
            _ => &[],
        }
    }

    pub(crate) fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) const fn unwritable(source: io::Error) -> Self {
        Self::Unwritable(source)
    }
}

fn list(errors: &[FieldError]) -> String {
    let messages: Vec<_> = errors.iter().map(ToString::to_string).collect();
    messages.join("; ")
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Its name.
    pub name: FileName,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// A bundle that was found complete.
#[derive(Debug)]
pub struct BundleSource {
    manifest: Manifest,
    warnings: Vec<FieldWarning>,
    files: Vec<BundleFile>,
    folder: Folder,
}

#[derive(Debug)]
enum Folder {
    Given(PathBuf),
    Unpacked(TempDir),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Unpacked(folder) => folder.path(),
        }
    }
}

impl BundleSource {
    /// Opens a folder, the `manifest.json` of one, or a zip archive.
    ///
    /// # Errors
    /// The first reason why this is not a bundle within the limits.
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, BundleError> {
        let kind = fs::metadata(path).map_err(|e| BundleError::unreadable(path, e))?;
        if kind.is_dir() {
            return Self::open_folder(path, limits);
        }
        match path.file_name() {
            Some(name) if name == MANIFEST => {
                let parent = path.parent().filter(|parent| *parent != Path::new(""));
                Self::open_folder(parent.unwrap_or(Path::new(".")), limits)
            }
            _ => Self::open_archive(path, limits),
        }
    }

    /// Opens a folder. Files that the manifest does not list are not part of the bundle; a library
    /// among them is worth a warning.
    fn open_folder(path: &Path, limits: &Limits) -> Result<Self, BundleError> {
        let mut source = Self::complete(Folder::Given(path.to_owned()), limits)?;
        source.warnings.extend(unlisted(path, &source.manifest)?);
        Ok(source)
    }

    /// Opens an archive, every entry of which must belong to the bundle.
    fn open_archive(path: &Path, limits: &Limits) -> Result<Self, BundleError> {
        let file = File::open(path).map_err(|e| BundleError::unreadable(path, e))?;
        Self::unpack(file, path, &std::env::temp_dir(), limits)
    }

    /// Opens a temporary folder, which goes with this value.
    ///
    /// # Errors
    /// As for [`BundleSource::open`].
    pub fn open_in(folder: TempDir, limits: &Limits) -> Result<Self, BundleError> {
        Self::complete(Folder::Unpacked(folder), limits)
    }

    /// Bytes of an archive, at most.
    pub const fn archive_bytes_max(limits: &Limits) -> u64 {
        archive::archive_bytes_max(limits)
    }

    /// Unpacks an opened archive into a private folder below `parent`, which goes with this value.
    /// `path` is what errors call the archive. Every entry must belong to the bundle.
    ///
    /// # Errors
    /// As for [`BundleSource::open`].
    pub fn unpack(
        archive: File,
        path: &Path,
        parent: &Path,
        limits: &Limits,
    ) -> Result<Self, BundleError> {
        let folder =
            TempDir::with_prefix_in(UNPACKED_PREFIX, parent).map_err(BundleError::unwritable)?;
        let entries = archive::unpack(archive, path, folder.path(), limits)?;
        let source = Self::complete(Folder::Unpacked(folder), limits)?;
        let listed = |entry: &&FileName| {
            entry.as_str() != MANIFEST && source.manifest.digest_of(entry).is_none()
        };
        match entries.iter().find(listed) {
            None => Ok(source),
            Some(stranger) => Err(BundleError::Entry {
                entry: stranger.to_string(),
                code: "FILE_UNLISTED",
                expected: "only files of file_list".into(),
                found: "another file".into(),
            }),
        }
    }

    fn complete(folder: Folder, limits: &Limits) -> Result<Self, BundleError> {
        let bytes = read_manifest(folder.path(), limits)?;
        let draft = DraftManifest::parse(&bytes, limits).map_err(BundleError::Manifest)?;
        let mut warnings = draft.warnings.clone();
        let mut md5 = Md5Sum::new();
        let mut files = Vec::with_capacity(draft.files.len());
        let mut left = limits.bundle_bytes_max;
        for (name, _) in &draft.files {
            let max = limits.file_bytes_max.min(left);
            let file = hash_file(folder.path(), name, max, &mut md5)?;
            left -= file.size_bytes;
            files.push(file);
        }
        if let Some(checksum) = &draft.checksum {
            check_md5(checksum, &md5.finish())?;
            warnings.push(FieldWarning {
                path: "checksum".into(),
                code: "FIELD_IGNORED",
                message: "was verified, but nothing relies on MD5; sha256 is what counts".into(),
            });
        }
        let digests: BTreeMap<_, _> = files
            .iter()
            .map(|file| (file.name.clone(), file.digest))
            .collect();
        let manifest = draft
            .with_digests(&digests)
            .map_err(|e| BundleError::Manifest(vec![e]))?;
        Ok(Self {
            manifest,
            warnings,
            files,
            folder,
        })
    }

    /// The manifest, complete with digests.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What its author should know.
    pub fn warnings(&self) -> &[FieldWarning] {
        &self.warnings
    }

    /// The files, in the manifest's order.
    pub fn files(&self) -> &[BundleFile] {
        &self.files
    }

    /// Where a file lies. The path is gone when this value is, if it came from an archive.
    pub fn path_of(&self, file: &FileName) -> PathBuf {
        self.folder.path().join(file.as_str())
    }

    /// Inspects every file; each gets its own verdict.
    ///
    /// # Errors
    /// A file that is gone by now.
    pub fn inspect(&self) -> Result<Vec<Result<Inspection, InspectError>>, BundleError> {
        self.files
            .iter()
            .map(|file| {
                let path = self.path_of(&file.name);
                let opened = File::open(&path).map_err(|e| BundleError::unreadable(&path, e))?;
                Ok(inspect_reader(opened, &file.name))
            })
            .collect()
    }

    /// What is wrong with the functions that the manifest's hooks name, by the rules of a control plane.
    /// A file that was refused says nothing of its functions, so all must be admitted first.
    #[must_use]
    pub fn misfits(&self, verdicts: &[Result<Inspection, InspectError>]) -> Vec<FieldError> {
        let artifact = |(file, verdict): (&BundleFile, &Result<Inspection, InspectError>)| {
            let inspection = verdict.as_ref().ok()?;
            Some(Artifact {
                file: file.name.clone(),
                digest: file.digest,
                size_bytes: file.size_bytes,
                target: inspection.target.clone(),
                note: inspection.note.clone(),
                key: String::new(),
            })
        };
        let artifacts: Option<Vec<_>> = self.files.iter().zip(verdicts).map(artifact).collect();
        let artifacts = artifacts.unwrap_or_default();
        if artifacts.is_empty() {
            return Vec::new();
        }
        check_entries("custom_middleware", &self.manifest.middleware, &&artifacts)
    }
}

fn read_manifest(folder: &Path, limits: &Limits) -> Result<Vec<u8>, BundleError> {
    let path = folder.join(MANIFEST);
    let file = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(BundleError::ManifestMissing),
        file => file.map_err(|e| BundleError::unreadable(&path, e))?,
    };
    // One byte more than allowed is enough for the parser to refuse it by its own rule.
    let max = limits.manifest_bytes_max as u64 + 1;
    let mut bytes = Vec::new();
    file.take(max)
        .read_to_end(&mut bytes)
        .map_err(|e| BundleError::unreadable(&path, e))?;
    Ok(bytes)
}

fn hash_file(
    folder: &Path,
    name: &FileName,
    bytes_max: u64,
    md5: &mut Md5Sum,
) -> Result<BundleFile, BundleError> {
    let path = folder.join(name.as_str());
    let unreadable = |e| BundleError::unreadable(&path, e);
    let mut file = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(BundleError::Manifest(vec![missing(name)]));
        }
        file => file.map_err(unreadable)?,
    };
    let kind = file.metadata().map_err(unreadable)?;
    if !kind.is_file() {
        return Err(unreadable(io::Error::other("expected a regular file")));
    }
    let mut hasher = StreamHasher::new(bytes_max);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let chunk = match file.read(&mut buffer).map_err(unreadable)? {
            0 => break,
            count => &buffer[..count],
        };
        md5.update(chunk);
        hasher.update(chunk).map_err(|e| BundleError::TooLarge {
            what: format!("bytes of {name}"),
            max: e.bytes_max,
            found: kind.len(),
        })?;
    }
    let hashed = hasher.finish();
    Ok(BundleFile {
        name: name.clone(),
        digest: hashed.digest,
        size_bytes: hashed.size_bytes,
    })
}

fn missing(name: &FileName) -> FieldError {
    FieldError {
        path: "file_list".into(),
        code: "FILE_MISSING",
        expected: format!("the file {name}"),
        found: "no such file in the bundle".into(),
    }
}

fn check_md5(given: &str, actual: &str) -> Result<(), BundleError> {
    if given == actual {
        return Ok(());
    }
    Err(BundleError::Manifest(vec![FieldError {
        path: "checksum".into(),
        code: "CHECKSUM_MISMATCH",
        expected: format!("{given}, as the manifest says"),
        found: format!("{actual} over the files in the order of file_list"),
    }]))
}

/// Libraries beside the manifest that it does not list: often a forgotten build.
fn unlisted(folder: &Path, manifest: &Manifest) -> Result<Vec<FieldWarning>, BundleError> {
    let unreadable = |e| BundleError::unreadable(folder, e);
    let mut strangers = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let stranger = name
            .to_str()
            .filter(|name| {
                Path::new(name)
                    .extension()
                    .is_some_and(|suffix| suffix == "so")
            })
            .and_then(|name| name.parse::<FileName>().ok())
            .filter(|name| manifest.digest_of(name).is_none());
        strangers.extend(stranger);
    }
    strangers.sort();
    Ok(strangers.iter().map(forgotten).collect())
}

fn forgotten(name: &FileName) -> FieldWarning {
    FieldWarning {
        path: "file_list".into(),
        code: "FILE_UNLISTED",
        message: format!("{name} lies beside the manifest but is not listed, so it is left out"),
    }
}

#[cfg(test)]
mod tests;
