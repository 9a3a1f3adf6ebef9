//! Sessions that functions stored under their consumer keys, as gateways send them.
//!
//! Invariant: tenant and environment are the credential's, and the control plane never sees a key: what
//! comes is its HMAC under the environment's pepper.

use gantry_domain::session::SessionDocument;
use gantry_domain::{EnvironmentName, FieldError, Timestamp};

use super::{Gateways, SyncError};
use crate::metadata::{KeyRow, SessionStored};
use crate::principal::Principal;
use crate::random;

/// Sessions in one message, at most. With the largest documents a message holds fewer.
const SESSIONS_MAX: usize = 128;
/// What people read of a key that a function made.
const DESCRIPTION: &str = "stored by a function";

/// A session as it came.
#[derive(Debug)]
pub struct SessionSent {
    /// HMAC-SHA256 of its key; 32 bytes.
    pub hmac: Vec<u8>,
    /// JSON.
    pub session: Vec<u8>,
    /// How long ago a function stored it.
    pub age_ms: u64,
}

/// A session that was not kept.
#[derive(Debug, PartialEq, Eq)]
pub struct SessionRefused {
    /// Its place in what was sent.
    pub index: usize,
    /// Stable code.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Gateways {
    /// Keeps sessions. Gives the epoch at which the key stream has them, and those that were refused.
    ///
    /// # Errors
    /// No such environment, or more sessions than a message may hold.
    pub async fn store_sessions(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        sent: &[SessionSent],
    ) -> Result<(u64, Vec<SessionRefused>), SyncError> {
        if sent.len() > SESSIONS_MAX {
            return Err(SyncError::from(FieldError {
                path: "sessions".into(),
                code: "TOO_MANY",
                expected: format!("at most {SESSIONS_MAX}"),
                found: sent.len().to_string(),
            }));
        }
        let known = self.metadata.environment(&who.tenant, environment).await?;
        let known = known.ok_or_else(|| SyncError::NoEnvironment(environment.clone()))?;
        let (mut rows, mut places, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (index, session) in sent.iter().enumerate() {
            match self.row(session) {
                Ok(row) => {
                    rows.push(row);
                    places.push(index);
                }
                Err(error) => refused.push(SessionRefused {
                    index,
                    code: error.code,
                    message: error.to_string(),
                }),
            }
        }
        if rows.is_empty() {
            return Ok((known.keys_epoch, refused));
        }
        let subject = format!("{environment}: {} sessions", rows.len());
        let deed = who.deed("key.store", subject, self.clock.now());
        let keys_max = self.limits.keys_max;
        let written = self
            .metadata
            .store_sessions(environment, &rows, keys_max, &deed);
        let (stored, epoch) = written.await?;
        for (index, stored) in places.into_iter().zip(stored) {
            let (code, message) = match stored {
                SessionStored::Now => continue,
                SessionStored::TooMany => (
                    "KEYS_TOO_MANY",
                    format!("the environment has {keys_max} keys; that is as many as it may have"),
                ),
                SessionStored::Revoked => (
                    "KEY_REVOKED",
                    "the key was revoked after the session had been stored".to_owned(),
                ),
            };
            refused.push(SessionRefused {
                index,
                code,
                message,
            });
        }
        if epoch != known.keys_epoch {
            self.wakes.wake(&who.tenant, environment);
        }
        Ok((epoch, refused))
    }

    fn row(&self, sent: &SessionSent) -> Result<KeyRow, FieldError> {
        let hmac = sent.hmac.as_slice().try_into().map_err(|_| FieldError {
            path: "sessions.hmac".into(),
            code: "FIELD_INVALID",
            expected: "32 bytes".into(),
            found: format!("{} bytes", sent.hmac.len()),
        })?;
        let session = SessionDocument::parse(&sent.session, &self.limits)?;
        let age_ms = i64::try_from(sent.age_ms).unwrap_or(i64::MAX);
        let stored_at = self.clock.now().as_millis().saturating_sub(age_ms);
        Ok(KeyRow {
            key: random::id(),
            hmac,
            session: session.as_str().to_owned(),
            description: DESCRIPTION.to_owned(),
            created_at: Timestamp::from_millis(stored_at),
        })
    }
}
