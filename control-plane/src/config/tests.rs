//! Reading configuration: precedence, refusals, and that the shipped example holds the defaults.

use std::time::Duration;

use super::*;
use crate::blob::{Patience, PresignOptions, S3Options};

fn read(
    file: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, file).unwrap();
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let inputs = Inputs {
        file: Some(path),
        variables: variables.iter().map(text).collect(),
        flags: flags
            .iter()
            .map(|(path, value)| (*path, (*value).to_owned()))
            .collect(),
    };
    Config::read(inputs).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn setting<'c>(config: &'c Config, path: &str) -> (&'c str, String) {
    let setting = config
        .settings
        .iter()
        .find(|setting| setting.path == path)
        .unwrap();
    (&setting.value, setting.origin.to_string())
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let file = "data_dir = '/data'\n[server]\nlisten = '127.0.0.1:1'\ncall_timeout_ms = 5";
    let config = read(
        file,
        &[
            ("GANTRY_SERVER_LISTEN", "127.0.0.1:2"),
            ("GANTRY_DATA_DIR", "/variable"),
        ],
        &[("server.listen", "127.0.0.1:3")],
    )
    .unwrap();
    assert_eq!(config.server.listen.port(), 3);
    let objects = StorageBackend::Local("/variable/objects".into());
    assert_eq!(config.storage.backend, objects);
    assert_eq!(
        setting(&config, "server.call_timeout_ms"),
        ("5", "the file".into())
    );
    assert_eq!(setting(&config, "log.format"), ("text", "default".into()));
}

#[test]
fn every_mistake_is_reported_at_once() {
    let file = "[server]\nlistn = 'x'\nlisten = 'here'\ntls_key_file = 'key.pem'\n[limits]\napis_max = [1]\nkeys_max = -1";
    let errors = read(file, &[("GANTRY_LOG_FORMAT", "xml")], &[]).unwrap_err();
    assert_eq!(errors.len(), 6, "{errors:#?}");
    for part in [
        "server.listn: no such setting (from the file)",
        "server.listen: expected another value (invalid socket address syntax), found \"here\" (from the file)",
        "server.tls_certificate_file: expected server.tls_certificate_file and server.tls_key_file together",
        "limits.apis_max: expected text, a whole number, or true or false, found array (from the file)",
        "limits.keys_max: expected another value",
        "log.format: expected another value (log format \"xml\" is unknown; expected text or json)",
    ] {
        assert!(
            errors.iter().any(|error| error.contains(part)),
            "{part} is not in {errors:#?}"
        );
    }
}

#[test]
fn plaintext_for_other_machines_must_be_asked_for_in_so_many_words() {
    let errors = read("[server]\nlisten = '0.0.0.0:7400'", &[], &[]).unwrap_err();
    assert!(
        errors[0].contains("server.allow_plaintext_remote"),
        "{errors:?}"
    );
    let allowed = "[server]\nlisten = '0.0.0.0:7400'\nallow_plaintext_remote = true";
    assert!(read(allowed, &[], &[]).is_ok());
    let tls = "[server]\nlisten = '0.0.0.0:7400'\ntls_certificate_file = 'a'\ntls_key_file = 'b'";
    assert!(read(tls, &[], &[]).is_ok());
}

#[test]
fn file_that_is_no_toml_is_named() {
    let errors = read("server = [", &[], &[]).unwrap_err();
    assert!(errors[0].contains("config.toml"), "{errors:?}");
}

#[test]
fn example_file_says_what_is_the_default_anyway() {
    let example = include_str!("../../../deploy/control-plane.toml");
    let (example, bare) = (
        read(example, &[], &[]).unwrap(),
        read("", &[], &[]).unwrap(),
    );
    let values = |config: &Config| -> Vec<_> {
        let settings = config.settings.iter();
        settings
            .map(|setting| (setting.path, setting.value.clone()))
            .collect()
    };
    assert_eq!(values(&example), values(&bare));
    for setting in &bare.settings {
        let name = setting.path.rsplit('.').next().unwrap();
        let file = include_str!("../../../deploy/control-plane.toml");
        assert!(file.contains(name), "the example does not name {name}");
    }
}

#[test]
fn bucket_is_read_whole_and_refused_where_it_contradicts_itself() {
    let file = "[storage]\nkind = 's3'\nbucket = 'b'\nprefix = 'gantry/'\npath_style = true";
    let endpoint = ("GANTRY_STORAGE_ENDPOINT", "http://127.0.0.1:9");
    let config = read(file, &[endpoint, ("GANTRY_DATA_DIR", "/data")], &[]).unwrap();
    let options = S3Options {
        bucket: "b".into(),
        prefix: "gantry/".into(),
        endpoint: Some(endpoint.1.into()),
        region: None,
        path_style: true,
        part_bytes: 8 << 20,
        spool_directory: "/data/spool".into(),
        patience: Patience::default(),
        presign: Some(PresignOptions {
            endpoint: None,
            valid_for: Duration::from_mins(5),
        }),
    };
    assert_eq!(config.storage.backend, StorageBackend::S3(options));
    for (file, subject) in [
        ("kind = 's3'", "storage.bucket"),
        ("bucket = 'b'", "storage.bucket"),
        ("kind = 's3'\nbucket = 'b'\nprefix = 'x'", "storage.prefix"),
        (
            "kind = 's3'\nbucket = 'b'\nprefix = '../'",
            "storage.prefix",
        ),
        (
            "kind = 's3'\nbucket = 'b'\nendpoint = 'host:9'",
            "storage.endpoint",
        ),
        (
            "kind = 's3'\nbucket = 'b'\n[limits]\nfile_bytes_max = 9999999999",
            "limits.file_bytes_max",
        ),
        (
            "kind = 's3'\nbucket = 'b'\npart_bytes = 65536",
            "storage.part_bytes",
        ),
        ("part_bytes = 1", "storage.part_bytes"),
        ("part_bytes = 99999999999", "storage.part_bytes"),
        (
            "kind = 's3'\nbucket = 'b'\nendpoint = 'http://h:9'\npart_bytes = 65536",
            "storage.part_bytes",
        ),
        (
            "kind = 's3'\nbucket = 'b'\npresigned_endpoint = 'host:9'",
            "storage.presigned_endpoint",
        ),
        ("attempt_timeout_ms = 0", "storage.attempt_timeout_ms"),
        ("attempts_max = 0", "storage.attempts_max"),
        ("attempts_max = 21", "storage.attempts_max"),
        ("presigned_for_s = 0", "storage.presigned_for_s"),
        ("presigned_for_s = 3601", "storage.presigned_for_s"),
        ("kind = 'gcs'", "storage.kind"),
        ("buckets = 'b'", "storage.buckets"),
    ] {
        let errors = read(&format!("[storage]\n{file}"), &[], &[]).unwrap_err();
        assert!(errors[0].starts_with(subject), "{file}: {errors:?}");
    }
}
