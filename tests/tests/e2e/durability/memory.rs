//! A bundle of any size takes no more memory than a few parts of it, on either side.

use std::fs;
use std::path::Path;

use gantry_tests::plugins::BundleFolder;
use gantry_tests::process::Process;
use gantry_tests::{Stage, StageOptions, Storage};

use super::{Numbers, library, say, write_padded};

/// What either side may take above what it takes when idle, bytes.
const ABOVE_IDLE_MAX: u64 = 64 << 20;
/// Files of the bundle: as many as a client sends at once.
const FILES: u64 = 4;
/// Bytes of the bundle unless `GANTRY_BUNDLE_BYTES` says otherwise.
const BUNDLE_BYTES: u64 = 192 << 20;

#[test]
fn large_bundle_takes_little_memory_on_either_side_with_local_storage() {
    check(Storage::Local);
}

#[test]
fn large_bundle_takes_little_memory_on_either_side_with_an_s3_server() {
    check(Storage::S3sFs);
}

fn check(storage: Storage) {
    let given = std::env::var("GANTRY_BUNDLE_BYTES");
    let bundle_bytes = given.map_or(BUNDLE_BYTES, |text| text.parse().unwrap());
    let stage = Stage::start_with(&StageOptions::on(storage)).unwrap();
    let project = stage.project("acme", "production").unwrap();
    let library = library(stage.folder());
    let push = |version: &str, file_bytes: u64| {
        let mut bundle = BundleFolder::new(stage.folder(), "large", version).unwrap();
        let file = stage.folder().join("file.so");
        for number in 0..FILES {
            write_padded(
                &file,
                &library,
                file_bytes,
                &mut Numbers(file_bytes + number),
            );
            bundle = bundle.file(&format!("f{number}.so"), &file).unwrap();
        }
        fs::remove_file(&file).unwrap();
        let bundle = bundle.hook("pre", "TagRequest", "f0.so").write().unwrap();
        let command = project.admin.command(&["push", &bundle.to_string_lossy()]);
        let log = stage.folder().join(format!("push-{version}.log"));
        let peak = peak_of(Process::start("gantry push", &mut command.unwrap(), &log).unwrap());
        fs::remove_dir_all(bundle).unwrap();
        peak
    };
    // Whatever a first push allocates for good belongs to idle.
    let client_idle = push("1.0.0", 100_000);
    let control_plane = stage.control_plane.id();
    let idle = memory(control_plane, "VmRSS").unwrap();
    fs::write(format!("/proc/{control_plane}/clear_refs"), "5").unwrap();
    let client = push("1.0.1", bundle_bytes / FILES).saturating_sub(client_idle);
    let served = memory(control_plane, "VmHWM").unwrap().saturating_sub(idle);
    say(format_args!(
        "{storage}: a bundle of {} MiB takes {} MiB of the client above {} MiB, and {} MiB of the \
         control plane above {} MiB",
        bundle_bytes >> 20,
        client >> 20,
        client_idle >> 20,
        served >> 20,
        idle >> 20
    ));
    assert!(
        client <= ABOVE_IDLE_MAX,
        "the client took {client} bytes above idle"
    );
    assert!(
        served <= ABOVE_IDLE_MAX,
        "the control plane took {served} bytes above idle"
    );
}

/// The most memory that a push had. It only grows, so the last look is at most a glance too low.
fn peak_of(mut push: Process) -> u64 {
    let (id, mut peak) = (push.id(), 0);
    loop {
        peak = memory(id, "VmHWM").unwrap_or(peak);
        if let Some(status) = push.try_wait().unwrap() {
            assert!(status.success(), "{}", push.log());
            return peak;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// A figure of `/proc/PID/status`, bytes; none when the process has gone.
fn memory(id: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}
