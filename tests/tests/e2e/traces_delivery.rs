//! How traces leave, and what happens when they cannot: collectors that are away, silent, behind TLS,
//! and variables that mean nothing.

use gantry_tests::Collector;
use gantry_tests::process::{eventually, signal};

use crate::traces::{TRACE, lab, parent, push};

#[test]
fn collector_that_is_away_disturbs_nothing_and_is_missed_once() {
    let gone = Collector::start().unwrap();
    let (variables, address) = (gone.variables(), gone.address());
    drop(gone);
    let lab = lab(variables.clone());
    let missed = |text: &str| text.matches("TRACES_NOT_DELIVERED").count();
    for version in ["1.0.0", "1.0.1"] {
        let mut variables = variables.clone();
        variables.push(parent(TRACE, "01"));
        let pushed = push(&lab, version, variables);
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        assert_eq!(missed(&pushed.stderr), 1, "{}", pushed.stderr);
    }
    let control_plane = &lab.stage.control_plane;
    eventually("the outage is said", || {
        (missed(&control_plane.log()) > 0).then_some(())
    })
    .unwrap();

    let back = Collector::start_at(address).unwrap();
    let mut asked = 0;
    eventually("traces arrive again", || {
        asked += 1;
        let trace = format!("{asked:032x}");
        let gantry = lab.project.admin.with_variables([parent(&trace, "01")]);
        assert_eq!(gantry.run(&["list"]).unwrap().code, 0);
        (!back.spans().is_empty()).then_some(())
    })
    .unwrap();
    let log = eventually("the end of the outage is said", || {
        Some(control_plane.log()).filter(|log| log.contains("again; "))
    })
    .unwrap();
    assert_eq!(missed(&log), 1, "{log}");
}

#[test]
fn collector_that_takes_connections_and_never_answers_keeps_nobody_from_ending() {
    // The kernel takes the connection; nobody will ever read from it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint)];
    let mut small = variables.clone();
    small.push(("OTEL_BSP_MAX_QUEUE_SIZE".into(), "1".into()));
    small.push(("OTEL_EXPORTER_OTLP_TIMEOUT".into(), "100".into()));
    let lab = lab(small);
    let pushed = push(&lab, "1.0.0", variables);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    // One span waits for the collector; the others of the push have no room behind it.
    eventually("the overflow is said", || {
        lab.stage
            .control_plane
            .log()
            .contains("TRACES_DROPPED")
            .then_some(())
    })
    .unwrap();
    let id = lab.stage.control_plane.id();
    signal(id, "TERM").unwrap();
    // A child that has ended is a zombie until the stage, its parent, looks.
    eventually("the control plane ends", || {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.contains(") Z ").then_some(())
    })
    .unwrap();
}

#[test]
fn traces_go_by_http_with_headers_too() {
    let collector = Collector::start_http().unwrap();
    let lab = lab(Vec::new());
    let mut variables = collector.variables();
    variables.extend([
        parent(TRACE, "01"),
        ("OTEL_EXPORTER_OTLP_HEADERS".into(), "x-team=edge".into()),
        ("OTEL_SERVICE_NAME".into(), "release-job".into()),
    ]);
    let gantry = lab.project.admin.with_variables(variables);
    assert_eq!(gantry.run(&["list"]).unwrap().code, 0);
    let spans = collector
        .wait_for(TRACE, |spans| {
            spans.iter().any(|span| span.name == "gantry list")
        })
        .unwrap();
    assert!(spans.iter().all(|span| span.service == "release-job"));
    let headers = collector.headers();
    assert!(
        headers.iter().all(|headers| headers["x-team"] == "edge"),
        "{headers:?}"
    );
}

#[test]
fn traces_go_by_tls_to_a_collector_whose_certificate_is_trusted_and_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("collector.pem");
    let collector = Collector::start_tls(&certificate).unwrap();
    let lab = lab(Vec::new());
    let list = |trace: &str, file: Option<&std::path::Path>| {
        let mut variables = collector.variables();
        variables.push(parent(trace, "01"));
        if let Some(file) = file {
            let file = file.to_string_lossy().into_owned();
            variables.push(("OTEL_EXPORTER_OTLP_CERTIFICATE".into(), file));
        }
        let gantry = lab.project.admin.with_variables(variables);
        let listed = gantry.run(&["list"]).unwrap();
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        listed.stderr
    };
    let untrusted = "11111111111111111111111111111111";
    let words = list(untrusted, None);
    assert!(words.contains("TRACES_NOT_DELIVERED"), "{words}");
    assert_eq!(list(TRACE, Some(&certificate)), "");
    collector
        .wait_for(TRACE, |spans| {
            spans.iter().any(|span| span.name == "gantry list")
        })
        .unwrap();
    assert_eq!(collector.trace(untrusted), []);
}

#[test]
fn variables_that_mean_nothing_are_named_and_stop_nothing() {
    let lab = lab(Vec::new());
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ] {
        let gantry = lab.project.admin.with_variables([
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT".into(),
                "http://127.0.0.1:9".into(),
            ),
            (variable.into(), value.into()),
        ]);
        let listed = gantry.run(&["list"]).unwrap();
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        assert!(
            listed.stderr.contains("OTEL_VARIABLE_INVALID") && listed.stderr.contains(variable),
            "{}",
            listed.stderr
        );
    }
}
