//! A store whose operations are timed, counted when they fail, and part of their trace.
//!
//! Not here: anything that a store does. Invariant: whatever is asked of it is asked of the store
//! behind it, once.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use gantry_telemetry::propagation::is_recorded;
use tracing::{Instrument as _, Span, field};

use super::{
    Append, BlobError, BlobKey, BlobPrefix, BlobStore, Committed, Created, Cursor, Page, Parts,
    Presigned, Unsealed,
};
use crate::metrics::Metrics;

/// The store's name in metrics.
const STORE: &str = "objects";

/// A store, observed.
#[derive(Debug)]
pub struct Observed {
    store: Arc<dyn BlobStore>,
    metrics: Metrics,
}

impl Observed {
    /// Observes a store.
    pub fn new(store: Arc<dyn BlobStore>, metrics: Metrics) -> Self {
        Self { store, metrics }
    }
}

async fn observe<T>(
    metrics: &Metrics,
    op: &'static str,
    key: &impl std::fmt::Display,
    work: impl Future<Output = Result<T, BlobError>>,
) -> Result<T, BlobError> {
    let traced = work.instrument(span(op, key));
    measure(metrics, op, traced).await
}

async fn measure<T>(
    metrics: &Metrics,
    op: &'static str,
    work: impl Future<Output = Result<T, BlobError>>,
) -> Result<T, BlobError> {
    let begun = Instant::now();
    let done = work.await;
    metrics.store_op(STORE, op, begun.elapsed());
    // That something is not there is an answer.
    if let Err(error) = &done
        && !matches!(error, BlobError::NotFound { .. })
    {
        metrics.store_failed(STORE, op);
    }
    done
}

/// What nobody asked for (sweeping, readiness) is no trace of its own.
fn span(op: &'static str, key: &impl std::fmt::Display) -> Span {
    if !is_recorded() {
        return Span::none();
    }
    tracing::info_span!(
        "objects", otel.name = field::display(format_args!("objects {op}")), object.key = %key
    )
}

#[async_trait]
impl BlobStore for Observed {
    async fn create(&self, key: &BlobKey, body: Bytes) -> Result<Created, BlobError> {
        let work = self.store.create(key, body);
        observe(&self.metrics, "create", key, work).await
    }

    async fn promote(&self, staged: &BlobKey, key: &BlobKey) -> Result<Created, BlobError> {
        let work = self.store.promote(staged, key);
        observe(&self.metrics, "promote", key, work).await
    }

    async fn append(
        &self,
        key: &BlobKey,
        offset: u64,
        parts: Option<Parts>,
    ) -> Result<Box<dyn Append>, BlobError> {
        let work = self.store.append(key, offset, parts);
        let append = observe(&self.metrics, "append", key, work).await?;
        Ok(Box::new(ObservedAppend {
            append,
            key: key.clone(),
            metrics: self.metrics.clone(),
        }))
    }

    async fn room_for(&self, bytes: u64) -> Result<(), BlobError> {
        measure(&self.metrics, "room_for", self.store.room_for(bytes)).await
    }

    async fn abandon(&self, key: &BlobKey, upload: &str) -> Result<(), BlobError> {
        let work = self.store.abandon(key, upload);
        observe(&self.metrics, "abandon", key, work).await
    }

    async fn unsealed(&self, prefix: &BlobPrefix) -> Result<Vec<Unsealed>, BlobError> {
        let work = self.store.unsealed(prefix);
        observe(&self.metrics, "unsealed", &prefix.path(), work).await
    }

    async fn presigned(&self, key: &BlobKey) -> Result<Option<Presigned>, BlobError> {
        let work = self.store.presigned(key);
        observe(&self.metrics, "presigned", key, work).await
    }

    async fn open(&self, key: &BlobKey) -> Result<std::fs::File, BlobError> {
        observe(&self.metrics, "open", key, self.store.open(key)).await
    }

    async fn read(
        &self,
        key: &BlobKey,
        offset: u64,
        length_max: usize,
    ) -> Result<Bytes, BlobError> {
        let work = self.store.read(key, offset, length_max);
        // A download reads chunk by chunk: spans for these would be most of all spans.
        measure(&self.metrics, "read", work).await
    }

    async fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        observe(&self.metrics, "size", key, self.store.size(key)).await
    }

    async fn list(
        &self,
        prefix: &BlobPrefix,
        from: Option<Cursor>,
        entries_max: usize,
    ) -> Result<Page, BlobError> {
        let work = self.store.list(prefix, from, entries_max);
        observe(&self.metrics, "list", &prefix.path(), work).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        observe(&self.metrics, "delete", key, self.store.delete(key)).await
    }
}

/// Writing is not observed chunk by chunk: what costs time is to make the bytes durable.
struct ObservedAppend {
    append: Box<dyn Append>,
    key: BlobKey,
    metrics: Metrics,
}

#[async_trait]
impl Append for ObservedAppend {
    fn part_bytes(&self) -> u64 {
        self.append.part_bytes()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.append.write(bytes).await
    }

    async fn commit(&mut self) -> Result<Committed, BlobError> {
        let work = self.append.commit();
        observe(&self.metrics, "commit", &self.key, work).await
    }

    async fn seal(&mut self) -> Result<(), BlobError> {
        let work = self.append.seal();
        observe(&self.metrics, "seal", &self.key, work).await
    }
}
