//! How many system calls a small GET costs a whole gateway, against a committed baseline: with a route, a
//! consumer key, counters, an access line and a plugin with two functions.
//!
//! Requests come one after the other, so that the count is the same each time: two reads, two writes, and
//! a wait before each read. Under load many connections share a wait.
#![expect(clippy::unwrap_used, reason = "a test may stop where it fails")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gantry_tests::binaries::{target_dir, workspace};
use gantry_tests::plugins;
use gantry_tests::process::{eventually, signal};
use gantry_tests::{Gateway, GatewayOptions, Request, Upstream};
use serde_json::{Value, json};

const REQUESTS: u32 = 2_000;
const KEY: &str = "0f6d7c1a5e2b4938a7c6d5e4f3b2a190";
/// What a request may cost the supervisor: it looks at what workers write on a clock of its own, some
/// fifty times a second, and no request wakes it.
const SUPERVISOR_MAX: f64 = 0.5;

#[test]
fn small_get_takes_no_more_system_calls_than_the_baseline_allows() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start().unwrap();
    let gateway = gateway(folder.path(), &upstream);
    let worker = *gateway.worker_pids().unwrap().first().unwrap();
    let supervisor = parent(worker);
    let mut connection = Connection::open(gateway.address());
    connection.ask(10);
    let tracers = [worker, supervisor].map(|pid| Tracer::attach(pid, folder.path()));
    connection.ask(REQUESTS);
    let [worker, supervisor] = tracers.map(|tracer| tracer.detach() / f64::from(REQUESTS));

    let baseline: Value =
        serde_json::from_slice(&fs::read(workspace().join("benches/baseline.json")).unwrap())
            .unwrap();
    let allowed = baseline["small_get"]["worker_system_calls"]
        .as_f64()
        .unwrap();
    let margin = baseline["margin_percent"].as_f64().unwrap();
    assert!(
        worker <= allowed * (1.0 + margin / 100.0),
        "{worker:.2} system calls of the worker per request, the baseline says {allowed} and {margin} % \
         more. If it is worth it, set small_get.worker_system_calls in benches/baseline.json to {worker:.2}"
    );
    assert!(
        supervisor <= SUPERVISOR_MAX,
        "{supervisor:.2} system calls of the supervisor per request: requests must not wake it"
    );
}

/// A gateway from a folder, with one worker, that writes access lines to a file.
fn gateway(folder: &Path, upstream: &Upstream) -> Gateway {
    let watched = folder.join("watched");
    for part in ["apis", "libraries", "bundles"] {
        fs::create_dir_all(watched.join(part)).unwrap();
    }
    let library = plugins::c("benches/fixtures/hooks.c", folder, None).unwrap();
    fs::copy(library, watched.join("libraries/hooks.so")).unwrap();
    let api = json!({
        "name": "Guarded", "api_id": "guarded", "use_standard_auth": true,
        "proxy": {"listen_path": "/hooked/", "strip_listen_path": true, "target_url": upstream.url()},
        "custom_middleware": {
            "driver": "goplugin",
            "pre": [{"name": "Mark", "path": "hooks.so"}],
            "response": [{"name": "Stamp", "path": "hooks.so"}],
        },
    });
    fs::write(watched.join("apis/guarded.json"), api.to_string()).unwrap();
    let keys = watched.join("keys.json");
    fs::write(
        &keys,
        json!({"keys": [{"id": "guard", "secret": KEY}]}).to_string(),
    )
    .unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&keys, private).unwrap();
    let config = folder.join("gateway.toml");
    let log = folder.join("access.log").display().to_string();
    fs::write(
        &config,
        format!("[gateway]\nworkers = 1\n[access_log]\noutput = {log:?}\n"),
    )
    .unwrap();
    let options = GatewayOptions {
        id: "guarded".into(),
        config: Some(config),
        ..GatewayOptions::default()
    };
    let mut gateway = Gateway::standalone(folder, &watched, &options).unwrap();
    gateway.wait_ready().unwrap();
    let request = Request::get("/hooked/s").header("authorization", KEY);
    eventually("the key is known", || {
        gateway
            .send(&request)
            .ok()
            .filter(|answer| answer.status == 200)
    })
    .unwrap();
    gateway
}

fn parent(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.unwrap().trim().parse().unwrap()
}

/// A client that keeps its connection.
struct Connection(TcpStream);

impl Connection {
    fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).unwrap())
    }

    fn ask(&mut self, requests: u32) {
        let request = format!(
            "GET /hooked/s HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        );
        let mut buffer = [0; 4096];
        for _ in 0..requests {
            self.0.write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            // The upstream answers with a JSON object.
            while !answer.ends_with(b"}") {
                let read = self.0.read(&mut buffer).unwrap();
                assert_ne!(read, 0, "the connection was closed");
                answer.extend_from_slice(&buffer[..read]);
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 "));
        }
    }
}

/// `strace` that counts the system calls of a process and its threads.
struct Tracer {
    strace: Child,
    counts: PathBuf,
}

impl Tracer {
    fn attach(pid: u32, folder: &Path) -> Self {
        let counts = folder.join(format!("strace-{pid}"));
        let (program, libraries) = strace();
        let mut command = Command::new(program);
        if let Some(libraries) = libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let mut strace = command
            .args(["-f", "-c", "-p", &pid.to_string(), "-o"])
            .arg(&counts)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It says so when it has all threads.
        let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
        let line = said.next().unwrap().unwrap();
        assert!(line.contains("attached"), "strace: {line}");
        Self { strace, counts }
    }

    /// The calls so far.
    fn detach(mut self) -> f64 {
        signal(self.strace.id(), "INT").unwrap();
        self.strace.wait().unwrap();
        let counts = fs::read_to_string(&self.counts).unwrap();
        let calls = |line: &str| line.split_whitespace().nth(3)?.parse::<f64>().ok();
        counts
            .lines()
            .filter(|line| !line.ends_with(" total"))
            .filter_map(calls)
            .sum()
    }
}

/// The machine's own, or the one that the test command unpacked, with its libraries.
fn strace() -> (PathBuf, Option<PathBuf>) {
    let own = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("strace"))
        .find(|program| program.is_file());
    if let Some(own) = own {
        return (own, None);
    }
    let root = target_dir().join("tools/debian");
    let unpacked = root.join("usr/bin/strace");
    assert!(
        unpacked.is_file(),
        "strace is missing: `cargo xtask test` provides it"
    );
    let libraries = fs::read_dir(root.join("usr/lib")).unwrap().flatten();
    let triple = libraries
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    (unpacked, triple)
}
