//! The supervisor: takes revisions from a source to the workers, keeps what serves on disk, and says
//! how it goes. Loads no plugin and speaks no HTTP to clients.
//!
//! The tasks and what flows between them, every arrow a value that is replaced whole:
//!
//! ```text
//! source ── SourceState ──> conductor ── Desired ──> slots (one task each) ──> workers
//!   ^                         │                      │
//!   └── GatewayReport ── report <── Progress, SlotStatus ──> admin
//! ```
//!
//! Invariant: every task is in a set that is awaited; the order of the end is source and conductor
//! first, then the workers drain, then the operators' door closes.

pub mod files;
pub mod state;

pub mod library;
pub mod store;
pub mod verdict;

pub mod admission;
pub mod conductor;
pub mod fetch;
pub mod generation;
pub mod plan;
pub mod probe;
pub mod progress;

pub mod culprit;
mod departure;
mod exclusion;
mod load;
pub mod output;
pub mod plugin_log;
pub mod pool;
pub mod replacement;
pub mod role;
pub mod slot;
mod start;
pub mod stored;
mod succession;
pub mod telemetry;
mod worker;

pub mod admin;
pub mod report;
mod report_json;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use gantry_domain::GatewayProfile;
use gantry_proto::v1;
use gantry_telemetry::Sampler;
use gantry_telemetry::spans::SpanSink;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::conductor::Conductor;
use self::generation::EffectiveApi;
use self::pool::{Desired, Pool, SlotStatus};
use self::progress::ProgressSender;
use self::report::View;
pub use self::start::profile;
use self::start::{begin, listen_admin, wire_profile, write_addresses};
use self::state::{StateDir, StateError};
use self::stored::StoredSessions;
use self::telemetry::convergence::Convergence;
use self::telemetry::{Directory, Metrics, SlotTelemetry, Telemetry};
use crate::config::{AccessLogOutput, BUILT_VERSION, Settings, Source};
use crate::source::link::LinkError;
use crate::source::sync::Sync;
use crate::source::{Link, SourceState, folder};
use crate::sys::process;

