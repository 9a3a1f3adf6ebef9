//! What a gateway tells of its requests: one trace from the client through every function to the
//! upstream, metrics of plugins that work and fail, access lines that name who answered.

use std::net::TcpListener;

use gantry_tests::collector::Span;
use gantry_tests::process::eventually;
use gantry_tests::{Answer, Collector, Gateway, GatewayOptions, Request, Scrape};
use serde_json::{Value, json};

use crate::lab::{Lab, VERSION, get, middleware};

const CLIENT_SPAN: &str = "00f067aa0ba902b7";

fn traced(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{CLIENT_SPAN}-{flags}")
}

/// A metric's name, labels and value.
type Expected = (&'static str, &'static [(&'static str, &'static str)], f64);

/// A trace id that no other test has.
fn trace_id(digit: char) -> String {
    String::from(digit).repeat(32)
}

/// A gateway with these variables that runs one API with these hooks.
fn gateway(lab: &Lab, variables: Vec<(String, String)>, hooks: &Value) -> Gateway {
    let config = lab.stage.folder().join("observed.toml");
    std::fs::write(&config, "[access_log]\nformat = 'json'\n").unwrap();
    let options = GatewayOptions {
        id: "gateway-1".into(),
        version: Some(VERSION.into()),
        config: Some(config),
        variables,
        ..GatewayOptions::default()
    };
    let mut gateway = lab.stage.gateway(&lab.project, &options).unwrap();
    gateway.wait_ready().unwrap();
    lab.put(
        &gateway,
        &json!({"use_keyless": true, "custom_middleware": hooks}),
    );
    gateway
}

/// Two functions that see a request and its answer through.
fn example(lab: &Lab) -> Value {
    lab.deploy_hooks();
    middleware(&[
        ("pre", &[("AddTraceHeader", "hooks.so")]),
        ("response", &[("StampResponse", "hooks.so")]),
    ])
}

fn ask(gateway: &Gateway, traceparent: &str) -> Answer {
    let request = Request::get("/api/x?key=secret").header("traceparent", traceparent);
    gateway.send(&request).expect("an answer")
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

/// Access lines, among everything else that the gateway wrote.
fn access_lines(gateway: &Gateway) -> Vec<Value> {
    gateway
        .log()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["answered_by"].is_string())
        .collect()
}

#[test]
fn one_trace_goes_from_the_client_through_each_function_to_the_upstream() {
    let collector = Collector::start().unwrap();
    let lab = Lab::start();
    let gateway = gateway(&lab, collector.variables(), &example(&lab));
    let (sampled, unsampled) = (trace_id('a'), trace_id('b'));

    let answer = ask(&gateway, &traced(&unsampled, "00")).json();
    let upstream = |answer: &Value| answer["headers"]["traceparent"].as_str().map(str::to_owned);
    assert_eq!(upstream(&answer), Some(traced(&unsampled, "00")));
    let answer = ask(&gateway, &traced(&sampled, "01")).json();

    let spans = collector
        .wait_for(&sampled, |spans| spans.len() >= 4)
        .unwrap();
    assert_eq!(spans.len(), 4, "{spans:#?}");
    assert!(spans.iter().all(|span| span.service == "gantry-gateway"));
    let server = named(&spans, "GET /api");
    assert_eq!(server.kind, "server");
    assert_eq!(server.parent_id.as_deref(), Some(CLIENT_SPAN));
    for (key, expected) in [
        ("http.response.status_code", json!(200)),
        ("url.path", json!("/api/x")),
        ("api.id", json!("test")),
        ("tenant.id", json!("acme")),
        ("answered_by", json!("upstream")),
    ] {
        assert_eq!(server.attributes[key], expected, "{key}");
    }
    for (name, hook, function) in [
        ("pre AddTraceHeader", "pre", "AddTraceHeader"),
        ("response StampResponse", "response", "StampResponse"),
    ] {
        let call = named(&spans, name);
        assert_eq!(call.kind, "internal");
        assert_eq!(call.parent_id.as_ref(), Some(&server.span_id));
        assert_eq!(call.attributes["hook"], hook);
        assert_eq!(call.attributes["function"], function);
        assert_eq!(call.attributes["plugin.name"], "hooks");
        assert_eq!(call.attributes["plugin.version"], "1.0.0");
        assert_eq!(call.attributes["outcome"], "continue");
        assert!(call.start_nanos >= server.start_nanos && call.end_nanos <= server.end_nanos);
    }
    let client = named(&spans, "GET");
    assert_eq!(client.kind, "client");
    assert_eq!(client.parent_id.as_ref(), Some(&server.span_id));
    assert_eq!(client.attributes["server.address"], "127.0.0.1");
    let told = format!("00-{sampled}-{}-01", client.span_id);
    assert_eq!(upstream(&answer), Some(told));
    assert_eq!(answer["headers"]["x-trace-id"], sampled, "functions see it");
    assert_eq!(
        collector.trace(&unsampled),
        [],
        "its spans would have come first"
    );

    let lines = eventually("both lines", || {
        let lines = access_lines(&gateway);
        let of = |trace: &str| lines.iter().find(|line| line["trace_id"] == trace).cloned();
        Some([of(&sampled)?, of(&unsampled)?])
    });
    for line in lines.unwrap() {
        assert_eq!(
            (&line["api_id"], &line["path"]),
            (&json!("test"), &json!("/api/x"))
        );
    }
}

