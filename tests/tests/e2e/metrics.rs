//! What Prometheus reads of the control plane, after real work, down to the last documented name.

use std::collections::BTreeSet;
use std::fs;

use gantry_tests::process::eventually;
use gantry_tests::{Scrape, Stage, StageOptions, Storage, Upstream, binaries, plugins};
use serde_json::json;

use crate::lab::{Lab, arch, middleware};

const PREFIX: &str = "gantry_control_plane_";

/// A lab whose control plane shows metrics and takes HTTP, and how to reach both.
struct Watched {
    lab: Lab,
    metrics: String,
    http: String,
}

impl Watched {
    fn start(folder: &std::path::Path) -> Self {
        let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let options = StageOptions::on(Storage::Local)
            .variable("GANTRY_METRICS_LISTEN", "127.0.0.1:0")
            .variable("GANTRY_METRICS_ADDRESS_FILE", &file("metrics"))
            .variable("GANTRY_METRICS_TENANTS_MAX", "1")
            .variable("GANTRY_HTTP_LISTEN", "127.0.0.1:0")
            .variable("GANTRY_HTTP_ADDRESS_FILE", &file("http"));
        let stage = Stage::start_with(&options).unwrap();
        let project = stage.project("acme", "production").unwrap();
        let lab = Lab {
            stage,
            project,
            upstream: Upstream::start().unwrap(),
        };
        let address = |name| fs::read_to_string(file(name)).unwrap();
        Self {
            lab,
            metrics: format!("http://{}/metrics", address("metrics")),
            http: format!("http://{}", address("http")),
        }
    }

    fn scrape(&self) -> Scrape {
        Scrape::read(&self.metrics).unwrap()
    }

    /// Waits for what is counted when a stream has ended on the other side.
    fn wait_for(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let name = format!("{PREFIX}{name}");
        eventually(&format!("{name}{labels:?} = {value}"), || {
            (self.scrape().value(&name, labels) == Some(value)).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {:?}", self.scrape().samples(&name)));
    }
}

#[test]
fn every_documented_metric_is_shown_with_the_value_of_the_work_that_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let watched = Watched::start(folder.path());
    let lab = &watched.lab;
    let library = plugins::faulty().unwrap();
    let size = fs::metadata(&library).unwrap().len();
    let bundle = |version| {
        let bundle = lab.bundle("faulty", version);
        let bundle = bundle.file("faulty.so", &library).unwrap();
        bundle.hook("pre", "Echo", "faulty.so")
    };
    lab.publish(bundle("1.0.0"));
    lab.publish(bundle("1.0.0"));
    let text = folder.path().join("text.so");
    fs::write(&text, "no library").unwrap();
    let refused = lab.bundle("text", "1.0.0").file("text.so", &text).unwrap();
    let refused = refused.hook("pre", "Echo", "text.so").write().unwrap();
    let push = ["push", "--no-inspect", &refused.to_string_lossy()];
    assert_eq!(lab.project.admin.run(&push).unwrap().code, 3);
    // What a tenant beyond the cap does is counted without its name.
    let other = lab.stage.project("globex", "production").unwrap();
    other.admin.push(&bundle("1.0.0").write().unwrap()).unwrap();

    let gateway = lab.gateway();
    lab.project.admin.deploy("faulty@1.0.0").unwrap();
    let hooks = middleware(&[("pre", &[("Echo", "faulty.so")])]);
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks}),
    );
    let stranger = lab.project.admin.with_token("gantry_x_y");
    assert_eq!(stranger.run(&["list"]).unwrap().code, 5);
    ureq::get(format!("{}/livez", watched.http)).call().unwrap();
    // An object that turned into something else: the store fails to read it.
    let object = &artifact(lab);
    fs::remove_file(object).unwrap();
    fs::create_dir(object).unwrap();
    let out = folder.path().join("pulled").to_string_lossy().into_owned();
    let pull = ["pull", "faulty@1.0.0", "--out", &out, "--timeout", "1"];
    assert_ne!(lab.project.admin.run(&pull).unwrap().code, 0);

    let platform = format!("linux_{}", arch());
    let publish = ("method", "gantry.v1.PublishService/Publish");
    let list = ("method", "gantry.v1.CatalogService/ListBundles");
    #[expect(
        clippy::cast_precision_loss,
        reason = "a library is smaller than 8 PiB"
    )]
    let size = size as f64;
    for (name, labels, value) in [
        (
            "build_info",
            vec![("version", env!("CARGO_PKG_VERSION"))],
            1.0,
        ),
        ("rpcs_total", vec![publish, ("code", "OK")], 2.0),
        ("rpcs_total", vec![list, ("code", "UNAUTHENTICATED")], 1.0),
        ("rpc_duration_seconds_count", vec![publish], 3.0),
        (
            "http_requests_total",
            vec![("route", "/livez"), ("status", "200")],
            1.0,
        ),
        ("stream_clients", vec![], 1.0),
        (
            "uploads_total",
            vec![("result", "published"), ("tenant", "acme")],
            1.0,
        ),
        (
            "uploads_total",
            vec![("result", "unchanged"), ("tenant", "acme")],
            1.0,
        ),
        (
            "uploads_total",
            vec![("result", "refused"), ("tenant", "acme")],
            1.0,
        ),
        (
            "uploads_total",
            vec![("result", "published"), ("tenant", "_others")],
            1.0,
        ),
        ("upload_bytes_total", vec![("tenant", "acme")], size + 10.0),
        ("upload_bytes_total", vec![("tenant", "_others")], size),
        ("upload_duration_seconds_count", vec![], 3.0),
        (
            "verify_total",
            vec![("check", "digest"), ("result", "passed")],
            3.0,
        ),
        (
            "verify_total",
            vec![("check", "library"), ("result", "passed")],
            2.0,
        ),
        (
            "verify_total",
            vec![("check", "library"), ("result", "failed")],
            1.0,
        ),
        (
            "verify_total",
            vec![("check", "functions"), ("result", "passed")],
            2.0,
        ),
        (
            "admission_total",
            vec![("target", platform.as_str()), ("result", "accepted")],
            2.0,
        ),
        (
            "admission_total",
            vec![("target", "unknown"), ("result", "refused")],
            1.0,
        ),
        ("resolve_total", vec![("result", "resolved")], 1.0),
        (
            "store_op_duration_seconds_count",
            vec![("store", "objects"), ("op", "create")],
            2.0,
        ),
        (
            "store_op_duration_seconds_count",
            vec![("store", "metadata"), ("op", "publish")],
            2.0,
        ),
    ] {
        watched.wait_for(name, &labels, value);
    }
    let failures = watched.scrape();
    let failures = failures.samples("gantry_control_plane_store_op_failures_total");
    assert!(
        matches!(failures.as_slice(), [read] if read.labels["op"] == "read" && read.value >= 1.0),
        "{failures:?}"
    );
    assert_names_are_the_documented_ones(&watched.scrape());
}

