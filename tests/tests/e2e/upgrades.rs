//! Upgrades as the document that this project started from describes them, with what authors use for
//! them: plugins built by `gantry build`, pushed once, found by each gateway version; and one folder
//! all the way from its source to an answer.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use gantry_tests::{Gateway, plugins};
use serde_json::{Value, json};

use crate::lab::{Lab, arch, assert_code, get};
use crate::workbench::Workbench;

const OLD: &str = "v5.2.5";
const NEW: &str = "v5.3.0";
/// A version that nobody has built for.
const NEXT: &str = "v5.4.0";

/// Builds a folder for versions and gives, for each, file name and digest.
fn built(bench: &Workbench, folder: &Path, versions: &[&str]) -> Vec<(String, String)> {
    let asked = versions
        .iter()
        .flat_map(|version| ["--gateway-version", *version]);
    let built = bench.build(folder, &asked.collect::<Vec<_>>());
    let libraries = built.as_array().unwrap().iter();
    let told = libraries.map(|library| {
        let path = Path::new(library["path"].as_str().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        (
            name.to_owned(),
            library["sha256"].as_str().unwrap().to_owned(),
        )
    });
    told.collect()
}

/// Lays a manifest beside the libraries, which makes a bundle of them.
fn manifest(bench: &Workbench, name: &str, version: &str, files: &[&str], pre: &Value) {
    let manifest = json!({
        "name": name, "version": version, "file_list": files,
        "custom_middleware": {"driver": "goplugin", "pre": pre},
    });
    fs::write(bench.out().join("manifest.json"), manifest.to_string()).unwrap();
}

/// The digests of what a gateway serves.
fn serving(gateway: &Gateway) -> Vec<String> {
    let status = gateway.status().unwrap();
    let artifacts = status["report"]["artifacts"].as_array().unwrap().iter();
    let serving = artifacts.filter(|artifact| artifact["phase"] == "serving");
    serving
        .map(|artifact| artifact["sha256"].as_str().unwrap().to_owned())
        .collect()
}

fn answered(gateway: &Gateway) -> (u16, String) {
    let answer = get(gateway, "/api/x");
    (answer.status, answer.header("x-correlated-by").to_owned())
}

#[test]
fn go_plugin_pushed_once_runs_on_gateways_of_both_versions_and_after_an_upgrade() {
    let lab = Lab::start();
    let gantry = &lab.project.admin;
    let bench = Workbench::new();
    let example = gantry_tests::binaries::workspace().join("examples/go-hooks");
    let built = built(&bench, &example, &[OLD, NEW]);
    let named = [OLD, NEW].map(|version| format!("go-hooks_{version}_linux_{}.so", arch()));
    assert_eq!([&built[0].0, &built[1].0], [&named[0], &named[1]]);
    let files: Vec<_> = built.iter().map(|(name, _)| name.as_str()).collect();
    let pre = json!([{"name": "Correlate", "path": "go-hooks.so"}]);
    manifest(&bench, "shop", "1.0.0", &files, &pre);

    let mut old = lab.stage.ready_gateway(&lab.project, "old", OLD).unwrap();
    let new = lab.stage.ready_gateway(&lab.project, "new", NEW).unwrap();
    let fields = json!({"use_keyless": true, "custom_middleware_bundle": "shop"});
    let bundle = bench.out().to_str().unwrap();
    gantry.json(&["push", bundle]).unwrap();
    gantry.json(&["deploy", "shop@1.0.0"]).unwrap();
    let put = lab.put(&old, &fields);
    let waited = gantry.json(&["deploy", "shop@1.0.0", "--wait"]).unwrap();
    let ran = (200, "go-hooks 1.0.0".to_owned());
    for (gateway, (_, digest)) in [&old, &new].into_iter().zip(&built) {
        assert_eq!(answered(gateway), ran);
        assert_eq!(serving(gateway), [digest.as_str()], "each its own build");
    }

    // Before the upgrade: the version that has a build is fine, the one that has none is named.
    let explain = |version: &str| {
        let asked = ["explain", "test", "--gateway-version", version, "--check"];
        gantry.run(&asked).unwrap()
    };
    let fine = explain(NEW);
    assert_eq!(fine.code, 0, "{}", fine.stderr);
    let missing = explain(NEXT);
    assert_eq!(missing.code, 4, "{}", missing.stderr);
    assert!(missing.stdout.contains("GATEWAY_VERSION_DIFFERS"));

    old.upgrade(NEW).unwrap();
    old.wait_ready().unwrap();
    let again = gantry.json(&["deploy", "shop@1.0.0", "--wait"]).unwrap();
    assert_eq!(answered(&old), ran);
    assert_eq!(serving(&old), [built[1].1.as_str()], "the build of {NEW}");
    assert_eq!(
        again["revision"], waited["revision"],
        "nothing was deployed"
    );
    let stored = gantry.json(&["api", "get", "test"]).unwrap();
    assert_eq!(stored, put["definition"], "the definition was not touched");
}

#[test]
fn explain_without_an_api_names_each_one_that_an_upgrade_would_break() {
    let lab = Lab::start();
    let gantry = &lab.project.admin;
    let gateway = lab.stage.ready_gateway(&lab.project, "old", OLD).unwrap();
    let library = plugins::c("examples/c-headers/plugin.c", lab.stage.folder(), Some(OLD)).unwrap();
    let bundle = lab.bundle("guard", "1.0.0");
    let bundle = bundle.file(&format!("guard_{OLD}_linux_{}.so", arch()), &library);
    lab.publish(bundle.unwrap().hook("pre", "BlockPath", "guard.so"));
    gantry.deploy("guard@1.0.0").unwrap();
    let fields = json!({"use_keyless": true, "custom_middleware_bundle": "guard"});
    lab.put(&gateway, &fields);
    let mut plain = lab.definition(&json!({"use_keyless": true}));
    plain["api_id"] = json!("plain");
    plain["proxy"]["listen_path"] = json!("/plain/");
    gantry.put_api(lab.stage.folder(), &plain).unwrap();

    let explain = |version: &str| {
        let asked = ["explain", "--gateway-version", version, "--check"];
        gantry.run(&asked).unwrap()
    };
    let fine = explain(OLD);
    assert_eq!(fine.code, 0, "{}", fine.stderr);
    let broken = explain(NEW);
    assert_eq!(broken.code, 4, "{}", broken.stderr);
    assert!(broken.stderr.contains("test"), "{}", broken.stderr);
    assert!(!broken.stderr.contains("plain"), "{}", broken.stderr);
    assert!(broken.stdout.contains("BlockPath"), "{}", broken.stdout);
}

#[test]
fn wait_names_the_worker_that_could_not_load_and_the_others_go_on() {
    let lab = Lab::start();
    let gantry = &lab.project.admin;
    let gateway = lab.gateway();
    let fields = json!({"use_keyless": true, "custom_middleware_bundle": "one"});
    lab.put(&gateway, &fields);
    let folder = lab.stage.folder();
    let library = plugins::c("tests/fixtures/plugins/one_worker.c", folder, None).unwrap();
    let bundle = lab.bundle("one", "1.0.0").file("one.so", &library).unwrap();
    let bundle = bundle.hook("pre", "OneWorker", "one.so").write().unwrap();
    let bundle = bundle.to_str().unwrap();
    let push = ["push", bundle, "--deploy", "production", "--wait"];
    let failed = gantry.run(&push).unwrap();
    assert_eq!(failed.code, 7, "{}", failed.stderr);
    let pids = gateway.worker_pids().unwrap();
    let named = pids
        .iter()
        .filter(|pid| failed.stderr.contains(&format!("process {pid}")));
    assert_eq!(named.count(), 1, "{pids:?}: {}", failed.stderr);
    for said in [
        "gateway-1",
        "served by 1 of 2 workers",
        "another worker has the name",
    ] {
        assert!(failed.stderr.contains(said), "{said}: {}", failed.stderr);
    }
    assert_code(&failed, "START_REFUSED");
    assert_eq!(gateway.worker_pids().unwrap(), pids, "no worker ended");
}

#[test]
fn wait_says_of_a_gateway_which_worker_ends_when_it_loads() {
    let lab = Lab::start();
    let gantry = &lab.project.admin;
    let gateway = lab.gateway();
    let fields = json!({"use_keyless": true, "custom_middleware_bundle": "one"});
    lab.put(&gateway, &fields);
    let source = "tests/fixtures/plugins/one_worker.c";
    let library = plugins::c_defining(source, lab.stage.folder(), &[("DIES", "")]).unwrap();
    let bundle = lab.bundle("one", "1.0.0").file("one.so", &library).unwrap();
    let bundle = bundle.hook("pre", "OneWorker", "one.so").write().unwrap();
    let bundle = bundle.to_str().unwrap();
    let mut push = vec!["push", bundle, "--deploy", "production"];
    push.extend(["--wait", "--wait-timeout", "60"]);
    let failed = gantry.run(&push).unwrap();
    assert_eq!(failed.code, 7, "{}", failed.stderr);
    let died = "a worker died (signal 6 (SIGABRT)) that was to start the function of OneWorker";
    for said in ["gateway-1", "served by 1 of 2 workers", "worker ", died] {
        assert!(failed.stderr.contains(said), "{said}: {}", failed.stderr);
    }
    assert_code(&failed, "LOAD_CRASHED");
}

/// What somebody writes who has read the first page: a Go file, nothing else.
const SOURCE: &str = r#"package main

import "net/http"

func Greet(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("X-Greeting", "hello "+r.Header.Get("X-Name"))
}
"#;

#[test]
fn go_source_in_a_fresh_folder_is_built_packed_pushed_and_answers() {
    let lab = Lab::start();
    let gateway = lab.gateway();
    let fields = json!({"use_keyless": true, "custom_middleware_bundle": "greeter"});
    lab.put(&gateway, &fields);
    let bench = Workbench::new();
    let began = Instant::now();
    let folder = bench.room().join("greeter");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("main.go"), SOURCE).unwrap();
    built(&bench, &folder, &[]);
    let pre = json!([{"name": "Greet", "path": "greeter.so"}]);
    manifest(&bench, "greeter", "1.0.0", &["greeter.so"], &pre);
    let zip = bench.room().join("greeter.zip");
    let (out, zip) = (bench.out().to_str().unwrap(), zip.to_str().unwrap());
    bench.json(&["bundle", "build", out, "--out", zip]);
    let push = ["push", zip, "--deploy", "production", "--wait"];
    lab.project.admin.json(&push).unwrap();
    let request = gantry_tests::Request::get("/api/x").header("x-name", "ada");
    let answer = gateway.send(&request).unwrap();
    let seconds = began.elapsed().as_secs_f32();
    // Past the harness, which shows only what failed.
    let _ = writeln!(
        std::io::stderr(),
        "from Go source to an answer by way of gantry build, bundle and push --deploy --wait: {seconds:.1} s"
    );
    assert_eq!(
        (answer.status, answer.header("x-greeting")),
        (200, "hello ada")
    );
}
