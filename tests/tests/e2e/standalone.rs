//! Gateways that take what they serve from a folder: with no control plane, no token, no network.

mod bench;
mod trouble;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use gantry_tests::binaries::binary;
use gantry_tests::process::eventually;
use gantry_tests::{Load, Request};
use serde_json::{Value, json};

use self::bench::{Bench, tag_of, tagged, wait_api, wait_sound, wait_status_of, wait_tag};
use crate::documents;
use crate::lab::{arch, get};

#[test]
fn folder_is_served_and_edits_additions_and_removals_take_effect() {
    let bench = Bench::new();
    bench.place("libraries/c-headers.so", bench.c_headers(None));
    bench.tagging("one", "blue");
    let gateway = bench.gateway();
    assert_eq!(tag_of(&gateway, "/one/x"), "blue");
    let status = gateway.status().unwrap();
    assert_eq!(
        (&status["tenant"], &status["environment"]),
        (&json!("local"), &json!("local"))
    );
    assert_eq!(
        (&status["control_plane"], &status["folder"]["trouble"]),
        (&Value::Null, &Value::Null)
    );

    bench.tagging("one", "green");
    bench.api("two", &json!({}));
    wait_tag(&gateway, "/one/x", "green");
    wait_status_of(&gateway, "/two/x", 200);
    fs::remove_file(bench.watched().join("apis/two.json")).unwrap();
    wait_status_of(&gateway, "/two/x", 404);
    assert_eq!(tag_of(&gateway, "/one/x"), "green");

    // The last definition does not go with its file: an empty folder is no answer.
    fs::remove_file(bench.watched().join("apis/one.json")).unwrap();
    gateway
        .wait_status("the folder is said to be empty", |status| {
            status["folder"]["trouble"]["code"] == "FOLDER_EMPTY"
        })
        .unwrap();
    assert_eq!(tag_of(&gateway, "/one/x"), "green");
    bench.api("one", &json!({"active": false}));
    wait_status_of(&gateway, "/one/x", 404);
    wait_sound(&gateway);
}

#[test]
fn libraries_are_swapped_under_load_and_no_request_fails() {
    let bench = Bench::new();
    let [first, second] = ["1.0.0", "1.1.0"].map(|version| bench.hooks_bundle(version));
    let bundle = bench.watched().join("bundles/hooks");
    fs::create_dir(&bundle).unwrap();
    let put = |from: &Path| {
        for file in ["hooks.so", "manifest.json"] {
            // Over the file itself, as `cp` does: half of it is there for a moment.
            fs::copy(from.join(file), bundle.join(file)).unwrap();
        }
    };
    put(&first);
    bench.api("test", &json!({"custom_middleware_bundle": "hooks"}));
    let gateway = bench.gateway();
    let stamped = |version: &str| {
        let version = format!("example-hooks {version}");
        eventually("the version serves", || {
            (get(&gateway, "/test/x").header("x-gantry-first") == version).then_some(())
        })
        .unwrap_or_else(|e| panic!("{e:#}\n{}", gateway.log()));
    };
    stamped("1.0.0");
    let request = Request::get("/test/x");
    let load = Load::start(gateway.address(), &request, 4, |answer| {
        answer.status == 200
            && answer
                .header("x-gantry-first")
                .starts_with("example-hooks ")
    })
    .unwrap();
    for (folder, version) in [(&second, "1.1.0"), (&first, "1.0.0"), (&second, "1.1.0")] {
        load.wait_for(25).unwrap();
        put(folder);
        stamped(version);
    }
    // The same bundle packed, in the folder's place.
    let packed = bench.temporary.path().join("hooks.zip");
    let gantry = binary("gantry").unwrap();
    let pack = Command::new(gantry)
        .args(["bundle", "pack"])
        .arg(&first)
        .arg("--out")
        .arg(&packed)
        .status();
    assert!(pack.unwrap().success());
    bench.place("bundles/hooks.zip", fs::read(&packed).unwrap());
    let second = |status: &Value| status["folder"]["complaints"][0]["code"] == "BUNDLE_DUPLICATE";
    gateway
        .wait_status("one of two is refused", second)
        .unwrap();
    stamped("1.1.0");
    fs::remove_dir_all(&bundle).unwrap();
    stamped("1.0.0");
    wait_sound(&gateway);
    load.wait_for(25).unwrap();
    let report = load.stop();
    assert_eq!((report.failed, &report.failures[..]), (0, &[][..]));
}

