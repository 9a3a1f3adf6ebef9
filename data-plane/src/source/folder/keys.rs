//! `keys.json`: the consumer keys of a folder, in clear or as HMAC-SHA256 (RFC 2104) under a pepper that
//! the file names.
//!
//! Invariant: no text that leaves here holds a secret, nor anything that could be one by a typing
//! mistake.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use gantry_domain::json::{Fields, Findings, canonical, parse_object};
use gantry_domain::session::SessionDocument;
use gantry_domain::{KeyId, Limits};
use gantry_proto::v1;
use serde_json::{Map, Value};

use super::Refused;
use super::definitions::join;
use super::look::KEYS;
use crate::key_index::{KeyHash, KeyHasher};

/// Bytes of the file, at most.
const KEYS_BYTES_MAX: u64 = 256 << 20;
/// Characters of a secret, as a control plane takes them. Fewer could be guessed.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=256;
/// Bytes of a pepper.
const PEPPER_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
/// May be read by users outside of owner and group.
const READABLE_BY_OTHERS: u32 = 0o004;

/// The file's content.
#[derive(Clone)]
pub(super) struct KeyFile {
    /// Under which digests were made.
    pub(super) pepper: Option<Vec<u8>>,
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: KeyId,
    credential: Credential,
    session: SessionDocument,
}

#[derive(Clone)]
enum Credential {
    Secret(String),
    Hmac(KeyHash),
}

impl KeyFile {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys as a source of keys sends them, in place of all earlier ones.
    pub(super) fn delta(&self, pepper: &[u8], epoch: u64) -> v1::KeyDelta {
        let hasher = KeyHasher::new(pepper);
        let hashed = |key: &Key| v1::HashedKey {
            hmac: match &key.credential {
                Credential::Secret(secret) => hasher.hash(secret.as_bytes()).to_vec(),
                Credential::Hmac(hmac) => hmac.to_vec(),
            },
            key_id: key.id.to_string(),
            session: key.session.as_str().as_bytes().to_vec(),
        };
        v1::KeyDelta {
            replace: true,
            epoch,
            changed: self.keys.iter().map(hashed).collect(),
            removed: Vec::new(),
            last: true,
        }
    }
}

/// Reads the file.
pub(super) fn read(root: &Path) -> Result<KeyFile, Refused> {
    let (keys, mode) = load(root)?;
    let in_clear = |key: &Key| matches!(key.credential, Credential::Secret(_));
    if mode & READABLE_BY_OTHERS != 0 && keys.keys.iter().any(in_clear) {
        let message = format!(
            "has secrets in clear and mode {:o}; expected no access for others (chmod o-r), or hmac_sha256",
            mode & 0o777
        );
        return Err(Refused::new("KEYS_EXPOSED", message));
    }
    Ok(keys)
}

/// The pepper that the file names, whether or not its keys are taken.
pub(super) fn pepper(root: &Path) -> Option<Vec<u8>> {
    load(root).ok()?.0.pepper
}

