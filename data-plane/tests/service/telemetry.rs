//! What operators read of requests: the access log and the metrics.

use std::path::Path;

use serde_json::Value;

use crate::gateway::{
    Gateway, NOWHERE, TOKEN, definition, eventually, get, leave_state, run, signal, upstream,
};

fn start(folder: &Path, configuration: &str) -> Gateway {
    leave_state(folder, 7, &[definition("a", "/a", upstream())]);
    let gateway = Gateway::start_configured(folder, TOKEN, NOWHERE, configuration);
    gateway.wait_ready();
    gateway
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    text[..whole]
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// The value of a series, whose labels may be in any order.
fn series(exposition: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let of_name = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
    };
    let all = exposition.lines().filter(of_name);
    let mut found = all.filter(|line| labels.iter().all(|label| line.contains(label)));
    let value = found.next()?.rsplit(' ').next().unwrap();
    assert_eq!(found.next(), None, "{name} {labels:?} is not one series");
    Some(value.parse().unwrap())
}

fn metrics(gateway: &Gateway) -> String {
    let (status, text) = get(gateway.admin, "/metrics").unwrap();
    assert_eq!(status, 200);
    text
}

#[test]
fn each_request_is_a_line_and_none_is_lost_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let configuration = format!(
        "[access_log]\noutput = {:?}\nformat = 'json'\n",
        path.display().to_string()
    );
    let mut gateway = start(folder.path(), &configuration);
    for _ in 0..50 {
        assert_eq!(get(gateway.listen, "/a/x?key=secret").unwrap().0, 200);
    }
    assert_eq!(get(gateway.listen, "/b").unwrap().0, 404);
    assert!(gateway.terminate());
    let lines = lines(&path);
    assert_eq!(lines.len(), 51);
    let refused = lines.iter().find(|line| line["status"] == 404).unwrap();
    assert_eq!(refused["answered_by"], "gateway");
    assert_eq!(refused["code"], "ROUTE_NOT_FOUND");
    let served = lines.iter().find(|line| line["status"] == 200).unwrap();
    for (field, expected) in [
        ("tenant", Value::from("acme")),
        ("environment", "production".into()),
        ("api_id", "a".into()),
        ("method", "GET".into()),
        ("path", "/a/x".into()),
        ("response_bytes", 8.into()),
        ("upstream_status", 200.into()),
        ("answered_by", "upstream".into()),
        ("client", "127.0.0.1".into()),
        ("revision", 7.into()),
    ] {
        assert_eq!(served[field], expected, "{field} of {served}");
    }
    let begun: jiff::Timestamp = served["time"].as_str().unwrap().parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(begun);
    assert!(!age.is_negative() && age.as_secs() < 600, "{begun}");
    assert!(!std::fs::read_to_string(&path).unwrap().contains("secret"));
    let printed = std::fs::read_to_string(folder.path().join("printed")).unwrap();
    assert_eq!(printed, "");
}

#[test]
fn lines_go_to_standard_output_unless_configured_and_nowhere_when_off() {
    for (configuration, expected) in [("", 1), ("[access_log]\noutput = 'off'\n", 0)] {
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = start(folder.path(), configuration);
        assert_eq!(get(gateway.listen, "/a").unwrap().0, 200);
        assert!(gateway.terminate());
        let printed = std::fs::read_to_string(folder.path().join("printed")).unwrap();
        assert_eq!(printed.lines().count(), expected, "{printed}");
        assert_eq!(
            printed.matches("\"GET /a HTTP/1.1\" 200 8 ").count(),
            expected,
            "{printed}"
        );
    }
}

#[test]
fn file_that_was_moved_away_is_opened_anew_after_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("old"));
    let configuration = format!(
        "[access_log]\noutput = {:?}\nformat = 'json'\n",
        path.display().to_string()
    );
    let mut gateway = start(folder.path(), &configuration);
    get(gateway.listen, "/a/before").unwrap();
    eventually("the first line", || (lines(&path).len() == 1).then_some(()));
    std::fs::rename(&path, &moved).unwrap();
    gateway.signal("USR1");
    eventually("a new file", || path.exists().then_some(()));
    get(gateway.listen, "/a/after").unwrap();
    assert!(gateway.terminate());
    assert_eq!(lines(&path)[0]["path"], "/a/after");
    assert_eq!((lines(&path).len(), lines(&moved).len()), (1, 1));
}

