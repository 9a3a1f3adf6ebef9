//! A full disk: what cannot be stored is refused by name and takes no room, and all else goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use gantry_tests::plugins::BundleFolder;
use gantry_tests::process::eventually;
use gantry_tests::small_disk::{fill, seen_by};
use gantry_tests::{
    Answer, Fault, FaultProxy, Gantry, GatewayOptions, Outcome, Project, Request, Stage,
    StageOptions, Storage,
};
use serde_json::{Value, json};

use super::{Numbers, library, write_padded};
use crate::lab::{Lab, VERSION, assert_code, revision};

const MIB: u64 = 1 << 20;
/// The control plane's disk.
const DISK_BYTES: u64 = 32 * MIB;
/// A library: two fit, and a third one would not leave enough.
const LIBRARY_BYTES: u64 = 10 * MIB;
/// What is free of a disk that is too full for the rest of a library.
const ROOM_BYTES: u64 = MIB;

/// A control plane on a small disk.
struct Small {
    stage: Stage,
    project: Project,
}

impl Small {
    fn start(options: StageOptions) -> Self {
        let stage = Stage::start_with(&options.disk(DISK_BYTES)).unwrap();
        let project = stage.project("acme", "production").unwrap();
        Self { stage, project }
    }

    /// A bundle with a library that has its bytes to itself.
    fn bundle(&self, version: &str) -> String {
        let folder = self.stage.folder();
        let mut numbers = Numbers(version.bytes().map(u64::from).sum());
        let padded = folder.join("hooks.so");
        write_padded(&padded, &library(folder), LIBRARY_BYTES, &mut numbers);
        let bundle = BundleFolder::new(folder, "hooks", version).unwrap();
        let bundle = bundle.file("hooks.so", &padded).unwrap();
        let written = bundle.hook("pre", "TagRequest", "hooks.so").write();
        written.unwrap().display().to_string()
    }

    fn push(&self, version: &str) -> Outcome {
        let bundle = self.bundle(version);
        self.project.admin.run(&["push", &bundle]).unwrap()
    }

    /// The same by plain HTTP.
    fn put(&self, version: &str, address_file: &Path) -> Answer {
        let (admin, zip) = (&self.project.admin, self.stage.folder().join("hooks.zip"));
        let (bundle, packed) = (self.bundle(version), zip.to_string_lossy());
        let pack = ["bundle", "pack", &bundle, "--out", &packed];
        assert_eq!(admin.run(&pack).unwrap().code, 0);
        let address = fs::read_to_string(address_file).unwrap().parse().unwrap();
        let token = format!("Bearer {}", admin.token());
        let put = Request::put("/v1/bundles", fs::read(&zip).unwrap());
        let put = put.header("authorization", &token);
        put.send(address).unwrap()
    }

    /// A path in the control plane's data, on the disk that it sees.
    fn data(&self, path: &str) -> PathBuf {
        let objects = self.stage.control_plane.objects_folder();
        objects.with_file_name(path)
    }

    /// Names and sizes of all objects, and of what is staged.
    fn objects(&self) -> Vec<(String, u64)> {
        let root = self.data("objects");
        let objects = self.stage.control_plane.objects().unwrap().into_iter();
        let sized = |name: String| {
            let size = root.join(&name).metadata().unwrap().len();
            (name, size)
        };
        objects.map(sized).collect()
    }
}

/// Fills a disk with a file up to [`ROOM_BYTES`].
fn leave_room(filler: &Path) {
    let filled = fill(filler).unwrap();
    let length = filled.metadata().unwrap().len();
    filled.set_len(length - ROOM_BYTES).unwrap();
}

fn assert_full(outcome: &Outcome) {
    assert_code(outcome, "STORAGE_FULL");
    assert!(outcome.stderr.contains("make room"), "{}", outcome.stderr);
}

#[test]
fn push_without_room_is_refused_before_its_bytes_come_and_all_else_goes_on() {
    let reserved = (8 * MIB).to_string();
    let folder = tempfile::tempdir().unwrap();
    let address_file = folder.path().join("http");
    let options = StageOptions::on(Storage::Local)
        .variable("GANTRY_STORAGE_RESERVED_BYTES", &reserved)
        .variable("GANTRY_HTTP_LISTEN", "127.0.0.1:0")
        .variable("GANTRY_HTTP_ADDRESS_FILE", &address_file.to_string_lossy());
    let small = Small::start(options);
    for version in ["1.0.0", "1.1.0"] {
        let pushed = small.push(version);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    }
    let before = small.objects();
    for _ in 0..3 {
        assert_full(&small.push("1.2.0"));
    }
    let answer = small.put("1.2.0", &address_file);
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (507, &json!("STORAGE_FULL"))
    );
    assert_eq!(small.objects(), before, "nothing of it is there");

    // What is stored already needs no room, and the rest of the disk is there for the database.
    small.project.admin.deploy("hooks@1.1.0").unwrap();
    small.project.admin.deploy("hooks@1.0.0").unwrap();
    let again = small.push("1.0.0");
    assert_eq!(again.code, 0, "{}", again.stderr);
}