/// The file's content and mode.
fn load(root: &Path) -> Result<(KeyFile, u32), Refused> {
    let unreadable = |e: std::io::Error| Refused::unreadable(&e);
    let file = File::open(root.join(KEYS)).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode();
    let mut bytes = Vec::new();
    file.take(KEYS_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > KEYS_BYTES_MAX {
        let message = format!("expected at most {KEYS_BYTES_MAX} bytes, found more");
        return Err(Refused::new("DOCUMENT_TOO_LARGE", message));
    }
    Ok((parse(&bytes)?, mode))
}

fn parse(bytes: &[u8]) -> Result<KeyFile, Refused> {
    let limits = Limits::default();
    let mut findings = Findings::default();
    let keys = match parse_object(bytes, bytes.len(), limits.json_depth_max) {
        Ok(map) => read_file(map, &limits, &mut findings),
        Err(e) => {
            findings.errors.push(e);
            None
        }
    };
    for error in &mut findings.errors {
        if matches!(error.code, "FIELD_UNKNOWN" | "FIELD_TYPE" | "FIELD_INVALID") {
            "something else".clone_into(&mut error.found);
        }
    }
    match keys {
        Some(keys) if findings.errors.is_empty() => Ok(keys),
        _ => Err(Refused::new("KEYS_REFUSED", join(&findings.errors))),
    }
}

fn read_file(map: Map<String, Value>, limits: &Limits, findings: &mut Findings) -> Option<KeyFile> {
    let mut fields = Fields::new("", map, findings);
    let pepper = fields.text("pepper");
    let pepper =
        pepper.map(|text| bytes_of_hex(&text).filter(|bytes| PEPPER_BYTES.contains(&bytes.len())));
    if pepper == Some(None) {
        fields.error(
            "pepper",
            "FIELD_INVALID",
            "16 to 64 bytes in hexadecimal",
            "",
        );
    }
    let pepper = pepper.flatten();
    if !fields.has("keys") {
        fields.error("keys", "FIELD_MISSING", "an array of keys", "nothing");
    }
    let list = fields.array("keys").unwrap_or_default();
    fields.finish();
    if list.len() > limits.keys_max {
        let expected = format!("at most {}", limits.keys_max);
        findings.error("keys", "TOO_MANY", expected, list.len().to_string());
        return None;
    }
    let mut ids = BTreeSet::new();
    let mut keys = Vec::with_capacity(list.len());
    for (i, value) in list.into_iter().enumerate() {
        let at = format!("keys[{i}]");
        let Some(key) = read_key(&at, value, pepper.is_some(), limits, findings) else {
            continue;
        };
        if !ids.insert(key.id.clone()) {
            findings.error(
                format!("{at}.id"),
                "KEY_DUPLICATE",
                "each id once",
                key.id.to_string(),
            );
        }
        keys.push(key);
    }
    Some(KeyFile { pepper, keys })
}

fn read_key(
    path: &str,
    value: Value,
    peppered: bool,
    limits: &Limits,
    findings: &mut Findings,
) -> Option<Key> {
    let Value::Object(map) = value else {
        findings.error(path, "FIELD_TYPE", "an object with id and secret", "");
        return None;
    };
    let mut fields = Fields::new(path, map, findings);
    let id = fields.required("id", "a name for the key");
    let secret = fields.text("secret");
    let hmac = fields.text("hmac_sha256");
    let session = fields.object("session").unwrap_or_default();
    let credential = match (secret, hmac) {
        (Some(secret), None) => {
            let good = SECRET_CHARS.contains(&secret.len())
                && secret.bytes().all(|b| b.is_ascii_graphic());
            if !good {
                let expected = "16 to 256 visible ASCII characters";
                fields.error("secret", "FIELD_INVALID", expected, "");
            }
            good.then_some(Credential::Secret(secret))
        }
        (None, Some(hmac)) if peppered => {
            let hash = bytes_of_hex(&hmac).and_then(|bytes| bytes.try_into().ok());
            if hash.is_none() {
                let expected = "64 hexadecimal characters";
                fields.error("hmac_sha256", "FIELD_INVALID", expected, "");
            }
            hash.map(Credential::Hmac)
        }
        (None, Some(_)) => {
            let expected = "the pepper that the digest was made under, at the top";
            fields.error("hmac_sha256", "PEPPER_MISSING", expected, "none");
            None
        }
        _ => {
            let expected = "either secret or hmac_sha256";
            fields.error("secret", "FIELD_CONFLICT", expected, "both or neither");
            None
        }
    };
    fields.finish();
    let session = canonical(&Value::Object(session));
    let session = SessionDocument::parse(session.as_bytes(), limits).map_err(|mut e| {
        e.path = format!("{path}.session");
        findings.errors.push(e);
    });
    Some(Key {
        id: id?,
        credential: credential?,
        session: session.ok()?,
    })
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    const SECRET: &str = "a-secret-of-a-consumer";

    fn refusal(document: &Value) -> Refused {
        parse(document.to_string().as_bytes()).err().unwrap()
    }

    #[test]
    fn secret_and_its_digest_are_the_same_key() {
        let pepper = "000102030405060708090a0b0c0d0e0f";
        let bytes: Vec<u8> = (0..16).collect();
        let hmac = KeyHasher::new(&bytes).hash(SECRET.as_bytes());
        let hex = hmac
            .iter()
            .fold(String::new(), |hex, b| format!("{hex}{b:02x}"));
        let clear = json!({"pepper": pepper, "keys": [{"id": "a", "secret": SECRET}]});
        let digest = json!({"pepper": pepper, "keys": [{"id": "a", "hmac_sha256": hex}]});
        let [clear, digest] =
            [clear, digest].map(|keys| parse(keys.to_string().as_bytes()).ok().unwrap());
        assert_eq!(clear.pepper.as_deref(), Some(&*bytes));
        assert_eq!(clear.delta(&bytes, 1), digest.delta(&bytes, 1));
    }

    #[test]
    fn mistakes_are_named_and_no_secret_is_repeated() {
        let wrong = json!({"keys": [
            {"id": "a", "secret": "short"},
            {"id": "b", "secert": SECRET},
            {"id": "c", "hmac_sha256": "00"},
            {"id": "d", "secret": SECRET, "session": []},
            {"id": "e", "secret": SECRET}, {"id": "e", "secret": SECRET},
        ], "pepper": "xyz"});
        let Refused { code, message } = refusal(&wrong);
        assert_eq!(code, "KEYS_REFUSED");
        for part in [
            "keys[0].secret",
            "keys[1].secert",
            "keys[2].hmac_sha256",
            "PEPPER_MISSING",
            "keys[3].session",
            "KEY_DUPLICATE",
            "pepper",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(
            !message.contains(SECRET) && !message.contains("short"),
            "{message}"
        );
    }

    #[test]
    fn secrets_that_others_can_read_are_refused_and_digests_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(KEYS);
        let write = |document: &Value, mode| {
            fs::write(&path, document.to_string()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(folder.path())
                .map(|keys| keys.len())
                .map_err(|e| e.code)
        };
        let clear = json!({"keys": [{"id": "a", "secret": SECRET}]});
        assert_eq!(write(&clear, 0o644), Err("KEYS_EXPOSED"));
        assert_eq!(write(&clear, 0o640), Ok(1));
        let hashed = json!({"pepper": "00".repeat(32), "keys": [{"id": "a", "hmac_sha256": "00".repeat(32)}]});
        assert_eq!(write(&hashed, 0o644), Ok(1));
    }
}
