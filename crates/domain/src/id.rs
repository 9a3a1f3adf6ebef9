//! Names and identifiers. Each is a distinct type over a checked string, so that a tenant can never
//! be passed where a bundle is meant. Parsing is the only way in; printing gives back what was parsed.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("{kind} is empty; expected {expected}")]
    Empty {
        /// What the name is for.
        kind: &'static str,
        /// The rule in words.
        expected: &'static str,
    },
    /// Longer than the kind allows.
    #[error("{kind} has {length} characters; expected at most {max}")]
    TooLong {
        /// What the name is for.
        kind: &'static str,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A character outside the kind's alphabet, or in a place where it may not stand.
    #[error("{kind} {value:?} is malformed; expected {expected}")]
    Malformed {
        /// What the name is for.
        kind: &'static str,
        /// What came.
        value: String,
        /// The rule in words.
        expected: &'static str,
    },
}

fn lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn slug(s: &str) -> bool {
    s.bytes().all(|b| lower(b) || b == b'-') && lower(s.as_bytes()[0])
}

fn bundle(s: &str) -> bool {
    s.bytes().all(|b| lower(b) || b == b'-' || b == b'_') && lower(s.as_bytes()[0])
}

fn token_like(s: &str) -> bool {
    s.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && s.as_bytes()[0].is_ascii_alphanumeric()
}

fn gateway(s: &str) -> bool {
    s.bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && s.as_bytes()[0].is_ascii_alphanumeric()
}

fn file(s: &str) -> bool {
    s.bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+'))
        && (s.as_bytes()[0].is_ascii_alphanumeric() || s.as_bytes()[0] == b'_')
}

fn function(s: &str) -> bool {
    s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !s.as_bytes()[0].is_ascii_digit()
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $rule:path, $expected:literal) => {
        $(#[$doc])*
        #[doc = concat!("\n\nRule: ", $expected, "; at most ", $max, " characters.")]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as it was parsed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(s: &str) -> Result<Self, NameError> {
                check(s, $kind, $max, $rule, $expected).map(|()| Self(s.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

fn check(
    s: &str,
    kind: &'static str,
    max: usize,
    rule: fn(&str) -> bool,
    expected: &'static str,
) -> Result<(), NameError> {
    if s.is_empty() {
        return Err(NameError::Empty { kind, expected });
    }
    if s.len() > max {
        return Err(NameError::TooLong {
            kind,
            length: s.len(),
            max,
        });
    }
    if !rule(s) {
        return Err(NameError::Malformed {
            kind,
            value: s.to_owned(),
            expected,
        });
    }
    Ok(())
}

name!(
    /// An organisation; owns everything else and is the first part of every key.
    TenantId, "tenant", 63, slug,
    "lower-case letters, digits and hyphens, beginning with a letter or digit"
);
name!(
    /// An environment of a tenant, such as `production`.
    EnvironmentName, "environment", 63, slug,
    "lower-case letters, digits and hyphens, beginning with a letter or digit"
);
name!(
    /// A bundle of one tenant.
    BundleName, "bundle name", 64, bundle,
    "lower-case letters, digits, hyphens and underscores, beginning with a letter or digit"
);
name!(
    /// An API definition's identifier within its environment.
    ApiId, "api_id", 64, token_like,
    "letters, digits, hyphens and underscores, beginning with a letter or digit"
);
name!(
    /// One running gateway, unique within its environment.
    GatewayId, "gateway id", 64, gateway,
    "letters, digits, hyphens, underscores and dots, beginning with a letter or digit"
);
name!(
    /// A function that a library offers to hooks; a C identifier.
    FunctionName, "function name", 128, function,
    "letters, digits and underscores, not beginning with a digit"
);
name!(
    /// The base name of a file in a bundle; never a path.
    FileName, "file name", 160, file,
    "a file name without folders: letters, digits, `.`, `_`, `-` and `+`, not beginning with a dot"
);
name!(
    /// The public half of an access token.
    TokenId, "token id", 32, token_like,
    "letters, digits, hyphens and underscores"
);
name!(
    /// The public half of a consumer key.
    KeyId, "key id", 32, token_like,
    "letters, digits, hyphens and underscores"
);
name!(
    /// One upload session.
    UploadId, "upload id", 64, token_like,
    "letters, digits, hyphens and underscores"
);

impl TenantId {
    /// The tenant of the people who run the service: its admins create tenants.
    pub fn operator() -> Self {
        Self("gantry".to_owned())
    }

    /// Whether this is the operators' tenant.
    pub fn is_operator(&self) -> bool {
        self.0 == "gantry"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn file_name_with_a_folder_is_refused() {
        for bad in [
            "../x.so", "a/b.so", ".hidden", "/abs.so", "a\\b.so", "x\0.so", "",
        ] {
            assert!(bad.parse::<FileName>().is_err(), "{bad:?} was accepted");
        }
        assert_eq!(
            "hooks_v5.3.0_linux_amd64.so"
                .parse::<FileName>()
                .unwrap()
                .as_str()
                .len(),
            27
        );
    }

    #[test]
    fn tenant_rule_names_what_it_expects() {
        let refusal = "Acme Corp".parse::<TenantId>().unwrap_err().to_string();
        assert_eq!(
            refusal,
            "tenant \"Acme Corp\" is malformed; expected lower-case letters, digits and hyphens, \
             beginning with a letter or digit"
        );
    }

    proptest! {
        #[test]
        fn names_round_trip_and_no_input_panics(s in "\\PC{0,80}") {
            if let Ok(name) = s.parse::<BundleName>() { prop_assert_eq!(name.to_string(), s.clone()); }
            if let Ok(name) = s.parse::<FileName>() { prop_assert_eq!(name.to_string(), s.clone()); }
            if let Ok(name) = s.parse::<FunctionName>() { prop_assert_eq!(name.to_string(), s); }
        }
    }
}
