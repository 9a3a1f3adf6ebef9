//! How libraries come into the store, and what becomes of those that must not.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;

use gantry_domain::{Digest, Revision};
use serde_json::{Value, json};

use crate::control::Control;
use crate::gateway::{Gateway, TOKEN, definition, eventually, get, upstream};

/// Nothing that can be loaded: enough for everything that happens before loading.
const BYTES: &[u8] = b"these are the bytes of a library";

/// Stands for what lets the bearer of a URL in.
const SIGNED: &str = "signed=yes";

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

/// What stands for object storage: gives one answer to whoever asks, and tells its URL.
fn storage(status: &'static str, body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/key?{SIGNED}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let count = connection.read(&mut request).unwrap();
            assert!(request[..count].starts_with(b"GET /key?signed=yes "));
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", BYTES.len());
            let _ = connection.write_all(&[head.as_bytes(), b"\r\n", body].concat());
        }
    });
    url
}

fn fetched_from(lab: &Lab, digest: &Digest) -> String {
    eventually("the library", || lab.stored(digest).is_file().then_some(()));
    assert_eq!(std::fs::read(lab.stored(digest)).unwrap(), BYTES);
    let log = lab.gateway.log();
    assert!(!log.contains(SIGNED), "the URL is in the log:\n{log}");
    eventually("the report", || {
        let artifact = lab.gateway.status()["report"]["artifacts"][0].clone();
        let from = artifact["fetched_from"].as_str()?.to_owned();
        (!from.is_empty()).then_some(from)
    })
}

#[test]
fn library_with_a_url_comes_straight_from_object_storage() {
    let url = storage("200 OK", BYTES);
    let (lab, digest) = lab(b"never asked for", |control| control.locate(&url));
    assert_eq!(fetched_from(&lab, &digest), "object_storage");
    assert_eq!(lab.control.offsets(), [] as [u64; 0]);
}

#[test]
fn library_whose_url_does_not_give_it_comes_through_the_control_plane() {
    let other: &[u8] = b"THESE ARE THE BYTES OF A LIBRARY";
    assert_eq!(other.len(), BYTES.len());
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (url, code) in [
        (storage("403 Forbidden", BYTES), "STORAGE_REFUSED"),
        (storage("200 OK", other), "LIBRARY_DIGEST"),
        (storage("200 OK", &BYTES[..20]), "STORAGE_BROKEN"),
        (format!("http://{gone}/key?{SIGNED}"), "STORAGE_UNREACHABLE"),
        ("http://192.0.2.1/key".to_owned(), "STORAGE_PLAINTEXT"),
        ("no URL".to_owned(), "STORAGE_URL_INVALID"),
    ] {
        let (lab, digest) = lab(BYTES, |control| control.locate(&url));
        assert_eq!(fetched_from(&lab, &digest), "control_plane", "{code}");
        assert_eq!(lab.control.offsets(), [0], "{code}: all of it is asked for");
        assert!(lab.gateway.log().contains(code), "{}", lab.gateway.log());
    }
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
