//! What one gateway should run: what it lacks, how far it is, and when to look again.
//!
//! Responsible for one gateway's session, without a word of the wire. Desired state is the head
//! revision of the environment; a session compares it with what it sent and gives the difference.
//! Invariants: a session sees its own tenant and environment only; whatever wakes it, it reads the
//! store before it says anything; a difference is against a revision whose root the gateway named.

mod error;
mod keys;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry_domain::{
    Clock, Digest, EnvironmentName, GatewayId, GatewayProfile, Limits, Revision, RevisionDelta,
    TenantId, TokenId,
};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::blob::{BlobKey, BlobStore, Presigned};
use crate::links::{Link, LinkRefused, LinkState, Links};
use crate::metadata::{GatewayRow, Metadata};
use crate::principal::Principal;
use crate::refusal::chain;
use crate::signals::Wakes;

pub use error::SyncError;
pub use keys::KeyPart;
pub use sessions::{SessionRefused, SessionSent};

use keys::KeyCursor;

/// How often a session looks even if nothing woke it: a change that another process wrote wakes
/// nobody here.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Bytes of a report, at most.
pub const REPORT_BYTES_MAX: usize = 256 << 10;

/// Serves gateways. Clones share everything.
#[derive(Clone)]
pub struct Gateways {
    metadata: Metadata,
    blobs: Arc<dyn BlobStore>,
    clock: Arc<dyn Clock>,
    limits: Arc<Limits>,
    links: Links,
    wakes: Wakes,
    shutdown: CancellationToken,
}

/// What a gateway says first.
#[derive(Debug)]
pub struct Hello {
    /// Its id.
    pub gateway: GatewayId,
    /// New with every start of its process.
    pub instance_nonce: String,
    /// What it offers.
    pub profile: GatewayProfile,
    /// The same as it came, for those who look at gateways.
    pub profile_encoded: Vec<u8>,
    /// The revision that it has, with its root.
    pub applied: Option<(u64, Digest)>,
    /// How far its keys are; 0: it has none.
    pub keys_epoch: u64,
}

/// What a gateway must know before anything else.
#[derive(Debug)]
pub struct Welcome {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Under which consumer keys are hashed.
    pub key_pepper: [u8; 32],
}

/// Why a session should look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Something may have changed.
    Look,
    /// Time has passed: look, save what was reported, check the token.
    Round,
    /// The same process has a newer stream.
    Replaced,
    /// This process ends.
    ShuttingDown,
}

/// One connected gateway.
pub struct Session {
    gateways: Gateways,
    token: TokenId,
    tenant: TenantId,
    environment: EnvironmentName,
    gateway: GatewayId,
    link: Link,
    wake: watch::Receiver<()>,
    look: Interval,
    /// What the gateway has once it has applied what was sent.
    sent: Option<Revision>,
    keys: KeyCursor,
    unsaved: Option<Vec<u8>>,
}

