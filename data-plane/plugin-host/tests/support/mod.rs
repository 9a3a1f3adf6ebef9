//! Builds real libraries and makes requests for them.
#![expect(dead_code, reason = "each test binary uses its part")]
#![expect(clippy::unwrap_used, reason = "a test may stop where it fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use bytes::Bytes;
use gantry_domain::{ApiId, FunctionName, Hook, PluginNote};
use gantry_plugin_host::{
    ApiContext, Called, Carries, Exchange, Instance, Library, LogLevel, Serial, StartContext,
    StartError, Trace, Verdict, set_log_sink,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

/// What functions are told that they may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compiles a C plugin, given from the root of the repository, into a library of its own.
pub(crate) fn build_c(source: &str, flags: &[&str]) -> PathBuf {
    static BUILT: AtomicUsize = AtomicUsize::new(0);
    let number = BUILT.fetch_add(1, Ordering::Relaxed);
    // Named after the test binary, so that runs do not pile up files.
    let binary = std::env::current_exe().unwrap();
    let name = format!("{}-{number}.so", binary.file_stem().unwrap().display());
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g"])
        // The tables grow at their end.
        .arg("-Wno-missing-field-initializers")
        .args([
            "-shared",
            "-fPIC",
            "-fvisibility=hidden",
            "-Wl,-Bsymbolic",
            "-pthread",
        ])
        .args(flags)
        .arg("-I")
        .arg(root().join("sdk/c/include"))
        .arg("-o")
        .arg(&library)
        .arg(root().join(source))
        .output()
        .expect("a C compiler named cc");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    library
}

/// A fixture of `tests/fixtures/plugins`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    build_c(&format!("tests/fixtures/plugins/{name}.c"), &[])
}

/// Opens a fixture.
pub(crate) fn open(name: &str) -> Arc<Library> {
    Library::open(&fixture(name)).unwrap()
}

/// Builds a cdylib of the workspace; gives its path.
pub(crate) fn build_rust(package: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--message-format=json",
            "--package",
            package,
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut built = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let ours = message["target"]["kind"] == serde_json::json!(["cdylib"])
            && message["package_id"].as_str()?.contains(package);
        ours.then(|| message["filenames"][0].as_str().map(PathBuf::from))
            .flatten()
    });
    built.next_back().expect("cargo names the library")
}

/// Reads a library's note the simple way: by looking for its head.
pub(crate) fn note_of(library: &Path) -> PluginNote {
    let bytes = std::fs::read(library).unwrap();
    let owner = b"GANTRY\0\0";
    let number = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let at = (12..bytes.len() - owner.len())
        .find(|&at| bytes[at..].starts_with(owner) && number(at - 12) == 7 && number(at - 4) == 1)
        .expect("the library has a note");
    let descriptor = &bytes[at + owner.len()..][..number(at - 8)];
    PluginNote::parse(descriptor).unwrap()
}

pub(crate) fn start(
    library: &Arc<Library>,
    function: &str,
    hook: Hook,
    config: &str,
) -> Result<Instance, StartError> {
    let function: FunctionName = function.parse().unwrap();
    let api_id: ApiId = "users".parse().unwrap();
    library.start(&StartContext {
        function: &function,
        api_id: &api_id,
        hook,
        config,
    })
}

/// A request at a gateway.
pub(crate) fn request() -> Exchange {
    let mut headers = HeaderMap::new();
    headers.insert("x-set", HeaderValue::from_static("old"));
    headers.insert("x-gone", HeaderValue::from_static("1"));
    headers.append("accept", HeaderValue::from_static("a/b"));
    headers.append("accept", HeaderValue::from_static("c/d"));
    Exchange {
        method: Method::GET,
        path: "/users/7".to_owned(),
        query: Some("a=1".to_owned()),
        headers,
        remote_addr: "192.0.2.1:4711".into(),
        host: "api.example".to_owned(),
        session: None,
        token: None,
        stored_sessions: Vec::new(),
        api: Arc::new(ApiContext {
            api_id: "users".parse().unwrap(),
            definition: Bytes::from_static(br#"{"name":"Users"}"#),
            config: Bytes::from_static(br#"{"level":3}"#),
            openapi: None,
            serial: Serial::default(),
        }),
        trace: Trace::new(&format!("00-{TRACE_ID}-b7ad6b7169203331-01")),
        target: Uri::from_static("/users/7?").into(),
        response_headers: HeaderMap::new(),
        added_headers: HeaderMap::new(),
        body: None,
        status: None,
        answer: None,
        carries: Carries::default(),
    }
}

/// The upstream's answer to it.
pub(crate) fn response() -> Exchange {
    Exchange {
        status: Some(StatusCode::OK),
        ..request()
    }
}

/// The upstream's answer with headers that describe its body, and one that does not.
pub(crate) fn encoded_response() -> Exchange {
    let mut exchange = response();
    for (name, value) in [
        ("content-type", "text/html"),
        ("content-encoding", "gzip"),
        ("etag", "\"1\""),
        ("set-cookie", "a=b"),
    ] {
        let value = HeaderValue::from_static(value);
        exchange.response_headers.insert(name, value);
    }
    exchange
}

/// Starts a function for a request hook, runs one request through it, and stops it.
pub(crate) fn run(library: &Arc<Library>, function: &str, hook: Hook) -> (Verdict, Exchange) {
    run_on(library, function, hook, request())
}

/// The same with another message. A call that pends must have been resumed when it returned.
pub(crate) fn run_on(
    library: &Arc<Library>,
    function: &str,
    hook: Hook,
    mut exchange: Exchange,
) -> (Verdict, Exchange) {
    let instance = Arc::new(start(library, function, hook, "{}").unwrap());
    let verdict = match Instance::begin(&instance, hook, &mut exchange, PATIENCE) {
        Called::Ended(verdict) => verdict,
        Called::Pending(call) => call.finish(&mut exchange),
    };
    (verdict, exchange)
}

/// The numbers that a fixture told in a response header.
pub(crate) fn told(exchange: &Exchange, name: &str) -> Vec<i32> {
    let values = exchange.response_headers.get_all(name).iter();
    values
        .map(|value| value.to_str().unwrap().parse().unwrap())
        .collect()
}

/// A failed call's code.
pub(crate) fn code(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Failed(failure) => failure.code,
        Verdict::Continue | Verdict::Respond => "",
    }
}

/// A line that reached the sink: level, message, and `api/function/hook/trace` if it has an origin.
pub(crate) type Line = (LogLevel, String, Option<String>);

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

/// Collects what plugins log from now on.
pub(crate) fn collect_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_log_sink(Box::new(|line| {
            let origin = line
                .origin
                .map(|o| format!("{}/{}/{}/{}", o.api_id, o.function, o.hook, o.trace_id));
            LINES
                .lock()
                .unwrap()
                .push((line.level, line.message.to_owned(), origin));
        }));
    });
}

/// The lines whose message contains a text.
pub(crate) fn lines_with(text: &str) -> Vec<Line> {
    LINES
        .lock()
        .unwrap()
        .iter()
        .filter(|line| line.1.contains(text))
        .cloned()
        .collect()
}
