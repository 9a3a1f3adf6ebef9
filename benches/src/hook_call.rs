//! What one call of a plugin costs: functions in Rust, C and Go that read one header and set one, called
//! through the plugin host on an exchange with twelve headers, beside the same work on the native header
//! map without any plugin.
//!
//! All subjects run in this process and take turns, block by block, in alternating order, on one core as a
//! worker does that is pinned to it. Allocations are counted in a second process, into which a counting library
//! is preloaded; the clock never runs there.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use gantry_domain::Hook;
use gantry_plugin_host::{
    ApiContext, Called, Carries, Exchange, Instance, Library, Serial, StartContext, Trace, Verdict,
};
use gantry_tests::binaries::{profile_dir, target_dir};
use gantry_tests::plugins;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use crate::build;
use crate::measure;
use crate::record::{Record, Samples};

/// The bench's name.
pub(crate) const NAME: &str = "hook-call";
/// Who is measured; the first is what the others are held against.
pub(crate) const NATIVE: &str = "native header map";
/// What functions are told that they may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The function that reads one header and sets one, in each library.
const MARK: &str = "Mark";
/// What tells this program to count: the variable that names the counting library's file.
const COUNTS: &str = "ALLOCATIONS_FILE";

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Size {
    blocks: usize,
    calls: u32,
}

const FULL: Size = Size {
    blocks: 24,
    calls: 200_000,
};
const QUICK: Size = Size {
    blocks: 2,
    calls: 2_000,
};

/// Measures.
///
/// # Errors
/// A library cannot be built or a call fails.
pub(crate) fn run(quick: bool) -> Result<Vec<Record>> {
    let size = if quick { QUICK } else { FULL };
    let libraries = Libraries::build()?;
    // Before libraries are opened: runtimes look at how many cores there are when they start.
    measure::pin(&[std::process::id()], measure::PROXY_CORE)?;
    let mut subjects = libraries.subjects()?;
    let mut samples = Samples::default();
    for block in 0..=size.blocks {
        let mut nanoseconds = vec![0.0; subjects.len()];
        for step in 0..subjects.len() {
            let index = if block % 2 == 0 {
                step
            } else {
                subjects.len() - 1 - step
            };
            let subject = &mut subjects[index];
            nanoseconds[index] = subject.time(size.calls / subject.share)?;
        }
        // The first block warms caches and runtimes.
        if block > 0 {
            for (subject, nanoseconds) in subjects.iter().zip(nanoseconds) {
                samples.add(subject.name, "time per call", "ns", nanoseconds);
            }
        }
    }
    for (name, allocations) in libraries.count()? {
        samples.add(name, "allocations per call", "allocations", allocations);
    }
    Ok(samples.records(NAME))
}

/// Calls a function as often as the arguments say, or does the native work, and nothing else: the process
/// whose allocations are counted.
///
/// # Errors
/// A call fails.
pub(crate) fn call_only(calls: u32, plugin: Option<(&Path, &str)>) -> Result<()> {
    let work = plugin.map_or(Ok(Work::Native), |(library, function)| {
        Work::of(library, function)
    })?;
    Subject::new("it", 1, work).time(calls).map(drop)
}

/// Loads a library, starts its function and calls it once: what stands before a first answer.
///
/// # Errors
/// It is no plugin, or the call fails.
pub(crate) fn first_call(library: &Path) -> Result<Loaded> {
    let mut subject = Subject::new("it", 1, Work::of(library, MARK)?);
    subject.time(1)?;
    Ok(Loaded(subject))
}

/// A library in this process, with an instance of a function.
#[expect(dead_code, reason = "kept while others look at the process")]
pub(crate) struct Loaded(Subject);

/// A function that is measured.
struct Kind {
    name: &'static str,
    function: &'static str,
    library: PathBuf,
    /// What part of the calls it gets, as a divisor: some are slow, or wake two threads each.
    share: u32,
}

impl Kind {
    fn of(name: &'static str, library: PathBuf) -> Self {
        Self {
            name,
            function: MARK,
            library,
            share: 1,
        }
    }
}

/// The functions, and the library that counts.
struct Libraries {
    kinds: [Kind; 5],
    counter: PathBuf,
}

impl Libraries {
    fn build() -> Result<Self> {
        let folder = target_dir().join("stage/benches");
        fs::create_dir_all(&folder)?;
        let rust = profile_dir().join("libgantry_bench_hooks.so");
        ensure!(
            rust.is_file(),
            "{} is missing: `cargo xtask bench {NAME}` builds it",
            rust.display()
        );
        let c = plugins::c("benches/fixtures/hooks.c", &folder, None)?;
        let go = plugins::go("benches/fixtures/go", "1.0.0", None)?;
        let tyk = build::tyk(&folder)?;
        let counter = plugins::c("benches/fixtures/allocations.c", &folder, None)?;
        Ok(Self {
            kinds: [
                Kind::of("Rust", rust),
                Kind::of("C", c),
                Kind::of("Go", go),
                Kind {
                    function: "MarkInline",
                    share: 4,
                    ..Kind::of("Go, Tyk's source, within the call", tyk.clone())
                },
                Kind {
                    share: 20,
                    ..Kind::of("Go, Tyk's source, on a goroutine", tyk)
                },
            ],
            counter,
        })
    }

    fn subjects(&self) -> Result<Vec<Subject>> {
        let mut subjects = vec![Subject::new(NATIVE, 1, Work::Native)];
        for kind in &self.kinds {
            let work = Work::of(&kind.library, kind.function)?;
            subjects.push(Subject::new(kind.name, kind.share, work));
        }
        Ok(subjects)
    }