impl Gateways {
    /// Serves gateways from these stores until `shutdown`.
    pub fn new(
        metadata: Metadata,
        blobs: Arc<dyn BlobStore>,
        clock: Arc<dyn Clock>,
        limits: Arc<Limits>,
        (links, wakes): (Links, Wakes),
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            metadata,
            blobs,
            clock,
            limits,
            links,
            wakes,
            shutdown,
        }
    }

    /// Begins a gateway's session.
    ///
    /// # Errors
    /// Another process is connected under this id, or there are too many gateways.
    pub async fn connect(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        hello: Hello,
    ) -> Result<(Welcome, Session), SyncError> {
        let row = self.metadata.environment(&who.tenant, environment).await?;
        let row = row.ok_or_else(|| SyncError::NoEnvironment(environment.clone()))?;
        let link = self
            .links
            .connect(
                (&who.tenant, environment, &hello.gateway),
                &hello.instance_nonce,
                hello.profile,
                self.limits.gateways_max,
            )
            .map_err(|refused| match refused {
                LinkRefused::InUse => SyncError::InUse(hello.gateway.clone()),
                LinkRefused::TooMany => SyncError::TooMany(self.limits.gateways_max),
            })?;
        // Listen before reading, so that no change falls in between.
        let wake = self.wakes.subscribe(&who.tenant, environment);
        let seen = GatewayRow {
            gateway: hello.gateway.clone(),
            profile: hello.profile_encoded,
            report: Vec::new(),
            last_seen_at: self.clock.now(),
            connected: true,
        };
        let gateways_max = self.limits.gateways_max;
        self.metadata
            .gateway_seen(
                &who.tenant,
                environment,
                (&seen, &hello.instance_nonce),
                gateways_max,
            )
            .await?;
        let sent = match hello.applied {
            None => None,
            Some((number, root)) => {
                let known = self
                    .metadata
                    .revision(&who.tenant, environment, number, &root);
                known.await?
            }
        };
        let mut look = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let session = Session {
            gateways: self.clone(),
            token: who.token.clone(),
            tenant: who.tenant.clone(),
            environment: environment.clone(),
            gateway: hello.gateway,
            link,
            wake,
            look,
            sent,
            keys: KeyCursor::at(hello.keys_epoch),
            unsaved: None,
        };
        let welcome = Welcome {
            tenant: who.tenant.clone(),
            environment: environment.clone(),
            key_pepper: row.key_pepper,
        };
        Ok((welcome, session))
    }

    /// The gateways of an environment that have ever connected, in the order of their ids.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        after: Option<&GatewayId>,
        entries_max: usize,
    ) -> Result<Vec<GatewayRow>, SyncError> {
        let rows = self
            .metadata
            .gateways(&who.tenant, environment, after, entries_max);
        let mut rows = rows.await?;
        for row in &mut rows {
            // What is known of a connected one by its stream is newer than its row.
            if let LinkState::Connected { report } =
                self.links.link_of(&who.tenant, environment, &row.gateway)
            {
                row.connected = true;
                row.last_seen_at = self.clock.now();
                row.report = report.unwrap_or_else(|| std::mem::take(&mut row.report));
            }
        }
        Ok(rows)
    }

    /// A definition or release document of the caller's tenant.
    ///
    /// # Errors
    /// The tenant has none of this digest.
    pub async fn document(&self, who: &Principal, digest: &Digest) -> Result<Bytes, SyncError> {
        let document = self.metadata.document(&who.tenant, digest).await?;
        document
            .map(Bytes::from)
            .ok_or(SyncError::NoDocument(*digest))
    }

    /// Where a library of the caller's tenant lies, and its size.
    ///
    /// # Errors
    /// The tenant has none of this digest, or it ends before the offset.
    pub async fn artifact(
        &self,
        who: &Principal,
        digest: &Digest,
        offset: u64,
    ) -> Result<(BlobKey, u64), SyncError> {
        let row = self.metadata.artifact(&who.tenant, digest).await?;
        let row = row.ok_or(SyncError::NoArtifact(*digest))?;
        if offset > row.size_bytes {
            return Err(SyncError::Offset {
                size: row.size_bytes,
                offset,
            });
        }
        Ok((row.key, row.size_bytes))
    }

    /// Where a library of the caller's tenant can be fetched without us; none where it cannot.
    ///
    /// # Errors
    /// The tenant has none of this digest.
    pub async fn locate(
        &self,
        who: &Principal,
        digest: &Digest,
    ) -> Result<Option<Presigned>, SyncError> {
        let (key, _) = self.artifact(who, digest, 0).await?;
        Ok(self.blobs.presigned(&key).await?)
    }

    /// Bytes of a library.
    ///
    /// # Errors
    /// The store fails.
    pub async fn read(
        &self,
        key: &BlobKey,
        offset: u64,
        length_max: usize,
    ) -> Result<Bytes, SyncError> {
        Ok(self.blobs.read(key, offset, length_max).await?)
    }
}

