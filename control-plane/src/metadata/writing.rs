//! A transaction that may write, timed and part of its trace from the wait for the lock to its end.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use gantry_telemetry::propagation::is_recorded;
use sqlx::{Sqlite, Transaction};
use tracing::Span;

use crate::metrics::Metrics;

/// The store's name in metrics.
const STORE: &str = "metadata";

/// Ends with [`Writing::commit`]; dropped before, it changes nothing.
pub(super) struct Writing<'p> {
    transaction: Transaction<'p, Sqlite>,
    _timed: Timed,
}

impl<'p> Writing<'p> {
    pub(super) fn new(transaction: Transaction<'p, Sqlite>, timed: Timed) -> Self {
        Self {
            transaction,
            _timed: timed,
        }
    }

    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

impl<'p> Deref for Writing<'p> {
    type Target = Transaction<'p, Sqlite>;

    fn deref(&self) -> &Transaction<'p, Sqlite> {
        &self.transaction
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.transaction
    }
}

/// Counts from its beginning to its drop.
pub(super) struct Timed {
    action: &'static str,
    metrics: Metrics,
    begun: Instant,
    _span: Span,
}

impl Timed {
    pub(super) fn begin(action: &'static str, metrics: &Metrics) -> Self {
        // What nobody asked for (repair, sweeping) is no trace of its own.
        let span = if is_recorded() {
            tracing::info_span!("metadata", otel.name = format!("metadata {action}"))
        } else {
            Span::none()
        };
        Self {
            action,
            metrics: metrics.clone(),
            begun: Instant::now(),
            _span: span,
        }
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        self.metrics.store_op(STORE, self.action, took);
    }
}
