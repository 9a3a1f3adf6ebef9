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

/// Each pushes its words as this version, both at the same time.
fn race(planes: [&Plane; 2], version: &str, words: [&str; 2]) -> [Outcome; 2] {
    // Built before, so that the pushes meet.
    for words in words {
        example(words, None).unwrap();
    }
    let start = Barrier::new(2);
    let push = |index: usize| {
        start.wait();
        planes[index].push(version, words[index])
    };
    std::thread::scope(|scope| {
        let (one, other) = (scope.spawn(|| push(0)), scope.spawn(|| push(1)));
        [one.join().unwrap(), other.join().unwrap()]
    })
}

fn one_after_the_other(server: &S3Server, one: &Plane, other: &Plane) {
    let first = release(&one.push("1.0.0", "1.0.0"));
    let document = commit(server, "1.0.0");
    assert_code(&other.push("1.0.0", "1.0.1"), "VERSION_IMMUTABLE");
    assert_eq!(commit(server, "1.0.0"), document);
    assert_eq!(release(&other.push("1.0.0", "1.0.0")), first);
    assert_eq!(other.get("1.0.0"), one.get("1.0.0"));
    assert_eq!(commit(server, "1.0.0"), document);
}

/// The release that won, and the digest of the library that lost.
fn other_bytes_at_the_same_time(
    server: &S3Server,
    planes: [&Plane; 2],
    version: &str,
) -> (Value, String) {
    let words = [format!("{version}-a"), format!("{version}-b")];
    let outcomes = race(planes, version, [&words[0], &words[1]]);
    let won: Vec<_> = outcomes.iter().map(|outcome| outcome.code == 0).collect();
    assert!(won[0] != won[1], "one wins: {outcomes:?}");
    let (winner, loser) = if won[0] { (0, 1) } else { (1, 0) };
    assert_code(&outcomes[loser], "VERSION_IMMUTABLE");
    let published = planes[winner].get(version);
    assert_eq!(planes[loser].get(version), published, "both say what won");
    let (kept, lost) = (sha256(&words[winner]), sha256(&words[loser]));
    let document = String::from_utf8(commit(server, version)).unwrap();
    assert!(document.contains(&kept), "{document}");
    assert!(!document.contains(&lost), "{document}");
    let again = release(&planes[winner].push(version, &words[winner]));
    let digest = published["digest"].as_str().unwrap();
    assert_eq!(again["digest"], digest, "the winner is told the same again");
    (published, lost)
}

fn same_bytes_at_the_same_time(planes: [&Plane; 2], version: &str) -> Value {
    let outcomes = race(planes, version, [version, version]);
    assert_eq!(release(&outcomes[0]), release(&outcomes[1]));
    assert_eq!(planes[0].get(version), planes[1].get(version));
    planes[0].get(version)
}

/// A control plane that knows of nothing finds everything in the bucket, and sweeps nothing but what was
/// never published.
fn found_and_swept(server: &S3Server, published: &BTreeMap<String, Value>, lost: &[String]) {
    let before = server.bucket().objects().unwrap();
    let sweeping = StageOptions::in_bucket(server.bucket())
        .variable("GANTRY_STORAGE_UPLOAD_IDLE_MAX_S", "1")
        .variable("GANTRY_STORAGE_SWEEP_INTERVAL_S", "1");
    let third = plane(&sweeping);
    for (version, release) in published {
        let name = format!("hooks@{version}");
        let got = eventually(&format!("{name} is found"), || {
            third.project.admin.json(&["get", &name]).ok()
        });
        assert_eq!(without_time(got.unwrap()), *release, "{version}");
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

#[test]
fn control_planes_on_one_bucket_never_overwrite_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(Storage::SeaweedFs, folder.path()).unwrap();
    let options = StageOptions::in_bucket(server.bucket());
    let (one, other) = (plane(&options), plane(&options));
    one_after_the_other(&server, &one, &other);
    let (mut published, mut lost) = (BTreeMap::new(), Vec::new());
    for round in 0..3 {
        let version = format!("2.0.{round}");
        let (release, digest) = other_bytes_at_the_same_time(&server, [&one, &other], &version);
        published.insert(version, release);
        lost.push(digest);
    }
    let version = "3.0.0".to_owned();
    let release = same_bytes_at_the_same_time([&one, &other], &version);
    published.insert(version, release);
    drop((one, other));
    found_and_swept(&server, &published, &lost);
}

fn sha256(words: &str) -> String {
    let library = example(words, None).unwrap();
    let output = std::process::Command::new("sha256sum")
        .arg(library)
        .output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}
