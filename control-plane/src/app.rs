//! The composition root: the only place that picks backends and wires parts together.

mod doors;

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gantry_domain::{Clock, Limits};
use gantry_telemetry::Secret;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::access_token::AccessToken;
use crate::admin::{Admin, AdminError};
use crate::blob::{BlobError, BlobStore, LocalStore, Observed, S3Store};
use crate::bundles::{Bundles, BundlesError};
use crate::catalog::Catalog;
use crate::config::{Config, HttpConfig, MetricsConfig, ServerConfig, StorageBackend, TlsConfig};
use crate::deploy::Deployments;
use crate::grpc::{Authority, Observer, Services, routes};
use crate::housekeeping::{Housekeeping, Kept};
use crate::http::TlsError;
use crate::incoming::incoming;
use crate::keys::Keys;
use crate::links::Links;
use crate::metadata::{Metadata, MetadataError};
use crate::metrics::Metrics;
use crate::publish::{PublishError, Publisher};
use crate::refusal::chain;
use crate::signals::{Revocations, Wakes};
use crate::sync::Gateways;

use doors::announce;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the control plane does not start or ended.
#[derive(Debug, Error)]
pub enum AppError {
    /// Another control plane uses the store.
    #[error("another control plane uses {0}")]
    Locked(PathBuf),
    /// A file or folder cannot be used.
    #[error("{action} {path}", path = path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Certificate or key are refused, or the server failed.
    #[error("serve gRPC")]
    Transport(#[from] tonic::transport::Error),
    /// Certificate or key are refused.
    #[error("serve HTTP")]
    Http(#[from] TlsError),
    /// See the store.
    #[error("open the metadata store")]
    Metadata(#[from] MetadataError),
    /// See the store.
    #[error("open the object store")]
    Blob(#[from] BlobError),
    /// What a crash left cannot be repaired.
    #[error("repair what an earlier process left")]
    Repair(#[from] PublishError),
    /// What a crash left of a yank cannot be repaired.
    #[error("repair what an earlier process left of yanks")]
    RepairYanks(#[from] BundlesError),
    /// No token was created.
    #[error(transparent)]
    Bootstrap(#[from] AdminError),
}

/// A control plane that is ready to serve.
pub struct App {
    config: ServerConfig,
    http: HttpConfig,
    scraping: MetricsConfig,
    metrics: Metrics,
    links: Links,
    clock: Arc<dyn Clock>,
    limits: Arc<Limits>,
    metadata: Metadata,
    blobs: Arc<dyn BlobStore>,
    publisher: Publisher,
    housekeeping: Housekeeping,
    sweep_interval: Duration,
    bundles: Bundles,
    _lock: File,
}

/// Creates the operators' first admin token. May run beside a control plane that is serving.
///
/// # Errors
/// The store cannot be opened, or there is a valid admin token and `again` was not said.
pub async fn bootstrap(
    config: &Config,
    clock: &dyn Clock,
    again: bool,
) -> Result<AccessToken, AppError> {
    make_parent(&config.metadata.file)?;
    let metadata = Metadata::open(&config.metadata.file).await?;
    let token = crate::admin::bootstrap(&metadata, clock, again).await;
    metadata.close().await;
    Ok(token?)
}

impl App {
    /// Opens the stores and repairs what an earlier process left.
    ///
    /// # Errors
    /// A store that cannot be opened, or that another control plane uses.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, AppError> {
        make_parent(&config.metadata.file)?;
        let lock = lock(config.metadata.file.with_added_extension("lock"))?;
        let metrics = Metrics::new(config.metrics.tenants_max);
        let metadata = Metadata::open(&config.metadata.file).await?;
        let metadata = metadata.with_metrics(metrics.clone());
        let blobs: Arc<dyn BlobStore> = match &config.storage.backend {
            StorageBackend::Local(directory) => {
                let store = LocalStore::open(directory).await?;
                let store = store.with_part_bytes(config.storage.part_bytes);
                Arc::new(store.with_reserved_bytes(config.storage.reserved_bytes))
            }
            StorageBackend::S3(options) => Arc::new(S3Store::open(options.clone()).await?),
        };
        let blobs: Arc<dyn BlobStore> = Arc::new(Observed::new(blobs, metrics.clone()));
        let limits = Arc::new(config.limits.clone());
        let publisher = Publisher::new(
            metadata.clone(),
            blobs.clone(),
            clock.clone(),
            limits.clone(),
            config.storage.upload_idle_max,
            metrics.clone(),
        );
        publisher.repair().await?;
        let bundles = Bundles::new(metadata.clone(), blobs.clone(), clock.clone());
        bundles.repair().await?;
        let kept = Kept {
            idle_max: config.storage.upload_idle_max,
            revisions: config.metadata.revisions_kept,
            revoked_keys: config.metadata.revoked_keys_kept,
            audit_entries: config.metadata.audit_entries_kept,
        };
        Ok(Self {
            housekeeping: Housekeeping::new(metadata.clone(), clock.clone(), kept),
            config: config.server.clone(),
            http: config.http.clone(),
            scraping: config.metrics.clone(),
            metrics,
            links: Links::default(),
            clock,
            limits,
            metadata,
            blobs,
            publisher,
            sweep_interval: config.storage.sweep_interval,
            bundles,
            _lock: lock,
        })
    }

    /// The metadata store, for those who look at it from outside.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Listens, says where, and serves until `stop`; then waits for calls in progress, within the
    /// configured time.
    ///
    /// # Errors
    /// The address or the certificate cannot be used, or the server fails.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), AppError> {
        let address = self.config.listen;
        let listen = |source| AppError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let server = server(&self.config)?;
        let revocations = Revocations::new(self.metadata.clone());
        let authority = Authority::new(
            self.metadata.clone(),
            revocations.clone(),
            tasks.clone(),
            self.config.call_timeout,
        );
        tasks.spawn(sweep(
            (self.publisher.clone(), self.housekeeping.clone()),
            self.sweep_interval,
            shutdown.clone(),
        ));
        self.open_door(&authority, &tasks, &shutdown).await?;
        self.open_scrape(&tasks, &shutdown).await?;
        let observer = Observer::new(self.metrics.clone());
        let routes = routes(self.services(revocations, &tasks, &shutdown)).await;
        announce(self.config.address_file.as_deref(), address, &self.config)?;
        let ended = shutdown.clone();
        let serving = server
            .layer(observer)
            .layer(authority)
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                incoming(listener, self.config.connections_max),
                async move { ended.cancelled().await },
            );
        let stopping = async {
            stop.cancelled().await;
            tracing::info!("shutting down");
            shutdown.cancel();
            tokio::time::sleep(self.config.shutdown_timeout).await;
        };
        tokio::select! {
            served = serving => served?,
            () = stopping => tracing::warn!(
                tasks = tasks.len(), "calls were still in progress when time was up"
            ),
        }
        tasks.close();
        let _ = tokio::time::timeout(self.config.shutdown_timeout, tasks.wait()).await;
        self.metadata.close().await;
        tracing::info!("ended");
        Ok(())
    }

    fn services(
        &self,
        revocations: Revocations,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Services {
        let (links, wakes) = (self.links.clone(), Wakes::default());
        let (metadata, clock, limits) = (&self.metadata, &self.clock, &self.limits);
        let catalog = Catalog::new(metadata.clone(), limits.clone());
        Services {
            admin: Admin::new(metadata.clone(), clock.clone(), limits.clone(), revocations),
            publisher: self.publisher.clone(),
            bundles: self.bundles.clone(),
            deployments: Deployments::new(
                metadata.clone(),
                catalog,
                clock.clone(),
                limits.clone(),
                (links.clone(), wakes.clone()),
                self.metrics.clone(),
            ),
            keys: Keys::new(
                metadata.clone(),
                clock.clone(),
                limits.clone(),
                wakes.clone(),
            ),
            gateways: Gateways::new(
                metadata.clone(),
                self.blobs.clone(),
                clock.clone(),
                limits.clone(),
                (links, wakes),
                shutdown.clone(),
            ),
            limits: limits.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        }
    }
}

fn server(config: &ServerConfig) -> Result<Server, AppError> {
    let calls = config.calls_per_connection_max;
    let server = Server::builder()
        .http2_keepalive_interval(Some(config.keepalive_interval))
        .http2_keepalive_timeout(Some(config.keepalive_timeout))
        .max_concurrent_streams(calls)
        .concurrency_limit_per_connection(calls as usize);
    match &config.tls {
        None => Ok(server),
        Some(tls) => {
            let tls = ServerTlsConfig::new()
                .identity(identity(tls)?)
                .timeout(HANDSHAKE_TIMEOUT);
            Ok(server.tls_config(tls)?)
        }
    }
}

fn identity(tls: &TlsConfig) -> Result<Identity, AppError> {
    let certificate = read(&tls.certificate_file)?;
    let key = Secret::new(read(&tls.key_file)?);
    Ok(Identity::from_pem(certificate, key.expose()))
}

async fn sweep(
    (publisher, housekeeping): (Publisher, Housekeeping),
    interval: Duration,
    shutdown: CancellationToken,
) {
    let mut rounds = tokio::time::interval(interval);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = rounds.tick() => {}
        }
        if let Err(error) = publisher.sweep().await {
            tracing::warn!(error = %chain(&error), "could not sweep idle uploads");
        }
        if let Err(error) = housekeeping.sweep().await {
            tracing::warn!(error = %chain(&error), "could not sweep rows");
        }
    }
}

fn make_parent(path: &std::path::Path) -> Result<(), AppError> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let Some(parent) = parent else {
        return Ok(());
    };
    std::fs::create_dir_all(parent).map_err(|source| AppError::File {
        action: "make",
        path: parent.to_owned(),
        source,
    })
}

/// One control plane has a store: what is in progress on it is kept in memory.
fn lock(path: PathBuf) -> Result<File, AppError> {
    let failed = |source| AppError::File {
        action: "lock",
        path: path.clone(),
        source,
    };
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(AppError::Locked(path)),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, AppError> {
    std::fs::read(path).map_err(|source| AppError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}
