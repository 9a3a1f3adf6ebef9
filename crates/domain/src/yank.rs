//! A yank: a published version that must not be deployed anew. Its canonical text is the tombstone in
//! object storage, and it counts from the moment in which that exists.

use serde_json::json;

use crate::json::{Fields, Findings, canonical, parse_object};
use crate::{BundleName, BundleVersion, FieldError, TenantId, Timestamp};

/// Bytes of a tombstone, at most.
pub const YANK_BYTES_MAX: usize = 8 << 10;
/// Bytes of a reason, at most.
pub const REASON_BYTES_MAX: usize = 500;

/// A version that was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yank {
    /// Its owner.
    pub tenant: TenantId,
    /// The bundle.
    pub bundle: BundleName,
    /// The version.
    pub version: BundleVersion,
    /// Why, in the words of whoever did it; may be empty.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Yank {
    /// The canonical text.
    pub fn canonical(&self) -> String {
        canonical(&json!({
            "tenant": self.tenant.as_str(), "bundle": self.bundle.as_str(),
            "version": self.version.to_string(), "reason": self.reason,
            "yanked_at_ms": self.at.as_millis(),
        }))
    }

    /// Reads the canonical text.
    ///
    /// # Errors
    /// Every mistake, with its path: then it was altered, or a newer control plane wrote it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<FieldError>> {
        let map = parse_object(bytes, YANK_BYTES_MAX, 2).map_err(|e| vec![e])?;
        let mut findings = Findings::default();
        let mut fields = Fields::new("", map, &mut findings);
        let tenant = fields.required("tenant", "the owner");
        let bundle = fields.required("bundle", "the bundle");
        let version = fields.required("version", "the version");
        let reason = fields.text("reason");
        let at = fields.unsigned("yanked_at_ms");
        fields.finish();
        let at = at.and_then(|at| i64::try_from(at).ok());
        match (tenant, bundle, version, at) {
            (Some(tenant), Some(bundle), Some(version), Some(at)) if findings.errors.is_empty() => {
                Ok(Self {
                    tenant,
                    bundle,
                    version,
                    reason: reason.unwrap_or_default(),
                    at: Timestamp::from_millis(at),
                })
            }
            _ => Err(findings.errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tombstone_reads_back_and_another_document_is_none() {
        let yank = Yank {
            tenant: "acme".parse().unwrap(),
            bundle: "hooks".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            reason: "drops \"headers\"\n".into(),
            at: Timestamp::from_millis(1_700_000_000_000),
        };
        assert_eq!(Yank::parse(yank.canonical().as_bytes()), Ok(yank));
        for other in ["{}", "[]", r#"{"tenant":"acme","bundle":"hooks"}"#] {
            assert!(Yank::parse(other.as_bytes()).is_err(), "{other}");
        }
    }
}
