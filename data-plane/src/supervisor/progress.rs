//! How far the gateway is with what it was given: written by the conductor, read by reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;

use super::generation::{ArtifactLabel, Effective};
use super::plan::Failure;

/// How far a library is on its way to the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// In the store, its bytes proven.
    Verified,
    /// Tried in the probe.
    Probed,
}

impl Phase {
    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Probed => "probed",
        }
    }
}

/// Where a library was fetched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchedFrom {
    /// Straight from object storage, by a presigned URL.
    ObjectStorage,
    /// Through the control plane.
    ControlPlane,
}

impl FetchedFrom {
    /// The name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ObjectStorage => "object_storage",
            Self::ControlPlane => "control_plane",
        }
    }
}

/// One library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactProgress {
    /// The last phase that it reached.
    pub phase: Phase,
    /// Why it went no further.
    pub failure: Option<Failure>,
    /// Where this process fetched it, if it did.
    pub fetched_from: Option<FetchedFrom>,
}

/// Fetches since this process began.
#[derive(Debug, Clone, Default)]
pub struct Fetches {
    results: BTreeMap<&'static str, u64>,
    bytes: BTreeMap<&'static str, u64>,
}

impl Fetches {
    /// How many ended how.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.results.iter().map(|(result, count)| (*result, *count))
    }

    /// Bytes by where they came from.
    pub fn bytes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.bytes.iter().map(|(source, bytes)| (*source, *bytes))
    }

    fn count(&mut self, fetched: Result<FetchedFrom, &Failure>, size_bytes: u64) {
        let result = match &fetched {
            Ok(_) => "success",
            Err(failure) if failure.code.starts_with("FETCH_") => "download_failure",
            Err(failure) if failure.code == "LIBRARY_DIGEST" => "checksum_mismatch",
            Err(failure) if failure.code == "STATE_UNUSABLE" => "storage_failure",
            Err(_) => "refused",
        };
        *self.results.entry(result).or_default() += 1;
        if let Ok(from) = fetched {
            *self.bytes.entry(from.as_str()).or_default() += size_bytes;
        }
    }
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Libraries of the newest revision.
    pub artifacts: BTreeMap<ArtifactLabel, ArtifactProgress>,
    /// What was fetched.
    pub fetches: Fetches,
    /// What workers were told last.
    pub effective: Option<Arc<Effective>>,
    /// What is in effect in all live workers.
    pub in_effect: Option<Arc<Effective>>,
}

/// The conductor's end.
#[derive(Debug)]
pub struct ProgressSender(watch::Sender<Progress>);

impl ProgressSender {
    /// Both ends.
    pub fn channel() -> (Self, watch::Receiver<Progress>) {
        let (sender, receiver) = watch::channel(Progress::default());
        (Self(sender), receiver)
    }

    /// From now on these libraries count; others are forgotten.
    pub fn begin(&self, labels: &BTreeSet<ArtifactLabel>) {
        self.0
            .send_modify(|progress| progress.artifacts.retain(|label, _| labels.contains(label)));
    }

    /// A library reached a phase, or failed in it.
    pub fn artifacts(
        &self,
        labels: &BTreeSet<ArtifactLabel>,
        phase: Phase,
        failure: Option<&Failure>,
    ) {
        self.0.send_modify(|progress| {
            for label in labels {
                let before = progress.artifacts.get(label);
                let reached = ArtifactProgress {
                    phase,
                    failure: failure.cloned(),
                    fetched_from: before.and_then(|before| before.fetched_from),
                };
                progress.artifacts.insert(label.clone(), reached);
            }
        });
    }

    /// A library came, and its bytes are proven.
    pub fn fetched(&self, labels: &BTreeSet<ArtifactLabel>, from: FetchedFrom) {
        self.0.send_modify(|progress| {
            for label in labels {
                let reached = ArtifactProgress {
                    phase: Phase::Verified,
                    failure: None,
                    fetched_from: Some(from),
                };
                progress.artifacts.insert(label.clone(), reached);
            }
        });
    }

    /// A library that was not here was asked for.
    pub fn count_fetch(&self, fetched: Result<FetchedFrom, &Failure>, size_bytes: u64) {
        self.0
            .send_modify(|progress| progress.fetches.count(fetched, size_bytes));
    }

    /// Workers are told this from now on.
    pub fn told(&self, effective: Arc<Effective>) {
        self.0
            .send_modify(|progress| progress.effective = Some(effective));
    }

    /// A generation is in effect.
    pub fn in_effect(&self, effective: Arc<Effective>) {
        self.0
            .send_modify(|progress| progress.in_effect = Some(effective));
    }
}
