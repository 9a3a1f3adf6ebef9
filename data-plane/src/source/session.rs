//! One conversation with the control plane, from hello to the end of the stream: says who the gateway
//! is, puts differences together, fetches the documents they name, keeps consumer keys, sends reports.
//!
//! Invariant: what was yielded last stays until something newer is complete and checked. A revision
//! of a lower number, or of the same number with other content, is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use gantry_domain::revision::DeltaError;
use gantry_domain::{Digest, FieldError, Limits, Revision, RevisionDelta};
use gantry_proto::{convert, v1};
use gantry_telemetry::Secret;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::Streaming;

use super::error::SessionError;
use super::keys::KeyLedger;
use super::link::{self, LinkError};
use super::sync::Sync;
use super::{Origin, Snapshot, Tenancy, Trouble};
use crate::supervisor::state::{Identity, PEPPER_BYTES_MAX};
use crate::supervisor::store::Store;

/// How often it is checked whether there is something to report: what bounds the rate of reports.
const REPORT_CHECK: Duration = Duration::from_millis(200);
/// A report is sent at least this often.
const REPORT_LONGEST: Duration = Duration::from_secs(10);
/// Messages on their way out, at most.
const OUTBOUND_MAX: usize = 8;
/// Parts of one revision's differences, at most.
const DELTA_PARTS_MAX: usize = 65_536;

/// The conversations of one task. What outlives a stream is kept from one to the next.
pub(super) struct Session {
    pub(super) task: Sync,
    ledger: Option<KeyLedger>,
    welcomed: bool,
}

impl Session {
    /// Before the first stream.
    pub(super) fn new(task: Sync) -> Self {
        Self {
            task,
            ledger: None,
            welcomed: false,
        }
    }

    /// Whether the last stream got as far as being accepted.
    pub(super) fn was_welcomed(&self) -> bool {
        self.welcomed
    }

    /// One stream from its beginning to its end, which is always an error of some kind.
    pub(super) async fn run(&mut self) -> SessionError {
        self.welcomed = false;
        match self.converse().await {
            Ok(never) => match never {},
            Err(e) => e,
        }
    }

    async fn converse(&mut self) -> Result<Infallible, SessionError> {
        let (outbound, queue) = mpsc::channel(OUTBOUND_MAX);
        let hello = v1::sync_request::Message::Hello(self.hello());
        // The queue is new and empty, so this does not wait.
        let _ = outbound
            .send(v1::SyncRequest {
                message: Some(hello),
            })
            .await;
        let mut stream = self.task.link.sync(queue).await?;
        let welcome = match link::next(&mut stream)
            .await?
            .and_then(|first| first.message)
        {
            Some(v1::sync_response::Message::Welcome(welcome)) => welcome,
            Some(_) => {
                return Err(SessionError::Protocol(
                    "something before its welcome".into(),
                ));
            }
            None => return Err(SessionError::Ended),
        };
        self.welcome(&welcome)?;
        self.exchange(&mut stream, &outbound).await
    }

