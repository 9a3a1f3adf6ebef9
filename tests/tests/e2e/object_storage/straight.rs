//! The straight path on S3, to its end: a server that is gone.

use gantry_tests::plugins::example;
use gantry_tests::{Gateway, Load, Request, StageOptions, Storage};
use serde_json::json;

use crate::lab::{Lab, VERSION, arch, assert_code, get, middleware, revision};

fn push(lab: &Lab, version: &str) -> gantry_tests::Outcome {
    let library = example(version, Some(VERSION)).unwrap();
    let name = format!("hooks_{VERSION}_linux_{}.so", arch());
    let bundle = lab.bundle("hooks", version).file(&name, &library).unwrap();
    let folder = bundle.hook("pre", "AddTraceHeader", "hooks.so").write();
    let folder = folder.unwrap().display().to_string();
    lab.project.admin.run(&["push", &folder]).unwrap()
}

fn deploy(lab: &Lab, gateway: &Gateway, version: &str) {
    let deployed = lab.project.admin.deploy(&format!("hooks@{version}"));
    gateway.wait_revision(revision(&deployed.unwrap())).unwrap();
}

fn stamp(gateway: &Gateway) -> String {
    get(gateway, "/api/x").header("x-gantry-plugin").to_owned()
}

#[test]
fn plugin_is_published_swapped_and_served_on_when_the_s3_server_is_gone() {
    let mut lab = Lab::start_on(&StageOptions::on(Storage::S3sFs));
    assert_eq!(push(&lab, "1.0.0").code, 0);
    let objects = lab.stage.control_plane.objects().unwrap();
    let prefix = format!("t/acme/{VERSION}/linux_{}/hooks/1.0.0/", arch());
    let suffix = format!("/hooks_{VERSION}_linux_{}.so", arch());
    let is_library = |key: &&String| key.starts_with(&prefix) && key.ends_with(&suffix);
    assert_eq!(objects.iter().filter(is_library).count(), 1, "{objects:?}");
    let commit = "t/acme/published/hooks/1.0.0.json".to_owned();
    assert!(objects.contains(&commit), "{objects:?}");

    lab.project.admin.deploy("hooks@1.0.0").unwrap();
    let mut gateway = lab.gateway();
    let hooks = middleware(&[("response", &[("StampResponse", "hooks.so")])]);
    let keyless = json!({"custom_middleware": hooks, "use_keyless": true});
    lab.put(&gateway, &keyless);
    assert!(stamp(&gateway).starts_with("example-hooks 1.0.0"));

    assert_eq!(push(&lab, "1.1.0").code, 0);
    let request = Request::get("/api/x");
    let load = Load::start(gateway.address(), &request, 2, |a| a.status == 200).unwrap();
    load.wait_for(50).unwrap();
    deploy(&lab, &gateway, "1.1.0");
    load.wait_for(50).unwrap();
    let report = load.stop();
    assert_eq!((report.failed, report.failures), (0, Vec::new()));
    assert!(stamp(&gateway).starts_with("example-hooks 1.1.0"));

    lab.stage.s3.as_mut().unwrap().kill().unwrap();
    assert!(stamp(&gateway).starts_with("example-hooks 1.1.0"));
    gateway.kill_and_restart().unwrap();
    gateway.wait_ready().unwrap();
    assert!(stamp(&gateway).starts_with("example-hooks 1.1.0"));
    lab.stage.s3.as_mut().unwrap().restart().unwrap();
    assert_eq!(push(&lab, "1.2.0").code, 0);
    deploy(&lab, &gateway, "1.2.0");
    assert!(stamp(&gateway).starts_with("example-hooks 1.2.0"));
}

#[test]
fn push_without_the_s3_server_is_refused_by_code_and_publishes_nothing() {
    let quick = StageOptions::on(Storage::S3sFs).variable("GANTRY_STORAGE_ATTEMPTS_MAX", "2");
    let mut lab = Lab::start_on(&quick);
    let server = lab.stage.s3.as_mut().unwrap();
    server.kill().unwrap();
    let refused = push(&lab, "1.0.0");
    assert_code(&refused, "STORAGE_UNAVAILABLE");
    assert_eq!(lab.project.admin.json(&["list"]).unwrap(), json!([]));
    lab.stage.s3.as_mut().unwrap().restart().unwrap();
    assert_eq!(push(&lab, "1.0.0").code, 0, "the same push goes through");
}
