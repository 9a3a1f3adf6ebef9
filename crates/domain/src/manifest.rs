//! `manifest.json`: what a bundle is called, which files it holds, and where its functions run.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::json::{Fields, Findings, canonical, describe, parse_object};
use crate::{
    BundleName, BundleVersion, Digest, FieldError, FieldWarning, FileName, Limits, Middleware,
};

/// A checked manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The bundle.
    pub name: BundleName,
    /// The version, immutable once published.
    pub version: BundleVersion,
    /// Every file and its SHA-256 digest, in the order of `file_list` (MD5 depends on it).
    pub files: Vec<(FileName, Digest)>,
    /// What the bundle hooks.
    pub middleware: Middleware,
    /// MD5 over the files' contents in order, lower-case hexadecimal, as older tools write it.
    /// Verified where it is present; nothing relies on it.
    pub checksum: Option<String>,
}

/// A manifest before its digests are known: what an author writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftManifest {
    /// The bundle.
    pub name: BundleName,
    /// The version.
    pub version: BundleVersion,
    /// The files in order, with the digests that the author gave.
    pub files: Vec<(FileName, Option<Digest>)>,
    /// What the bundle hooks.
    pub middleware: Middleware,
    /// As in [`Manifest`].
    pub checksum: Option<String>,
    /// What its author should know.
    pub warnings: Vec<FieldWarning>,
}

impl DraftManifest {
    /// Reads what an author wrote: digests may be absent.
    ///
    /// # Errors
    /// Every mistake, with its path.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Vec<FieldError>> {
        let map = parse_object(bytes, limits.manifest_bytes_max, limits.json_depth_max)
            .map_err(|e| vec![e])?;
        let mut findings = Findings::default();
        let manifest = Self::read(map, limits, &mut findings);
        match manifest {
            Some(manifest) if findings.errors.is_empty() => Ok(Self {
                warnings: findings.warnings,
                ..manifest
            }),
            _ => Err(findings.errors),
        }
    }

    fn read(map: Map<String, Value>, limits: &Limits, findings: &mut Findings) -> Option<Self> {
        let mut fields = Fields::new("", map, findings);
        let name = fields.required("name", "the bundle's name");
        let version = fields.required("version", "the bundle's version");
        let list = fields.array("file_list");
        let digests = fields.object("sha256").unwrap_or_default();
        let checksum = fields
            .text("checksum")
            .filter(|checksum| !checksum.is_empty());
        if let Some(checksum) = &checksum
            && (checksum.len() != 32
                || !checksum
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        {
            fields.error(
                "checksum",
                "FIELD_INVALID",
                "an MD5 digest: 32 lower-case hexadecimal characters",
                format!("{checksum:?}"),
            );
        }
        let hooks = fields.object("custom_middleware");
        if hooks.is_none() && !fields.has("custom_middleware") {
            fields.error(
                "custom_middleware",
                "FIELD_MISSING",
                "the functions and their hooks",
                "nothing",
            );
        }
        fields.finish();
        let files = read_files(list, digests, limits, findings);
        let middleware =
            Middleware::read_of_manifest("custom_middleware", hooks?, limits, findings);
        if middleware.is_empty() {
            findings.error(
                "custom_middleware",
                "NO_HOOKS",
                "at least one function at a hook",
                "none",
            );
        }
        Some(Self {
            name: name?,
            version: version?,
            files: files?,
            middleware,
            checksum,
            warnings: Vec::new(),
        })
    }

    /// Fixes the digests: every file has one afterwards, and a digest that was given must be it.
    ///
    /// # Errors
    /// A file whose given digest differs (`DIGEST_MISMATCH`), or that is not in `computed`.
    pub fn with_digests(
        self,
        computed: &BTreeMap<FileName, Digest>,
    ) -> Result<Manifest, FieldError> {
        let mut files = Vec::with_capacity(self.files.len());
        for (name, given) in self.files {
            let path = format!("sha256.{name}");
            let Some(&actual) = computed.get(&name) else {
                return Err(FieldError {
                    path: "file_list".into(),
                    code: "FILE_MISSING",
                    expected: format!("the file {name}"),
                    found: "no such file".into(),
                });
            };
            if let Some(given) = given
                && given != actual
            {
                return Err(FieldError {
                    path,
                    code: "DIGEST_MISMATCH",
                    expected: given.to_string(),
                    found: actual.to_string(),
                });
            }
            files.push((name, actual));
        }
        let Self {
            name,
            version,
            middleware,
            checksum,
            ..
        } = self;
        Ok(Manifest {
            name,
            version,
            files,
            middleware,
            checksum,
        })
    }
}

