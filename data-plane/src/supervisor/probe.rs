//! Tries new libraries in a throw-away process: started with nothing, watched, and killed when a step
//! takes too long. When it dies, what it had begun is what killed it; the rest is tried again in
//! another one.
//!
//! Invariant: every trial that was asked for gets exactly one verdict, and the number of processes is
//! at most the number of trials plus one.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Duration;

use gantry_domain::TenantId;
use std::os::unix::process::ExitStatusExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::time::timeout;

use super::output;
use super::plan::Failure;
use super::role;
use crate::config::Settings;
use crate::frames::FrameReader;
use crate::protocol::{ProbeLibrary, ProbeRequest, ProbeUse, VERDICT_FD, Verdict};

/// Time for a probe that has said everything to end.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// What to try, by position: a library and, where it is about one, a use of it.
type Place = (usize, Option<usize>);

/// The verdicts on a request, by position in it.
pub type Verdicts = BTreeMap<Place, Result<(), Failure>>;

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It said everything.
    Complete,
    /// It died; in words.
    Died(String),
    /// A step took too long; what it had said by then.
    TimedOut(String),
    /// It never began.
    NotStarted(String),
}

/// Tries everything in a request, for a tenant.
pub async fn probe(tenant: &TenantId, settings: &Settings, request: ProbeRequest) -> Verdicts {
    let mut verdicts = Verdicts::new();
    for library in 0..request.libraries.len() {
        tracing::debug!(plugin.digest = %request.libraries[library].digest, "probe a library");
    }
    loop {
        let (part, places) = remaining(&request, &verdicts);
        if part.libraries.is_empty() {
            return verdicts;
        }
        let (said, end) = run(tenant, settings, &part).await;
        settle(&request, &places, said, &end, &mut verdicts);
    }
}

/// What has no verdict yet, as a request of its own, with the places that its positions stand for. A
/// library that passed is opened again for the uses that are left.
fn remaining(
    request: &ProbeRequest,
    verdicts: &Verdicts,
) -> (ProbeRequest, Vec<(usize, Vec<usize>)>) {
    let (mut libraries, mut places) = (Vec::new(), Vec::new());
    for (at, library) in request.libraries.iter().enumerate() {
        let open: Vec<usize> = (0..library.uses.len())
            .filter(|each| !verdicts.contains_key(&(at, Some(*each))))
            .collect();
        if open.is_empty() && verdicts.contains_key(&(at, None)) {
            continue;
        }
        let uses: Vec<ProbeUse> = open
            .iter()
            .map(|each| library.uses[*each].clone())
            .collect();
        libraries.push(ProbeLibrary {
            uses,
            ..library.clone()
        });
        places.push((at, open));
    }
    (ProbeRequest { libraries }, places)
}

