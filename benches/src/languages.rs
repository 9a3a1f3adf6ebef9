//! What a plugin takes in each language beside its calls: the time to build it, its file, the time to
//! load it, and what it keeps in a process. The source is the same pair of functions in all of them.
//!
//! Invariant: every load happens in a process of its own, which loads nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::record::{Record, Samples};
use crate::{build, hook_call, measure, say};

/// The bench's name.
pub(crate) const NAME: &str = "languages";

/// How often each library is loaded.
const LOADS: usize = 5;
const QUICK_LOADS: usize = 1;

/// A plugin's source.
struct Language {
    name: &'static str,
    /// Below the fixtures.
    files: &'static [&'static str],
    /// Whether its folder is built where it lies, since it belongs to a larger tree.
    in_place: bool,
}

const LANGUAGES: [Language; 4] = [
    Language {
        name: "Rust",
        files: &["rust"],
        in_place: true,
    },
    Language {
        name: "C",
        files: &["hooks.c"],
        in_place: false,
    },
    Language {
        name: "Go, native SDK",
        files: &["go"],
        in_place: true,
    },
    // Without the function that other measurements need: it brings a client for HTTP with it.
    Language {
        name: "Go, as written for Tyk",
        files: &["tyk/go.mod", "tyk/main.go"],
        in_place: false,
    },
];

/// What loading a library took, and what is there since.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    milliseconds: f64,
    mebibytes: f64,
    threads: f64,
}

/// Loads a library into this process and calls its function once.
///
/// # Errors
/// It is no plugin, or the call fails.
pub(crate) fn load(library: &Path) -> Result<Load> {
    let pid = std::process::id();
    let memory = measure::pss_mebibytes(pid)?;
    let threads = measure::threads(pid)?;
    let begin = Instant::now();
    let loaded = hook_call::first_call(library)?;
    let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
    let load = Load {
        milliseconds,
        mebibytes: measure::pss_mebibytes(pid)? - memory,
        threads: measure::threads(pid)? - threads,
    };
    drop(loaded);
    Ok(load)
}

/// Measures; gives the records, and the circumstances in words.
///
/// # Errors
/// A plugin cannot be built or loaded.
pub(crate) fn run(quick: bool) -> Result<(Vec<Record>, String)> {
    let folder = tempfile::Builder::new().prefix("gantry-bench-").tempdir()?;
    let loads = if quick { QUICK_LOADS } else { LOADS };
    let (machine, busy) = (measure::machine(), measure::load_average());
    let mut samples = Samples::default();
    let mut libraries = Vec::new();
    for (index, language) in LANGUAGES.iter().enumerate() {
        say(&format!("build {}", language.name));
        let room = Room::new(&folder.path().join(index.to_string()), language, quick)?;
        libraries.push((language.name, room.library()));
        for metric in ["first build, empty caches", "second build, nothing changed"] {
            let seconds = room.build()?;
            samples.add(language.name, metric, "s", seconds);
        }
    }
    for (name, library) in &libraries {
        #[expect(clippy::cast_precision_loss, reason = "some MiB")]
        let kibibytes = fs::metadata(library)?.len() as f64 / 1024.0;
        samples.add(name, "size of the library", "KiB", kibibytes);
    }
    for _ in 0..loads {
        for (name, library) in &libraries {
            let load = load_elsewhere(library).with_context(|| format!("load {name}"))?;
            for (metric, unit, sample) in [
                ("load, start and first call", "ms", load.milliseconds),
                ("memory that a process gains", "MiB PSS", load.mebibytes),
                ("threads that a process gains", "threads", load.threads),
            ] {
                samples.add(name, metric, unit, sample);
            }
        }
    }
    let head = format!(
        "{machine}. Load average {busy} before the run. Each plugin was built once with empty caches and once \
         again, and loaded {loads} times, each time by a new process.\n"
    );
    Ok((samples.records(NAME), head))
}

/// Where a language's plugin is built.
struct Room {
    folder: PathBuf,
    source: PathBuf,
    /// Whether the languages' own caches are new as well.
    cold: bool,
}

impl Room {
    /// A room with nothing in it but the source.
    fn new(folder: &Path, language: &Language, quick: bool) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let fixtures = build::fixture("");
        let source = if language.in_place {
            fixtures.join(language.files.concat())
        } else {
            let source = folder.join("source");
            fs::create_dir_all(&source)?;
            for file in language.files {
                let name = Path::new(file).file_name().unwrap_or_default();
                fs::copy(fixtures.join(file), source.join(name))
                    .with_context(|| format!("copy {file}"))?;
            }
            source
        };
        Ok(Self {
            folder: folder.to_owned(),
            source,
            // Go's standard library takes most of a minute: figures that mean nothing need none of it.
            cold: !quick,
        })
    }

    fn library(&self) -> PathBuf {
        build::library(&self.folder)
    }

    /// Seconds of one build.
    fn build(&self) -> Result<f64> {
        let cache = self.folder.join("cache");
        let mut command = build::command(&self.source, &self.folder, &cache);
        if self.cold {
            command
                .env("GOCACHE", self.folder.join("go"))
                .env("CARGO_TARGET_DIR", self.folder.join("target"));
        }
        let begin = Instant::now();
        build::run(command)?;
        Ok(begin.elapsed().as_secs_f64())
    }
}

fn load_elsewhere(library: &Path) -> Result<Load> {
    let output = Command::new(std::env::current_exe()?)
        .arg("load-only")
        .arg(library)
        .output()
        .context("start the process that loads")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
