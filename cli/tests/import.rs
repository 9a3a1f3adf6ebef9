//! `gantry import tyk` and `gantry bundle build` with documents as Tyk's users have them.
#![expect(clippy::unwrap_used, reason = "a test may stop where it fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n{}\n{}", self.code, self.stdout, self.stderr)
    }
}

fn gantry(folder: &Path, arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_gantry"))
        .args(arguments)
        .env_clear()
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .current_dir(folder)
        .output()
        .unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tyk")
        .join(name)
}

fn import(name: &str, flags: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture(name);
    let mut arguments = vec!["import", "tyk", path.to_str().unwrap()];
    arguments.extend(flags);
    gantry(folder.path(), &arguments)
}

/// What became of a field: the line that says so.
fn said(outcome: &Outcome, path: &str, word: &str) -> bool {
    let begin = format!(": {path} = ");
    let verdict = format!(": {word}: ");
    outcome
        .stderr
        .lines()
        .any(|line| line.contains(&begin) && line.contains(&verdict))
}

#[test]
fn definitions_that_apply_become_ours_with_every_other_field_listed() {
    let cases = [
        (
            "keyless.json",
            json!({
                "api_id": "b84fe1a04e5648927971c0557971565c", "name": "Catalog", "active": true,
                "use_keyless": true, "use_go_plugin_auth": false, "use_standard_auth": false,
                "proxy": {"listen_path": "/catalog/", "target_url": "http://catalog.internal:8080", "strip_listen_path": true},
                "custom_middleware": {
                    "driver": "goplugin",
                    "pre": [{"name": "AddTrace", "path": "catalog.so"}],
                    "response": [{"name": "Redact", "path": "catalog.so"}],
                },
                "extended_paths": {"go_plugin": [
                    {"method": "GET", "path": "^.*/items/{id}.*", "plugin_path": "catalog.so", "func_name": "Item"},
                    {"method": "GET", "path": "^/ping", "plugin_path": "catalog.so", "func_name": "Ping", "disabled": true},
                ]},
                "config_data": {"currency": "EUR"},
            }),
            &[
                ("org_id", "ignored"),
                ("tags", "ignored"),
                ("allowed_ips", "ignored"),
                ("cache_options", "unsupported"),
                ("proxy.preserve_host_header", "unsupported"),
                ("custom_middleware.pre[0].path", "replaced"),
                ("custom_middleware.post_key_auth", "ignored"),
                ("custom_middleware.response[0].require_session", "ignored"),
                (
                    "version_data.versions.Default.extended_paths.go_plugin[0].path",
                    "replaced",
                ),
                (
                    "version_data.versions.Default.extended_paths.track_endpoints",
                    "ignored",
                ),
            ][..],
        ),
        (
            "plugin-auth.json",
            json!({
                "api_id": "payments", "name": "Payments", "active": true, "domain": "api.example.com",
                "use_keyless": false, "use_go_plugin_auth": true, "use_standard_auth": false,
                "auth": {"auth_header_name": "X-Payments-Key"},
                "proxy": {"listen_path": "/payments/", "target_url": "https://payments.internal", "strip_listen_path": false},
                "custom_middleware": {
                    "driver": "goplugin",
                    "auth_check": {"name": "CheckKey", "path": "payments.so"},
                    "post_key_auth": [{"name": "Limits", "path": "payments.so"}],
                },
            }),
            &[("use_keyless", "unsupported"), ("auth_configs", "ignored")],
        ),
        (
            "bundled.json",
            json!({
                "api_id": "reports", "name": "Reports", "active": true,
                "use_keyless": false, "use_go_plugin_auth": false, "use_standard_auth": true,
                "auth": {"auth_header_name": "x-api-key"},
                "proxy": {"listen_path": "/reports/", "target_url": "http://reports.internal", "strip_listen_path": true},
                "custom_middleware_bundle": "reports-hooks",
            }),
            &[
                ("custom_middleware", "ignored"),
                ("custom_middleware_bundle", "replaced"),
            ],
        ),
        (
            "orders-oas.json",
            json!({
                "api_id": "orders", "name": "Orders", "active": true,
                "use_keyless": false, "use_go_plugin_auth": true, "use_standard_auth": true,
                "auth": {"auth_header_name": "X-Orders-Key"},
                "proxy": {"listen_path": "/orders-api/", "target_url": "http://orders.internal:9000", "strip_listen_path": true},
                "custom_middleware": {
                    "driver": "goplugin",
                    "pre": [{"name": "Trace", "path": "orders.so"}],
                    "auth_check": {"name": "CheckOrderKey", "path": "orders.so"},
                    "post": [{"name": "Debug", "path": "orders.so", "disabled": true}],
                },
                "extended_paths": {"go_plugin": [
                    {"method": "GET", "path": "^.*/orders/{id}.*", "plugin_path": "orders.so", "func_name": "OneOrder"},
                ]},
                "config_data": {"region": "eu"},
            }),
            &[
                ("x-tyk-api-gateway.server.customDomain.name", "ignored"),
                ("x-tyk-api-gateway.server.detailedTracing", "ignored"),
                ("x-tyk-api-gateway.middleware.global.trafficLogs", "ignored"),
                (
                    "x-tyk-api-gateway.middleware.operations.getOrder.postPlugins[1]",
                    "ignored",
                ),
            ],
        ),
    ];
    for (name, expected, fields) in cases {
        let outcome = import(name, &[]);
        assert_eq!(outcome.code, 0, "{name}: {outcome:?}");
        let mut definition = outcome.json();
        if let Some(document) = definition.as_object_mut().unwrap().remove("openapi") {
            let source: Value = serde_json::from_slice(&fs::read(fixture(name)).unwrap()).unwrap();
            assert_eq!(document, source, "functions read the document as it was");
        }
        assert_eq!(definition, expected, "{name}: {outcome:?}");
        for (path, word) in fields {
            assert!(
                said(&outcome, path, word),
                "{name}: {path} {word}: {outcome:?}"
            );
        }
    }
}

