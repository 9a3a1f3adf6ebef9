//! Whether the stores answer. Asked for by anybody, so the stores are asked at most once a second.

use std::sync::Arc;
use std::time::Duration;

use gantry_domain::TenantId;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::respond::HttpError;
use crate::blob::{BlobError, BlobKey, BlobStore};
use crate::metadata::Metadata;
use crate::refusal::chain;

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(1);
/// How long the stores may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the stores.
pub(crate) struct Health {
    metadata: Metadata,
    blobs: Arc<dyn BlobStore>,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Health {
    /// Of these stores.
    pub(crate) fn new(metadata: Metadata, blobs: Arc<dyn BlobStore>) -> Self {
        Self {
            metadata,
            blobs,
            last: Mutex::new(None),
        }
    }

    /// Whether both stores answer, or did so within the last second.
    pub(super) async fn check(&self) -> Result<(), HttpError> {
        let mut last = self.last.lock().await;
        let known = last.filter(|(at, _)| at.elapsed() < FRESH);
        let well = if let Some((_, well)) = known {
            well
        } else {
            let asked = tokio::time::timeout(TIMEOUT, self.ask()).await;
            let well = asked.unwrap_or_else(|_| {
                tracing::warn!("the stores do not answer in time: not ready");
                false
            });
            *last = Some((Instant::now(), well));
            well
        };
        if well {
            Ok(())
        } else {
            Err(HttpError::NotReady)
        }
    }

    async fn ask(&self) -> bool {
        let operator = TenantId::operator();
        if let Err(error) = self.metadata.tenants(Some(&operator), 1).await {
            tracing::warn!(error = %chain(&error), "the metadata store does not answer: not ready");
            return false;
        }
        // Whether this object exists does not matter; that the store says so does.
        let (Ok(upload), Ok(file)) = ("readyz".parse(), "readyz".parse()) else {
            return false;
        };
        let key = BlobKey::Staged {
            tenant: operator,
            upload,
            file,
        };
        match self.blobs.size(&key).await {
            Ok(_) | Err(BlobError::NotFound { .. }) => true,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the object store does not answer: not ready");
                false
            }
        }
    }
}
