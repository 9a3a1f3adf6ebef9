//! What running calls are told while they run: that an environment changed, that a token ended.
//!
//! Signals say *that* something happened and never *what*: whoever is woken reads the store, so a
//! signal that is lost, doubled or late changes nothing but the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gantry_domain::{EnvironmentName, TenantId, TokenId};
use tokio::sync::{broadcast, watch};

use crate::metadata::Metadata;

/// Ended tokens that a slow listener may be behind; beyond it, it asks the store.
const REVOCATIONS_BUFFERED: usize = 256;

/// Wakes those who wait for changes of an environment.
#[derive(Debug, Clone, Default)]
pub struct Wakes(Arc<Mutex<ByEnvironment>>);

type ByEnvironment = HashMap<(TenantId, EnvironmentName), watch::Sender<()>>;

impl Wakes {
    /// A receiver that changes with the environment. Several changes at once wake once.
    pub fn subscribe(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
    ) -> watch::Receiver<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever listened to a closed environment is gone; the map holds the living only.
        all.retain(|_, sender| sender.receiver_count() > 0);
        let key = (tenant.clone(), environment.clone());
        all.entry(key).or_default().subscribe()
    }

    /// Says that an environment changed.
    pub fn wake(&self, tenant: &TenantId, environment: &EnvironmentName) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = all.get(&(tenant.clone(), environment.clone())) {
            sender.send_replace(());
        }
    }
}

/// Tells running calls that their token has ended.
#[derive(Debug, Clone)]
pub struct Revocations {
    ended: broadcast::Sender<TokenId>,
    metadata: Metadata,
}

impl Revocations {
    /// Signals about the tokens of a store.
    pub fn new(metadata: Metadata) -> Self {
        Self {
            ended: broadcast::Sender::new(REVOCATIONS_BUFFERED),
            metadata,
        }
    }

    /// Says that a token has ended.
    pub fn announce(&self, token: &TokenId) {
        // Nobody listening is fine.
        let _ = self.ended.send(token.clone());
    }

    /// Begins to listen. Subscribe first and look the token up afterwards: then it cannot end unseen
    /// in between.
    pub fn subscribe(&self) -> Revoked {
        Revoked {
            ended: self.ended.subscribe(),
            metadata: self.metadata.clone(),
        }
    }
}

/// Waits for the end of a token.
#[derive(Debug)]
pub struct Revoked {
    ended: broadcast::Receiver<TokenId>,
    metadata: Metadata,
}

impl Revoked {
    /// Returns when the token has ended.
    pub async fn wait(mut self, token: TokenId) {
        loop {
            match self.ended.recv().await {
                Ok(ended) if ended == token => return,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    // A store that does not answer says nothing about the token: go on listening.
                    if let Ok(row) = self.metadata.token(&token).await
                        && row.is_none_or(|row| row.revoked_at.is_some())
                    {
                        return;
                    }
                }
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