#[test]
fn definition_whose_protection_would_be_lost_is_refused_with_the_field() {
    for (name, fields) in [
        ("jwt.json", &["enable_jwt"][..]),
        (
            "guarded.json",
            &[
                "enable_ip_whitelisting",
                "version_data.versions.Default.extended_paths.black_list",
                "brand_new_shield.strength",
            ],
        ),
        ("python.json", &["custom_middleware.driver"]),
        (
            "oas-jwt.json",
            &["x-tyk-api-gateway.server.authentication.securitySchemes.jwtAuth"],
        ),
    ] {
        let outcome = import(name, &[]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (3, ""),
            "{name}: {outcome:?}"
        );
        for path in fields {
            assert!(
                said(&outcome, path, "refused"),
                "{name}: {path}: {outcome:?}"
            );
        }
    }
    let outcome = import("jwt.json", &["--drop", "enable_jwt"]);
    assert!(
        said(&outcome, "proxy.listen_path", "replaced"),
        "{outcome:?}"
    );
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (3, ""),
        "{outcome:?}"
    );
}

#[test]
fn protection_that_is_given_up_by_name_shows_in_the_exit_code() {
    let drops = [
        "--drop",
        "enable_ip_whitelisting",
        "--drop",
        "version_data.versions.Default.extended_paths.black_list",
    ];
    let outcome = import("guarded.json", &drops);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (3, ""),
        "one is left: {outcome:?}"
    );
    let mut drops = drops.to_vec();
    drops.extend(["--drop", "brand_new_shield.strength"]);
    let outcome = import("guarded.json", &drops);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert_eq!(outcome.json()["api_id"], "admin");
    assert!(
        said(&outcome, "enable_ip_whitelisting", "dropped"),
        "{outcome:?}"
    );
}

