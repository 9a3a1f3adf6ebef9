//! What S3 must be told again to go on with an upload or to end it.
//!
//! Kept in the row of the file beside the committed offset, so that any process can go on after any
//! crash, also when parts are made larger or smaller meanwhile. Invariant: part `n` holds the bytes from
//! `n * part_bytes` on, and only full parts are here.

use serde_json::{Value, json};
use thiserror::Error;

use super::PART_BYTES;

/// The stored parts of a staged object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The upload id that the store gave.
    pub upload: String,
    /// Bytes of each part.
    pub part_bytes: u64,
    /// In order, without gaps.
    pub parts: Vec<Part>,
}

/// One stored part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The entity tag that the store gave.
    pub etag: String,
    /// The SHA-256 of its bytes in base64, as it was sent.
    pub sha256: String,
}

/// A row that holds something else.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected an upload id and parts with etag and sha256, found another document")]
pub struct PartsError;

impl Parts {
    /// Bytes in all parts.
    pub fn size_bytes(&self) -> u64 {
        self.parts.len() as u64 * self.part_bytes
    }

    /// As text for a row.
    pub fn encode(&self) -> String {
        let parts: Vec<_> = self
            .parts
            .iter()
            .map(|part| json!([part.etag, part.sha256]))
            .collect();
        json!({ "upload": self.upload, "part_bytes": self.part_bytes, "parts": parts }).to_string()
    }

    /// From a row.
    ///
    /// # Errors
    /// The text is something else.
    pub fn decode(text: &str) -> Result<Self, PartsError> {
        let document: Value = serde_json::from_str(text).map_err(|_| PartsError)?;
        let part = |part: &Value| {
            let text = |index: usize| part.get(index).and_then(Value::as_str).map(str::to_owned);
            Some(Part {
                etag: text(0)?,
                sha256: text(1)?,
            })
        };
        let upload = document["upload"].as_str().ok_or(PartsError)?.to_owned();
        // Rows of programs whose parts had one size do not name it.
        let part_bytes = match &document["part_bytes"] {
            Value::Null => PART_BYTES,
            given => given.as_u64().filter(|size| *size > 0).ok_or(PartsError)?,
        };
        let parts = document["parts"].as_array().ok_or(PartsError)?;
        let parts: Option<Vec<_>> = parts.iter().map(part).collect();
        let parts = parts.ok_or(PartsError)?;
        Ok(Self {
            upload,
            part_bytes,
            parts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_back_as_written_and_anything_else_is_refused() {
        let part = |name: &str| Part {
            etag: format!("\"{name}\""),
            sha256: format!("{name}="),
        };
        let parts = Parts {
            upload: "u/1".into(),
            part_bytes: 1000,
            parts: vec![part("a"), part("b")],
        };
        assert_eq!(Parts::decode(&parts.encode()), Ok(parts.clone()));
        assert_eq!(parts.size_bytes(), 2000);
        let older = Parts::decode(r#"{"upload":"u","parts":[]}"#).unwrap();
        assert_eq!(older.part_bytes, PART_BYTES);
        for text in [
            "",
            "{}",
            "[]",
            r#"{"upload":"u","parts":[["etag"]]}"#,
            r#"{"upload":"u","part_bytes":0,"parts":[]}"#,
        ] {
            assert_eq!(Parts::decode(text), Err(PartsError), "{text}");
        }
    }
}
