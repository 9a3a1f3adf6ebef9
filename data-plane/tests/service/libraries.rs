//! How libraries come into the store, and what becomes of those that must not.

use std::path::PathBuf;

use gantry_domain::{Digest, Revision};
use serde_json::{Value, json};

use crate::control::Control;
use crate::gateway::{Gateway, TOKEN, definition, eventually, get, upstream};

/// Nothing that can be loaded: enough for everything that happens before loading.
const BYTES: &[u8] = b"these are the bytes of a library";

struct Lab {
    folder: tempfile::TempDir,
    control: Control,
    gateway: Gateway,
}

/// A gateway that has been told to run one API with a function and one without.
fn lab(given: &[u8], prepare: impl FnOnce(&Control)) -> (Lab, Digest) {
    let (folder, control) = (tempfile::tempdir().unwrap(), Control::start());
    let gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    control.welcome("acme");
    prepare(&control);
    let (revision, digest) = hooked(&control, 3, given);
    control.send_delta(&revision, None);
    (
        Lab {
            folder,
            control,
            gateway,
        },
        digest,
    )
}

fn hooked(control: &Control, number: u64, given: &[u8]) -> (Revision, Digest) {
    let upstream = upstream();
    let mut hooked = definition("hooked", "/hooked", upstream);
    hooked["custom_middleware_bundle"] = json!("hooks");
    let mut revision = control.offer(number, &[hooked, definition("plain", "/plain", upstream)]);
    let digest = control.offer_bundle(&mut revision, BYTES, given);
    (revision, digest)
}

impl Lab {
    fn stored(&self, digest: &Digest) -> PathBuf {
        self.folder
            .path()
            .join(format!("state/t/acme/production/libraries/{digest}.so"))
    }

    fn wait_artifact(&self, code: &str) -> Value {
        eventually(code, || {
            let status = self.gateway.status();
            (status["report"]["artifacts"][0]["code"] == code).then(|| status["report"].clone())
        })
    }
}

#[test]
fn library_stream_that_breaks_is_taken_up_where_it_stopped() {
    let (lab, digest) = lab(BYTES, |control| control.break_streams_after(12));
    eventually("the library", || {
        lab.stored(&digest).is_file().then_some(())
    });
    assert_eq!(std::fs::read(lab.stored(&digest)).unwrap(), BYTES);
    assert_eq!(lab.control.offsets(), [0, 12, 24]);
}

#[test]
fn library_of_other_bytes_is_not_kept_and_only_its_api_suffers() {
    let other: Vec<u8> = BYTES.iter().rev().copied().collect();
    let (lab, digest) = lab(&other, |_| {});
    let report = lab.wait_artifact("LIBRARY_DIGEST");
    lab.gateway.wait_ready();
    assert_eq!(get(lab.gateway.listen, "/hooked").unwrap().0, 500);
    assert_eq!(get(lab.gateway.listen, "/plain").unwrap().0, 200);
    assert_eq!(report["artifacts"][0]["phase"], "failed");
    assert!(!lab.stored(&digest).exists());
}

#[test]
fn library_that_cannot_be_fetched_is_fetched_when_it_can() {
    let (lab, digest) = lab(BYTES, |control| control.break_streams_after(0));
    lab.wait_artifact("FETCH_FAILED");
    assert!(!lab.stored(&digest).exists());
    lab.control.break_streams_after(usize::MAX);
    eventually("the library", || {
        lab.stored(&digest).is_file().then_some(())
    });
}

#[test]
fn library_that_cannot_be_loaded_fails_in_the_probe_and_the_api_before_it_is_kept() {
    let (folder, control) = (tempfile::tempdir().unwrap(), Control::start());
    let mut gateway = Gateway::start_with(folder.path(), TOKEN, &control.endpoint());
    control.welcome("acme");
    let before = upstream();
    control.publish(2, &[definition("hooked", "/hooked", before)]);
    gateway.wait_ready();
    let (revision, _) = hooked(&control, 3, BYTES);
    control.send_delta(&revision, None);
    let report = eventually("the report", || {
        let report = gateway.status()["report"].clone();
        (report["applied_revision"] == 3).then_some(report)
    });
    assert_eq!(
        (&report["state"], &report["apis"][0]["state"]),
        (&json!("degraded"), &json!("held"))
    );
    assert_eq!(report["artifacts"][0]["phase"], "failed");
    assert_eq!(get(gateway.listen, "/hooked").unwrap().0, 200);
    assert_eq!(get(gateway.listen, "/plain").unwrap().0, 200);
    assert_eq!(gateway.status()["report"]["worker_deaths_total"], 0);
    // It is still held after a restart without the control plane: its order is on disk.
    assert!(gateway.terminate());
    let mut gateway = Gateway::start(folder.path(), TOKEN);
    gateway.wait_ready();
    assert_eq!(get(gateway.listen, "/hooked").unwrap().0, 200);
    assert_eq!(gateway.status()["report"]["apis"][0]["state"], "held");
    assert!(gateway.terminate());
}