#[test]
fn path_to_drop_that_names_no_field_is_refused_with_the_nearest_one() {
    let slip = ["--drop", "enable_ip_whitelistng"];
    let outcome = import("guarded.json", &slip);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (64, ""),
        "{outcome:?}"
    );
    for part in [
        "enable_ip_whitelistng",
        "the nearest is enable_ip_whitelisting",
        "DROP_UNKNOWN",
    ] {
        assert!(outcome.stderr.contains(part), "no {part}: {outcome:?}");
    }
    // One that names a field which nothing refuses is no slip, but gives nothing up.
    let outcome = import("keyless.json", &["--drop", "proxy.listen_path"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stderr.contains("DROP_IDLE"), "{outcome:?}");
}

#[test]
fn several_files_go_into_a_folder_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (keyless, bundled, jwt) = (
        fixture("keyless.json"),
        fixture("bundled.json"),
        fixture("jwt.json"),
    );
    let import = |files: &[&PathBuf], flags: &[&str]| {
        let mut arguments = vec!["import", "tyk"];
        arguments.extend(files.iter().map(|file| file.to_str().unwrap()));
        arguments.extend(flags);
        gantry(folder.path(), &arguments)
    };
    assert_eq!(import(&[&keyless, &bundled], &[]).code, 64);
    assert_eq!(import(&[&keyless, &jwt], &["--out", "apis"]).code, 3);
    assert!(!folder.path().join("apis").exists());

    let flags = [
        "--out",
        "apis",
        "--report",
        "report.json",
        "--bundle",
        "hooks",
        "--endpoints",
        "below",
    ];
    let outcome = import(&[&keyless, &bundled], &flags);
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, ""),
        "{outcome:?}"
    );
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(
        read("apis/reports.json")["custom_middleware_bundle"],
        "hooks"
    );
    let catalog = read("apis/b84fe1a04e5648927971c0557971565c.json");
    assert_eq!(
        catalog["extended_paths"]["go_plugin"][0]["path"],
        "/items/{id}(/.*)?"
    );
    let report = read("report.json");
    assert_eq!(report[0]["accepted"], true);
    assert!(report[0]["fields_at_default"].as_u64().unwrap() > 10);
    assert_eq!(report[1]["findings"][0]["outcome"], "ignored");
    assert_eq!(
        import(&[&bundled], &["--out", "apis"]).code,
        1,
        "nothing is overwritten"
    );
}

#[test]
fn broken_or_foreign_document_is_refused_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    for (text, code) in [
        ("{", 1),
        ("[1]", 1),
        ("\"text\"", 1),
        ("{}", 3),
        ("[]", 64),
        (r#"{"x-tyk-api-gateway": []}"#, 3),
        (
            r#"{"proxy": 5, "version_data": [], "custom_middleware": {"pre": [7]}}"#,
            3,
        ),
        (
            r#"{"x-tyk-api-gateway": {"middleware": {"operations": {"a": 1}}}}"#,
            3,
        ),
    ] {
        fs::write(folder.path().join("x.json"), text).unwrap();
        let outcome = gantry(folder.path(), &["import", "tyk", "x.json"]);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (code, ""),
            "{text}: {outcome:?}"
        );
    }
}

/// A folder with a manifest of Tyk's and builds of `hooks.so`.
fn tyk_bundle(libraries: &[&str], driver: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = json!({
        "file_list": ["hooks.so"],
        "custom_middleware": {
            "pre": [{"name": "Add", "path": "hooks.so", "require_session": false}],
            "auth_check": {"name": "", "path": ""},
            "driver": driver,
            "id_extractor": {"extract_from": "header", "extract_with": "value"},
        },
        "checksum": "d41d8cd98f00b204e9800998ecf8427e",
        "signature": "bm90IGEgc2lnbmF0dXJl",
    });
    fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
    fs::write(
        folder.path().join("fixture.c"),
        "#include \"gantry_plugin.h\"\n\
         GANTRY_NOTE(\"fixture\", \"1.0.0\", GANTRY_NOTE_FUNCTION(\"Add\", \"\\\"pre\\\"\", \"\"))\n\
         const gantry_plugin *gantry_plugin_v0(void) { return 0; }\n",
    )
    .unwrap();
    for library in libraries {
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-fvisibility=hidden", "-I"])
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/c/include"))
            .arg("-o")
            .args([folder.path().join(library), folder.path().join("fixture.c")])
            .status()
            .expect("a C compiler is among what the tests need");
        assert!(status.success());
    }
    folder
}

