//! Who is writing to which upload. One process has the store at a time, so a set in memory is enough;
//! what it guards is also bounded by it: one entry per call in progress.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gantry_domain::{FileName, TenantId, UploadId};

type Key = (TenantId, UploadId);

/// Calls in progress by upload; `None` holds the upload as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Holds(Arc<Mutex<HashMap<Key, Vec<Option<FileName>>>>>);

/// The right to write, until it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    holds: Holds,
    key: Key,
    part: Option<FileName>,
}

impl Holds {
    /// Holds one file, or the whole upload. `None`: another call holds it.
    pub(super) fn take(
        &self,
        tenant: &TenantId,
        upload: &UploadId,
        part: Option<&FileName>,
    ) -> Option<Hold> {
        let key = (tenant.clone(), upload.clone());
        let part = part.cloned();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = all.entry(key.clone()).or_default();
        let free = match &part {
            None => held.is_empty(),
            Some(_) => !held.contains(&None) && !held.contains(&part),
        };
        if !free {
            return None;
        }
        held.push(part.clone());
        drop(all);
        let holds = self.clone();
        Some(Hold { holds, key, part })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut all = self.holds.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(&self.key) {
            held.retain(|part| *part != self.part);
            if held.is_empty() {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_held_side_by_side_and_the_whole_only_alone() {
        let holds = Holds::default();
        let (tenant, upload) = ("acme".parse().unwrap(), "u1".parse().unwrap());
        let (a, b) = ("a.so".parse().unwrap(), "b.so".parse().unwrap());
        let first = holds.take(&tenant, &upload, Some(&a)).unwrap();
        assert!(holds.take(&tenant, &upload, Some(&a)).is_none());
        let second = holds.take(&tenant, &upload, Some(&b)).unwrap();
        assert!(holds.take(&tenant, &upload, None).is_none());
        drop((first, second));
        let whole = holds.take(&tenant, &upload, None).unwrap();
        assert!(holds.take(&tenant, &upload, Some(&a)).is_none());
        drop(whole);
        assert!(holds.0.lock().unwrap().is_empty());
    }
}