#[test]
fn gateway_that_begins_a_trace_tells_the_upstream_whether_it_is_recorded() {
    let collector = Collector::start().unwrap();
    let lab = Lab::start();
    let mut variables = collector.variables();
    variables.push((
        "OTEL_TRACES_SAMPLER".into(),
        "parentbased_always_off".into(),
    ));
    let gateway = gateway(&lab, variables, &example(&lab));
    let answer = get(&gateway, "/api/x").json();
    let told = answer["headers"]["traceparent"].as_str().unwrap();
    assert!(told.starts_with("00-") && told.ends_with("-00"), "{told}");
    // A sampled one afterwards: what came before it would be there by then.
    let sampled = trace_id('c');
    ask(&gateway, &traced(&sampled, "01"));
    collector
        .wait_for(&sampled, |spans| spans.len() >= 4)
        .unwrap();
    assert_eq!(collector.trace(&told[3..35]), []);
}

#[test]
fn collector_that_is_not_there_disturbs_nothing() {
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let lab = Lab::start();
    let endpoint = (
        "OTEL_EXPORTER_OTLP_ENDPOINT".into(),
        format!("http://{gone}"),
    );
    let mut gateway = gateway(&lab, vec![endpoint], &example(&lab));
    for _ in 0..20 {
        assert_eq!(ask(&gateway, &traced(&trace_id('d'), "01")).status, 200);
    }
    gateway.stop().unwrap();
    assert_eq!(
        access_lines(&gateway).len(),
        20,
        "no line is lost at the end"
    );
}

#[test]
fn metrics_tell_how_plugins_came_and_how_they_fail() {
    let lab = Lab::start();
    lab.deploy_faulty();
    let hooks = middleware(&[("pre", &[("Panic", "faulty.so")])]);
    let gateway = gateway(&lab, Vec::new(), &hooks);
    for _ in 0..3 {
        assert_eq!(get(&gateway, "/api/x").status, 500);
    }
    let url = format!("http://{}/metrics", gateway.admin());
    let scope = [("tenant", "acme"), ("environment", "production")];
    let read = || Scrape::read(&url).unwrap();
    let value = |scrape: &Scrape, name: &str, labels: &[(&str, &str)]| {
        let labels = [&scope[..], labels].concat();
        scrape.value(&format!("gantry_{name}"), &labels)
    };
    let failed = [("api_id", "test"), ("class", "5xx")];
    let scrape = eventually("all requests in the metrics", || {
        let scrape = read();
        (value(&scrape, "requests_total", &failed) == Some(3.0)).then_some(scrape)
    })
    .unwrap();
    let expected: [Expected; 8] = [
        (
            "plugin_hook_errors_total",
            &[("hook", "pre"), ("kind", "panic")],
            3.0,
        ),
        (
            "plugin_hook_errors_total",
            &[("hook", "post"), ("kind", "panic")],
            0.0,
        ),
        (
            "plugin_hook_duration_seconds_count",
            &[("hook", "pre")],
            3.0,
        ),
        ("plugin_fetch_total", &[("result", "success")], 1.0),
        // One for each worker.
        ("plugin_load_total", &[("result", "success")], 2.0),
        ("plugin_load_duration_seconds_count", &[], 2.0),
        ("plugin_cache_entries", &[], 1.0),
        ("plugin_convergence_lag_seconds", &[], 0.0),
    ];
    for (name, labels, expected) in expected {
        assert_eq!(
            value(&scrape, name, labels),
            Some(expected),
            "{name}{labels:?}"
        );
    }
    let came = scrape.samples("gantry_plugin_fetch_bytes_total");
    assert!(came.len() == 1 && came[0].value > 0.0, "{came:?}");
    let active = scrape.samples("gantry_plugin_active_info");
    assert_eq!(active.len(), 1, "{active:?}");
    for (label, expected) in [("plugin", "faulty"), ("version", "1.0.0")] {
        assert_eq!(active[0].labels[label], expected);
    }
    assert_eq!(active[0].labels["digest"].len(), 12);
    assert!(
        active[0].labels["target"].starts_with("linux"),
        "{active:?}"
    );
}

#[test]
fn plugin_that_scribbles_over_shared_memory_costs_figures_and_nothing_else() {
    let lab = Lab::start();
    lab.deploy_c(
        "tests/fixtures/plugins/scribble.c",
        "scribble",
        ("pre", "Scribble"),
    );
    let hooks = middleware(&[("pre", &[("Scribble", "scribble.so")])]);
    let mut gateway = gateway(&lab, Vec::new(), &hooks);
    for _ in 0..30 {
        assert_eq!(get(&gateway, "/api/x").status, 200);
        assert!(gateway.status().unwrap()["report"].is_object());
    }
    let url = format!("http://{}/metrics", gateway.admin());
    let damaged = eventually("the damage is noticed", || {
        let scrape = Scrape::read(&url).unwrap();
        let damaged = scrape.samples("gantry_records_damaged_total")[0].value;
        (damaged > 0.0).then_some(damaged)
    });
    damaged.unwrap();
    // The memory is as good as before once nobody scribbles any more.
    lab.put(&gateway, &json!({"use_keyless": true}));
    let before = access_lines(&gateway).len();
    eventually("access lines again", || {
        assert_eq!(get(&gateway, "/api/again").status, 200);
        let lines = access_lines(&gateway);
        lines[before..]
            .iter()
            .any(|line| line["path"] == "/api/again" && line["api_id"] == "test")
            .then_some(())
    })
    .unwrap();
    gateway.stop().unwrap();
}
