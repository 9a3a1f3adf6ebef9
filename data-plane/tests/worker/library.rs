//! Libraries as the store holds them: real ones, compiled here, named by their digest.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use gantry_domain::Digest;

/// A library in a store.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) path: PathBuf,
    pub(crate) digest: String,
    pub(crate) note: String,
}

/// The worker tests' own plugin.
pub(crate) fn steps() -> Stored {
    static STEPS: OnceLock<Stored> = OnceLock::new();
    STEPS
        .get_or_init(|| store("data-plane/tests/worker/steps.c"))
        .clone()
}

/// A plugin that takes and replaces bodies.
pub(crate) fn bodies() -> Stored {
    static BODIES: OnceLock<Stored> = OnceLock::new();
    BODIES
        .get_or_init(|| store("data-plane/tests/worker/bodies.c"))
        .clone()
}

/// A plugin whose calls pend.
pub(crate) fn pending() -> Stored {
    static PENDING: OnceLock<Stored> = OnceLock::new();
    PENDING
        .get_or_init(|| store("data-plane/tests/worker/pending.c"))
        .clone()
}

/// The plugin that measurements are made with: two functions that read one header and set one.
pub(crate) fn bench_hooks() -> Stored {
    store("benches/fixtures/hooks.c")
}

/// A fixture that all tests of the repository share.
pub(crate) fn fixture(name: &str) -> Stored {
    store(&format!("tests/fixtures/plugins/{name}.c"))
}

/// A Go plugin of the repository.
pub(crate) fn go(source: &str) -> Stored {
    let built = gantry_tests::plugins::go(source, "1.0.0", None).unwrap();
    kept(&std::fs::read(built).unwrap())
}

/// So many libraries from one source.
pub(crate) fn copies(source: &str, count: usize) -> Vec<Stored> {
    let first = store(source);
    (0..count).map(|number| first.copy(number)).collect()
}

impl Stored {
    /// The same with other bytes behind its end: another digest, and so another library.
    pub(crate) fn copy(&self, number: usize) -> Self {
        let mut bytes = std::fs::read(&self.path).unwrap();
        bytes.extend_from_slice(format!("copy {number}").as_bytes());
        kept(&bytes)
    }
}

/// Puts bytes where a store would keep them.
fn kept(bytes: &[u8]) -> Stored {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let digest = Digest::of(bytes).to_string();
    let path = folder.join(format!("{digest}.so"));
    let file = tempfile::NamedTempFile::new_in(folder).unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    // Renamed into place, and left alone where it is: a test beside this one may be opening it.
    if let Err(refused) = file.persist_noclobber(&path) {
        assert_eq!(refused.error.kind(), ErrorKind::AlreadyExists);
    }
    Stored {
        path,
        digest,
        note: note_of(bytes),
    }
}

fn store(source: &str) -> Stored {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let built = tempfile::Builder::new()
        .suffix(".so")
        .tempfile_in(folder)
        .unwrap();
    let output = Command::new("cc")
        .args([
            "-std=gnu11",
            "-Wall",
            "-Wextra",
            "-Werror",
            // The tables grow at their end.
            "-Wno-missing-field-initializers",
            "-O1",
            "-pthread",
            "-shared",
            "-fPIC",
        ])
        .args([
            "-fvisibility=hidden",
            "-Wl,-Bsymbolic",
            "-Wl,--build-id=none",
        ])
        .arg("-I")
        .arg(root.join("sdk/c/include"))
        .arg("-o")
        .arg(built.path())
        .arg(root.join(source))
        .output()
        .expect("a C compiler named cc");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bytes = std::fs::read(built.path()).unwrap();
    let digest = Digest::of(&bytes).to_string();
    let path = folder.join(format!("{digest}.so"));
    let note = note_of(&bytes);
    built.persist(&path).unwrap();
    Stored { path, digest, note }
}

/// The descriptor of the note: the JSON document that stands in the bytes as it is.
fn note_of(bytes: &[u8]) -> String {
    let begin = bytes.windows(8).position(|window| window == b"{\"abi\":{");
    let Some(begin) = begin else {
        return String::new();
    };
    let end = bytes[begin..].iter().position(|b| *b == 0).unwrap();
    String::from_utf8(bytes[begin..begin + end].to_vec()).unwrap()
}
