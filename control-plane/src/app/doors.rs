//! The doors beside gRPC: bundles by plain HTTP, and metrics. Each is open only where there is an
//! address for it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use gantry_telemetry::Secret;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{App, AppError, read};
use crate::config::ServerConfig;
use crate::grpc::Authority;
use crate::http::{Door, HealthCheck, Parts, Scrape, acceptor, clear_spool};

impl App {
    /// Serves bundles by plain HTTP, where that is configured.
    pub(super) async fn open_door(
        &self,
        authority: &Authority,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<(), AppError> {
        let Some(address) = self.http.listen else {
            return Ok(());
        };
        clear_spool(&self.http).map_err(|(path, source)| AppError::File {
            action: "make",
            path,
            source,
        })?;
        let acceptor = match &self.config.tls {
            None => None,
            Some(tls) => {
                let key = Secret::new(read(&tls.key_file)?);
                Some(acceptor(&read(&tls.certificate_file)?, key.expose())?)
            }
        };
        let listen = |source| AppError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let door = Door::new(Parts {
            config: self.http.clone(),
            limits: self.limits.clone(),
            publisher: self.publisher.clone(),
            authority: authority.clone(),
            health: HealthCheck::new(self.metadata.clone(), self.blobs.clone()),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            uploads: Arc::new(Semaphore::new(self.http.uploads_max)),
            metrics: self.metrics.clone(),
        });
        announce(self.http.address_file.as_deref(), address, &self.config)?;
        tasks.spawn(door.serve(listener, acceptor));
        Ok(())
    }

    /// Shows metrics, where that is configured.
    pub(super) async fn open_scrape(
        &self,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<(), AppError> {
        let Some(address) = self.scraping.listen else {
            return Ok(());
        };
        let listen = |source| AppError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let scrape = Scrape {
            metrics: self.metrics.clone(),
            links: self.links.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        };
        write_address(self.scraping.address_file.as_deref(), address)?;
        tracing::info!(%address, "showing metrics on {address}");
        tasks.spawn(scrape.serve(listener));
        Ok(())
    }
}

/// Says where it listens: in the log, and in the file that scripts and tests wait for.
pub(super) fn announce(
    address_file: Option<&Path>,
    address: SocketAddr,
    config: &ServerConfig,
) -> Result<(), AppError> {
    write_address(address_file, address)?;
    let tls = config.tls.is_some();
    if !tls && !address.ip().is_loopback() {
        tracing::warn!("tokens cross the network readable: plaintext is served to other machines");
    }
    tracing::info!(%address, tls, "listening on {address}");
    Ok(())
}

fn write_address(address_file: Option<&Path>, address: SocketAddr) -> Result<(), AppError> {
    if let Some(path) = address_file {
        // Renamed into place, so that whoever waits for the file never reads half an address.
        let partial = path.with_added_extension("partial");
        let written = std::fs::write(&partial, address.to_string());
        let renamed = written.and_then(|()| std::fs::rename(&partial, path));
        renamed.map_err(|source| AppError::File {
            action: "write",
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(())
}
