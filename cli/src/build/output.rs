//! What was compiled becomes what was built: inspected as a push inspects it, held against what was
//! asked for, named, and put in its place.
//!
//! Invariant: files appear whole, and only when all of them were admitted.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use gantry_bundle::hash::{Hashed, hash_reader};
use gantry_bundle::{Inspection, inspect_reader};
use gantry_domain::{FileName, GatewayVersion, Limits};

use super::{BuildError, BuildTarget, Compiled, Remarks, Request};

/// A library in its place.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) path: PathBuf,
    pub(crate) hashed: Hashed,
    pub(crate) inspection: Inspection,
    /// What is to be said about its source.
    pub(crate) remarks: Remarks,
}

/// A library that a push would take, not in its place yet.
#[derive(Debug)]
pub(super) struct Admitted {
    library: PathBuf,
    file: FileName,
    hashed: Hashed,
    inspection: Inspection,
    remarks: Remarks,
}

/// Inspects a library under the name that it will have, and holds it against the manifest. Nothing of it
/// runs.
pub(super) fn admit(
    compiled: Compiled,
    target: &BuildTarget,
    request: &Request,
) -> Result<Admitted, BuildError> {
    let Compiled {
        library,
        mut remarks,
        ..
    } = compiled;
    let open = || File::open(&library).map_err(|e| BuildError::file(&library, e));
    let inspect = |file: &FileName| inspect_reader(open()?, file).map_err(BuildError::Refused);
    let file = match &request.name {
        Some(name) => target.file_name(name)?,
        // The plugin says itself what it is called, and that is read without a name.
        None => target.file_name(&inspect(&target.file_name("plugin")?)?.note.name)?,
    };
    let inspection = inspect(&file)?;
    let noted = inspection.note.gateway_version;
    let found = &inspection.target;
    if noted != target.gateway_version || found.platform != target.platform {
        let words = |version: Option<GatewayVersion>| match version {
            Some(version) => format!("for gateway {version}"),
            None => "for any gateway version".to_owned(),
        };
        return Err(BuildError::Differs {
            file: file.to_string(),
            expected: format!("of {} {}", target.platform, words(target.gateway_version)),
            found: format!("of {} {}", found.platform, words(noted)),
        });
    }
    remarks
        .warnings
        .extend(request.manifest.check(&file, &inspection.note)?);
    let hashed = hash_reader(open()?, Limits::default().file_bytes_max)
        .map_err(|e| BuildError::file(&library, e))?;
    Ok(Admitted {
        library,
        file,
        hashed,
        inspection,
        remarks,
    })
}

/// Puts libraries into a folder. One that is there already, byte for byte, stays untouched.
pub(super) fn place(libraries: Vec<Admitted>, out: &Path) -> Result<Vec<Built>, BuildError> {
    fs::create_dir_all(out).map_err(|e| BuildError::file(out, e))?;
    let place = |library: Admitted| {
        let path = out.join(library.file.as_str());
        if !is_there(&path, &library.hashed) {
            copy(&library.library, &path, out).map_err(|e| BuildError::file(&path, e))?;
        }
        Ok(Built {
            path,
            hashed: library.hashed,
            inspection: library.inspection,
            remarks: library.remarks,
        })
    };
    libraries.into_iter().map(place).collect()
}

fn is_there(path: &Path, wanted: &Hashed) -> bool {
    let found = File::open(path).and_then(|file| hash_reader(file, wanted.size_bytes));
    found.is_ok_and(|found| found.digest == wanted.digest)
}

/// Copies beside the place and moves there, so that a half-written file is never seen.
fn copy(from: &Path, to: &Path, folder: &Path) -> io::Result<()> {
    // As open to others as what a compiler makes.
    let mut file = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o777))
        .tempfile_in(folder)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.persist(to)?;
    Ok(())
}
