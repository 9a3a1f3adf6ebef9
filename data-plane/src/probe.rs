//! The probe role: opens libraries and starts their uses in a process that may die of it, so that no
//! worker does.
//!
//! Each step is announced before it is tried, in a frame that has left the process by then: a step that
//! was begun and has no verdict when the probe is gone is what killed it. The probe holds nothing worth
//! having: no sockets, no credentials, an empty environment.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use anyhow::Context as _;
use gantry_domain::{ApiId, FunctionName, Hook, PluginNote};
use gantry_plugin_host::{Instance, Library, StartContext};

use crate::frames::write_blocking;
use crate::protocol::{
    FRAME_BYTES_MAX, NEXT_LIBRARY, ProbeLibrary, ProbeRequest, ProbeUse, VERDICT_FD, Verdict,
};
use crate::sys::descriptors::take_inherited;
use crate::sys::fault;
use crate::worker::library;

/// Why a library or a use does not work.
struct Failure {
    code: &'static str,
    message: String,
}

impl Failure {
    fn new(code: &'static str, message: &dyn ToString) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }
}

/// Runs the role, to its end: reads the request from standard input, writes verdicts.
///
/// # Errors
/// There is no request, or nobody reads the verdicts. What does not work about a library is a verdict.
pub fn run() -> anyhow::Result<()> {
    let mut verdicts = File::from(take_inherited(VERDICT_FD)?);
    fault::install(None).context("install fault handler")?;
    let mut request = Vec::new();
    std::io::stdin()
        .take(FRAME_BYTES_MAX as u64)
        .read_to_end(&mut request)
        .context("read request")?;
    let request: ProbeRequest = serde_json::from_slice(&request).context("read request")?;
    let mut say =
        |verdict: &Verdict| write_blocking(&mut verdicts, verdict).context("give verdict");
    // A library may put something else in place of standard error.
    let stderr = std::io::stderr().as_fd().try_clone_to_owned();
    let mut stderr = File::from(stderr.context("keep standard error")?);
    for (place, library) in request.libraries.iter().enumerate() {
        // Without the mark a report quotes more than it should, and nothing else is wrong.
        let _ = stderr.write_all(NEXT_LIBRARY);
        try_library(place, library, &mut say)?;
    }
    Ok(())
}

fn try_library(
    place: usize,
    asked: &ProbeLibrary,
    say: &mut impl FnMut(&Verdict) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    say(&Verdict::Begun {
        library: place,
        r#use: None,
    })?;
    let library = match open(asked) {
        Ok(library) => library,
        Err(failure) => return say(&verdict(place, None, Err(failure))),
    };
    say(&verdict(place, None, Ok(())))?;
    // Instances live side by side, as they do in a worker, and stop at the end.
    let mut running: Vec<Instance> = Vec::new();
    for (number, each) in asked.uses.iter().enumerate() {
        say(&Verdict::Begun {
            library: place,
            r#use: Some(number),
        })?;
        let started = start(&library, each).map(|instance| running.push(instance));
        say(&verdict(place, Some(number), started))?;
    }
    Ok(())
}

fn open(asked: &ProbeLibrary) -> Result<Arc<Library>, Failure> {
    let note = PluginNote::parse(asked.note.as_bytes()).map_err(|errors| {
        let first = errors.first().map_or_else(String::new, ToString::to_string);
        Failure::new("NOTE_INVALID", &first)
    })?;
    let digest = asked
        .digest
        .parse()
        .map_err(|error| Failure::new("DIGEST_INVALID", &error))?;
    let library = library::open(&asked.library, &digest)
        .map_err(|error| Failure::new(error.code(), &error))?;
    match library.descriptor().differs_from(&note) {
        None => Ok(library),
        Some(difference) => Err(Failure::new("NOTE_DIFFERS", &difference)),
    }
}

fn start(library: &Arc<Library>, asked: &ProbeUse) -> Result<Instance, Failure> {
    let invalid = |error: &dyn ToString| Failure::new("USE_INVALID", error);
    let function: FunctionName = asked.function.parse().map_err(|error| invalid(&error))?;
    let api_id: ApiId = asked.api_id.parse().map_err(|error| invalid(&error))?;
    let hook: Hook = asked.hook.parse().map_err(|error| invalid(&error))?;
    let context = StartContext {
        function: &function,
        api_id: &api_id,
        hook,
        config: &asked.config,
    };
    library
        .start(&context)
        .map_err(|error| Failure::new(error.code(), &error))
}

fn verdict(library: usize, r#use: Option<usize>, result: Result<(), Failure>) -> Verdict {
    match result {
        Ok(()) => Verdict::Passed { library, r#use },
        Err(Failure { code, message }) => Verdict::Failed {
            library,
            r#use,
            code: code.to_owned(),
            message,
        },
    }
}