    async fn exchange(
        &mut self,
        stream: &mut Streaming<v1::SyncResponse>,
        outbound: &mpsc::Sender<v1::SyncRequest>,
    ) -> Result<Infallible, SessionError> {
        let mut parts = Vec::new();
        let mut ticks = interval(REPORT_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported: Option<Instant> = None;
        loop {
            tokio::select! {
                message = stream.message() => {
                    let message = message.map_err(|status| LinkError::Refused(status.into()))?;
                    let message = message.ok_or(SessionError::Ended)?;
                    self.take(message, &mut parts, outbound).await?;
                }
                _ = ticks.tick() => {
                    let overdue = reported.is_none_or(|at| at.elapsed() >= REPORT_LONGEST);
                    if (overdue || self.task.reports.has_changed().unwrap_or(false))
                        && let Ok(place) = outbound.try_reserve()
                    {
                        let report = self.task.reports.borrow_and_update().clone();
                        let message = v1::sync_request::Message::Report(report);
                        place.send(v1::SyncRequest { message: Some(message) });
                        reported = Some(Instant::now());
                    }
                }
            }
        }
    }

    fn hello(&self) -> v1::Hello {
        let state = self.task.output.borrow();
        let revision = state.snapshot.as_ref().map(|snapshot| &snapshot.revision);
        v1::Hello {
            profile: Some(self.task.profile.clone()),
            applied_revision: revision.map_or(0, |revision| revision.number),
            applied_root: revision
                .filter(|revision| revision.number > 0)
                .map(|revision| revision.root().to_string())
                .unwrap_or_default(),
            keys_epoch: self.ledger.as_ref().map_or(0, KeyLedger::epoch),
        }
    }

    /// The control plane has confirmed the token: learns or checks whom it works for.
    fn welcome(&mut self, welcome: &v1::Welcome) -> Result<(), SessionError> {
        let identity = read_identity(welcome).map_err(SessionError::Protocol)?;
        let known = self.task.output.borrow().tenancy.clone();
        let tenancy = match known {
            Some(tenancy) if tenancy.identity == identity => tenancy,
            Some(tenancy) => {
                return Err(SessionError::IdentityChanged {
                    expected: describe(&tenancy.identity),
                    found: describe(&identity),
                });
            }
            None => {
                let store = Store::open(self.task.state.environment(&identity))?;
                self.task.state.remember(&self.task.token, &identity)?;
                Arc::new(Tenancy { identity, store })
            }
        };
        match &mut self.ledger {
            Some(ledger) => ledger.forget_pending(),
            None => self.ledger = Some(KeyLedger::new(&tenancy.store, &Limits::default())),
        }
        tracing::info!(
            tenant.id = %tenancy.identity.tenant, environment = %tenancy.identity.environment,
            "connected to the control plane as a gateway of {}", describe(&tenancy.identity)
        );
        self.welcomed = true;
        let link = self.task.link.clone();
        self.task.output.send_modify(|state| {
            state.tenancy = Some(tenancy);
            state.origin = Some(Origin::ControlPlane(link));
            state.trouble = None;
        });
        Ok(())
    }

    async fn take(
        &mut self,
        message: v1::SyncResponse,
        parts: &mut Vec<v1::RevisionDelta>,
        outbound: &mpsc::Sender<v1::SyncRequest>,
    ) -> Result<(), SessionError> {
        match message.message {
            Some(v1::sync_response::Message::Revision(part)) => {
                let last = part.last;
                parts.push(part);
                if parts.len() > DELTA_PARTS_MAX {
                    return Err(SessionError::Protocol("differences without an end".into()));
                }
                if last {
                    let parts = std::mem::take(parts);
                    let delta = convert::delta_from_wire(&parts).map_err(|e| malformed(&e))?;
                    self.revision(&delta, outbound).await?;
                }
                Ok(())
            }
            Some(v1::sync_response::Message::Keys(part)) => self.keys(part).await,
            Some(v1::sync_response::Message::Welcome(_)) => {
                Err(SessionError::Protocol("a second welcome".into()))
            }
            // A message of a newer control plane: nothing that this gateway asked for.
            None => Ok(()),
        }
    }

    async fn revision(
        &mut self,
        delta: &RevisionDelta,
        outbound: &mpsc::Sender<v1::SyncRequest>,
    ) -> Result<(), SessionError> {
        let base = self.task.output.borrow().snapshot.clone();
        if let Some(refusal) = regression(base.as_deref(), delta) {
            tracing::error!(
                code = refusal.code,
                revision = delta.number,
                "{}",
                refusal.message
            );
            self.task
                .output
                .send_modify(|state| state.trouble = Some(refusal));
            return Ok(());
        }
        let revision = match base
            .as_ref()
            .map_or(Revision::empty(), |base| base.revision.clone())
            .apply(delta)
        {
            Ok(revision) => revision,
            Err(e @ (DeltaError::OtherBase { .. } | DeltaError::RootDiffers { .. })) => {
                tracing::warn!(code = "RESYNC", "ask for everything again: {e}");
                let message = v1::sync_request::Message::Resync(v1::Resync {
                    reason: e.to_string(),
                });
                let sent = outbound
                    .send(v1::SyncRequest {
                        message: Some(message),
                    })
                    .await;
                return sent.map_err(|_| SessionError::Ended);
            }
        };
        if base.as_ref().is_some_and(|base| base.revision == revision) {
            return Ok(());
        }
        let snapshot = self.complete(revision, base.as_deref()).await?;
        tracing::info!(
            revision = snapshot.revision.number,
            "received revision {}",
            snapshot.revision.number
        );
        self.task.output.send_modify(|state| {
            state.snapshot = Some(Arc::new(snapshot));
            state.trouble = None;
        });
        Ok(())
    }

    /// Gathers the documents of a revision: from the one before, from disk, from the control plane.
    async fn complete(
        &self,
        revision: Revision,
        base: Option<&Snapshot>,
    ) -> Result<Snapshot, SessionError> {
        let tenancy = self.task.output.borrow().tenancy.clone();
        let tenancy =
            tenancy.ok_or_else(|| SessionError::Protocol("a revision for nobody".into()))?;
        let mut documents = BTreeMap::new();
        let named = Snapshot::documents_of(&revision);
        self.gather(&tenancy, named, base, &mut documents).await?;
        let named = Snapshot::openapi_of(&documents);
        self.gather(&tenancy, named, base, &mut documents).await?;
        Ok(Snapshot {
            revision,
            documents,
        })
    }

    async fn gather(
        &self,
        tenancy: &Tenancy,
        named: BTreeSet<Digest>,
        base: Option<&Snapshot>,
        documents: &mut BTreeMap<Digest, Arc<[u8]>>,
    ) -> Result<(), SessionError> {
        let mut missing = Vec::new();
        for digest in named {
            let held = base.and_then(|base| base.documents.get(&digest)).cloned();
            match held.map_or_else(|| tenancy.store.document(&digest), |body| Ok(Some(body)))? {
                Some(body) => drop(documents.insert(digest, body)),
                None => missing.push(digest),
            }
        }
        for (digest, body) in self.task.link.documents(&missing).await? {
            tenancy.store.keep_document(&digest, &body)?;
            documents.insert(digest, body);
        }
        Ok(())
    }

    async fn keys(&mut self, part: v1::KeyDelta) -> Result<(), SessionError> {
        let ledger = self.ledger.take();
        let mut ledger = ledger.ok_or_else(|| SessionError::Protocol("keys for nobody".into()))?;
        // Sorting and writing up to a million keys must not hold up the stream's thread.
        let work = move || {
            let taken = ledger.take(part);
            (ledger, taken)
        };
        let Ok((ledger, taken)) = tokio::task::spawn_blocking(work).await else {
            return Err(SessionError::Protocol(
                "keys that could not be worked on".into(),
            ));
        };
        // After a failure the ledger is dropped, so that the next session asks for all keys.
        let index = taken?;
        self.ledger = Some(ledger);
        if let Some(index) = index {
            tracing::debug!(
                epoch = index.epoch,
                "received consumer keys up to epoch {}",
                index.epoch
            );
            self.task
                .output
                .send_modify(|state| state.keys = Some(index));
        }
        Ok(())
    }
}

/// Whether a revision would take the gateway back behind what it has.
fn regression(base: Option<&Snapshot>, delta: &RevisionDelta) -> Option<Trouble> {
    let here = &base?.revision;
    if delta.number < here.number {
        let message = format!(
            "refused revision {}, because revision {} is here already; to go back, write a new revision",
            delta.number, here.number
        );
        return Some(Trouble {
            code: "REVISION_REGRESSED",
            message,
        });
    }
    if delta.number == here.number && delta.root != here.root() {
        let message = format!(
            "refused revision {}, because another one of this number is here already",
            delta.number
        );
        return Some(Trouble {
            code: "REVISION_FORKED",
            message,
        });
    }
    None
}

fn read_identity(welcome: &v1::Welcome) -> Result<Identity, String> {
    if welcome.key_pepper.len() > PEPPER_BYTES_MAX || welcome.key_pepper.is_empty() {
        return Err(format!("a pepper of {} bytes", welcome.key_pepper.len()));
    }
    Ok(Identity {
        tenant: convert::field("tenant", &welcome.tenant).map_err(|e| e.to_string())?,
        environment: convert::field("environment", &welcome.environment)
            .map_err(|e| e.to_string())?,
        key_pepper: Secret::new(welcome.key_pepper.clone()),
    })
}

fn malformed(error: &FieldError) -> SessionError {
    SessionError::Protocol(format!("malformed differences: {error}"))
}

fn describe(identity: &Identity) -> String {
    format!("{}/{}", identity.tenant, identity.environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(number: u64) -> Snapshot {
        let revision = Revision {
            number,
            ..Revision::empty()
        };
        Snapshot {
            revision,
            documents: BTreeMap::new(),
        }
    }

    fn code(here: u64, delta: &RevisionDelta) -> Option<&'static str> {
        regression(Some(&snapshot(here)), delta).map(|trouble| trouble.code)
    }

    #[test]
    fn lower_revision_and_another_one_of_the_same_number_are_refused() {
        let delta = snapshot(7).revision.delta_from(None);
        assert_eq!(code(8, &delta), Some("REVISION_REGRESSED"));
        assert_eq!(code(7, &delta), None);
        assert_eq!(code(6, &delta), None);
        assert_eq!(regression(None, &delta), None);
        let mut other = snapshot(7).revision;
        other
            .apis
            .insert("a".parse().unwrap(), gantry_domain::Digest::of("a"));
        assert_eq!(code(7, &other.delta_from(None)), Some("REVISION_FORKED"));
    }

    #[test]
    fn welcome_without_a_pepper_or_tenant_is_refused() {
        let welcome = v1::Welcome {
            tenant: "acme".into(),
            environment: "production".into(),
            key_pepper: vec![1; 32],
        };
        assert_eq!(
            describe(&read_identity(&welcome).unwrap()),
            "acme/production"
        );
        let bare = v1::Welcome {
            key_pepper: Vec::new(),
            ..welcome.clone()
        };
        assert!(read_identity(&bare).is_err());
        assert!(
            read_identity(&v1::Welcome {
                tenant: "../x".into(),
                ..welcome
            })
            .is_err()
        );
    }
}