#[test]
fn access_log_that_cannot_be_opened_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gateway.toml");
    std::fs::write(&config, "[access_log]\noutput = '/proc/none/access.log'\n").unwrap();
    let state = folder.path().join("state");
    let (config, state) = (config.to_str().unwrap(), state.to_str().unwrap());
    let output = run(&[
        "--endpoint",
        NOWHERE,
        "--token",
        TOKEN,
        "--listen",
        "127.0.0.1:0",
        "--state-dir",
        state,
        "--config",
        config,
    ]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("ACCESS_LOG_UNUSABLE"), "{errors}");
    let cause = errors.matches("No such file or directory").count();
    assert_eq!(cause, 1, "the cause is said once: {errors}");
    std::fs::write(config, "[access_log]\noutput = 'file'\nformat = 'xml'\n").unwrap();
    let output = run(&["config", "check", "--config", config]);
    let errors = String::from_utf8(output.stderr).unwrap();
    for expected in ["access_log.output", "access_log.format"] {
        assert!(errors.contains(expected), "{expected} is not in {errors}");
    }
}

#[test]
fn metrics_tell_what_was_served_and_survive_a_killed_worker() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = start(folder.path(), "[gateway]\nworkers = 1\n");
    for _ in 0..3 {
        get(gateway.listen, "/a").unwrap();
    }
    get(gateway.listen, "/nowhere").unwrap();
    let served = ["api_id=\"a\"", "class=\"2xx\"", "tenant=\"acme\""];
    let refused = ["api_id=\"(none)\"", "class=\"4xx\""];
    let text = eventually("all requests in the metrics", || {
        let text = metrics(&gateway);
        let count = |labels| series(&text, "gantry_requests_total", labels);
        (count(&served) >= Some(3.0) && count(&refused) >= Some(1.0)).then_some(text)
    });
    assert_eq!(series(&text, "gantry_requests_total", &served), Some(3.0));
    assert_eq!(series(&text, "gantry_requests_total", &refused), Some(1.0));
    assert_eq!(
        series(&text, "gantry_request_duration_seconds_count", &[]),
        Some(4.0)
    );
    let sum = series(&text, "gantry_request_duration_seconds_sum", &[]).unwrap();
    assert!(sum > 0.0 && sum < 60.0, "{sum} seconds");
    let last = series(
        &text,
        "gantry_request_duration_seconds_bucket",
        &["le=\"+Inf\""],
    );
    assert_eq!(last, Some(4.0));
    assert_eq!(
        series(&text, "gantry_upstream_duration_seconds_count", &[]),
        Some(3.0)
    );
    for (name, expected) in [
        ("gantry_route_misses_total", 1.0),
        ("gantry_worker_restarts_total", 0.0),
        ("gantry_workers_live", 1.0),
        ("gantry_revision_applied", 7.0),
        ("gantry_ready", 1.0),
        ("gantry_origin_connected", 0.0),
        ("gantry_records_dropped_total", 0.0),
        ("gantry_plugin_generations_live", 1.0),
        ("gantry_plugin_convergence_lag_seconds", 0.0),
    ] {
        assert_eq!(
            series(&text, name, &["environment=\"production\""]),
            Some(expected),
            "{name}"
        );
    }
    assert!(series(&text, "gantry_plugin_lkg_age_seconds", &[]) >= Some(0.0));
    assert_eq!(
        series(&text, "gantry_build_info", &["gateway_id=\"", "version=\""]),
        Some(1.0)
    );
    assert!(series(&text, "process_resident_memory_bytes", &[]) > Some(0.0));

    signal(
        gateway.status()["workers"][0]["pid"].as_u64().unwrap(),
        "KILL",
    );
    let text = eventually("another worker", || {
        let text = metrics(&gateway);
        (series(&text, "gantry_worker_restarts_total", &[]) == Some(1.0)
            && series(&text, "gantry_workers_live", &[]) == Some(1.0))
        .then_some(text)
    });
    assert_eq!(series(&text, "gantry_requests_total", &served), Some(3.0));
    assert_eq!(series(&text, "gantry_plugin_crashes_total", &[]), Some(0.0));
    eventually("a fourth request", || {
        get(gateway.listen, "/a")
            .ok()
            .filter(|answer| answer.0 == 200)
    });
    eventually("it in the metrics", || {
        let count = series(&metrics(&gateway), "gantry_requests_total", &served);
        (count >= Some(4.0)).then_some(())
    });
    assert!(gateway.terminate());
}
