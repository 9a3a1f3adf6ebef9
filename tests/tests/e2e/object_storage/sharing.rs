//! Whole control planes, each with metadata of its own, on one bucket: of two that publish one version
//! the first wins, whoever it is, and the other says so. On `SeaweedFS`, which decides between writers at
//! the same instant as AWS does.

use std::collections::BTreeMap;
use std::sync::Barrier;

use gantry_tests::plugins::{BundleFolder, example};
use gantry_tests::process::eventually;
use gantry_tests::{Outcome, Project, S3Server, Stage, StageOptions, Storage};
use serde_json::Value;

use crate::lab::assert_code;

struct Plane {
    stage: Stage,
    project: Project,
}

fn plane(options: &StageOptions) -> Plane {
    let stage = Stage::start_with(options).unwrap();
    let project = stage.project("acme", "production").unwrap();
    Plane { stage, project }
}

impl Plane {
    /// Pushes a bundle whose library says that it is `words`.
    fn push(&self, version: &str, words: &str) -> Outcome {
        let library = example(words, None).unwrap();
        let bundle = BundleFolder::new(self.stage.folder(), "hooks", version).unwrap();
        let bundle = bundle.file("hooks.so", &library).unwrap();
        let folder = bundle.hook("pre", "AddTraceHeader", "hooks.so").write();
        let folder = folder.unwrap().display().to_string();
        let arguments = ["push", &folder, "--output", "json"];
        self.project.admin.run(&arguments).unwrap()
    }

    fn get(&self, version: &str) -> Value {
        let version = format!("hooks@{version}");
        let got = self.project.admin.json(&["get", &version]).unwrap();
        without_time(got)
    }
}

fn release(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let pushed: Value = serde_json::from_str(&outcome.stdout).unwrap();
    without_time(pushed["release"].clone())
}

/// Each control plane says when it learnt of a version.
fn without_time(mut release: Value) -> Value {
    let fields = release.as_object_mut().unwrap();
    assert!(fields.remove("published_at").is_some());
    release
}

fn commit(server: &S3Server, version: &str) -> Vec<u8> {
    let name = format!("t/acme/published/hooks/{version}.json");
    server.bucket().read(&name).unwrap()
}

#[test]
fn control_planes_on_one_bucket_never_overwrite_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(Storage::SeaweedFs, folder.path()).unwrap();
    let options = StageOptions::in_bucket(server.bucket());
    let (one, other) = (plane(&options), plane(&options));
    let (mut published, mut lost) = (BTreeMap::new(), Vec::new());

    // One after the other, with other bytes.
    let first = release(&one.push("1.0.0", "1.0.0"));
    let document = commit(&server, "1.0.0");
    assert_code(&other.push("1.0.0", "1.0.1"), "VERSION_IMMUTABLE");
    assert_eq!(commit(&server, "1.0.0"), document);

    // With the same bytes: the same answer from both.
    assert_eq!(release(&other.push("1.0.0", "1.0.0")), first);
    assert_eq!(other.get("1.0.0"), one.get("1.0.0"));
    assert_eq!(commit(&server, "1.0.0"), document);

    // At the same time.
    for round in 0..3 {
        let version = format!("2.0.{round}");
        let words = [format!("{version}-a"), format!("{version}-b")];
        // Built before, so that the pushes meet.
        words
            .iter()
            .for_each(|words| drop(example(words, None).unwrap()));
        let start = Barrier::new(2);
        let push = |plane: &Plane, words: &str| {
            start.wait();
            plane.push(&version, words)
        };
        let outcomes = std::thread::scope(|scope| {
            let a = scope.spawn(|| push(&one, &words[0]));
            let b = scope.spawn(|| push(&other, &words[1]));
            [a.join().unwrap(), b.join().unwrap()]
        });
        let won: Vec<_> = outcomes.iter().map(|outcome| outcome.code == 0).collect();
        assert!(won[0] != won[1], "one wins: {outcomes:?}");
        let (winner, loser) = if won[0] { (0, 1) } else { (1, 0) };
        assert_code(&outcomes[loser], "VERSION_IMMUTABLE");
        let planes = [&one, &other];
        let release = planes[winner].get(&version);
        assert_eq!(planes[loser].get(&version), release, "both say what won");
        let document = String::from_utf8(commit(&server, &version)).unwrap();
        let of_winner = sha256(&words[winner]);
        assert!(document.contains(&of_winner), "{document}");
        assert!(!document.contains(&sha256(&words[loser])), "{document}");
        let again = self::release(&planes[winner].push(&version, &words[winner]));
        let digest = release["digest"].as_str().unwrap();
        assert_eq!(again["digest"], digest, "the winner is told the same again");
        published.insert(version, release);
        lost.push(sha256(&words[loser]));
    }

    // One that knows of nothing finds everything, and sweeps nothing but what was never published.
    drop((one, other));
    let before = server.bucket().objects().unwrap();
    let sweeping = options
        .variable("GANTRY_STORAGE_UPLOAD_IDLE_MAX_S", "1")
        .variable("GANTRY_STORAGE_SWEEP_INTERVAL_S", "1");
    let third = plane(&sweeping);
    for (version, release) in published {
        let name = format!("hooks@{version}");
        let got = eventually(&format!("{name} is found"), || {
            third.project.admin.json(&["get", &name]).ok()
        });
        assert_eq!(without_time(got.unwrap()), release, "{version}");
    }
    let is_lost = |key: &String| lost.iter().any(|digest| key.contains(digest));
    let after = eventually("what the losers sent is swept", || {
        let objects = server.bucket().objects().ok()?;
        (!objects.iter().any(is_lost)).then_some(objects)
    });
    let staged = |key: &String| key.contains("/staging/");
    let kept = before.into_iter().filter(|k| !is_lost(k) && !staged(k));
    assert_eq!(after.unwrap(), kept.collect::<Vec<_>>());
}

fn sha256(words: &str) -> String {
    let library = example(words, None).unwrap();
    let output = std::process::Command::new("sha256sum")
        .arg(library)
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}
