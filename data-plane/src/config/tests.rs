//! Tests of the configuration: every source, every refusal.

use std::fs;

use super::*;

const TOKEN: &str = "gantry_t1_0123456789abcdef";

fn minimal() -> Arguments {
    Arguments {
        endpoint: Some("http://127.0.0.1:7400".into()),
        token: Some(TOKEN.into()),
        ..Arguments::default()
    }
}

fn with_file(text: &str) -> (tempfile::TempDir, Arguments) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    fs::write(&path, text).unwrap();
    (
        folder,
        Arguments {
            config: Some(path),
            ..Arguments::default()
        },
    )
}

fn mistakes(arguments: &Arguments) -> Vec<(String, &'static str)> {
    match Settings::load(arguments) {
        Err(ConfigError::Fields(errors)) => errors.into_iter().map(|e| (e.path, e.code)).collect(),
        other => panic!("field mistakes were expected, {other:?} came"),
    }
}

#[test]
fn endpoint_and_token_alone_are_enough() {
    let settings = Settings::load(&minimal()).unwrap();
    assert_eq!(settings.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.gateway.workers, 2);
    assert_eq!(settings.gateway.version, None);
    assert!(settings.admin_listen.unwrap().ip().is_loopback());
}

#[test]
fn every_mistake_of_file_and_flags_is_reported_together() {
    let (_folder, mut arguments) = with_file(
        "surprise = 1\n[http]\nlisten = 'nowhere'\ntimeout = 5\n[upstream]\nidle_max = 0\n\
         [worker.env]\nRUST_BACKTRACE = '1'\n[log]\nformat = 'xml'\n",
    );
    arguments.workers = Some("many".into());
    let found = mistakes(&arguments);
    for expected in [
        ("surprise", "FIELD_UNKNOWN"),
        ("http.listen", "FIELD_INVALID"),
        ("http.timeout", "FIELD_UNKNOWN"),
        ("upstream.idle_max", "OUT_OF_RANGE"),
        ("worker.env.RUST_BACKTRACE", "FIELD_CONFLICT"),
        ("log.format", "FIELD_INVALID"),
        (
            "gateway.workers (from --workers or its variable)",
            "FIELD_TYPE",
        ),
        ("control_plane.endpoint", "FIELD_MISSING"),
        ("control_plane.token", "TOKEN_MISSING"),
    ] {
        assert!(
            found.contains(&(expected.0.to_owned(), expected.1)),
            "{expected:?} not in {found:?}"
        );
    }
    assert_eq!(found.len(), 9);
}

#[test]
fn flags_win_over_the_file() {
    let (_folder, file) = with_file(
        "[control_plane]\nendpoint = 'https://a.example'\n[gateway]\nworkers = 4\nversion = 'v5.3.0'\n\
         [admin]\nlisten = 'off'\n[worker.env]\nTZ = 'UTC'\n",
    );
    let arguments = Arguments {
        config: file.config,
        ..minimal()
    };
    let settings = Settings::load(&arguments).unwrap();
    assert_eq!(settings.source.place(), "http://127.0.0.1:7400");
    assert_eq!(settings.gateway.workers, 4);
    assert_eq!(settings.gateway.version, Some(GatewayVersion::new(5, 3, 0)));
    assert_eq!(settings.admin_listen, None);
    assert_eq!(settings.worker.env["TZ"], "UTC");
}

#[test]
fn token_in_the_file_itself_is_refused() {
    let (_folder, file) = with_file(&format!("[control_plane]\ntoken = '{TOKEN}'\n"));
    let arguments = Arguments {
        config: file.config,
        ..minimal()
    };
    assert_eq!(
        mistakes(&arguments),
        [("control_plane.token".to_owned(), "FIELD_UNKNOWN")]
    );
}

#[test]
fn token_comes_from_a_file_and_an_unreadable_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let arguments = Arguments {
        token: None,
        token_file: Some(path.display().to_string()),
        ..minimal()
    };
    assert_eq!(mistakes(&arguments)[0].1, "TOKEN_UNREADABLE");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    let settings = Settings::load(&arguments).unwrap();
    let Source::ControlPlane(control_plane) = settings.source else {
        panic!("an endpoint was given");
    };
    assert_eq!(control_plane.token.expose(), TOKEN);
}

#[test]
fn plain_http_to_another_machine_needs_a_switch_that_says_so() {
    let remote = Arguments {
        endpoint: Some("http://control.example:7400".into()),
        ..minimal()
    };
    assert_eq!(mistakes(&remote)[0].1, "ENDPOINT_PLAINTEXT");
    let (_folder, file) = with_file("[control_plane]\nallow_plaintext = true\n");
    assert!(
        Settings::load(&Arguments {
            config: file.config,
            ..remote
        })
        .is_ok()
    );
}

#[test]
fn shown_settings_hide_the_token_and_read_back_the_same() {
    let settings = Settings::load(&minimal()).unwrap();
    let shown = settings.redacted();
    assert!(!shown.contains("0123456789abcdef"), "{shown}");
    assert!(shown.contains("gantry_t1_****"), "{shown}");
    let without_token: Vec<_> = shown
        .lines()
        .filter(|line| !line.starts_with("token"))
        .collect();
    let (_folder, file) = with_file(&without_token.join("\n"));
    let again = Settings::load(&Arguments {
        config: file.config,
        ..minimal()
    })
    .unwrap();
    assert_eq!(again, settings);
}

#[test]
fn folder_takes_the_place_of_endpoint_and_token() {
    let (_folder, file) = with_file(
        "[source]\ntenant = 'acme'\nlookup = 'versioned_first'\npoll_interval_ms = 100\n",
    );
    let arguments = Arguments {
        folder: Some("/etc/gantry/folder".into()),
        ..file.clone()
    };
    let settings = Settings::load(&arguments).unwrap();
    let Source::Folder(folder) = &settings.source else {
        panic!("a folder was given");
    };
    assert_eq!(folder.path, std::path::Path::new("/etc/gantry/folder"));
    assert_eq!(
        (folder.tenant.as_str(), folder.environment.as_str()),
        ("acme", "local")
    );
    let (_shown, shown) = with_file(&settings.redacted());
    assert_eq!(Settings::load(&shown).unwrap(), settings);

    let both = Arguments {
        folder: Some("/f".into()),
        ..minimal()
    };
    let conflicts = mistakes(&both);
    assert!(
        conflicts.iter().all(|(_, code)| *code == "FIELD_CONFLICT"),
        "{conflicts:?}"
    );
    assert_eq!(conflicts.len(), 2);
    // What only a folder needs means nothing beside a control plane.
    let lone = Arguments {
        config: file.config,
        ..minimal()
    };
    assert_eq!(mistakes(&lone).len(), 3);
}
