//! The probe.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;

use gantry_gateway::frames::FrameReader;
use gantry_gateway::protocol::{
    NEXT_LIBRARY, ProbeLibrary, ProbeRequest, ProbeUse, VERDICT_FD, Verdict,
};
use gantry_gateway::sys::spawn::RoleCommand;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::library::{Stored, fixture, steps};
use crate::worker::BINARY;

fn library(stored: &Stored, uses: &[(&str, &str, &str)]) -> ProbeLibrary {
    let each = |(hook, function, config): &(&str, &str, &str)| ProbeUse {
        api_id: "a".into(),
        hook: (*hook).into(),
        function: (*function).into(),
        config: (*config).into(),
    };
    ProbeLibrary {
        digest: stored.digest.clone(),
        library: stored.path.clone(),
        note: stored.note.clone(),
        uses: uses.iter().map(each).collect(),
    }
}

/// The verdicts, and the signal that ended the probe, if one did.
async fn probe(libraries: Vec<ProbeLibrary>) -> (Vec<Verdict>, Option<i32>) {
    let (verdicts, signal, _) = probe_heard(libraries).await;
    (verdicts, signal)
}

/// The same, with what came on standard error.
async fn probe_heard(libraries: Vec<ProbeLibrary>) -> (Vec<Verdict>, Option<i32>, String) {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut child = RoleCommand::new("probe")
        .program(BINARY)
        .descriptor(OwnedFd::from(far), VERDICT_FD)
        .piped_stdin()
        .spawn()
        .await
        .unwrap();
    let request = serde_json::to_vec(&ProbeRequest { libraries }).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&request).await.unwrap();
    drop(stdin);
    let mut reader = FrameReader::new(UnixStream::from_std(near).unwrap());
    let mut verdicts = Vec::new();
    while let Some(verdict) = reader.next().await.unwrap() {
        verdicts.push(verdict);
    }
    let status = child.wait().await.unwrap();
    assert!(status.success() || status.signal().is_some(), "{status}");
    let mut said = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut said).await.unwrap();
    (verdicts, status.signal(), said)
}

fn begun(library: usize, r#use: Option<usize>) -> Verdict {
    Verdict::Begun { library, r#use }
}

fn passed(library: usize, r#use: Option<usize>) -> Verdict {
    Verdict::Passed { library, r#use }
}

fn code_of(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Failed { code, .. } => code,
        _ => "no failure",
    }
}

#[tokio::test]
async fn right_library_passes_with_all_its_uses() {
    let uses = [("pre", "Mark", "{}"), ("response", "MarkResponse", "{}")];
    let (verdicts, signal) = probe(vec![library(&steps(), &uses)]).await;
    let expected = [
        begun(0, None),
        passed(0, None),
        begun(0, Some(0)),
        passed(0, Some(0)),
        begun(0, Some(1)),
        passed(0, Some(1)),
    ];
    assert_eq!((verdicts.as_slice(), signal), (expected.as_slice(), None));
}

#[tokio::test]
async fn use_that_does_not_start_fails_alone() {
    let uses = [
        ("pre", "Mark", r#"{"refuse":true}"#),
        ("response", "Mark", "{}"),
        ("pre", "Nowhere", "{}"),
        ("pre", "Mark", "{}"),
    ];
    let (verdicts, _) = probe(vec![library(&steps(), &uses)]).await;
    let verdicts: Vec<_> = verdicts
        .into_iter()
        .filter(|verdict| !matches!(verdict, Verdict::Begun { .. }))
        .collect();
    let codes: Vec<_> = verdicts[1..4].iter().map(code_of).collect();
    assert_eq!(
        codes,
        ["START_REFUSED", "HOOK_NOT_OFFERED", "FUNCTION_UNKNOWN"]
    );
    assert_eq!(verdicts[4], passed(0, Some(3)));
}

#[tokio::test]
async fn note_that_lies_and_library_of_another_digest_are_refused() {
    let mut other = steps();
    other.digest = "0".repeat(64);
    let libraries = vec![library(&fixture("lying_note"), &[]), library(&other, &[])];
    let (verdicts, _) = probe(libraries).await;
    assert_eq!(verdicts[0], begun(0, None));
    assert_eq!(code_of(&verdicts[1]), "NOTE_DIFFERS");
    assert_eq!(code_of(&verdicts[3]), "LIBRARY_DIGEST_DIFFERS");
}

#[tokio::test]
async fn library_whose_constructor_crashes_is_the_last_one_begun() {
    let libraries = vec![
        library(&steps(), &[]),
        library(&fixture("constructor_crash"), &[]),
    ];
    let (verdicts, signal) = probe(libraries).await;
    assert_eq!(verdicts, [begun(0, None), passed(0, None), begun(1, None)]);
    assert!(signal.is_some());
}

#[tokio::test]
async fn what_libraries_print_is_told_apart() {
    let libraries = vec![
        library(&fixture("chatty_constructor"), &[]),
        library(&fixture("constructor_crash"), &[]),
    ];
    let (_, _, said) = probe_heard(libraries).await;
    let mark = std::str::from_utf8(NEXT_LIBRARY).unwrap();
    assert_eq!(said, format!("{mark}all is well\n{mark}no such luck\n"));
}