/// Takes what one process said. Makes progress always: something gets a verdict.
fn settle(
    request: &ProbeRequest,
    places: &[(usize, Vec<usize>)],
    said: Vec<Verdict>,
    end: &End,
    verdicts: &mut Verdicts,
) {
    let place = |library: usize, each: Option<usize>| -> Option<Place> {
        let (at, open) = places.get(library)?;
        match each {
            None => Some((*at, None)),
            Some(each) => Some((*at, Some(*open.get(each)?))),
        }
    };
    let (mut begun, before) = (None, verdicts.len());
    for verdict in said {
        match verdict {
            Verdict::Begun { library, r#use } => begun = place(library, r#use),
            Verdict::Passed { library, r#use } => {
                begun = None;
                if let Some(place) = place(library, r#use) {
                    verdicts.entry(place).or_insert(Ok(()));
                }
            }
            Verdict::Failed {
                library,
                r#use,
                code,
                message,
            } => {
                begun = None;
                if let Some(place) = place(library, r#use) {
                    fail(request, place, &Failure { code, message }, verdicts);
                }
            }
        }
    }
    let failure = match end {
        End::Complete => Failure::new("PROBE_INCOMPLETE", "the probe gave no verdict"),
        End::Died(how) => Failure::new("PROBE_CRASHED", format!("the probe died: {how}")),
        End::TimedOut(said) => Failure::new(
            "PROBE_TIMEOUT",
            format!("the probe did not come back in time{said}"),
        ),
        End::NotStarted(why) => Failure::new("PROBE_UNAVAILABLE", why.clone()),
    };
    match begun {
        Some(place) => fail(request, place, &failure, verdicts),
        // It ended between two steps: nothing can be blamed, and the rest is tried again.
        None if verdicts.len() > before => {
            if *end != End::Complete {
                tracing::warn!(
                    code = "PROBE_UNATTRIBUTED",
                    "{}, after everything that it had begun",
                    failure.message
                );
            }
        }
        // It did nothing at all, and nothing else can be expected of another process: whatever is open
        // fails for this time.
        None => {
            for (at, open) in places {
                for each in [None].into_iter().chain(open.iter().copied().map(Some)) {
                    verdicts
                        .entry((*at, each))
                        .or_insert_with(|| Err(failure.clone()));
                }
            }
        }
    }
}

/// A library that fails takes its uses along.
fn fail(request: &ProbeRequest, place: Place, failure: &Failure, verdicts: &mut Verdicts) {
    // A use that crashed on an earlier opening was found after the library passed: a second opening
    // that crashes is the library's failure all the same.
    verdicts.insert(place, Err(failure.clone()));
    if let (library, None) = place {
        for each in 0..request.libraries[library].uses.len() {
            verdicts.insert((library, Some(each)), Err(failure.clone()));
        }
    }
}

async fn run(
    tenant: &TenantId,
    settings: &Settings,
    request: &ProbeRequest,
) -> (Vec<Verdict>, End) {
    match start(settings, request).await {
        Ok((child, verdicts)) => watch(tenant, settings, child, verdicts).await,
        Err(e) => (
            Vec::new(),
            End::NotStarted(format!("the probe cannot be started: {e}")),
        ),
    }
}

async fn start(
    settings: &Settings,
    request: &ProbeRequest,
) -> std::io::Result<(Child, UnixStream)> {
    let (near, far) = std::os::unix::net::UnixStream::pair()?;
    near.set_nonblocking(true)?;
    let command = role::command("probe", settings)
        .piped_stdin()
        .descriptor(far.into(), VERDICT_FD);
    let mut child = command.spawn().await?;
    let document = serde_json::to_vec(request)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A probe that dies before it has read everything is judged by how it ended.
        let sent = timeout(EXIT_TIMEOUT, stdin.write_all(&document)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!("the probe did not read its request");
        }
    }
    Ok((child, UnixStream::from_std(near)?))
}

async fn watch(
    tenant: &TenantId,
    settings: &Settings,
    mut child: Child,
    stream: UnixStream,
) -> (Vec<Verdict>, End) {
    let step = Duration::from_millis(settings.probe.step_timeout_ms);
    let printed = output::follow(&mut child, tenant, "probe", None);
    let mut reader = FrameReader::new(stream);
    let mut said = Vec::new();
    let end = loop {
        match timeout(step, reader.next::<Verdict>()).await {
            Ok(Ok(Some(verdict))) => said.push(verdict),
            Ok(Ok(None) | Err(_)) => break None,
            Err(_) => break Some(End::TimedOut(String::new())),
        }
    };
    let end = match end {
        Some(end) => end,
        None => match timeout(EXIT_TIMEOUT, child.wait()).await {
            Ok(Ok(status)) if status.success() => End::Complete,
            Ok(Ok(status)) => End::Died(describe(status)),
            Ok(Err(e)) => End::Died(e.to_string()),
            Err(_) => End::TimedOut(String::new()),
        },
    };
    // It may have left threads running, or hang: it has served its purpose either way.
    if let Err(e) = child.kill().await {
        tracing::debug!("the probe is gone already: {e}");
    }
    // Whoever deploys it sees the report and not this gateway's log.
    let last_words = match printed.finish().await {
        words if words.is_empty() => words,
        words => format!("; it had said: {words}"),
    };
    let end = match end {
        End::Died(how) => End::Died(how + &last_words),
        End::TimedOut(_) => End::TimedOut(last_words),
        end @ (End::Complete | End::NotStarted(_)) => end,
    };
    (said, end)
}

/// How a process ended, in words.
pub fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal} ({})", signal_name(signal)),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => status.to_string(),
    }
}