/// As a mounted `ConfigMap` is changed: files are links through `..data`, which is replaced whole.
#[test]
fn versions_are_swapped_by_a_symbolic_link() {
    let bench = Bench::new();
    let root = bench.watched();
    fs::remove_dir_all(&root).unwrap();
    fs::create_dir(&root).unwrap();
    let library = bench.c_headers(None);
    let version = |name: &str, tag: &str| {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("apis")).unwrap();
        fs::create_dir_all(folder.join("libraries")).unwrap();
        fs::write(folder.join("libraries/c-headers.so"), &library).unwrap();
        fs::write(
            folder.join("apis/one.json"),
            bench.definition("one", &tagged(tag)),
        )
        .unwrap();
        symlink(name, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    version("..2026_01", "blue");
    for part in ["apis", "libraries"] {
        symlink(format!("..data/{part}"), root.join(part)).unwrap();
    }
    let gateway = bench.gateway();
    assert_eq!(tag_of(&gateway, "/one/x"), "blue");
    let request = Request::get("/one/x");
    let load = Load::start(gateway.address(), &request, 2, |answer| {
        answer.status == 200
    })
    .unwrap();
    version("..2026_02", "green");
    fs::remove_dir_all(root.join("..2026_01")).unwrap();
    wait_tag(&gateway, "/one/x", "green");
    let report = load.stop();
    assert_eq!((report.failed, &report.failures[..]), (0, &[][..]));
}

#[test]
fn libraries_are_found_by_the_naming_convention() {
    let bench = Bench::new();
    let file = |version: &str| format!("libraries/c-headers_{version}_linux_{}.so", arch());
    bench.place(&file("v5.2.5"), bench.c_headers(Some("5.2.5")));
    bench.tagging("one", "blue");
    bench.api("other", &json!({}));
    let mut gateway = bench.gateway();
    wait_api(&gateway, "one", "failed", "TARGET_UNRESOLVED");
    assert_eq!(
        (
            get(&gateway, "/one/x").status,
            get(&gateway, "/other/x").status
        ),
        (500, 200)
    );
    bench.place(&file("v5.3.0"), bench.c_headers(Some("5.3.0")));
    wait_tag(&gateway, "/one/x", "blue");
    let status = gateway.status().unwrap();
    let runs = status["report"]["artifacts"][0]["file"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(file("v5.3.0").ends_with(&runs), "{runs}");
    // An upgrade to a version that nothing was built for: closed.
    gateway.upgrade("v5.4.0").unwrap();
    gateway.wait_ready().unwrap();
    wait_api(&gateway, "one", "failed", "TARGET_UNRESOLVED");
    assert_eq!(get(&gateway, "/one/x").status, 500);
}

#[test]
fn check_names_everything_that_is_wrong_and_ends_with_1() {
    let bench = Bench::new();
    let lines = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    bench.place("libraries/c-headers.so", bench.c_headers(None));
    bench.tagging("one", "blue");
    let sound = bench.check();
    assert_eq!(
        (
            sound.status.code(),
            lines(&sound).contains("1 API(s) can be served")
        ),
        (Some(0), true)
    );

    bench.api("two", &json!({"custom_middleware_bundle": "absent"}));
    bench.api("three", &json!({"enable_jwt": true, "surprise": 1}));
    bench.place("apis/four.json", bench.definition("five", &json!({})));
    bench.api("six", &json!({"custom_middleware_bundle": "lib-c-headers"}));
    bench.place("libraries/text.so", "no library");
    bench.place("bundles/damaged.zip", "no archive");
    bench.place("keys.json", r#"{"keys": [{"id": "a"}]}"#);
    let wrong = bench.check();
    let out = lines(&wrong);
    assert_eq!(wrong.status.code(), Some(1), "{out}");
    for (file, reason) in [
        ("apis/two.json", "BUNDLE_NOT_DEPLOYED"),
        ("apis/three.json", "enable_jwt"),
        ("apis/three.json", "surprise"),
        ("apis/four.json", "FILE_NAME"),
        ("apis/six.json", "FILE_NOT_FOUND"),
        ("libraries/text.so", "ELF"),
        ("bundles/damaged.zip", "ARCHIVE_MALFORMED"),
        ("keys.json", "KEYS_REFUSED"),
    ] {
        let told = out
            .lines()
            .any(|line| line.contains(file) && line.contains(reason));
        assert!(told, "{file}: {reason}:\n{out}");
    }
    assert!(
        !bench.watched().join("state").exists(),
        "nothing is left behind"
    );
}

#[test]
fn commands_of_the_page_about_folders_work_in_order() {
    let out = documents::run(&["docs/STANDALONE.md"], &["8080", "8081", "9000"]);
    assert!(out.contains("x-gantry-plugin: example-hooks"), "{out}");
    for line in ["JSON_MALFORMED", "2 API(s) can be served; 0 complaint(s)"] {
        assert!(out.contains(line), "{line}:\n{out}");
    }
}

#[test]
fn functions_of_endpoints_run_out_of_the_folder_and_a_missing_file_closes_its_endpoint() {
    let bench = Bench::new();
    bench.place("libraries/c-headers.so", bench.c_headers(None));
    let entry = |path: &str, file: &str| json!({"method": "GET", "path": path, "plugin_path": file, "func_name": "TagRequest"});
    let entries = [
        entry("/items/{id}", "c-headers.so"),
        entry("/late", "late.so"),
    ];
    let fields = json!({"extended_paths": {"go_plugin": entries}, "config_data": {"tag": "blue"}});
    bench.api("one", &fields);
    let found = bench.check();
    let told = [found.stdout, found.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(
        told.contains("extended_paths.go_plugin[1] TagRequest"),
        "{told}"
    );

    let gateway = bench.gateway();
    assert_eq!(tag_of(&gateway, "/one/items/1"), "blue");
    assert_eq!(get(&gateway, "/one/items").status, 200);
    assert_eq!(get(&gateway, "/one/late").status, 500);
    wait_api(&gateway, "one", "partial", "late.so");
    bench.place("libraries/late.so", bench.c_headers(Some("5.3.0")));
    wait_tag(&gateway, "/one/late", "blue");
    wait_sound(&gateway);
}
