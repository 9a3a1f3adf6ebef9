//! Settings as people see them: the file that would give the same, with the token redacted.

use std::fmt::Display;

use toml::{Table, Value};

use super::{ControlPlane, Folder, Settings, Source, Worker};

/// The document.
pub(super) fn document(settings: &Settings) -> String {
    let Settings {
        source,
        gateway,
        http,
        admin_listen,
        upstream,
        worker,
        probe,
        log_format,
        access_log,
        ..
    } = settings;
    let mut document = Table::new();
    let mut section = |name: &str, fields: Vec<(&str, Option<Value>)>| {
        let table: Table = fields
            .into_iter()
            .filter_map(|(field, value)| Some((field.to_owned(), value?)))
            .collect();
        document.insert(name.to_owned(), Value::Table(table));
    };
    match source {
        Source::ControlPlane(control_plane) => section("control_plane", link(control_plane)),
        Source::Folder(folder) => section("source", watched(folder)),
    }
    section(
        "gateway",
        vec![
            ("id", gateway.id.as_ref().map(|id| text(id))),
            ("version", gateway.version.map(|version| text(&version))),
            ("state_dir", Some(text(&gateway.state_dir.display()))),
            ("workers", Some(number(gateway.workers))),
        ],
    );
    section(
        "http",
        vec![
            ("listen", Some(text(&http.listen))),
            (
                "header_read_timeout_ms",
                Some(number(http.header_read_timeout_ms)),
            ),
            ("connections_max", Some(number(http.connections_max))),
            (
                "request_body_bytes_max",
                Some(number(http.request_body_bytes_max)),
            ),
        ],
    );
    let admin = admin_listen.map_or_else(|| text(&"off"), |address| text(&address));
    section("admin", vec![("listen", Some(admin))]);
    section(
        "upstream",
        vec![
            (
                "connect_timeout_ms",
                Some(number(upstream.connect_timeout_ms)),
            ),
            (
                "response_timeout_ms",
                Some(number(upstream.response_timeout_ms)),
            ),
            ("idle_max", Some(number(upstream.idle_max))),
            (
                "response_body_bytes_max",
                Some(number(upstream.response_body_bytes_max)),
            ),
            (
                "ca_file",
                upstream.ca.as_ref().map(|ca| text(&ca.path.display())),
            ),
        ],
    );
    section("worker", workers(worker));
    section(
        "probe",
        vec![("step_timeout_ms", Some(number(probe.step_timeout_ms)))],
    );
    section("log", vec![("format", Some(text(log_format)))]);
    section(
        "access_log",
        vec![
            ("output", Some(text(&access_log.output))),
            ("format", Some(text(&access_log.format.as_str()))),
            ("query", Some(access_log.query.into())),
        ],
    );
    document.to_string()
}

fn link(control_plane: &ControlPlane) -> Vec<(&'static str, Option<Value>)> {
    let ca_file = control_plane.ca_file.as_ref();
    vec![
        ("endpoint", Some(text(&control_plane.endpoint))),
        ("token", Some(text(&control_plane.token))),
        ("ca_file", ca_file.map(|path| text(&path.display()))),
        (
            "allow_plaintext",
            Some(control_plane.allow_plaintext.into()),
        ),
    ]
}

fn workers(worker: &Worker) -> Vec<(&'static str, Option<Value>)> {
    let env = worker.env.iter();
    let env = env.map(|(name, value)| (name.clone(), text(value)));
    let at = &worker.replace_at;
    let mut replace_at = Table::from_iter([
        (
            "stale_go_libraries".to_owned(),
            number(at.stale_go_libraries),
        ),
        ("go_libraries".to_owned(), number(at.go_libraries)),
        ("stale_libraries".to_owned(), number(at.stale_libraries)),
    ]);
    replace_at.extend(
        at.memory_bytes
            .map(|bytes| ("memory_bytes".to_owned(), number(bytes))),
    );
    vec![
        ("env", Some(Value::Table(env.collect()))),
        ("drain_timeout_ms", Some(number(worker.drain_timeout_ms))),
        (
            "plugin_deadline_ms",
            Some(number(worker.plugin_deadline_ms)),
        ),
        ("pending_calls_max", Some(number(worker.pending_calls_max))),
        ("go_max_procs", worker.go_max_procs.map(number)),
        (
            "go_memory_limit_bytes",
            worker.go_memory_limit_bytes.map(number),
        ),
        ("replace_at", Some(Value::Table(replace_at))),
    ]
}

fn watched(folder: &Folder) -> Vec<(&'static str, Option<Value>)> {
    vec![
        ("folder", Some(text(&folder.path.display()))),
        ("tenant", Some(text(&folder.tenant))),
        ("environment", Some(text(&folder.environment))),
        ("lookup", Some(text(&folder.lookup.as_str()))),
        ("poll_interval_ms", Some(number(folder.poll_interval_ms))),
    ]
}

fn text(value: &dyn Display) -> Value {
    Value::String(value.to_string())
}

fn number(value: impl TryInto<i64>) -> Value {
    Value::Integer(value.try_into().unwrap_or(i64::MAX))
}
