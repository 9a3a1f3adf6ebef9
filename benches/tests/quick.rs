//! Every bench works and tells what it promises. Its figures mean nothing here, and nothing is asserted
//! about them but that they are figures.
#![expect(clippy::unwrap_used, reason = "a test may stop where it fails")]

use std::process::Command;

use serde_json::Value;

/// Runs a bench and reads its records.
fn records(bench: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_gantry-bench"))
        .args([bench, "--quick", "--output", "json"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let records: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    for record in &records {
        assert_eq!(record["bench"], bench);
        assert!(
            record["metric"].is_string() && record["unit"].is_string(),
            "{record}"
        );
        let figure = |name: &str| record[name].as_f64().unwrap_or_else(|| panic!("{record}"));
        assert!(figure("min") <= figure("median") && figure("median") <= figure("max"));
        assert!(record["runs"].as_u64() >= Some(1));
        assert!(
            record["ratios"]
                .as_object()
                .unwrap()
                .values()
                .all(Value::is_f64)
        );
    }
    records
}

/// The record of a subject and a metric.
fn record<'a>(records: &'a [Value], subject: &str, metric: &str) -> &'a Value {
    let found = records
        .iter()
        .find(|record| record["subject"] == subject && record["metric"] == metric);
    found.unwrap_or_else(|| panic!("no {metric} of {subject}: {records:#?}"))
}

#[test]
fn hook_call_tells_time_and_allocations_of_each_language_beside_the_native_map() {
    let records = records("hook-call");
    for subject in [
        "Rust",
        "C",
        "Go",
        "Go, Tyk's source, within the call",
        "Go, Tyk's source, on a goroutine",
    ] {
        let time = record(&records, subject, "time per call");
        assert!(time["ratios"]["native header map"].as_f64() > Some(0.0));
        record(&records, subject, "allocations per call");
    }
    let native = record(&records, "native header map", "allocations per call");
    assert_eq!(native["median"], 2.0, "a name and a value are copied");
}

#[test]
fn languages_tells_what_each_takes_to_build_to_load_and_to_keep() {
    let records = records("languages");
    for subject in ["Rust", "C", "Go, native SDK", "Go, as written for Tyk"] {
        for metric in [
            "first build, empty caches",
            "second build, nothing changed",
            "size of the library",
            "load, start and first call",
            "memory that a process gains",
        ] {
            assert!(record(&records, subject, metric)["median"].as_f64() > Some(0.0));
        }
        record(&records, subject, "threads that a process gains");
    }
}

#[test]
fn neighbours_tells_latency_of_others_without_and_beside_requests_that_wait() {
    let records = records("neighbours");
    for metric in [
        "p50, Go within the call",
        "p99, Go within the call",
        "p50, Go on goroutines",
        "p99, Go on goroutines",
        "worker's threads",
        "worker's memory",
    ] {
        assert!(record(&records, "alone", metric)["median"].as_f64() > Some(0.0));
        let beside = record(&records, "beside requests that wait", metric);
        assert!(beside["ratios"]["alone"].as_f64() > Some(0.0));
    }
}

#[test]
fn request_path_tells_what_each_message_costs_beside_each_peer() {
    let records = records("request-path");
    let peers = ["nginx + Lua", "HAProxy", "TCP relay (floor)"];
    for message in ["small GET", "64 KiB response", "16 KiB POST"] {
        let cpu = format!("CPU per request, {message}, saturated");
        let ratios = &record(&records, "Gantry", &cpu)["ratios"];
        assert!(
            peers.iter().all(|peer| ratios[peer].as_f64() > Some(0.0)),
            "{ratios}"
        );
        let rate = format!("requests per second, {message}");
        assert!(record(&records, "Gantry", &rate)["median"].as_f64() > Some(0.0));
    }
    for metric in [
        "p50, small GET, half load",
        "p90, small GET, half load",
        "CPU per request, small GET, half load",
        "worker's memory, idle",
        "worker's memory, 64 connections",
    ] {
        for subject in peers.into_iter().chain(["Gantry"]) {
            assert!(record(&records, subject, metric)["median"].as_f64() > Some(0.0));
        }
    }
    record(
        &records,
        "Gantry",
        "CPU per small GET of a plugin with two hooks",
    );
    for subject in ["Gantry, Go within the call", "Gantry, Go on goroutines"] {
        let cpu = record(&records, subject, "CPU per request, small GET, saturated");
        assert!(cpu["ratios"]["Gantry"].as_f64() > Some(0.0));
    }
}
