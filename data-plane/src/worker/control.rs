//! A worker's life: configured, brought to generations, drained.
//!
//! Orders come over the control socket alone. When it closes, the supervisor is gone and the worker
//! exits at once: nobody would report for it, replace it or give it keys that were revoked.

use std::cell::Cell;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::time::Duration;

use gantry_plugin_host::set_log_sink;
use gantry_telemetry::{Sampler, SamplerError};
use thiserror::Error;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::context::{CallSettings, RecordSettings, Worker};
use super::keys::Keys;
use super::loader::{Loader, Routes};
use super::reports::{self, Reporter};
use super::server::{self, ServerSettings};
use super::signals;
use super::threads;
use super::upstream::{self, UpstreamSettings};
use super::whole::BodyLimits;
use crate::frames::{FrameError, FrameReader, FrameWriter};
use crate::key_index::KeyIndex;
use crate::protocol::{Generation, Order, Report, WorkerSettings};
use crate::sys::slot::SlotMemory;
use crate::trust::Trust;

/// Generations that wait for the loader, at most.
const GENERATIONS_MAX: usize = 16;
/// Time for instances to stop and the last reports to be written, each.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Why a worker ended other than by a drain.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// The control socket does not work.
    #[error("read orders: {0}")]
    Orders(#[from] FrameError),
    /// The first order was not the configuration.
    #[error("the first order is not the configuration")]
    NotConfigured,
    /// The loader's thread panicked: no generation can be brought about any more.
    #[error("the loader is gone")]
    LoaderLost,
    /// The system refused what a worker needs.
    #[error("start worker: {0}")]
    System(#[from] std::io::Error),
}

/// Serves until the supervisor says drain, or is gone.
///
/// # Errors
/// As [`WorkerError`] says.
pub async fn serve(
    control: StdUnixStream,
    listener: std::net::TcpListener,
    memory: &'static SlotMemory,
) -> Result<(), WorkerError> {
    control.set_nonblocking(true)?;
    listener.set_nonblocking(true)?;
    let (read, write) = UnixStream::from_std(control)?.into_split();
    let mut orders = FrameReader::new(read);
    let settings = match orders.next().await? {
        Some(Order::Configure(settings)) => settings,
        Some(_) => return Err(WorkerError::NotConfigured),
        None => return Ok(()),
    };
    let (reporter, queue) = reports::queue(memory);
    let farewell = CancellationToken::new();
    let writing = tokio::spawn(reports::write(
        queue,
        FrameWriter::new(write),
        farewell.clone(),
    ));
    let life = Life::begin(
        &settings,
        TcpListener::from_std(listener)?,
        memory,
        reporter,
    )?;
    if life.follow(&mut orders).await? {
        life.drain(
            &mut orders,
            Duration::from_millis(settings.drain_timeout_ms),
        )
        .await;
        farewell.cancel();
        let _ = timeout(FAREWELL_MAX, writing).await;
    }
    Ok(())
}

/// The parts of a worker that is configured.
struct Life {
    worker: &'static Worker,
    loader: Loader,
    generations: mpsc::Sender<Generation>,
    connections: TaskTracker,
    stop: CancellationToken,
    /// Lets a worker on standby accept.
    serve: Cell<Option<oneshot::Sender<()>>>,
}

impl Life {
    fn begin(
        settings: &WorkerSettings,
        listener: TcpListener,
        memory: &'static SlotMemory,
        reporter: Reporter,
    ) -> Result<Self, WorkerError> {
        let sink = reporter.clone();
        set_log_sink(Box::new(move |line| sink.plugin_log(line)));
        threads::stay_interruptible(&reporter);
        let routes: Arc<Routes> = Arc::default();
        let upstreams = upstream_settings(settings);
        let loader = Loader::start(memory, upstreams, reporter.clone(), Arc::clone(&routes))?;
        let keys = Keys::new(&settings.key_pepper);
        let bodies = BodyLimits {
            request: settings.request_body_bytes_max,
            response: settings.response_body_bytes_max,
        };
        let records = RecordSettings {
            access_log: settings.access_log,
            query: settings.access_log_query,
            tracing: sampler(settings, &reporter),
        };
        let calls = CallSettings {
            deadline: Duration::from_millis(settings.plugin_deadline_ms),
            pending_max: settings.pending_calls_max,
        };
        let worker = Worker::new(memory, routes, keys, reporter, bodies, records, calls);
        let worker: &'static Worker = Box::leak(Box::new(worker));
        let (generations, queue) = mpsc::channel(GENERATIONS_MAX);
        let (connections, stop) = (TaskTracker::new(), CancellationToken::new());
        let ready = apply_in_order(worker, loader.clone(), queue);
        let (serve, told) = oneshot::channel();
        let standby = settings.standby;
        let (settings, tracker, stopped) =
            (server_settings(settings), connections.clone(), stop.clone());
        tokio::spawn(async move {
            let may = ready.await.is_ok() && (!standby || told.await.is_ok());
            if may && !stopped.is_cancelled() {
                server::accept(worker, listener, settings, tracker, stopped).await;
            }
        });
        tokio::spawn(upstream::sweep());
        tokio::spawn(signals::guard(worker));
        tokio::spawn(threads::keep_back(worker.reporter.clone()));
        Ok(Self {
            worker,
            loader,
            generations,
            connections,
            stop,
            serve: Cell::new(Some(serve)),
        })
    }

    /// Carries out orders. `true` when it is time to drain, `false` when the supervisor is gone.
    async fn follow(&self, orders: &mut FrameReader<OwnedReadHalf>) -> Result<bool, WorkerError> {
        loop {
            let order = tokio::select! {
                order = orders.next() => order?,
                () = self.generations.closed() => return Err(WorkerError::LoaderLost),
            };
            match order {
                Some(Order::Apply(generation)) => {
                    // If nobody takes it, the next turn says why.
                    let _ = self.generations.send(generation).await;
                }
                Some(Order::Keys { path, epoch }) => match KeyIndex::open(&path) {
                    Ok(index) => {
                        self.worker.keys.replace(index);
                        self.worker
                            .reporter
                            .send(Report::KeysLoaded { epoch })
                            .await;
                    }
                    Err(error) => self.complain(error.code(), &error.to_string()),
                },
                Some(Order::Stored {
                    sessions,
                    forgotten,
                }) => {
                    let sessions = sessions.into_iter();
                    let sessions = sessions.map(|(hmac, session)| (hmac, session.into()));
                    self.worker.keys.heard(sessions.collect(), &forgotten);
                }
                Some(Order::Serve) => {
                    if let Some(serve) = self.serve.take() {
                        let _ = serve.send(());
                    }
                }
                Some(Order::Drain) => return Ok(true),
                Some(Order::Configure(_)) => {
                    self.complain("ORDER_INVALID", "configured a second time");
                }
                None => return Ok(false),
            }
        }
    }

    fn complain(&self, code: &str, message: &str) {
        self.worker.reporter.note("error", code, message);
    }

    /// Accepts nothing more and waits for the open connections: idle ones too, since a client may be
    /// about to use one, and gets then what a new connection would: generations and keys of the moment.
    /// Then lets instances stop.
    async fn drain(&self, orders: &mut FrameReader<OwnedReadHalf>, limit: Duration) {
        self.worker.drain();
        self.stop.cancel();
        self.connections.close();
        tokio::select! {
            () = self.connections.wait() => {}
            () = tokio::time::sleep(limit) => {}
            () = self.supervisor_gone(orders) => return,
        }
        let _ = timeout(FAREWELL_MAX, self.loader.finish()).await;
    }

    /// Carries out orders until nobody gives any.
    async fn supervisor_gone(&self, orders: &mut FrameReader<OwnedReadHalf>) {
        while let Ok(true) = self.follow(orders).await {}
    }
}

/// Brings the worker to one generation after the other. What is returned resolves with the first.
fn apply_in_order(
    worker: &'static Worker,
    loader: Loader,
    mut generations: mpsc::Receiver<Generation>,
) -> oneshot::Receiver<()> {
    let (first, ready) = oneshot::channel();
    let mut first = Some(first);
    tokio::spawn(async move {
        while let Some(generation) = generations.recv().await {
            let revision = generation.revision;
            let Some(failures) = loader.apply(generation).await else {
                return;
            };
            worker
                .reporter
                .send(Report::Applied { revision, failures })
                .await;
            if let Some(first) = first.take() {
                let _ = first.send(());
            }
        }
    });
    ready
}

/// Which requests are traced. Both ends are of one build, so a text that is no sampler is our own fault.
fn sampler(settings: &WorkerSettings, reporter: &Reporter) -> Option<Sampler> {
    let parsed = settings.trace_sampler.as_ref()?.parse();
    parsed
        .inspect_err(|error: &SamplerError| {
            reporter.note("error", "SETTINGS_INVALID", error.to_string());
        })
        .ok()
}

fn upstream_settings(settings: &WorkerSettings) -> UpstreamSettings {
    UpstreamSettings {
        connect_timeout: Duration::from_millis(settings.upstream_connect_timeout_ms),
        response_timeout: Duration::from_millis(settings.upstream_response_timeout_ms),
        idle_max: settings.upstream_idle_max,
        trust: Trust::new(settings.upstream_ca_pem.as_deref().map(str::as_bytes)),
    }
}

const fn server_settings(settings: &WorkerSettings) -> ServerSettings {
    ServerSettings {
        header_read_timeout: Duration::from_millis(settings.header_read_timeout_ms),
        connections_max: settings.connections_max,
    }
}