    /// Allocations per call of each subject.
    fn count(&self) -> Result<Vec<(&'static str, f64)>> {
        let kinds = self
            .kinds
            .iter()
            .map(|kind| Ok((kind.name, self.per_call(Some(kind))?)));
        std::iter::once_with(|| Ok((NATIVE, self.per_call(None)?)))
            .chain(kinds)
            .collect()
    }

    /// What more calls allocate more: starting up cancels out.
    fn per_call(&self, kind: Option<&Kind>) -> Result<f64> {
        const FEW: u32 = 1_000;
        const MANY: u32 = 11_000;
        let few = self.allocations(kind, FEW)?;
        let many = self.allocations(kind, MANY)?;
        let more = many.saturating_sub(few);
        // Rounded: a runtime's own threads allocate now and then.
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let per_call = more as f64 / f64::from(MANY - FEW);
        Ok((per_call * 100.0).round() / 100.0)
    }

    fn allocations(&self, kind: Option<&Kind>, calls: u32) -> Result<u64> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), [0; 8])?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["call-only", &calls.to_string()])
            .env("LD_PRELOAD", &self.counter)
            .env(COUNTS, file.path())
            .stdin(Stdio::null());
        if let Some(kind) = kind {
            command.arg(&kind.library).arg(kind.function);
        }
        let output = command.output().context("start the process that counts")?;
        ensure!(
            output.status.success(),
            "counting allocations of {}: {}",
            kind.map_or(NATIVE, |kind| kind.name),
            String::from_utf8_lossy(&output.stderr)
        );
        let count = fs::read(file.path())?;
        let count = count.first_chunk().context("the count has eight bytes")?;
        Ok(u64::from_ne_bytes(*count))
    }
}

/// Who is called, and on what.
struct Subject {
    name: &'static str,
    share: u32,
    work: Work,
    exchange: Exchange,
}

enum Work {
    Native,
    Plugin(Arc<Instance>),
}

impl Work {
    fn of(library: &Path, function: &str) -> Result<Self> {
        let library = Library::open(library)?;
        let instance = library.start(&StartContext {
            function: &function.parse()?,
            api_id: &"bench".parse()?,
            hook: Hook::Pre,
            config: "{}",
        })?;
        Ok(Self::Plugin(Arc::new(instance)))
    }
}

impl Subject {
    fn new(name: &'static str, share: u32, work: Work) -> Self {
        Self {
            name,
            share,
            work,
            exchange: exchange(),
        }
    }

    /// Nanoseconds per call.
    fn time(&mut self, calls: u32) -> Result<f64> {
        let begin = Instant::now();
        for _ in 0..calls {
            match &self.work {
                Work::Native => mark(&mut self.exchange.headers)?,
                Work::Plugin(instance) => {
                    match call(instance, &mut self.exchange) {
                        Verdict::Continue => {}
                        other => bail!("{}: {other:?}", self.name),
                    }
                    // Each call is a request of its own: what a library keeps of it ends with it.
                    self.exchange.carries = Carries::default();
                }
            }
        }
        let elapsed = begin.elapsed();
        ensure!(
            self.exchange.headers.contains_key("x-marked"),
            "{} did not set its header",
            self.name
        );
        Ok(elapsed.as_secs_f64() * 1e9 / f64::from(calls))
    }
}

/// Runs a call to its end, waiting on this thread if it pends.
fn call(instance: &Arc<Instance>, exchange: &mut Exchange) -> Verdict {
    if !instance.may_pend() {
        return instance.call(Hook::Pre, exchange);
    }
    match Instance::begin(instance, Hook::Pre, exchange, PATIENCE) {
        Called::Ended(verdict) => verdict,
        Called::Pending(mut pending) => {
            let waker = Waker::from(Arc::new(Unpark(thread::current())));
            while pending
                .poll_wish(&mut Context::from_waker(&waker))
                .is_pending()
            {
                thread::park();
            }
            pending.finish(exchange)
        }
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What the functions do, on the map itself: bytes from somewhere become a name and a value.
fn mark(headers: &mut HeaderMap) -> Result<()> {
    black_box(headers.get(black_box("x-request-id")));
    let name = HeaderName::from_bytes(black_box(b"x-marked"))?;
    let value = HeaderValue::from_bytes(black_box(b"by the gateway"))?;
    headers.insert(name, value);
    Ok(())
}

/// A request as a browser sends it.
fn exchange() -> Exchange {
    let headers = [
        ("host", "api.example"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("authorization", "Bearer 0123456789abcdef0123456789abcdef"),
        (
            "cookie",
            "session=9c1185a5c5e9fc54612808977ee8f548b2258d31; theme=dark",
        ),
        ("referer", "https://shop.example/articles/4711?from=search"),
        ("x-request-id", "6f1ed002-ab5b-4a2e-9b1c-0a6f3f0f6f7a"),
        ("x-forwarded-for", "203.0.113.7"),
        ("cache-control", "no-cache"),
        ("priority", "u=0, i"),
    ];
    let headers = headers
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect();
    Exchange {
        method: Method::GET,
        path: "/articles/4711".to_owned(),
        query: Some("from=search".to_owned()),
        headers,
        remote_addr: "192.0.2.1:4711".into(),
        host: "api.example".to_owned(),
        session: None,
        token: None,
        stored_sessions: Vec::new(),
        api: Arc::new(ApiContext {
            api_id: "bench".parse().expect("the name is one"),
            definition: Bytes::from_static(b"{}"),
            config: Bytes::from_static(b"{}"),
            openapi: None,
            serial: Serial::default(),
        }),
        trace: Trace::default(),
        target: Uri::from_static("/users/7?").into(),
        response_headers: HeaderMap::new(),
        added_headers: HeaderMap::new(),
        body: None,
        status: None,
        answer: None,
        carries: Carries::default(),
    }
}