impl Manifest {
    /// Reads a complete manifest: every file must have its digest.
    ///
    /// # Errors
    /// Every mistake, with its path.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Vec<FieldError>> {
        let draft = DraftManifest::parse(bytes, limits)?;
        let given: BTreeMap<_, _> = draft
            .files
            .iter()
            .filter_map(|(name, digest)| digest.map(|digest| (name.clone(), digest)))
            .collect();
        let missing: Vec<_> = draft
            .files
            .iter()
            .filter(|(_, digest)| digest.is_none())
            .map(|(name, _)| FieldError {
                path: format!("sha256.{name}"),
                code: "FIELD_MISSING",
                expected: "the file's SHA-256 digest".into(),
                found: "nothing".into(),
            })
            .collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        draft.with_digests(&given).map_err(|e| vec![e])
    }

    /// The digest that the manifest gives for a file.
    pub fn digest_of(&self, file: &FileName) -> Option<Digest> {
        self.files
            .iter()
            .find(|(name, _)| name == file)
            .map(|(_, digest)| *digest)
    }

    /// The manifest as a document.
    pub fn to_json(&self) -> Value {
        let list: Vec<_> = self.files.iter().map(|(name, _)| name.as_str()).collect();
        let digests: Map<_, _> = self
            .files
            .iter()
            .map(|(name, digest)| (name.to_string(), json!(digest.to_string())))
            .collect();
        let mut manifest = json!({
            "name": self.name.as_str(), "version": self.version.to_string(),
            "file_list": list, "sha256": digests, "custom_middleware": self.middleware.to_json(),
        });
        if let Some(checksum) = &self.checksum {
            manifest["checksum"] = json!(checksum);
        }
        manifest
    }

    /// The canonical text, which is hashed, stored and (later) signed.
    pub fn canonical(&self) -> String {
        canonical(&self.to_json())
    }
}

type DraftFiles = Vec<(FileName, Option<Digest>)>;

fn read_files(
    list: Option<Vec<Value>>,
    mut digests: Map<String, Value>,
    limits: &Limits,
    findings: &mut Findings,
) -> Option<DraftFiles> {
    let list = list.unwrap_or_default();
    if list.is_empty() || list.len() > limits.bundle_files_max {
        let expected = format!("1 to {} file names", limits.bundle_files_max);
        findings.error(
            "file_list",
            "FIELD_INVALID",
            expected,
            list.len().to_string(),
        );
        return None;
    }
    let mut files: DraftFiles = Vec::with_capacity(list.len());
    for (i, value) in list.into_iter().enumerate() {
        let at = format!("file_list[{i}]");
        let parsed = value.as_str().map(str::parse::<FileName>);
        let name = match parsed {
            Some(Ok(name)) => name,
            Some(Err(e)) => {
                findings.error(at, "FIELD_INVALID", e.to_string(), describe(&value));
                continue;
            }
            None => {
                findings.error(at, "FIELD_TYPE", "a file name", describe(&value));
                continue;
            }
        };
        if files.iter().any(|(other, _)| *other == name) {
            findings.error(at, "FILE_DUPLICATE", "each file once", name.as_str());
            continue;
        }
        let digest = digests
            .remove(name.as_str())
            .and_then(|value| read_digest(&name, &value, findings));
        files.push((name, digest));
    }
    for (name, _) in digests {
        findings.error(
            format!("sha256.{name}"),
            "FIELD_UNKNOWN",
            "a file of file_list",
            "another name",
        );
    }
    Some(files)
}

