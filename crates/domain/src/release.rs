//! A release: one published version of a bundle, with what inspection found in each file. Its
//! canonical text is the commit object of a publication and travels to gateways unchanged.

use serde_json::{Map, Value, json};

use crate::json::{Fields, Findings, canonical, parse_object};
use crate::{
    BundleName, BundleVersion, Digest, FieldError, FileName, LibcVersion, Limits, Manifest,
    PluginNote, Target, TenantId,
};

/// Bytes of a release document, at most.
pub const RELEASE_BYTES_MAX: usize = 1 << 20;

/// One library of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its name in the bundle.
    pub file: FileName,
    /// Its identity.
    pub digest: Digest,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// What it was built for, as inspection found it.
    pub target: Target,
    /// What it says about itself.
    pub note: PluginNote,
    /// Where object storage keeps it: the key of the release that first brought these bytes.
    pub key: String,
}

/// One published version of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its owner.
    pub tenant: TenantId,
    /// What its author declared.
    pub manifest: Manifest,
    /// Its libraries, in the order of the manifest.
    pub artifacts: Vec<Artifact>,
}

impl Release {
    /// The bundle.
    pub fn bundle(&self) -> &BundleName {
        &self.manifest.name
    }

    /// The version.
    pub fn version(&self) -> &BundleVersion {
        &self.manifest.version
    }

    /// The canonical text.
    pub fn canonical(&self) -> String {
        let artifacts: Vec<_> = self.artifacts.iter().map(Artifact::to_json).collect();
        canonical(&json!({
            "tenant": self.tenant.as_str(), "manifest": self.manifest.to_json(), "artifacts": artifacts,
        }))
    }

    /// The digest of the canonical text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical())
    }

    /// Reads the canonical text.
    ///
    /// # Errors
    /// Every mistake, with its path. A release that a control plane wrote has none; one that was
    /// altered, or that a newer control plane wrote in another shape, has.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<FieldError>> {
        let limits = Limits::default();
        let map =
            parse_object(bytes, RELEASE_BYTES_MAX, limits.json_depth_max).map_err(|e| vec![e])?;
        let mut findings = Findings::default();
        let mut fields = Fields::new("", map, &mut findings);
        let tenant = fields.required("tenant", "the owner");
        let manifest = fields.object("manifest").unwrap_or_default();
        let artifacts = fields.array("artifacts").unwrap_or_default();
        fields.finish();
        let manifest = Manifest::parse(canonical(&Value::Object(manifest)).as_bytes(), &limits)?;
        let artifacts: Vec<_> = artifacts
            .into_iter()
            .enumerate()
            .filter_map(|(i, value)| {
                Artifact::read(&format!("artifacts[{i}]"), value, &mut findings)
            })
            .collect();
        match tenant {
            Some(tenant) if findings.errors.is_empty() => Ok(Self {
                tenant,
                manifest,
                artifacts,
            }),
            _ => Err(findings.errors),
        }
    }
}

impl Artifact {
    fn to_json(&self) -> Value {
        let mut artifact = json!({
            "file": self.file.as_str(), "sha256": self.digest.to_string(), "size_bytes": self.size_bytes,
            "platform": self.target.platform.to_string(), "note": self.note.to_json(), "key": self.key,
        });
        if let Some(version) = self.target.gateway_version {
            artifact["gateway_version"] = json!(version.to_string());
        }
        if let Some(libc) = self.target.libc {
            artifact["libc"] = json!(libc.to_string());
        }
        artifact
    }

    fn read(path: &str, value: Value, findings: &mut Findings) -> Option<Self> {
        let map = match value {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let mut fields = Fields::new(path, map, findings);
        let file = fields.required("file", "the file's name");
        let digest = fields.required("sha256", "the file's digest");
        let size_bytes = fields.unsigned("size_bytes");
        let platform = fields.required("platform", "the platform");
        let gateway_version = fields.parsed("gateway_version");
        let libc: Option<LibcVersion> = fields.parsed("libc");
        let key = fields.required("key", "the storage key");
        let note = fields.object("note").unwrap_or_default();
        fields.finish();
        let note = match PluginNote::parse(canonical(&Value::Object(note)).as_bytes()) {
            Ok(note) => note,
            Err(errors) => {
                findings.errors.extend(errors);
                return None;
            }
        };
        let target = Target {
            platform: platform?,
            gateway_version,
            libc,
            abi: note.abi,
        };
        Some(Self {
            file: file?,
            digest: digest?,
            size_bytes: size_bytes?,
            target,
            note,
            key: key?,
        })
    }
}