impl Session {
    /// What the gateway lacks of the head revision; `None` when it has it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn revision(&mut self) -> Result<Option<RevisionDelta>, SyncError> {
        let head = self
            .gateways
            .metadata
            .head(&self.tenant, &self.environment)
            .await?;
        let head = head.ok_or_else(|| SyncError::NoEnvironment(self.environment.clone()))?;
        if self
            .sent
            .as_ref()
            .is_some_and(|sent| sent.number == head.number)
        {
            return Ok(None);
        }
        let delta = head.delta_from(self.sent.as_ref());
        self.sent = Some(head);
        Ok(Some(delta))
    }

    /// The next part of what the gateway lacks of the consumer keys; `None` when it has them all.
    ///
    /// # Errors
    /// The store fails.
    pub async fn keys(&mut self) -> Result<Option<KeyPart>, SyncError> {
        let metadata = &self.gateways.metadata;
        let part = self.keys.next(metadata, &self.tenant, &self.environment);
        part.await
    }

    /// Forgets what was sent: the gateway wants everything.
    pub fn resync(&mut self) {
        self.sent = None;
        self.keys = KeyCursor::at(0);
    }

    /// Keeps what the gateway reports, encoded as it came.
    ///
    /// # Errors
    /// A report beyond the bound.
    pub fn report(&mut self, report: Vec<u8>) -> Result<(), SyncError> {
        if report.len() > REPORT_BYTES_MAX {
            return Err(SyncError::from(gantry_domain::FieldError {
                path: "report".into(),
                code: "REPORT_TOO_LARGE",
                expected: format!("at most {REPORT_BYTES_MAX} bytes"),
                found: format!("{} bytes", report.len()),
            }));
        }
        self.link.report(report.clone());
        self.unsaved = Some(report);
        Ok(())
    }

    /// Writes the newest report to the store.
    ///
    /// # Errors
    /// The store fails.
    pub async fn save_report(&mut self) -> Result<(), SyncError> {
        let Some(report) = self.unsaved.take() else {
            return Ok(());
        };
        let now = self.gateways.clock.now();
        let metadata = &self.gateways.metadata;
        metadata
            .gateway_reported(&self.tenant, &self.environment, &self.gateway, &report, now)
            .await?;
        Ok(())
    }

    /// Returns when there may be something to send, or the session must end. Safe to drop and call
    /// again: nothing is lost in between.
    pub async fn woken(&mut self) -> Woken {
        tokio::select! {
            () = self.gateways.shutdown.cancelled() => Woken::ShuttingDown,
            () = self.link.replaced() => Woken::Replaced,
            // The sender lives as long as a receiver does, so an error cannot come.
            _ = self.wake.changed() => Woken::Look,
            _ = self.look.tick() => Woken::Round,
        }
    }

    /// Whether the token that opened the session is still valid. Revocations in this process end the
    /// stream by themselves; this notices those of another one.
    ///
    /// # Errors
    /// `TOKEN_REVOKED`, or a store that fails.
    pub async fn check_token(&self) -> Result<(), SyncError> {
        let row = self.gateways.metadata.token(&self.token).await?;
        if row.is_none_or(|row| row.revoked_at.is_some()) {
            return Err(SyncError::TokenEnded);
        }
        Ok(())
    }

    /// Notes what the gateway reported last and when it was heard.
    pub async fn close(mut self) {
        let saved = self.save_report().await;
        let now = self.gateways.clock.now();
        let metadata = &self.gateways.metadata;
        let noted = metadata.gateway_left(&self.tenant, &self.environment, &self.gateway, now);
        let noted = noted.await.map_err(SyncError::from);
        if let Err(error) = saved.and(noted) {
            tracing::warn!(error = %chain(&error), "could not note that a gateway left");
        }
    }
}
