//! How far a gateway's consumer keys are, and the next part of what it lacks.

use gantry_domain::{EnvironmentName, KeyId, TenantId};

use super::SyncError;
use crate::metadata::{KeyChange, Metadata};

/// Rows read at once: with the largest sessions they are about 2 MiB.
const PAGE_ENTRIES: usize = 128;
/// Bytes of sessions in one part; with hashes and ids it stays well under 1 MiB.
const PART_SESSION_BYTES: usize = 512 << 10;

/// A part of the differences between a gateway's keys and the environment's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// All parts together are everything: the gateway forgets the keys it has.
    pub replace: bool,
    /// Where the gateway is after the last part.
    pub epoch: u64,
    /// Keys that are new: HMAC, id, session.
    pub changed: Vec<([u8; 32], KeyId, String)>,
    /// HMACs of keys that are gone.
    pub removed: Vec<[u8; 32]>,
    /// No part follows.
    pub last: bool,
}

/// How far a gateway is.
#[derive(Debug)]
pub(super) enum KeyCursor {
    /// It has every change up to this one; 0: it has nothing.
    At(u64),
    /// It is being sent the changes up to `until`.
    Sending {
        replace: bool,
        sent: u64,
        until: u64,
    },
}

impl KeyCursor {
    pub(super) const fn at(epoch: u64) -> Self {
        Self::At(epoch)
    }

    pub(super) async fn next(
        &mut self,
        metadata: &Metadata,
        tenant: &TenantId,
        environment: &EnvironmentName,
    ) -> Result<Option<KeyPart>, SyncError> {
        let (replace, sent, until) = match *self {
            Self::Sending {
                replace,
                sent,
                until,
            } => (replace, sent, until),
            Self::At(epoch) => {
                let row = metadata.environment(tenant, environment).await?;
                let row = row.ok_or_else(|| SyncError::NoEnvironment(environment.clone()))?;
                match epoch {
                    epoch if epoch == row.keys_epoch => return Ok(None),
                    // Nothing, or more than there is: the store was set back to an earlier state.
                    0 => (true, 0, row.keys_epoch),
                    epoch if epoch > row.keys_epoch => (true, 0, row.keys_epoch),
                    epoch => (false, epoch, row.keys_epoch),
                }
            }
        };
        let changes = metadata
            .key_changes(tenant, environment, (sent, until), !replace, PAGE_ENTRIES)
            .await?;
        // Looked at after the changes: had a tombstone among them been pruned, this would tell.
        if !replace {
            let row = metadata.environment(tenant, environment).await?;
            let row = row.ok_or_else(|| SyncError::NoEnvironment(environment.clone()))?;
            if row.keys_pruned > sent {
                *self = Self::At(0);
                return Box::pin(self.next(metadata, tenant, environment)).await;
            }
        }
        let part = part(replace, until, &changes);
        *self = if part.last {
            Self::At(until)
        } else {
            let taken = part.changed.len() + part.removed.len();
            Self::Sending {
                replace,
                sent: changes[taken - 1].epoch,
                until,
            }
        };
        Ok(Some(part))
    }
}

/// As many changes as one message holds, at least one. A key that is revoked while a full set is
/// being sent moves behind `until` and comes as a removal later, so no page can miss a change.
fn part(replace: bool, until: u64, changes: &[KeyChange]) -> KeyPart {
    let mut part = KeyPart {
        replace,
        epoch: until,
        changed: Vec::new(),
        removed: Vec::new(),
        last: changes.len() < PAGE_ENTRIES,
    };
    let mut bytes = 0;
    for change in changes {
        let Some((key, session)) = &change.live else {
            part.removed.push(change.hmac);
            continue;
        };
        if bytes > 0 && bytes + session.len() > PART_SESSION_BYTES {
            part.last = false;
            break;
        }
        bytes += session.len();
        part.changed
            .push((change.hmac, key.clone(), session.clone()));
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(epoch: u64, session_bytes: usize) -> KeyChange {
        KeyChange {
            epoch,
            hmac: [0; 32],
            live: Some(("k".parse().unwrap(), "x".repeat(session_bytes))),
        }
    }

    #[test]
    fn part_holds_what_fits_and_says_whether_more_follows() {
        let large: Vec<_> = (1..=100).map(|epoch| change(epoch, 16 << 10)).collect();
        let first = part(true, 100, &large);
        assert_eq!((first.changed.len(), first.last), (32, false));
        let rest = part(true, 100, &large[32..40]);
        assert_eq!((rest.changed.len(), rest.last), (8, true));
        let none = part(true, 1, &[]);
        assert!(none.last && none.changed.is_empty());
    }

    #[test]
    fn revoked_keys_come_as_removals() {
        let gone = KeyChange {
            live: None,
            ..change(1, 0)
        };
        let part = part(false, 2, &[gone, change(2, 1)]);
        assert_eq!((part.removed.len(), part.changed.len()), (1, 1));
    }
}
