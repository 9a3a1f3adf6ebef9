//! Access tokens: `gantry_<id>_<secret>`. The id finds the row, the secret proves possession, and
//! only the secret's SHA-256 digest is stored: it has 256 random bits, so a slow hash would add
//! nothing, and a copied database lets nobody in.

use gantry_domain::{Digest, TokenId};
use gantry_telemetry::Secret;
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::random;

const PREFIX: &str = "gantry_";
const SECRET_CHARS: usize = 64;

/// A token as its holder presents it.
#[derive(Debug, Clone)]
pub struct AccessToken {
    id: TokenId,
    secret: Secret<String>,
}

/// Why a text is no access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AccessTokenError {
    /// It does not begin as tokens do.
    #[error("an access token begins with `gantry_`")]
    Prefix,
    /// It has no second underscore, or an id that cannot be one.
    #[error("an access token is `gantry_<id>_<secret>`; the id is missing or malformed")]
    Id,
    /// The secret has another length.
    #[error("an access token ends in 64 hexadecimal characters; {0} came")]
    SecretLength(usize),
    /// The secret has other characters.
    #[error("an access token ends in 64 lower-case hexadecimal characters; others came")]
    SecretNotHex,
}

impl AccessToken {
    /// A new token.
    pub fn generate() -> Self {
        Self {
            id: random::id(),
            secret: Secret::new(random::hex::<{ SECRET_CHARS / 2 }>()),
        }
    }

    /// Reads what a caller presents.
    ///
    /// # Errors
    /// One variant per mistake. None repeats any part of the text.
    pub fn parse(text: &str) -> Result<Self, AccessTokenError> {
        let rest = text.strip_prefix(PREFIX).ok_or(AccessTokenError::Prefix)?;
        let (id, secret) = rest.split_once('_').ok_or(AccessTokenError::Id)?;
        let id = id.parse().map_err(|_| AccessTokenError::Id)?;
        if secret.len() != SECRET_CHARS {
            return Err(AccessTokenError::SecretLength(secret.len()));
        }
        if !secret
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(AccessTokenError::SecretNotHex);
        }
        Ok(Self {
            id,
            secret: Secret::new(secret.to_owned()),
        })
    }

    /// The public half.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// What is stored of the secret.
    pub fn secret_digest(&self) -> Digest {
        Digest::of(self.secret.expose())
    }

    /// Whether this is the token of which the digest was stored, in constant time.
    pub fn proves(&self, stored: &Digest) -> bool {
        self.secret_digest()
            .as_bytes()
            .ct_eq(stored.as_bytes())
            .into()
    }

    /// The whole text, to be shown to its holder once.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, self.secret.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_round_trips_and_its_debug_output_hides_the_secret() {
        let token = AccessToken::generate();
        let again = AccessToken::parse(&token.reveal()).unwrap();
        assert!(again.proves(&token.secret_digest()));
        assert!(!AccessToken::generate().proves(&token.secret_digest()));
        assert!(!format!("{token:?}").contains(token.secret.expose().as_str()));
    }

    #[test]
    fn each_mistake_in_a_token_has_its_own_refusal() {
        let secret = "0".repeat(64);
        for (text, error) in [
            (String::new(), AccessTokenError::Prefix),
            (format!("other_a_{secret}"), AccessTokenError::Prefix),
            ("gantry_abc".into(), AccessTokenError::Id),
            (format!("gantry__{secret}"), AccessTokenError::Id),
            ("gantry_abc_00".into(), AccessTokenError::SecretLength(2)),
            (
                format!("gantry_abc_{}", "X".repeat(64)),
                AccessTokenError::SecretNotHex,
            ),
        ] {
            assert_eq!(AccessToken::parse(&text).unwrap_err(), error, "{text:?}");
        }
    }
}
