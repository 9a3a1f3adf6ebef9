//! Which libraries, and which uses of them, the probe has passed: kept on disk with their digests, so
//! that a start from last-known-good tries nothing again. What failed is remembered only while this
//! process lives, because its cause may be the machine's.
//!
//! Invariant: a verdict holds for the build that gave it; another build tries everything anew.

use std::collections::{BTreeMap, BTreeSet};

use gantry_domain::Digest;
use gantry_domain::json::canonical_digest;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::files;
use super::generation::FunctionUse;
use super::plan::Failure;
use super::state::StateError;
use super::store::Store;

/// Bytes of the file, at most.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What was tried: a library by itself, or one use of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trial {
    /// Opening the library.
    Library(Digest),
    /// Starting a function with a configuration.
    Use(FunctionUse),
}

impl Trial {
    fn key(&self) -> String {
        match self {
            Self::Library(digest) => digest.to_string(),
            Self::Use(each) => canonical_digest(&json!([
                each.digest.to_string(),
                each.api_id,
                each.hook,
                each.function,
                each.config.to_string(),
            ]))
            .to_string(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerdictFile {
    build: String,
    passed: BTreeSet<String>,
}

/// What is known of trials.
#[derive(Debug)]
pub struct Verdicts {
    store: Store,
    build: String,
    passed: BTreeSet<String>,
    failed: BTreeMap<Trial, Failure>,
}

impl Verdicts {
    /// Reads what this build has passed before. A damaged file only costs trying again.
    pub fn open(store: &Store, build: &str) -> Self {
        let read = || -> Option<VerdictFile> {
            let bytes = files::read(&store.file("verdicts.json"), FILE_BYTES_MAX).ok()??;
            serde_json::from_slice(&bytes).ok()
        };
        let passed = read()
            .filter(|file| file.build == build)
            .map(|file| file.passed);
        Self {
            store: store.clone(),
            build: build.to_owned(),
            passed: passed.unwrap_or_default(),
            failed: BTreeMap::new(),
        }
    }

    /// Whether it passed.
    pub fn passed(&self, trial: &Trial) -> bool {
        self.passed.contains(&trial.key())
    }

    /// Why it failed, if it did.
    pub fn failure(&self, trial: &Trial) -> Option<&Failure> {
        self.failed.get(trial)
    }

    /// Whether nothing is known of it.
    pub fn is_open(&self, trial: &Trial) -> bool {
        !self.passed(trial) && !self.failed.contains_key(trial)
    }

    /// Takes a verdict.
    pub fn record(&mut self, trial: Trial, verdict: Result<(), Failure>) {
        match verdict {
            Ok(()) => drop(self.passed.insert(trial.key())),
            Err(failure) => drop(self.failed.insert(trial, failure)),
        }
    }

    /// Forgets failures that say more about the moment than about the library, and everything that is
    /// no longer asked for.
    pub fn retain(&mut self, wanted: &BTreeSet<Trial>) {
        self.failed.retain(|trial, failure| {
            wanted.contains(trial)
                && !matches!(failure.code.as_str(), "PROBE_TIMEOUT" | "PROBE_UNAVAILABLE")
        });
        let keys: BTreeSet<_> = wanted.iter().map(Trial::key).collect();
        self.passed.retain(|key| keys.contains(key));
    }

    /// Writes what passed.
    ///
    /// # Errors
    /// The system refuses.
    pub fn keep(&self) -> Result<(), StateError> {
        let path = self.store.file("verdicts.json");
        let file = VerdictFile {
            build: self.build.clone(),
            passed: self.passed.clone(),
        };
        let content = serde_json::to_vec(&file).map_err(|e| super::state::corrupt(&path, &e))?;
        files::replace(&path, &content).map_err(StateError::at(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(config: &str) -> Trial {
        Trial::Use(FunctionUse {
            digest: Digest::of("lib"),
            api_id: "a".into(),
            hook: "pre".into(),
            function: "Pre".into(),
            config: Digest::of(config),
        })
    }

    #[test]
    fn what_passed_is_known_to_the_same_build_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("t/acme/production")).unwrap();
        let mut verdicts = Verdicts::open(&store, "0.1.0");
        verdicts.record(trial("{}"), Ok(()));
        verdicts.record(trial("bad"), Err(Failure::new("START_FAILED", "no")));
        verdicts.keep().unwrap();
        let again = Verdicts::open(&store, "0.1.0");
        assert!(again.passed(&trial("{}")));
        assert!(
            again.is_open(&trial("bad")),
            "failures are tried again after a restart"
        );
        assert!(again.is_open(&trial("other")));
        assert!(Verdicts::open(&store, "0.2.0").is_open(&trial("{}")));
    }

    #[test]
    fn failures_of_the_moment_are_forgotten_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("t/acme/production")).unwrap();
        let mut verdicts = Verdicts::open(&store, "0.1.0");
        verdicts.record(trial("slow"), Err(Failure::new("PROBE_TIMEOUT", "")));
        verdicts.record(trial("bad"), Err(Failure::new("PROBE_CRASHED", "")));
        verdicts.record(trial("gone"), Ok(()));
        verdicts.retain(&BTreeSet::from([trial("slow"), trial("bad")]));
        assert!(verdicts.is_open(&trial("slow")));
        assert_eq!(
            verdicts.failure(&trial("bad")).unwrap().code,
            "PROBE_CRASHED"
        );
        assert!(verdicts.is_open(&trial("gone")));
    }
}
