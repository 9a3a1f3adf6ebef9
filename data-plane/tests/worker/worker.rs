//! A worker as its supervisor sees it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::ExitStatus;
use std::time::Duration;

use gantry_gateway::frames::{FrameReader, FrameWriter};
use gantry_gateway::key_index::{KeyHasher, write_index};
use gantry_gateway::protocol::{
    ApiFailure, CONTROL_FD, Generation, LISTENER_FD, Order, Report, SHARED_FD, WorkerSettings,
};
use gantry_gateway::sys::descriptors::listen;
use gantry_gateway::sys::slot::SlotMemory;
use gantry_gateway::sys::spawn::RoleCommand;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

/// The gateway's binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_gantry-gateway");
/// Nothing in these tests takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
const PEPPER: &[u8] = b"pepper of the tests";

pub(crate) struct TestWorker {
    pub(crate) address: SocketAddr,
    pub(crate) memory: SlotMemory,
    pub(crate) child: Child,
    orders: Option<FrameWriter<OwnedWriteHalf>>,
    reports: FrameReader<OwnedReadHalf>,
    printed: Lines<BufReader<ChildStdout>>,
    /// Reports that were read while another was waited for.
    passed: Vec<Report>,
    folder: tempfile::TempDir,
}

pub(crate) fn settings() -> WorkerSettings {
    WorkerSettings {
        slot: 0,
        standby: false,
        key_pepper: PEPPER.to_vec(),
        upstream_connect_timeout_ms: 5_000,
        upstream_response_timeout_ms: 10_000,
        upstream_idle_max: 8,
        upstream_ca_pem: None,
        header_read_timeout_ms: 10_000,
        connections_max: 64,
        request_body_bytes_max: 1 << 20,
        response_body_bytes_max: 1 << 20,
        plugin_deadline_ms: 10_000,
        pending_calls_max: 64,
        drain_timeout_ms: 10_000,
        access_log: true,
        access_log_query: false,
        trace_sampler: None,
    }
}

impl TestWorker {
    /// A worker that runs these APIs.
    pub(crate) async fn serving(generation: Generation) -> Self {
        let mut worker = Self::start(settings()).await;
        assert_eq!(worker.apply(generation).await, []);
        worker
    }

    pub(crate) async fn start(settings: WorkerSettings) -> Self {
        Self::start_as(RoleCommand::new("worker").program(BINARY), settings).await
    }

    /// A worker that is started by another command than the usual one.
    pub(crate) async fn start_as(command: RoleCommand, settings: WorkerSettings) -> Self {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let memory = SlotMemory::create().unwrap();
        let (near, far) = StdUnixStream::pair().unwrap();
        let mut child = command
            .environment("RUST_BACKTRACE", "0")
            .descriptor(OwnedFd::from(far), CONTROL_FD)
            .descriptor(OwnedFd::from(listener), LISTENER_FD)
            .descriptor(memory.descriptor().try_clone_to_owned().unwrap(), SHARED_FD)
            .spawn()
            .await
            .unwrap();
        near.set_nonblocking(true).unwrap();
        let (read, write) = UnixStream::from_std(near).unwrap().into_split();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut worker = Self {
            address,
            memory,
            child,
            orders: Some(FrameWriter::new(write)),
            reports: FrameReader::new(read),
            printed,
            passed: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        worker.order(Order::Configure(settings)).await;
        worker
    }

    pub(crate) async fn order(&mut self, order: Order) {
        self.orders.as_mut().unwrap().send(&order).await.unwrap();
    }

    /// Brings the worker to a generation; gives what it could not bring there.
    pub(crate) async fn apply(&mut self, generation: Generation) -> Vec<ApiFailure> {
        let expected = generation.revision;
        self.order(Order::Apply(generation)).await;
        self.report(|report| match report {
            Report::Applied { revision, failures } if *revision == expected => {
                Some(failures.clone())
            }
            _ => None,
        })
        .await
    }

    /// Gives the worker consumer keys with their session documents.
    pub(crate) async fn keys(&mut self, epoch: u64, keys: &[(&str, &str)]) {
        let hasher = KeyHasher::new(PEPPER);
        let path = self.folder.path().join(format!("keys-{epoch}"));
        let hashed = keys
            .iter()
            .map(|(key, session)| (hasher.hash(key.as_bytes()), *session));
        write_index(&path, hashed).unwrap();
        self.order(Order::Keys { path, epoch }).await;
        self.report(|report| {
            matches!(report, Report::KeysLoaded { epoch: e } if *e == epoch).then_some(())
        })
        .await;
    }

    /// The first report that the question has an answer to; others are kept for later questions.
    pub(crate) async fn report<T>(&mut self, question: impl Fn(&Report) -> Option<T>) -> T {
        if let Some(place) = self
            .passed
            .iter()
            .position(|report| question(report).is_some())
        {
            return question(&self.passed.remove(place)).unwrap();
        }
        loop {
            let next = timeout(PATIENCE, self.reports.next::<Report>()).await;
            let report = next.expect("a report in time").unwrap().expect("a report");
            match question(&report) {
                Some(answer) => return answer,
                None => self.passed.push(report),
            }
        }
    }

    /// The next line that a plugin printed.
    pub(crate) async fn printed(&mut self) -> String {
        timeout(PATIENCE, self.printed.next_line())
            .await
            .expect("a line in time")
            .unwrap()
            .unwrap()
    }

    /// Hangs up, as a supervisor does that dies.
    pub(crate) fn hang_up(&mut self) {
        self.orders = None;
        let (near, _) = StdUnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let (read, _) = UnixStream::from_std(near).unwrap().into_split();
        self.reports = FrameReader::new(read);
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait())
            .await
            .expect("an end in time")
            .unwrap()
    }
}
