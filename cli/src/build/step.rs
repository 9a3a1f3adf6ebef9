//! Runs one program of a toolchain and keeps what it said.
//!
//! Invariant: however much a program writes, what is kept of it is bounded.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::BuildError;

/// Bytes of a program's words that are kept: the first errors are those that count.
const SAID_BYTES_MAX: u64 = 256 << 10;
/// Bytes of a program's answer, at most.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// What a program gave that ended well.
#[derive(Debug)]
pub(super) struct Output {
    /// Its standard output.
    pub(super) answer: String,
    /// Its standard error.
    pub(super) said: String,
}

/// Time between two looks at a program whose time is limited.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs a program to its end. `doing` completes "... failed".
pub(super) fn run(command: &mut Command, doing: &str) -> Result<Output, BuildError> {
    run_to_its_end(command, doing, None)
}

/// The same for a program of the author's, which is ended when its time is over.
pub(super) fn run_for(
    command: &mut Command,
    doing: &str,
    limit: Duration,
) -> Result<Output, BuildError> {
    run_to_its_end(command, doing, Some(limit))
}

fn run_to_its_end(
    command: &mut Command,
    doing: &str,
    limit: Option<Duration>,
) -> Result<Output, BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source: io::Error| BuildError::Program {
        program: program.clone(),
        source,
    };
    // Files and not pipes: no program blocks on a reader, and none fills memory.
    let (answer, said) = (tempfile::tempfile(), tempfile::tempfile());
    let (mut answer, mut said) = (answer.map_err(failed)?, said.map_err(failed)?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(answer.try_clone().map_err(failed)?)
        .stderr(said.try_clone().map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    let ended = match limit {
        None => child.wait().map(Some),
        Some(limit) => wait_for(&mut child, limit),
    };
    let ended = ended.map_err(failed)?;
    let said = kept(&mut said, SAID_BYTES_MAX).map_err(failed)?;
    let Some(status) = ended else {
        return Err(BuildError::Overdue {
            doing: doing.to_owned(),
            limit_s: limit.unwrap_or_default().as_secs(),
            said,
        });
    };
    let answer = kept(&mut answer, ANSWER_BYTES_MAX).map_err(failed)?;
    if status.success() {
        Ok(Output { answer, said })
    } else {
        Err(BuildError::Failed {
            doing: doing.to_owned(),
            status,
            said,
        })
    }
}

/// Waits for a program, and ends it when its time is over.
fn wait_for(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The moment that compilers put into what they make where it wants one: always the same, unless the
/// author gave one.
pub(super) fn fixed_time() -> Option<(&'static str, &'static str)> {
    let name = "SOURCE_DATE_EPOCH";
    std::env::var_os(name).is_none().then_some((name, "0"))
}

/// The beginning of a file.
fn kept(file: &mut File, bytes_max: u64) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_that_does_not_end_is_ended_and_what_it_said_is_kept() {
        let mut command = Command::new("sh");
        let waits = command.args(["-c", "echo dialling >&2; exec sleep 600"]);
        match run_for(waits, "asking", Duration::from_millis(300)).unwrap_err() {
            BuildError::Overdue { said, .. } => assert_eq!(said, "dialling"),
            other => panic!("{other}"),
        }
        let mut command = Command::new("true");
        assert!(run_for(&mut command, "asking", Duration::from_mins(1)).is_ok());
    }

    #[test]
    fn words_of_a_program_that_fails_are_kept_up_to_a_bound() {
        let script = "yes 'plugin.c:1: error' | head -c 1000000 >&2; exit 3";
        let mut command = Command::new("sh");
        match run(command.args(["-c", script]), "testing").unwrap_err() {
            BuildError::Failed { said, status, .. } => {
                assert_eq!(status.code(), Some(3));
                assert!(said.starts_with("plugin.c:1: error\n"));
                assert!(said.len() as u64 <= SAID_BYTES_MAX);
            }
            other => panic!("{other}"),
        }
    }
}