/// Why the supervisor does not run.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The connection to the control plane is configured wrongly.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// An address cannot be listened at.
    #[error("listen at {address} for {purpose}: {source} (ADDRESS_UNUSABLE)")]
    Listen {
        /// Clients or operators.
        purpose: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The file for addresses cannot be written.
    #[error("write {path}: {source} (ADDRESS_FILE_UNWRITABLE)")]
    AddressFile {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The access log cannot be written.
    #[error("open the access log {output}: {source} (ACCESS_LOG_UNUSABLE)")]
    AccessLog {
        /// Where it goes.
        output: AccessLogOutput,
        /// What the system said.
        source: io::Error,
    },
    /// The machine lacks something that a gateway needs.
    #[error("{what}: {source} (SYSTEM_UNFIT)")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Which requests are traced, and where their spans go.
#[derive(Debug, Clone)]
pub struct Tracing {
    /// Which.
    pub sampler: Sampler,
    /// Where.
    pub spans: SpanSink,
}

/// Runs a gateway until it is told to end. Without `tracing` it takes no part in traces.
///
/// # Errors
/// It cannot begin; what happens later is logged, reported and borne.
pub async fn run(settings: Settings, tracing: Option<Tracing>) -> Result<(), SupervisorError> {
    let system = |what| move |source| SupervisorError::System { what, source };
    let stop = stop_on_signals().map_err(system("watch for signals"))?;
    let reopen = signal(SignalKind::user_defined1()).map_err(system("watch for signals"))?;
    process::forbid_inspection().map_err(system("keep credentials from other processes"))?;
    let settings = Arc::new(settings);
    let state = Arc::new(StateDir::open(&settings.gateway.state_dir)?);
    let id = settings
        .gateway
        .id
        .clone()
        .map_or_else(|| state.gateway_id(), Ok)?;
    let profile = profile(&settings)
        .map_err(|e| system("read this machine's libc version")(io::Error::other(e)))?;
    let wire_profile = wire_profile(&id, &profile, settings.gateway.version)
        .map_err(system("read random bytes"))?;
    let link = match &settings.source {
        Source::ControlPlane(control_plane) => Some(Link::new(control_plane)?),
        Source::Folder(_) => None,
    };

    let pool = Pool::bind(settings.http.listen, settings.gateway.workers).await;
    let pool = pool.map_err(|source| SupervisorError::Listen {
        purpose: "clients",
        address: settings.http.listen,
        source,
    })?;
    let directory = Arc::<Directory>::default();
    let (sampler, spans) = tracing
        .map(|tracing| (tracing.sampler, tracing.spans))
        .unzip();
    let telemetry = Telemetry::start(
        &settings.access_log,
        pool.memories(),
        directory.clone(),
        spans,
    );
    let telemetry = telemetry.map_err(|source| SupervisorError::AccessLog {
        output: settings.access_log.output.clone(),
        source,
    })?;
    let admin = listen_admin(&settings).await?;
    let admin_address = admin.as_ref().and_then(|admin| admin.local_addr().ok());
    if let Some(path) = &settings.address_file {
        write_addresses(path, pool.address(), admin_address)?;
    }
    tracing::info!(
        gateway.id = %id, gateway.version = %profile.version, built_version = BUILT_VERSION, listen = %pool.address(),
        admin = admin_address.map(|address| address.to_string()), source = settings.source.place(),
        "gateway {id} listens at {}", pool.address()
    );

    let (initial, held) = begin(&state, &settings)?;
    let tasks = Tasks {
        settings,
        state,
        profile,
        wire_profile,
        link,
        directory,
        sampler,
        telemetry: Arc::new(telemetry),
        reopen,
        stop,
    };
    tasks.run(pool, admin, initial, held).await;
    tracing::info!("gateway {id} has ended");
    Ok(())
}

/// What the tasks are made of.
struct Tasks {
    settings: Arc<Settings>,
    state: Arc<StateDir>,
    profile: GatewayProfile,
    wire_profile: v1::GatewayProfile,
    link: Option<Link>,
    directory: Arc<Directory>,
    sampler: Option<Sampler>,
    telemetry: Arc<Telemetry>,
    /// Rings when the access log is to be reopened.
    reopen: Signal,
    stop: CancellationToken,
}

impl Tasks {
    async fn run(
        self,
        pool: Pool,
        admin: Option<TcpListener>,
        initial: SourceState,
        held: BTreeMap<String, EffectiveApi>,
    ) {
        let Self {
            settings,
            state,
            profile,
            wire_profile,
            link,
            directory,
            sampler,
            telemetry,
            reopen,
            stop,
        } = self;
        let slots = vec![SlotStatus::default(); settings.gateway.workers as usize];
        let (statuses, status_reader) = watch::channel(slots);
        let (desired, desired_reader) = watch::channel(Desired::default());
        let (source, source_reader) = watch::channel(initial);
        let (progress, progress_reader) = ProgressSender::channel();
        let (reports, report_reader) = watch::channel(v1::GatewayReport::default());
        let damaged = Arc::new(Notify::new());
        let view = View {
            profile: wire_profile.clone(),
            place: settings.source.clone(),
            source: source_reader.clone(),
            progress: progress_reader,
            statuses: status_reader.clone(),
            counters: pool.counters(),
        };
        let (workers_stop, last_stop) = (CancellationToken::new(), CancellationToken::new());
        let (stored, stored_task) =
            StoredSessions::new(source_reader.clone(), desired.clone(), link.is_some());
        let slot_telemetry = SlotTelemetry {
            directory: directory.clone(),
            sampler,
            stored: stored.clone(),
        };
        let mut workers = pool.run(
            &settings,
            &desired_reader,
            &statuses,
            &damaged,
            &slot_telemetry,
            &workers_stop,
        );
        let mut last = JoinSet::new();
        last.spawn(stored_task.run(last_stop.clone()));
        last.spawn(report::run(view.clone(), reports, last_stop.clone()));
        let convergence = Convergence::default();
        last.spawn(convergence.clone().run(
            source_reader.clone(),
            view.progress.clone(),
            last_stop.clone(),
        ));
        if let Some(admin) = admin {
            let metrics = Metrics {
                view,
                directory,
                drain: telemetry.counts.clone(),
                stored,
                convergence: convergence.clone(),
            };
            last.spawn(admin::run(admin, metrics, last_stop.clone()));
        }
        last.spawn(reopen_on_signal(
            reopen,
            telemetry.clone(),
            last_stop.clone(),
        ));
        let mut first = JoinSet::new();
        first.spawn(forward_keys(
            source_reader.clone(),
            desired.clone(),
            stop.clone(),
        ));
        match (&settings.source, link) {
            (Source::ControlPlane(control_plane), Some(link)) => {
                let sync = Sync {
                    link,
                    token: control_plane.token.clone(),
                    profile: wire_profile,
                    state,
                    output: source,
                    reports: report_reader,
                };
                first.spawn(sync.run(stop.clone()));
            }
            (Source::ControlPlane(_), None) => {}
            (Source::Folder(folder), _) => {
                first.spawn(folder::watch::run(folder.clone(), source, stop.clone()));
            }
        }
        let statuses = status_reader;
        let conductor = Conductor {
            settings,
            profile,
            source: source_reader,
            desired,
            statuses,
            progress,
            damaged,
            held,
        };
        first.spawn(conductor.run(stop.clone()));

        stop.cancelled().await;
        tracing::info!("ending: workers drain");
        drain(&mut first).await;
        workers_stop.cancel();
        drain(&mut workers).await;
        last_stop.cancel();
        drain(&mut last).await;
        telemetry.finish().await;
    }
}

/// Awaits all tasks of a set. One that panicked is our own fault and is said; the others go on.
async fn drain(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(e) = ended {
            tracing::error!(
                code = "TASK_PANICKED",
                "a task of the supervisor ended: {e}"
            );
        }
    }
}

/// Consumer keys go to the workers at once, also while the conductor is busy with a revision.
async fn forward_keys(
    mut source: watch::Receiver<SourceState>,
    desired: watch::Sender<Desired>,
    stop: CancellationToken,
) {
    loop {
        let keys = source.borrow_and_update().keys.clone();
        desired.send_if_modified(|desired| {
            let changed = keys.is_some() && desired.keys != keys;
            if changed {
                desired.keys = keys;
            }
            changed
        });
        tokio::select! {
            changed = source.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// The access log's file is opened anew after each SIGUSR1: the old one was moved away.
async fn reopen_on_signal(
    mut arrivals: Signal,
    telemetry: Arc<Telemetry>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            arrived = arrivals.recv() => match arrived {
                Some(()) => telemetry.reopen(),
                None => return,
            },
            () = stop.cancelled() => return,
        }
    }
}

/// A token that SIGTERM, SIGINT and SIGHUP cancel.
fn stop_on_signals() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        let mut arrivals = signal(kind)?;
        let stop = stop.clone();
        // Ends with the runtime: there is nothing in it to await.
        tokio::spawn(async move {
            arrivals.recv().await;
            stop.cancel();
        });
    }
    Ok(stop)
}