fn read_digest(name: &FileName, value: &Value, findings: &mut Findings) -> Option<Digest> {
    let path = format!("sha256.{name}");
    match value.as_str().map(str::parse) {
        Some(Ok(digest)) => Some(digest),
        Some(Err(e)) => {
            let expected: crate::digest::DigestError = e;
            findings.error(path, "FIELD_INVALID", expected.to_string(), describe(value));
            None
        }
        None => {
            findings.error(path, "FIELD_TYPE", "a SHA-256 digest", describe(value));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DraftManifest, Vec<FieldError>> {
        DraftManifest::parse(text.as_bytes(), &Limits::default())
    }

    const GOOD: &str = r#"{"name":"hooks","version":"1.0.0","file_list":["hooks.so"],
        "custom_middleware":{"driver":"goplugin","pre":[{"name":"Add","path":"hooks.so"}],
        "auth_check":{"name":"Check","path":"hooks.so","require_session":false}}}"#;

    #[test]
    fn manifest_round_trips_through_its_canonical_text() {
        let draft = parse(GOOD).unwrap();
        assert_eq!(
            draft.warnings[0].path,
            "custom_middleware.auth_check.require_session"
        );
        let computed = BTreeMap::from([("hooks.so".parse().unwrap(), Digest::of("x"))]);
        let manifest = draft.with_digests(&computed).unwrap();
        let again = Manifest::parse(manifest.canonical().as_bytes(), &Limits::default()).unwrap();
        assert_eq!(again, manifest);
    }

    #[test]
    fn each_mistake_is_named_by_its_field() {
        for (from, to, path, code) in [
            (
                r#""hooks.so"],"#,
                r#""../hooks.so"],"#,
                "file_list[0]",
                "FIELD_INVALID",
            ),
            (
                "goplugin",
                "",
                "custom_middleware.driver",
                "DRIVER_UNSUPPORTED",
            ),
            (
                "goplugin",
                "python",
                "custom_middleware.driver",
                "DRIVER_UNSUPPORTED",
            ),
            (
                r#""name":"Add","#,
                "",
                "custom_middleware.pre[0].name",
                "FIELD_MISSING",
            ),
            (
                r#""version":"1.0.0""#,
                r#""version":"one""#,
                "version",
                "FIELD_INVALID",
            ),
            (
                r#""name":"hooks","#,
                r#""name":"hooks","id_extractor":{},"#,
                "id_extractor",
                "FIELD_UNKNOWN",
            ),
        ] {
            let errors = parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(
                errors.iter().any(|e| e.path == path && e.code == code),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn a_given_digest_that_differs_is_refused() {
        let text = GOOD.replace(
            r#""file_list""#,
            &format!(
                r#""sha256":{{"hooks.so":"{}"}},"file_list""#,
                Digest::of("other")
            ),
        );
        let computed = BTreeMap::from([("hooks.so".parse().unwrap(), Digest::of("x"))]);
        let refusal = parse(&text).unwrap().with_digests(&computed).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.path.as_str()),
            ("DIGEST_MISMATCH", "sha256.hooks.so")
        );
    }

    #[test]
    fn inline_stays_in_the_text_and_entries_that_contradict_each_other_are_refused() {
        let said = |pre: &str, auth: &str| {
            let text = GOOD.replace(
                r#""path":"hooks.so"}],"#,
                &format!(r#""path":"hooks.so"{pre}}}],"#),
            );
            parse(&text.replace(
                r#""name":"Check","path":"hooks.so","require_session":false"#,
                &format!(r#""name":"Add","path":"hooks.so"{auth}"#),
            ))
        };
        let computed = BTreeMap::from([("hooks.so".parse().unwrap(), Digest::of("x"))]);
        let draft = said(r#","inline":"body""#, "").unwrap();
        let manifest = draft.with_digests(&computed).unwrap();
        let text = manifest.canonical();
        assert!(text.contains(r#""inline":"body""#), "{text}");
        let again = Manifest::parse(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(again, manifest);

        let refused = said(r#","inline":true"#, r#","inline":"body""#).unwrap_err();
        let words: Vec<_> = refused.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "custom_middleware.auth_check.inline: expected true, as custom_middleware.pre[0] says of \
              Add, found \"body\" (INLINE_CONFLICT)"
            ]
        );
        let refused = said(r#","inline":"quick""#, "").unwrap_err();
        assert_eq!(refused[0].path, "custom_middleware.pre[0].inline");
        assert_eq!(refused[0].code, "FIELD_INVALID");
    }
}
