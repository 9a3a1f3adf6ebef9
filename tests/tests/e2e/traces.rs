//! Traces of the control plane's side: what a collector receives of `gantry push`, and what happens
//! without one.

use std::collections::BTreeSet;

use gantry_tests::collector::Span;
use gantry_tests::plugins;
use gantry_tests::{Collector, Outcome, Stage, StageOptions, Upstream};

use crate::lab::Lab;

/// As a CI system gives a job its trace: id of the trace, id of the span that runs the job.
pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const JOB: &str = "b7ad6b7169203331";

pub(crate) fn parent(trace: &str, flags: &str) -> (String, String) {
    ("TRACEPARENT".into(), format!("00-{trace}-{JOB}-{flags}"))
}

/// A lab whose control plane has these variables.
pub(crate) fn lab(variables: Vec<(String, String)>) -> Lab {
    let mut options = StageOptions::from_environment().unwrap();
    options.variables = variables;
    let stage = Stage::start_with(&options).unwrap();
    let project = stage.project("acme", "production").unwrap();
    Lab {
        stage,
        project,
        upstream: Upstream::start().unwrap(),
    }
}

/// Pushes the fixture under a version, with variables of the command line.
pub(crate) fn push(lab: &Lab, version: &str, variables: Vec<(String, String)>) -> Outcome {
    let library = plugins::faulty().unwrap();
    let bundle = lab
        .bundle("faulty", version)
        .file("faulty.so", &library)
        .unwrap()
        .hook("pre", "Echo", "faulty.so");
    let folder = bundle.write().unwrap();
    let gantry = lab.project.admin.with_variables(variables);
    gantry.run(&["push", &folder.to_string_lossy()]).unwrap()
}

fn named<'s>(spans: &'s [Span], service: &str, name: &str) -> &'s Span {
    let found = spans
        .iter()
        .find(|span| span.service == service && span.name == name);
    found.unwrap_or_else(|| panic!("no {name} of {service} in {spans:#?}"))
}

/// The names from a span up to the first of its trace.
fn line_of<'s>(spans: &'s [Span], span: &'s Span) -> Vec<&'s str> {
    let mut line = vec![span.name.as_str()];
    let mut at = span;
    while let Some(parent) = &at.parent_id {
        let Some(up) = spans.iter().find(|span| span.span_id == *parent) else {
            break;
        };
        line.push(&up.name);
        at = up;
    }
    line
}

const BEGIN: &str = "gantry.v1.PublishService/BeginUpload";
const UPLOAD: &str = "gantry.v1.PublishService/UploadFile";
const PUBLISH: &str = "gantry.v1.PublishService/Publish";

#[test]
fn push_is_one_trace_from_the_job_that_runs_it_to_storage() {
    let collector = Collector::start().unwrap();
    let lab = lab(collector.variables());
    let mut variables = collector.variables();
    variables.push(parent(TRACE, "01"));
    let pushed = push(&lab, "1.0.0", variables);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);

    let has = |spans: &[Span], name: &str| spans.iter().any(|span| span.name == name);
    let spans = collector
        .wait_for(TRACE, |spans| {
            has(spans, "gantry push") && has(spans, "metadata publish") && {
                let publishes = spans.iter().filter(|span| span.name == PUBLISH);
                publishes.count() == 2
            }
        })
        .unwrap();
    let (cli, control) = ("gantry", "gantry-control-plane");
    let root = named(&spans, cli, "gantry push");
    assert_eq!(root.parent_id.as_deref(), Some(JOB));
    assert_eq!(root.attributes["process.exit.code"], 0);
    let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.as_str()).collect();
    for span in &spans {
        let parent = span.parent_id.as_deref().unwrap();
        assert!(
            parent == JOB || ids.contains(parent),
            "an orphan: {span:#?}"
        );
        assert!(span.start_nanos <= span.end_nanos, "{span:#?}");
        assert_eq!(span.error, None, "{span:#?}");
    }
    for call in [BEGIN, UPLOAD, PUBLISH] {
        let (client, server) = (named(&spans, cli, call), named(&spans, control, call));
        assert_eq!(
            (client.kind.as_str(), server.kind.as_str()),
            ("client", "server")
        );
        assert_eq!(server.parent_id.as_ref(), Some(&client.span_id));
        let method = call.rsplit_once('/').unwrap().1;
        for span in [client, server] {
            assert_eq!(span.attributes["rpc.system"], "grpc");
            assert_eq!(span.attributes["rpc.service"], "gantry.v1.PublishService");
            assert_eq!(span.attributes["rpc.method"], method);
            assert_eq!(span.attributes["rpc.grpc.status_code"], 0);
        }
        assert_eq!(server.attributes["tenant.id"], "acme");
    }
    for (name, line) in [
        (
            "objects seal",
            ["receive_file", UPLOAD, UPLOAD, "send_file", "gantry push"].as_slice(),
        ),
        (
            "objects create",
            &["publish", PUBLISH, PUBLISH, "gantry push"],
        ),
        (
            "objects promote",
            &["publish", PUBLISH, PUBLISH, "gantry push"],
        ),
        (
            "objects open",
            &["inspect", "publish", PUBLISH, PUBLISH, "gantry push"],
        ),
        (
            "metadata publish",
            &["publish", PUBLISH, PUBLISH, "gantry push"],
        ),
        ("metadata open an upload", &[BEGIN, BEGIN, "gantry push"]),
    ] {
        let found = line_of(&spans, named(&spans, control, name));
        assert_eq!(&found[1..], line, "{name}");
    }
    let created = named(&spans, control, "objects create");
    let key = created.attributes["object.key"].as_str().unwrap();
    assert_eq!(key, "t/acme/published/faulty/1.0.0.json");
}

