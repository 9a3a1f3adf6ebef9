//! Consumer keys: what the consumers of an environment's APIs present.
//!
//! Responsible for making and ending them. Invariant: a key's plaintext is given out once, when it is
//! made, and is nowhere afterwards; what is stored and sent to gateways is its HMAC-SHA256 (RFC 2104)
//! under the environment's pepper, so that a copied database or a gateway's disk gives no keys away
//! and equal keys of two environments do not look equal.

use std::sync::Arc;

use gantry_domain::session::SessionDocument;
use gantry_domain::{Clock, EnvironmentName, FieldError, KeyId, Limits};
use gantry_telemetry::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::metadata::{EnvironmentRow, KeyCreated, KeyRow, Metadata, MetadataError};
use crate::principal::Principal;
use crate::random;
use crate::refusal::{Kind, Refuse, Violation};
use crate::signals::Wakes;

/// Bytes of a description, at most.
pub const DESCRIPTION_BYTES_MAX: usize = 256;
/// Characters of a secret that is brought along. Fewer could be guessed.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=256;

/// Makes and ends consumer keys. Clones share everything.
#[derive(Clone)]
pub struct Keys {
    metadata: Metadata,
    clock: Arc<dyn Clock>,
    limits: Arc<Limits>,
    wakes: Wakes,
}

/// A new key as its maker describes it.
#[derive(Debug)]
pub struct NewKey {
    /// JSON; empty means `{}`.
    pub session: Vec<u8>,
    /// For people.
    pub description: String,
    /// The consumer's secret when it exists already; one is made otherwise.
    pub secret: Option<Secret<String>>,
}

/// Why a key was not made, found or ended.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Change the field.
    #[error("the key is refused: {}", .0[0])]
    Refused([Violation; 1]),
    /// Name an environment of the tenant.
    #[error("environment {0} does not exist")]
    NoEnvironment(EnvironmentName),
    /// Name a key of the environment.
    #[error("key {0} does not exist in this environment")]
    NoKey(KeyId),
    /// Use another secret.
    #[error("the environment has a key with this secret already")]
    Exists,
    /// Revoke some first.
    #[error("the environment has {0} keys; that is as many as it may have")]
    TooMany(usize),
    /// See the store.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

impl Refuse for KeyError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(_) => Kind::Invalid,
            Self::NoEnvironment(_) | Self::NoKey(_) => Kind::NotFound,
            Self::Exists => Kind::Exists,
            Self::TooMany(_) => Kind::Exhausted,
            Self::Metadata(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused([violation]) => violation.code,
            Self::NoEnvironment(_) => "ENVIRONMENT_NOT_FOUND",
            Self::NoKey(_) => "KEY_NOT_FOUND",
            Self::Exists => "KEY_EXISTS",
            Self::TooMany(_) => "KEYS_TOO_MANY",
            Self::Metadata(error) => error.code(),
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Refused(violations) => violations,
            _ => &[],
        }
    }
}

impl Keys {
    /// Keys in a store.
    pub fn new(
        metadata: Metadata,
        clock: Arc<dyn Clock>,
        limits: Arc<Limits>,
        wakes: Wakes,
    ) -> Self {
        Self {
            metadata,
            clock,
            limits,
            wakes,
        }
    }