#[test]
fn tyk_manifest_becomes_a_bundle_and_says_what_it_ignores() {
    let folder = tyk_bundle(&["hooks.so"], "goplugin");
    let nameless = gantry(folder.path(), &["bundle", "build"]);
    assert_eq!(nameless.code, 64, "{nameless:?}");
    assert!(
        nameless.stderr.contains("--name and --version"),
        "{nameless:?}"
    );

    let flags = ["--name", "orders-hooks", "--version", "1.2.0", "-o", "json"];
    let before = fs::read(folder.path().join("manifest.json")).unwrap();
    let built = gantry(folder.path(), &[&["bundle", "build"][..], &flags].concat());
    assert_eq!(built.code, 0, "{built:?}");
    let view = built.json();
    assert_eq!(
        (&view["bundle"], &view["version"]),
        (&json!("orders-hooks"), &json!("1.2.0"))
    );
    let ignored: Vec<_> = view["mapped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| each["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        ignored,
        ["checksum", "signature", "custom_middleware.id_extractor"]
    );
    assert!(built.stderr.contains("MD5 says nothing"), "{built:?}");
    assert_eq!(
        fs::read(folder.path().join("manifest.json")).unwrap(),
        before
    );

    let inspected = gantry(
        folder.path(),
        &["bundle", "inspect", "orders-hooks-1.2.0.zip", "-o", "json"],
    );
    assert_eq!(inspected.code, 0, "{inspected:?}");
    assert_eq!(inspected.json()["files"][0]["file"], "hooks.so");
}

#[test]
fn tyk_manifest_takes_the_builds_of_a_library_that_is_not_there_itself() {
    let folder = tyk_bundle(&["hooks_linux_amd64.so", "other.so"], "goplugin");
    let exists = |name: &str| folder.path().join(name).exists();
    assert!(!exists("hooks.so"));
    fs::rename(
        folder.path().join("hooks_linux_amd64.so"),
        folder.path().join("hooks_v5.3.0_linux_amd64.so"),
    )
    .unwrap();
    let flags = [
        "bundle",
        "build",
        "manifest.json",
        "--name",
        "hooks",
        "--version",
        "1.0.0",
        "--out",
        "h.zip",
        "-o",
        "json",
        "--no-inspect",
    ];
    let built = gantry(folder.path(), &flags);
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(
        built.json()["mapped"].as_array().unwrap().last().unwrap()["code"],
        "FILE_REPLACED"
    );
    assert!(
        built.stderr.contains("hooks_v5.3.0_linux_amd64.so"),
        "{built:?}"
    );
    assert!(!built.stderr.contains("other.so"), "{built:?}");
}

#[test]
fn manifest_of_another_driver_and_missing_files_are_refused_by_code() {
    let folder = tyk_bundle(&["hooks.so"], "python");
    let flags = ["bundle", "build", "--name", "hooks", "--version", "1.0.0"];
    let refused = gantry(folder.path(), &flags);
    assert_eq!(
        (refused.code, refused.stdout.as_str()),
        (3, ""),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("DRIVER_UNSUPPORTED"), "{refused:?}");
    assert!(!folder.path().join("hooks-1.0.0.zip").exists());

    let folder = tyk_bundle(&[], "goplugin");
    let refused = gantry(folder.path(), &flags);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.stderr.contains("FILE_MISSING"), "{refused:?}");
}
