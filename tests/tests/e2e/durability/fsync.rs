//! Nothing is acknowledged that a power cut could take back: the system calls of a real control plane,
//! in their order, up to the answer to `Publish`.

use std::fs;
use std::path::Path;

use gantry_tests::control_plane::ControlPlaneOptions;
use gantry_tests::plugins::BundleFolder;
use gantry_tests::wire::Frames;
use gantry_tests::{ControlPlane, Gantry, strace};

use super::{Numbers, library, write_padded};

/// What is traced; buffers are shown whole, and descriptors with what they stand for.
const TRACE: [&str; 7] = [
    "-yy",
    "-xx",
    "-s",
    "65536",
    "-e",
    "trace=mkdir,linkat,fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg",
    "-o",
];

/// A system call, with the lines at which it began and ended.
#[derive(Debug)]
struct Call {
    name: String,
    /// As strace shows them, hexadecimal text made readable.
    arguments: String,
    begun: usize,
    ended: usize,
}

impl Call {
    fn is(&self, name: &str, about: &str) -> bool {
        self.name == name && self.arguments.contains(about)
    }

    /// Whether it syncs exactly this file or folder.
    fn syncs(&self, path: &str) -> bool {
        self.name.ends_with("sync") && self.arguments.ends_with(&format!("<{path}>"))
    }
}

#[test]
fn acknowledgement_follows_the_sync_of_file_folder_and_row() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let trace = folder.join("trace");
    let calls = publish_traced(folder, &trace);
    let objects = folder.join("control-plane/data/objects");
    let objects = objects.to_str().unwrap();

    let link = |part: &str| {
        let found = calls.iter().find(|call| call.is("linkat", part));
        found.unwrap_or_else(|| panic!("nothing was linked to {part}"))
    };
    let (artifact, commit) = (link("/hooks/1.0.0/"), link("/published/"));
    let answer = answer_after(&calls, commit);
    let synced_within = |path: &str, after: usize, before: usize| {
        let mut calls = calls.iter();
        let found =
            calls.any(|call| call.syncs(path) && call.begun >= after && call.ended < before);
        assert!(
            found,
            "{path} was not synced between lines {after} and {before}"
        );
    };

    // The file's bytes before its link, the link's folder before the commit object.
    let [staged, key] = paths(artifact);
    synced_within(&staged, 0, artifact.begun);
    synced_within(parent(&key), artifact.ended, commit.begun);
    // The commit object likewise, before the row.
    let [temporary, document] = paths(commit);
    synced_within(&temporary, 0, commit.begun);
    let row = calls
        .iter()
        .find(|call| call.is("pwrite64", "metadata.db-wal>") && call.begun > commit.ended);
    let row = row.unwrap();
    synced_within(parent(&document), commit.ended, row.begun);
    // The row before the answer.
    let wal = format!(
        "{}/data/metadata.db-wal",
        folder.join("control-plane").display()
    );
    synced_within(&wal, row.ended, answer);
    // And every folder that was made on the way.
    let made: Vec<_> = calls
        .iter()
        .filter(|call| call.is("mkdir", objects) && call.ended < answer)
        .collect();
    assert!(made.len() > 5, "{made:?}");
    for made in made {
        let path = made.arguments.split('"').nth(1).unwrap();
        synced_within(parent(path), made.ended, answer);
    }
}

/// Publishes one file with a control plane under strace, and gives what it called.
fn publish_traced(folder: &Path, trace: &Path) -> Vec<Call> {
    let home = folder.join("control-plane");
    let token = ControlPlane::bootstrap(&home).unwrap();
    let mut under = strace::words(&TRACE).unwrap();
    under.push(trace.display().to_string());
    let options = ControlPlaneOptions {
        under,
        ..ControlPlaneOptions::default()
    };
    let mut control_plane = ControlPlane::start_with(&home, &options).unwrap();
    let operator = Gantry::new(&control_plane.endpoint(), &token, "");
    let created = operator.json(&["tenant", "create", "acme"]).unwrap();
    let admin = operator.with_token(created["admin_token"].as_str().unwrap());
    let file = folder.join("a.so");
    write_padded(&file, &library(folder), 300_000, &mut Numbers(7));
    let bundle = BundleFolder::new(folder, "hooks", "1.0.0").unwrap();
    let bundle = bundle
        .file("a.so", &file)
        .unwrap()
        .hook("pre", "TagRequest", "a.so");
    admin.push(&bundle.write().unwrap()).unwrap();
    control_plane.kill().unwrap();
    read(trace)
}