    /// Makes a key and gives its secret out, this once.
    ///
    /// # Errors
    /// A session, description or secret that is refused; a secret that is in use; too many keys.
    pub async fn create(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        new: NewKey,
    ) -> Result<(KeyRow, Secret<String>), KeyError> {
        let session = if new.session.is_empty() {
            SessionDocument::empty()
        } else {
            SessionDocument::parse(&new.session, &self.limits).map_err(refused)?
        };
        check_description(&new.description).map_err(refused)?;
        let secret = match new.secret {
            Some(secret) => check_secret(secret)?,
            None => Secret::new(format!("gk_{}", random::hex::<24>())),
        };
        let place = self.environment(who, environment).await?;
        let now = self.clock.now();
        let row = KeyRow {
            key: random::id(),
            hmac: hash(&place.key_pepper, &secret),
            session: session.as_str().to_owned(),
            description: new.description,
            created_at: now,
        };
        let deed = who.deed("key.create", format!("{environment}: {}", row.key), now);
        let keys_max = self.limits.keys_max;
        match self
            .metadata
            .create_key(environment, &row, keys_max, &deed)
            .await?
        {
            KeyCreated::Now => {}
            KeyCreated::Before => return Err(KeyError::Exists),
            KeyCreated::TooMany => return Err(KeyError::TooMany(keys_max)),
        }
        self.wakes.wake(&who.tenant, environment);
        Ok((row, secret))
    }

    /// One key.
    ///
    /// # Errors
    /// No such environment or key.
    pub async fn get(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        key: &KeyId,
    ) -> Result<KeyRow, KeyError> {
        self.environment(who, environment).await?;
        let row = self.metadata.key(&who.tenant, environment, key).await?;
        row.ok_or_else(|| KeyError::NoKey(key.clone()))
    }

    /// Keys in the order of their ids.
    ///
    /// # Errors
    /// No such environment.
    pub async fn list(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        after: Option<&KeyId>,
        entries_max: usize,
    ) -> Result<Vec<KeyRow>, KeyError> {
        self.environment(who, environment).await?;
        let rows = self
            .metadata
            .keys(&who.tenant, environment, after, entries_max);
        Ok(rows.await?)
    }

    /// Ends a key. Connected gateways refuse it as soon as they hear of it.
    ///
    /// # Errors
    /// No such environment or key.
    pub async fn revoke(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
        key: &KeyId,
    ) -> Result<(), KeyError> {
        self.environment(who, environment).await?;
        let deed = who.deed(
            "key.revoke",
            format!("{environment}: {key}"),
            self.clock.now(),
        );
        if !self.metadata.revoke_key(environment, key, &deed).await? {
            return Err(KeyError::NoKey(key.clone()));
        }
        self.wakes.wake(&who.tenant, environment);
        Ok(())
    }

    async fn environment(
        &self,
        who: &Principal,
        environment: &EnvironmentName,
    ) -> Result<EnvironmentRow, KeyError> {
        let row = self.metadata.environment(&who.tenant, environment).await?;
        row.ok_or_else(|| KeyError::NoEnvironment(environment.clone()))
    }
}

fn hash(pepper: &[u8; 32], secret: &Secret<String>) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(pepper).expect("HMAC takes keys of any length");
    hmac.update(secret.expose().as_bytes());
    hmac.finalize().into_bytes().into()
}

fn refused(error: FieldError) -> KeyError {
    KeyError::Refused([error.into()])
}

fn check_secret(secret: Secret<String>) -> Result<Secret<String>, KeyError> {
    let text = secret.expose();
    if SECRET_CHARS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(secret);
    }
    Err(refused(FieldError {
        path: "secret".into(),
        code: "FIELD_INVALID",
        expected: "16 to 256 visible ASCII characters".into(),
        found: format!("{} bytes", text.len()),
    }))
}

/// Descriptions are for people and short.
pub(crate) fn check_description(description: &str) -> Result<(), FieldError> {
    if description.len() <= DESCRIPTION_BYTES_MAX {
        return Ok(());
    }
    Err(FieldError {
        path: "description".into(),
        code: "FIELD_INVALID",
        expected: format!("at most {DESCRIPTION_BYTES_MAX} bytes"),
        found: format!("{} bytes", description.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_secrets_of_two_environments_do_not_look_equal() {
        let secret = Secret::new("a-secret-of-a-consumer".to_owned());
        assert_eq!(hash(&[1; 32], &secret), hash(&[1; 32], &secret));
        assert_ne!(hash(&[1; 32], &secret), hash(&[2; 32], &secret));
    }
}