/// The file of the one library that is stored for the tenant.
fn artifact(lab: &Lab) -> std::path::PathBuf {
    let objects = lab.stage.control_plane.objects().unwrap();
    let found = objects
        .iter()
        .find(|path| path.starts_with("t/acme/") && path.ends_with("/faulty.so"));
    let root = lab.stage.folder().join("control-plane/data/objects");
    root.join(found.unwrap())
}

fn assert_names_are_the_documented_ones(scrape: &Scrape) {
    let page = binaries::workspace().join("docs/OBSERVABILITY.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("## Metrics of the control plane").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let words = section.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let documented: BTreeSet<_> = words
        .filter(|word| word.starts_with(PREFIX) || word.starts_with("process_"))
        .collect();
    assert_eq!(scrape.names(), documented);
    for name in scrape.names() {
        if name.starts_with("process_") {
            let value = scrape.value(name, &[]).unwrap();
            assert!(value >= 0.0, "{name} {value}");
        }
    }
    let resident = scrape.value("process_resident_memory_bytes", &[]);
    assert!(resident > Some(1_000_000.0), "{resident:?}");
}

#[test]
fn metrics_door_shows_metrics_only_and_no_other_door_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let watched = Watched::start(folder.path());
    let status = |url: &str| match ureq::get(url).call() {
        Ok(answer) => answer.status().as_u16(),
        Err(ureq::Error::StatusCode(status)) => status,
        Err(error) => panic!("{url}: {error}"),
    };
    assert_eq!(status(&watched.metrics), 200);
    assert_eq!(status(&watched.metrics.replace("/metrics", "/")), 404);
    assert_eq!(status(&format!("{}/metrics", watched.http)), 404);
    let posted = ureq::post(&watched.metrics).send_empty();
    assert!(
        matches!(posted, Err(ureq::Error::StatusCode(405))),
        "{posted:?}"
    );
}