#[test]
fn push_of_an_unsampled_job_leaves_no_span_anywhere() {
    let collector = Collector::start().unwrap();
    let lab = lab(collector.variables());
    let with = |trace: &str, flags| {
        let mut variables = collector.variables();
        variables.push(parent(trace, flags));
        variables
    };
    let unsampled = "11111111111111111111111111111111";
    assert_eq!(push(&lab, "1.0.0", with(unsampled, "00")).code, 0);
    // What is sent later arrives later: once this is there, the other would be.
    assert_eq!(push(&lab, "1.0.1", with(TRACE, "01")).code, 0);
    let published = |span: &Span| span.service == "gantry-control-plane" && span.name == PUBLISH;
    collector
        .wait_for(TRACE, |spans| {
            spans.iter().any(published) && spans.iter().any(|span| span.name == "gantry push")
        })
        .unwrap();
    assert_eq!(collector.trace(unsampled), []);
}

#[test]
fn bundle_that_comes_by_plain_http_is_traced_below_its_caller() {
    let collector = Collector::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let address_file = folder.path().join("http");
    let mut variables = collector.variables();
    variables.push(("GANTRY_HTTP_LISTEN".into(), "127.0.0.1:0".into()));
    variables.push((
        "GANTRY_HTTP_ADDRESS_FILE".into(),
        address_file.to_string_lossy().into_owned(),
    ));
    let lab = lab(variables);
    let library = plugins::faulty().unwrap();
    let bundle = lab.bundle("faulty", "1.0.0");
    let bundle = bundle.file("faulty.so", &library).unwrap();
    let unpacked = bundle.hook("pre", "Echo", "faulty.so").write().unwrap();
    let zip = folder.path().join("faulty.zip");
    let (unpacked, packed) = (unpacked.to_string_lossy(), zip.to_string_lossy());
    let pack = ["bundle", "pack", &unpacked, "--out", &packed];
    assert_eq!(lab.project.admin.run(&pack).unwrap().code, 0);

    let address = std::fs::read_to_string(&address_file).unwrap();
    let put = ureq::put(format!("http://{address}/v1/bundles"))
        .header(
            "authorization",
            format!("Bearer {}", lab.project.admin.token()),
        )
        .header("traceparent", parent(TRACE, "01").1)
        .send(std::fs::read(&zip).unwrap().as_slice())
        .unwrap();
    assert_eq!(put.status().as_u16(), 201);
    let spans = collector
        .wait_for(TRACE, |spans| {
            spans.iter().any(|span| span.name == "PUT /v1/bundles")
        })
        .unwrap();
    let control = "gantry-control-plane";
    let served = named(&spans, control, "PUT /v1/bundles");
    assert_eq!(served.parent_id.as_deref(), Some(JOB));
    assert_eq!(served.kind, "server");
    assert_eq!(served.attributes["http.response.status_code"], 201);
    assert_eq!(served.attributes["tenant.id"], "acme");
    let stored = line_of(&spans, named(&spans, control, "objects create"));
    assert_eq!(stored, ["objects create", "publish", "PUT /v1/bundles"]);
}

#[test]
fn trace_goes_through_a_command_line_that_exports_nothing() {
    let collector = Collector::start().unwrap();
    let lab = lab(collector.variables());
    assert_eq!(push(&lab, "1.0.0", vec![parent(TRACE, "01")]).code, 0);
    let spans = collector
        .wait_for(TRACE, |spans| spans.iter().any(|span| span.name == PUBLISH))
        .unwrap();
    assert!(
        spans
            .iter()
            .all(|span| span.service == "gantry-control-plane")
    );
    let served = named(&spans, "gantry-control-plane", PUBLISH);
    assert_eq!(served.parent_id.as_deref(), Some(JOB));
}

#[test]
fn log_lines_of_a_recorded_call_carry_its_trace_and_its_tenant() {
    let collector = Collector::start().unwrap();
    let mut variables = collector.variables();
    variables.push(("GANTRY_LOG_FORMAT".into(), "json".into()));
    let lab = lab(variables);
    let unsampled = "11111111111111111111111111111111";
    assert_eq!(push(&lab, "1.0.0", vec![parent(TRACE, "01")]).code, 0);
    assert_eq!(push(&lab, "1.0.1", vec![parent(unsampled, "00")]).code, 0);
    let log = lab.stage.control_plane.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let published = |version: &str| {
        let found = lines.iter().find(|line| {
            line["message"] == "published a bundle" && line["bundle.version"] == version
        });
        found.unwrap_or_else(|| panic!("not said of {version}: {log}"))
    };
    let recorded = published("1.0.0");
    assert_eq!(recorded["trace_id"], TRACE);
    assert_eq!(recorded["span_id"].as_str().map(str::len), Some(16));
    let spans = recorded["spans"].as_array().unwrap();
    assert!(
        spans.iter().any(|span| span["tenant.id"] == "acme"),
        "{recorded}"
    );
    assert_eq!(published("1.0.1").get("trace_id"), None);
}