#[test]
fn push_that_a_disk_gets_full_under_leaves_its_room_and_goes_through_later() {
    // In one part, so that room is looked for at its beginning only; and nothing is kept free.
    let part = (64 * MIB).to_string();
    let options = StageOptions::on(Storage::Local)
        .variable("GANTRY_STORAGE_PART_BYTES", &part)
        .variable("GANTRY_STORAGE_RESERVED_BYTES", "0");
    let small = Small::start(options);
    let before = small.objects();
    let bundle = small.bundle("1.0.0");
    let proxy = FaultProxy::start(small.stage.control_plane.address()).unwrap();
    let admin = &small.project.admin;
    let slow = Gantry::new(
        &format!("http://{}", proxy.address()),
        admin.token(),
        &small.project.environment,
    );
    let filler = small.data("filler");
    let refused = thread::scope(|scope| {
        proxy.fault(Fault::HoldRequest(5 * MIB), 1);
        let push = scope.spawn(|| slow.run(&["push", &bundle]).unwrap());
        let came = eventually("bytes come", || {
            small.objects().into_iter().find(|(_, size)| *size > 0)
        });
        came.unwrap();
        leave_room(&filler);
        // The connection breaks, and the push goes on with another one.
        proxy.heal();
        push.join().unwrap()
    });
    assert_full(&refused);
    let half = usize::try_from(ROOM_BYTES / 2).unwrap();
    fs::write(small.data("another"), vec![0; half]).expect("its bytes do not stay");
    let changed = admin.run(&["env", "create", "staging"]).unwrap();
    assert_eq!(changed.code, 0, "{}", changed.stderr);

    fs::remove_file(&filler).unwrap();
    let pushed = admin.run(&["push", &bundle]).unwrap();
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let staged = small.objects();
    assert!(staged.len() > before.len());
    assert!(
        !staged.iter().any(|(name, _)| name.contains("/staging/")),
        "{staged:?}"
    );
}

#[test]
fn gateway_without_room_serves_what_it_has_and_catches_up_when_there_is_some() {
    let lab = Lab::start();
    let folder = lab.stage.folder();
    let small = library(folder);
    let deploy = |version: &str, bytes: u64| {
        let path = folder.join("hooks.so");
        write_padded(&path, &small, bytes, &mut Numbers(bytes));
        let bundle = lab.bundle("hooks", version);
        let bundle = bundle.file("hooks.so", &path).unwrap();
        lab.publish(bundle.hook("pre", "TagRequest", "hooks.so"));
        let release = format!("hooks@{version}");
        revision(&lab.project.admin.deploy(&release).unwrap())
    };
    deploy("1.0.0", small.len() as u64);
    let options = GatewayOptions {
        id: "gateway-1".into(),
        version: Some(VERSION.into()),
        disk_bytes: Some(DISK_BYTES),
        ..GatewayOptions::default()
    };
    let mut gateway = lab.stage.gateway(&lab.project, &options).unwrap();
    gateway.wait_ready().unwrap();
    let fields = json!({
        "use_keyless": true, "custom_middleware_bundle": "hooks", "config_data": {"tag": "t"},
    });
    lab.put(&gateway, &fields);
    let served = || gateway.send(&Request::get("/api/books")).unwrap().status;
    assert_eq!(served(), 200);

    let filler = seen_by(gateway.id(), &gateway.folder().join("state/filler"));
    leave_room(&filler);
    gateway
        .wait_revision(deploy("1.1.0", LIBRARY_BYTES))
        .unwrap();
    let status = gateway.status().unwrap();
    let api = &status["report"]["apis"][0];
    assert_eq!(
        (&api["state"], &api["code"]),
        (&json!("held"), &json!("STATE_UNUSABLE"))
    );
    let message = api["message"].as_str().unwrap();
    assert!(message.contains("No space left"), "{message}");
    assert_eq!(served(), 200);

    fs::remove_file(&filler).unwrap();
    let caught_up = |status: &Value| {
        let artifacts = status["report"]["artifacts"].as_array();
        artifacts.is_some_and(|all| {
            let mut of_version = all.iter().filter(|each| each["version"] == "1.1.0");
            of_version.any(|each| each["phase"] == "serving")
        })
    };
    gateway
        .wait_status("the new version serves", caught_up)
        .unwrap();
    assert_eq!(served(), 200);
}
