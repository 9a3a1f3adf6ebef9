//! From columns to values. What does not parse was not written by this program and is said so.

use std::fmt::Display;
use std::str::FromStr;

use gantry_domain::Digest;

use super::MetadataError;

/// A column's place, for the error.
#[derive(Clone, Copy)]
pub(super) struct Column(pub(super) &'static str, pub(super) &'static str);

impl Column {
    pub(super) fn corrupt(self, cause: impl Display) -> MetadataError {
        MetadataError::Corrupt {
            table: self.0,
            column: self.1,
            cause: cause.to_string(),
        }
    }

    pub(super) fn parse<T>(self, text: &str) -> Result<T, MetadataError>
    where
        T: FromStr,
        T::Err: Display,
    {
        text.parse().map_err(|e: T::Err| self.corrupt(e))
    }

    pub(super) fn digest(self, bytes: &[u8]) -> Result<Digest, MetadataError> {
        self.array(bytes).map(Digest::from_bytes)
    }

    pub(super) fn array<const N: usize>(self, bytes: &[u8]) -> Result<[u8; N], MetadataError> {
        bytes
            .try_into()
            .map_err(|_| self.corrupt(format!("{} bytes, not {N}", bytes.len())))
    }

    pub(super) fn unsigned(self, number: i64) -> Result<u64, MetadataError> {
        u64::try_from(number).map_err(|e| self.corrupt(e))
    }
}

/// SQLite's integers are signed. Sizes and counters here are far below the difference.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Rows of a page.
pub(super) fn count(entries: usize) -> i64 {
    i64::try_from(entries).unwrap_or(i64::MAX)
}
