//! What other APIs notice of requests that wait inside of a function: one worker, one API whose function
//! asks a server that does not answer, and two neighbours with functions of the same library, which are
//! asked at a fixed rate first alone and then beside the requests that wait.
//!
//! Invariant: every request is answered in the end, and each that waits waits while the others are
//! measured: the server counts those who ask it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gantry_tests::process::eventually;

use crate::gateway::{self, Api, Started, TOKEN};
use crate::record::{Record, Samples};
use crate::request_path::small_gets;
use crate::{build, measure, say};

/// The bench's name.
pub(crate) const NAME: &str = "neighbours";
/// What the others are held against.
pub(crate) const ALONE: &str = "alone";
const BESIDE: &str = "beside requests that wait";
/// Neighbours: the name of each, and its path.
const NEIGHBOURS: [(&str, &str); 2] = [
    ("Go within the call", "/inline"),
    ("Go on goroutines", "/detached"),
];
/// How long a request that waited may take once the server answers.
const PATIENCE: Duration = Duration::from_secs(20);
/// Files that this process and the worker may have open: two ends of each request that waits, and more.
const FILES: usize = 4096;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Size {
    blocks: usize,
    /// Requests that wait.
    waiting: usize,
    /// Requests a second.
    rate: f64,
    /// Per neighbour.
    seconds: f64,
}

const FULL: Size = Size {
    blocks: 8,
    waiting: 1000,
    rate: 4000.0,
    seconds: 3.0,
};
const QUICK: Size = Size {
    blocks: 1,
    waiting: 20,
    rate: 200.0,
    seconds: 0.2,
};

/// Measures; gives the records, and the circumstances in words.
///
/// # Errors
/// The gateway does not come up, or a request fails.
pub(crate) fn run(quick: bool) -> Result<(Vec<Record>, String)> {
    let size = if quick { QUICK } else { FULL };
    let (machine, busy) = (measure::machine(), measure::load_average());
    let pinned = if measure::has_two_cores() {
        "gateway on core 1, everything else on core 0"
    } else {
        "one core for everything: nothing here can be compared"
    };
    let folder = tempfile::Builder::new().prefix("gantry-bench-").tempdir()?;
    measure::allow_files(FILES)?;
    measure::pin(&[std::process::id()], measure::OTHER_CORE)?;
    let (_upstream, upstream) = gateway::upstream(folder.path())?;
    let bench = Bench {
        watched: lay_out(folder.path(), upstream)?,
        folder: folder.path().to_owned(),
        shut: Shut::listen()?,
        size,
    };
    let mut samples = Samples::default();
    for block in 0..size.blocks {
        say(&format!("block {} of {}", block + 1, size.blocks));
        bench.block(&mut samples)?;
    }
    let head = format!(
        "{machine}; {pinned}. Load average {busy} before the run. {} requests a second; {} requests wait.\n",
        size.rate, size.waiting
    );
    Ok((samples.records(NAME), head))
}

fn lay_out(folder: &Path, upstream: SocketAddr) -> Result<PathBuf> {
    let watched = folder.join("watched");
    let library = build::tyk(folder)?;
    let apis = [
        Api::new("waiting", Some("Wait"), None),
        Api::new("inline", Some("MarkInline"), Some("StampInline")),
        Api::new("detached", Some("Mark"), Some("Stamp")),
    ];
    gateway::lay_out(&watched, &library, upstream, &apis)?;
    Ok(watched)
}

struct Bench {
    watched: PathBuf,
    folder: PathBuf,
    shut: Shut,
    size: Size,
}

impl Bench {
    /// Starts the gateway anew and measures without and with requests that wait.
    fn block(&self, samples: &mut Samples) -> Result<()> {
        let started = gateway::start(&self.folder, NAME, &self.watched, "/inline/s")?;
        self.look(&started, ALONE, samples)?;
        let waiting = self.begin_waiting(&started)?;
        self.look(&started, BESIDE, samples)?;
        let held = self.shut.held();
        ensure!(
            held == self.size.waiting,
            "{held} requests waited to the end, {} were to",
            self.size.waiting
        );
        self.shut.answer()?;
        for client in waiting {
            expect_success(client)?;
        }
        Ok(())
    }

    /// Measures the neighbours, and looks at the worker.
    fn look(&self, started: &Started, subject: &str, samples: &mut Samples) -> Result<()> {
        let to = started.gateway.address();
        // Once unseen: connections are made, and what comes before has settled.
        for (_, path) in NEIGHBOURS {
            small_gets(to, path, self.size.rate, self.size.seconds / 4.0)?;
        }
        for (name, path) in NEIGHBOURS {
            let seen = small_gets(to, path, self.size.rate, self.size.seconds)
                .with_context(|| format!("{name}, {subject}"))?;
            samples.add(subject, &format!("p50, {name}"), "µs", seen.p50);
            samples.add(subject, &format!("p99, {name}"), "µs", seen.p99);
        }
        let threads = measure::threads(started.worker)?;
        samples.add(subject, "worker's threads", "threads", threads);
        let memory = measure::pss_mebibytes(started.worker)?;
        samples.add(subject, "worker's memory", "MiB PSS", memory);
        Ok(())
    }

    /// Sends requests, and waits until the function of each asks the server.
    fn begin_waiting(&self, started: &Started) -> Result<Vec<TcpStream>> {
        let to = started.gateway.address();
        let request = format!(
            "GET /waiting/s HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {TOKEN}\r\n\
             X-Wait-For: http://{}/\r\n\r\n",
            self.shut.address
        );
        let mut clients = Vec::with_capacity(self.size.waiting);
        for _ in 0..self.size.waiting {
            let mut client = TcpStream::connect(to).context("connect to the gateway")?;
            client.write_all(request.as_bytes())?;
            clients.push(client);
        }
        eventually("all requests wait", || {
            (self.shut.held() == self.size.waiting).then_some(())
        })?;
        Ok(clients)
    }
}

/// A server that takes connections, and answers when it is told to.
struct Shut {
    address: SocketAddr,
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl Shut {
    fn listen() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let held = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&held);
        // It ends with this process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                shared
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(stream);
            }
        });
        Ok(Self { address, held })
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait for it.
    fn held(&self) -> usize {
        self.streams().len()
    }

    /// Answers all who wait.
    fn answer(&self) -> Result<()> {
        for mut stream in self.streams().drain(..) {
            // What was not read when a connection is closed would take the answer with it.
            let mut request = [0; 4096];
            ensure!(stream.read(&mut request)? > 0, "who waited is gone");
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
        }
        Ok(())
    }
}

/// Reads the answer of a request that waited.
fn expect_success(mut client: TcpStream) -> Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut status = [0; 13];
    client
        .read_exact(&mut status)
        .context("a request that waited was not answered")?;
    ensure!(
        status.starts_with(b"HTTP/1.1 200 "),
        "a request that waited ended with {:?}",
        String::from_utf8_lossy(&status)
    );
    Ok(())
}
