//! Where a round's trap stands, and what springs it: a byte on the wire between client and control plane,
//! one between control plane and S3 server, or a file that appears.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gantry_tests::relay::{Side, Trap, Verdict, Watch};
use gantry_tests::wire::{Exchange, Frames};

use super::Numbers;

/// The request that publishes, counted from 1: one begins, two bring files.
const PUBLISH_REQUEST: usize = 4;
/// How often is looked whether a file has appeared: far shorter than the window that is waited for.
const GLANCE: Duration = Duration::from_millis(1);

/// Springs after so many bytes from the client.
pub(super) fn after_bytes(mut left: usize) -> Watch {
    Box::new(move |_, side, bytes| {
        if side == Side::Server {
            return Verdict::Pass;
        }
        if bytes.len() < left {
            left -= bytes.len();
            return Verdict::Pass;
        }
        Verdict::Spring {
            after: left,
            cut: false,
        }
    })
}

/// Springs when the client has asked to publish.
pub(super) fn after_publish_request() -> Watch {
    let mut connections: HashMap<u64, Frames> = HashMap::new();
    let mut requests = 0;
    Box::new(move |number, side, bytes| {
        if side == Side::Server {
            return Verdict::Pass;
        }
        let frames = connections.entry(number).or_insert_with(Frames::of_client);
        requests += frames.headers(bytes).len();
        if requests < PUBLISH_REQUEST {
            return Verdict::Pass;
        }
        Verdict::Spring {
            after: bytes.len(),
            cut: false,
        }
    })
}

/// Springs at the first answer to the client after the commit object is there.
pub(super) fn before_answer(committed: impl Fn() -> bool + Send + 'static, cut: bool) -> Watch {
    let mut connections: HashMap<u64, Frames> = HashMap::new();
    Box::new(move |number, side, bytes| {
        if side == Side::Client {
            return Verdict::Pass;
        }
        let frames = connections.entry(number).or_default();
        match frames.headers(bytes).first() {
            Some(&after) if committed() => Verdict::Spring { after, cut },
            _ => Verdict::Pass,
        }
    })
}

/// A request to the S3 server at which a trap springs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    /// The `n`th part, within its body.
    Part(usize),
    /// The end of the multipart upload.
    Complete,
    /// The `n`th copy of a staged object to its key.
    Copy(usize),
    /// The commit object.
    Commit,
}

impl Request {
    fn is(self, head: &str) -> bool {
        let line = head.lines().next().unwrap_or_default();
        match self {
            Self::Part(_) => line.starts_with("PUT ") && line.contains("partNumber="),
            Self::Complete => line.starts_with("POST ") && line.contains("uploadId="),
            Self::Copy(_) => head.to_ascii_lowercase().contains("\r\nx-amz-copy-source:"),
            Self::Commit => line.starts_with("PUT ") && line.contains("/published/"),
        }
    }

    const fn turn(self) -> usize {
        match self {
            Self::Part(turn) | Self::Copy(turn) => turn,
            Self::Complete | Self::Commit => 1,
        }
    }
}

/// Springs at a request to the S3 server: within the body of a part, before any byte of another.
pub(super) fn at_request(request: Request, cut: bool, mut numbers: Numbers) -> Watch {
    let mut connections: HashMap<u64, Exchange> = HashMap::new();
    let (mut seen, mut chosen) = (0, None);
    Box::new(move |number, side, bytes| {
        let exchange = connections.entry(number).or_default();
        if side == Side::Server {
            exchange.answer();
            return Verdict::Pass;
        }
        let Some(begins) = exchange.request(bytes) else {
            return Verdict::Pass;
        };
        if begins > 0 && request.is(exchange.head()) {
            seen += 1;
            if seen == request.turn() {
                chosen = Some(number);
            }
        }
        if chosen != Some(number) {
            return Verdict::Pass;
        }
        if !matches!(request, Request::Part(_)) {
            return Verdict::Spring { after: 0, cut };
        }
        let body = (bytes.len() - begins) as u64;
        if body == 0 {
            return Verdict::Pass;
        }
        let within = usize::try_from(numbers.below(body)).unwrap_or_default();
        let after = begins + within;
        Verdict::Spring { after, cut }
    })
}

/// Springs at the S3 server's answer to the commit object; only notes it where nothing shall spring.
pub(super) fn at_commit_answer(spring: Option<bool>, committed: Arc<AtomicBool>) -> Watch {
    let mut connections: HashMap<u64, Exchange> = HashMap::new();
    Box::new(move |number, side, bytes| {
        let exchange = connections.entry(number).or_default();
        if side == Side::Client {
            exchange.request(bytes);
            return Verdict::Pass;
        }
        let answered = Request::Commit.is(exchange.head());
        exchange.answer();
        if !answered || !bytes.starts_with(b"HTTP/1.1 200") {
            return Verdict::Pass;
        }
        committed.store(true, Ordering::SeqCst);
        match spring {
            Some(cut) => Verdict::Spring { after: 0, cut },
            None => Verdict::Pass,
        }
    })
}

/// Springs when a condition of the file system holds; looks until it does or the lookout is dropped.
pub(super) struct Lookout(Arc<AtomicBool>);

impl Lookout {
    pub(super) fn post(mut holds: impl FnMut() -> bool + Send + 'static, trap: Trap) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let looking = ended.clone();
        std::thread::spawn(move || {
            while !looking.load(Ordering::SeqCst) {
                if holds() {
                    trap();
                    return;
                }
                std::thread::sleep(GLANCE);
            }
        });
        Self(ended)
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Whether a folder has so many entries.
pub(super) fn has_entries(folder: PathBuf, count: usize) -> impl FnMut() -> bool + Send {
    move || fs::read_dir(&folder).is_ok_and(|entries| entries.count() >= count)
}