/// The line at which the first answer begins to leave after a call.
fn answer_after(calls: &[Call], commit: &Call) -> usize {
    let sends = ["write", "writev", "sendto", "sendmsg"];
    let mut sent: Vec<_> = calls
        .iter()
        .filter(|call| sends.contains(&call.name.as_str()))
        .filter(|call| call.arguments.contains("<TCP:[") || call.arguments.contains("<socket:["))
        .filter(|call| call.begun > commit.begun)
        .collect();
    sent.sort_by_key(|call| call.begun);
    let answer = sent.into_iter().find(|call| {
        let bytes: Vec<u8> = call
            .arguments
            .split('"')
            .skip(1)
            .step_by(2)
            .flat_map(bytes)
            .collect();
        !Frames::default().headers(&bytes).is_empty()
    });
    answer.expect("an answer follows the commit object").begun
}

/// Reads what strace wrote. Calls of several threads are shown in two halves where they overlap.
fn read(trace: &Path) -> Vec<Call> {
    let text = fs::read_to_string(trace).unwrap();
    let mut calls: Vec<Call> = Vec::new();
    let mut open: Vec<(&str, usize)> = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let Some((thread, rest)) = text.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if rest.starts_with("<... ") {
            let at = open.iter().position(|(begun, _)| *begun == thread);
            if let Some(at) = at {
                let (_, call) = open.swap_remove(at);
                calls[call].ended = line;
                if result(rest).is_none_or(|(_, result)| result.starts_with("= -1 ")) {
                    calls[call].name.push_str(" (failed)");
                }
            }
            continue;
        }
        let Some((name, rest)) = rest.split_once('(') else {
            continue;
        };
        let whole = result(rest);
        let arguments = whole.map_or(rest.trim_end_matches(" <unfinished ...>"), |(head, _)| head);
        let failed = whole.is_some_and(|(_, result)| result.starts_with("= -1 "));
        calls.push(Call {
            name: if failed {
                format!("{name} (failed)")
            } else {
                name.to_owned()
            },
            arguments: readable(name, arguments.trim_end()),
            begun: line,
            // One that never ends has not happened.
            ended: if whole.is_some() { line } else { usize::MAX },
        });
        if whole.is_none() {
            open.push((thread, calls.len() - 1));
        }
    }
    calls
}

/// What stands before a call's result, and the result, which strace moves to the right where a line is
/// short. None if the call goes on.
fn result(rest: &str) -> Option<(&str, &str)> {
    let (head, result) = rest.rsplit_once(") ")?;
    let result = result.trim_start();
    result.starts_with('=').then_some((head, result))
}

/// Paths are shown as hexadecimal text too; buffers stay as they are.
fn readable(name: &str, arguments: &str) -> String {
    if ["write", "writev", "sendto", "sendmsg", "pwrite64"].contains(&name) {
        let (descriptor, rest) = arguments.split_once(',').unwrap_or((arguments, ""));
        return format!("{},{rest}", unhex(descriptor));
    }
    unhex(arguments)
}

fn unhex(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(2.min(part.len()));
        out.push(u8::from_str_radix(digits, 16).map_or('?', char::from));
        out.push_str(rest);
    }
    out
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.split("\\x").skip(1);
    digits
        .filter_map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok())
        .collect()
}

fn paths(link: &Call) -> [String; 2] {
    let mut quoted = link
        .arguments
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned);
    [quoted.next().unwrap(), quoted.next().unwrap()]
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').unwrap().0
}
