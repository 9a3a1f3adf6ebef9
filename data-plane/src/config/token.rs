//! The gateway's access token: `gantry_<id>_<secret>`. Its id may be shown, the rest never.

use std::fmt;
use std::str::FromStr;

use gantry_domain::{Digest, TokenId};
use thiserror::Error;

/// Characters of a token, at most.
const TOKEN_LENGTH_MAX: usize = 512;

/// An access token. `Debug` and `Display` show its public half.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    id: TokenId,
}

/// Why a token was refused. The text never repeats what came.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a token has the form gantry_<id>_<secret>")]
pub struct TokenError;

impl Token {
    /// The whole token, for the control plane alone.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Its public half.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// The SHA-256 digest of the whole token: what the state directory remembers it by.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.text)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(s: &str) -> Result<Self, TokenError> {
        let text = s.trim();
        let visible = text.len() <= TOKEN_LENGTH_MAX && text.bytes().all(|b| b.is_ascii_graphic());
        let (id, secret) = Some(text)
            .filter(|_| visible)
            .and_then(|text| text.strip_prefix("gantry_"))
            .and_then(|rest| rest.split_once('_'))
            .ok_or(TokenError)?;
        if secret.is_empty() {
            return Err(TokenError);
        }
        Ok(Self {
            text: text.to_owned(),
            id: id.parse().map_err(|_| TokenError)?,
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gantry_{}_****", self.id)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_shows_its_id_and_never_its_secret() {
        let token: Token = "gantry_k3y_s3cret\n".parse().unwrap();
        assert_eq!(token.expose(), "gantry_k3y_s3cret");
        assert_eq!(format!("{token} {token:?}").matches("s3cret").count(), 0);
    }

    #[test]
    fn malformed_token_is_refused_without_repeating_it() {
        for bad in [
            "",
            "s3cret",
            "gantry_",
            "gantry_id",
            "gantry_id_",
            "gantry__s",
            "gantry_i_a b",
        ] {
            let refusal = bad.parse::<Token>().unwrap_err().to_string();
            assert_eq!(
                refusal, "a token has the form gantry_<id>_<secret>",
                "{bad:?}"
            );
        }
    }
}