/// The usual name of a signal that ends processes.
pub const fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGABRT => "SIGABRT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGPIPE => "SIGPIPE",
        _ => "another signal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(digest: &str, uses: usize) -> ProbeLibrary {
        let each = ProbeUse {
            api_id: "a".into(),
            hook: "pre".into(),
            function: "Pre".into(),
            config: "{}".into(),
        };
        ProbeLibrary {
            digest: digest.into(),
            library: format!("/s/{digest}.so").into(),
            note: "{}".into(),
            uses: vec![each; uses],
        }
    }

    fn begun(library: usize, r#use: Option<usize>) -> Verdict {
        Verdict::Begun { library, r#use }
    }

    fn passed(library: usize, r#use: Option<usize>) -> Verdict {
        Verdict::Passed { library, r#use }
    }

    fn code(verdicts: &Verdicts, place: Place) -> &str {
        match &verdicts[&place] {
            Ok(()) => "PASSED",
            Err(failure) => &failure.code,
        }
    }

    #[test]
    fn what_was_begun_when_the_probe_died_is_the_culprit_and_the_rest_is_tried_again() {
        let request = ProbeRequest {
            libraries: vec![library("x", 1), library("y", 2), library("z", 1)],
        };
        let mut verdicts = Verdicts::new();
        let (part, places) = remaining(&request, &verdicts);
        assert_eq!(part.libraries.len(), 3);
        let said = vec![
            begun(0, None),
            passed(0, None),
            begun(0, Some(0)),
            passed(0, Some(0)),
            begun(1, None),
            passed(1, None),
            begun(1, Some(0)),
        ];
        settle(
            &request,
            &places,
            said,
            &End::Died("signal 11 (SIGSEGV)".into()),
            &mut verdicts,
        );
        assert_eq!(code(&verdicts, (0, Some(0))), "PASSED");
        assert_eq!(code(&verdicts, (1, Some(0))), "PROBE_CRASHED");

        let (part, places) = remaining(&request, &verdicts);
        let digests: Vec<_> = part
            .libraries
            .iter()
            .map(|library| library.digest.as_str())
            .collect();
        assert_eq!((digests, part.libraries[0].uses.len()), (vec!["y", "z"], 1));
        let said = vec![
            begun(0, None),
            passed(0, None),
            begun(0, Some(0)),
            passed(0, Some(0)),
            begun(1, None),
            passed(1, None),
            begun(1, Some(0)),
            passed(1, Some(0)),
        ];
        settle(&request, &places, said, &End::Complete, &mut verdicts);
        assert_eq!(code(&verdicts, (1, Some(1))), "PASSED");
        assert_eq!(code(&verdicts, (2, Some(0))), "PASSED");
        assert!(remaining(&request, &verdicts).0.libraries.is_empty());
    }

    #[test]
    fn library_whose_constructor_crashes_takes_its_uses_along() {
        let request = ProbeRequest {
            libraries: vec![library("x", 2), library("y", 0)],
        };
        let mut verdicts = Verdicts::new();
        let (_, places) = remaining(&request, &verdicts);
        settle(
            &request,
            &places,
            vec![begun(0, None)],
            &End::Died("signal 6 (SIGABRT)".into()),
            &mut verdicts,
        );
        for place in [(0, None), (0, Some(0)), (0, Some(1))] {
            assert_eq!(code(&verdicts, place), "PROBE_CRASHED");
        }
        assert_eq!(remaining(&request, &verdicts).0.libraries[0].digest, "y");
    }

    #[test]
    fn probe_that_says_nothing_ends_the_trial_with_a_verdict_for_everything() {
        let request = ProbeRequest {
            libraries: vec![library("x", 1)],
        };
        let mut verdicts = Verdicts::new();
        let (_, places) = remaining(&request, &verdicts);
        settle(
            &request,
            &places,
            Vec::new(),
            &End::NotStarted("no memory".into()),
            &mut verdicts,
        );
        assert_eq!(code(&verdicts, (0, Some(0))), "PROBE_UNAVAILABLE");
        assert!(remaining(&request, &verdicts).0.libraries.is_empty());
    }

    #[test]
    fn step_that_does_not_return_is_a_timeout_of_that_step() {
        let request = ProbeRequest {
            libraries: vec![library("x", 2)],
        };
        let mut verdicts = Verdicts::new();
        let (_, places) = remaining(&request, &verdicts);
        let said = vec![begun(0, None), passed(0, None), begun(0, Some(1))];
        settle(
            &request,
            &places,
            said,
            &End::TimedOut(String::new()),
            &mut verdicts,
        );
        assert_eq!(code(&verdicts, (0, Some(1))), "PROBE_TIMEOUT");
        assert_eq!(remaining(&request, &verdicts).0.libraries[0].uses.len(), 1);
    }
}
