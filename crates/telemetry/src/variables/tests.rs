//! The variables, one by one and together.

use super::*;

fn read(variables: &[(&str, &str)]) -> Variables {
    Variables::from(&|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn complaints(variables: &[(&str, &str)]) -> Vec<&'static str> {
    let complaints = read(variables).complaints;
    complaints
        .iter()
        .map(|complaint| complaint.variable)
        .collect()
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

#[test]
fn nothing_set_exports_nothing_and_samples_nothing() {
    let read = read(&[]);
    assert_eq!(read.export, None);
    assert_eq!(read.sampler, Sampler::OFF);
    assert_eq!(read.complaints, []);
}

#[test]
fn endpoint_alone_turns_export_on_with_the_defaults() {
    let read = read(&[ENDPOINT]);
    let export = read.export.expect("an endpoint is given");
    assert_eq!(export.protocol, Protocol::Grpc);
    assert_eq!(export.endpoint, "http://collector:4317");
    assert_eq!(export.timeout, Duration::from_secs(10));
    assert_eq!(export.batches.queue_max, 2_048);
    assert_eq!(read.sampler, Sampler::PARENT_OR_ON);
    assert_eq!(read.complaints, []);
}

#[test]
fn exporter_alone_takes_the_default_endpoint_of_the_protocol() {
    let endpoint = |protocol| {
        let read = read(&[
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ]);
        read.export.expect("the exporter is asked for").endpoint
    };
    assert_eq!(endpoint("grpc"), "http://localhost:4317");
    assert_eq!(endpoint("http/protobuf"), "http://localhost:4318/v1/traces");
}

#[test]
fn variables_for_traces_win_over_the_general_ones() {
    let read = read(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:4317"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://traces:4318/in",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
    ]);
    let export = read.export.expect("endpoints are given");
    assert_eq!(export.protocol, Protocol::Http);
    assert_eq!(export.endpoint, "http://traces:4318/in");
    assert_eq!(export.timeout, Duration::from_millis(250));
}

#[test]
fn disabled_sdk_and_exporter_none_export_nothing_whatever_else_is_set() {
    for off in [
        ("OTEL_SDK_DISABLED", "TRUE"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let read = read(&[ENDPOINT, off]);
        assert_eq!(read.export, None, "{off:?}");
        assert_eq!(read.complaints, []);
    }
}

#[test]
fn bad_values_are_named_and_what_holds_without_them_is_used() {
    for bad in [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "18446744073709551615"),
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_TRACES_SAMPLER", "xray"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no pair"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ("OTEL_SDK_DISABLED", "perhaps"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ] {
        assert_eq!(complaints(&[ENDPOINT, bad]), [bad.0]);
        let read = read(&[ENDPOINT, bad]);
        let export = read.export.expect("the endpoint is good");
        assert_eq!(export.batches.queue_max, 2_048);
        assert_eq!(export.timeout, Duration::from_secs(10));
        assert_eq!(read.sampler, Sampler::PARENT_OR_ON);
    }
}

#[test]
fn bad_destinations_are_named_and_export_nothing() {
    for bad in [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "::"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ] {
        assert_eq!(complaints(&[ENDPOINT, bad]), [bad.0], "{bad:?}");
        assert_eq!(read(&[ENDPOINT, bad]).export, None, "{bad:?}");
    }
}

#[test]
fn complaint_about_headers_does_not_show_them() {
    let read = read(&[ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS", "a=1, hunter2")]);
    let complaint = read.complaints.first().expect("there is one");
    assert!(!complaint.text.contains("hunter2"), "{}", complaint.text);
    assert!(complaint.text.contains("pair 2"), "{}", complaint.text);
}
