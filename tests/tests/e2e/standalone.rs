//! Gateways that take what they serve from a folder: with no control plane, no token, no network.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gantry_tests::binaries::binary;
use gantry_tests::plugins::{self, BundleFolder, example};
use gantry_tests::process::eventually;
use gantry_tests::{Gateway, GatewayOptions, Load, Request, Upstream};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::documents;
use crate::lab::{VERSION, arch, get, middleware};

/// A folder, an upstream, and room for a gateway.
struct Bench {
    temporary: TempDir,
    upstream: Upstream,
}

impl Bench {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        for part in ["apis", "libraries", "bundles"] {
            fs::create_dir_all(temporary.path().join("watched").join(part)).unwrap();
        }
        let upstream = Upstream::start().unwrap();
        Self {
            temporary,
            upstream,
        }
    }

    fn watched(&self) -> PathBuf {
        self.temporary.path().join("watched")
    }

    /// Puts a file in place as most tools do: written beside it and renamed.
    fn place(&self, file: &str, bytes: impl AsRef<[u8]>) {
        let path = self.watched().join(file);
        let beside = path.with_file_name(".placing");
        fs::write(&beside, bytes).unwrap();
        fs::rename(&beside, &path).unwrap();
    }

    fn definition(&self, id: &str, fields: &Value) -> String {
        let mut definition = json!({
            "name": id, "api_id": id, "use_keyless": true,
            "proxy": {"listen_path": format!("/{id}/"), "target_url": self.upstream.url()},
        });
        for (name, value) in fields.as_object().unwrap() {
            definition[name] = value.clone();
        }
        definition.to_string()
    }

    fn api(&self, id: &str, fields: &Value) {
        self.place(&format!("apis/{id}.json"), self.definition(id, fields));
    }

    /// An API with the C example's function at `pre`, out of a library that lies there by itself.
    fn tagging(&self, id: &str, tag: &str) {
        self.api(id, &tagged(tag));
    }

    fn c_headers(&self, gateway_version: Option<&str>) -> Vec<u8> {
        let built = plugins::c(
            "examples/c-headers/plugin.c",
            self.temporary.path(),
            gateway_version,
        );
        fs::read(built.unwrap()).unwrap()
    }

    fn hooks_bundle(&self, version: &str) -> PathBuf {
        let bundle = BundleFolder::new(self.temporary.path(), "hooks", version).unwrap();
        let bundle = bundle
            .file("hooks.so", &example(version, None).unwrap())
            .unwrap();
        let bundle = bundle.hook("pre", "AddTraceHeader", "hooks.so");
        bundle.write().unwrap()
    }

    fn options(&self, id: &str) -> GatewayOptions {
        let config = self.temporary.path().join(format!("{id}.toml"));
        fs::write(&config, "[source]\npoll_interval_ms = 50\n").unwrap();
        GatewayOptions {
            id: id.to_owned(),
            version: Some(VERSION.to_owned()),
            config: Some(config),
            ..GatewayOptions::default()
        }
    }

    fn gateway(&self) -> Gateway {
        let mut gateway = self.starting();
        gateway.wait_ready().unwrap();
        gateway
    }

    fn starting(&self) -> Gateway {
        let options = self.options("gateway");
        Gateway::standalone(self.temporary.path(), &self.watched(), &options).unwrap()
    }

    fn check(&self) -> Output {
        let mut command = Command::new(binary("gantry-gateway").unwrap());
        command.arg("check").arg("--folder").arg(self.watched());
        command
            .args(["--gateway-version", VERSION])
            .output()
            .unwrap()
    }
}

fn tagged(tag: &str) -> Value {
    let entries = [("TagRequest", "c-headers.so")];
    json!({"custom_middleware": middleware(&[("pre", &entries)]), "config_data": {"tag": tag}})
}

fn tag_of(gateway: &Gateway, path: &str) -> String {
    let answer = get(gateway, path);
    let tag = answer.json()["headers"]["x-tag"]
        .as_str()
        .map(str::to_owned);
    tag.unwrap_or_else(|| format!("{} {}", answer.status, answer.body))
}

fn wait_tag(gateway: &Gateway, path: &str, tag: &str) {
    let mut last = String::new();
    let seen = eventually("the tag", || {
        last = tag_of(gateway, path);
        (last == tag).then_some(())
    });
    seen.unwrap_or_else(|e| panic!("{tag}: {e:#}: {last}\n{}", gateway.log()));
}

/// Waits until an API is said to be in a state, with a code and part of a reason.
fn wait_api(gateway: &Gateway, id: &str, state: &str, reason: &str) -> Value {
    let wanted = |status: &Value| {
        let apis = status["report"]["apis"].as_array();
        apis.is_some_and(|apis| {
            apis.iter().any(|api| {
                api["api_id"] == id && api["state"] == state && api.to_string().contains(reason)
            })
        })
    };
    gateway
        .wait_status(&format!("{id} is {state}: {reason}"), wanted)
        .unwrap()
}

fn wait_sound(gateway: &Gateway) {
    let sound = |status: &Value| {
        status["report"]["state"] == "ready" && status["folder"]["complaints"] == json!([])
    };
    gateway.wait_status("nothing is wrong", sound).unwrap();
}

fn wait_status_of(gateway: &Gateway, path: &str, status: u16) {
    eventually("the status", || {
        (get(gateway, path).status == status).then_some(())
    })
    .unwrap();
}

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

#[test]
fn broken_files_hold_their_api_and_leave_others_alone() {
    let bench = Bench::new();
    let library = bench.c_headers(None);
    bench.place("libraries/c-headers.so", &library);
    bench.tagging("one", "blue");
    bench.api("other", &json!({}));
    let mut gateway = bench.gateway();
    let other = Request::get("/other/x");
    let load = Load::start(gateway.address(), &other, 1, |answer| answer.status == 200).unwrap();

    let half = bench.definition("one", &tagged("red"));
    fs::write(
        bench.watched().join("apis/one.json"),
        &half[..half.len() / 2],
    )
    .unwrap();
    let status = wait_api(&gateway, "one", "held", "JSON_MALFORMED");
    assert_eq!(status["folder"]["complaints"][0]["file"], "apis/one.json");
    assert_eq!(
        (
            &status["report"]["state"],
            tag_of(&gateway, "/one/x").as_str()
        ),
        (&json!("degraded"), "blue")
    );
    fs::write(bench.watched().join("apis/one.json"), &half).unwrap();
    wait_tag(&gateway, "/one/x", "red");
    wait_sound(&gateway);

    // Half a library, and then another that does not have the function.
    fs::write(
        bench.watched().join("libraries/c-headers.so"),
        &library[..library.len() / 2],
    )
    .unwrap();
    wait_api(&gateway, "one", "held", "libraries/c-headers.so");
    assert_eq!(tag_of(&gateway, "/one/x"), "red");
    let wrong = plugins::c(
        "tests/fixtures/plugins/crash.c",
        bench.temporary.path(),
        None,
    )
    .unwrap();
    bench.place("libraries/c-headers.so", fs::read(wrong).unwrap());
    wait_api(&gateway, "one", "held", "FUNCTION_NOT_FOUND");
    assert_eq!(tag_of(&gateway, "/one/x"), "red");

    // A newcomer with rules that this gateway does not know, or at a path that is taken, opens nothing.
    bench.api("new", &json!({"enable_jwt": true}));
    wait_api(&gateway, "new", "failed", "enable_jwt");
    wait_status_of(&gateway, "/new/x", 500);
    bench.api(
        "thief",
        &json!({"proxy": {"listen_path": "/other/", "target_url": "http://127.0.0.1:1"}}),
    );
    wait_api(&gateway, "thief", "failed", "ROUTE_CONFLICT");
    for code in ["JSON_MALFORMED", "ROUTE_CONFLICT", "FUNCTION_NOT_FOUND"] {
        assert!(
            gateway.log().contains(code),
            "{code} is logged:\n{}",
            gateway.log()
        );
    }

    // A restart changes nothing of that: what served last serves.
    let report = load.stop();
    assert_eq!((report.failed, &report.failures[..]), (0, &[][..]));
    gateway.restart().unwrap();
    gateway.wait_ready().unwrap();
    assert_eq!(tag_of(&gateway, "/one/x"), "red");
    assert_eq!(get(&gateway, "/other/x").status, 200);
    assert_eq!(get(&gateway, "/new/x").status, 500);
    bench.place("libraries/c-headers.so", &library);
    for id in ["new", "thief"] {
        fs::remove_file(bench.watched().join(format!("apis/{id}.json"))).unwrap();
    }
    wait_sound(&gateway);
    wait_tag(&gateway, "/one/x", "red");
}

#[test]
fn consumer_keys_come_from_the_folder_and_go_with_an_edit() {
    let bench = Bench::new();
    bench.api("test", &json!({"use_keyless": false}));
    let keys = |document: &Value, mode| {
        let path = bench.temporary.path().join("keys");
        fs::write(&path, document.to_string()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(&path, bench.watched().join("keys.json")).unwrap();
    };
    let alice =
        json!({"id": "alice", "secret": "secret-of-alice-1", "session": {"alias": "alice"}});
    // HMAC-SHA256 of "secret-of-robert-1" under the pepper, as `openssl dgst` makes it.
    let pepper = "000102030405060708090a0b0c0d0e0f";
    let robert = json!({"id": "robert", "hmac_sha256": hmac(pepper, "secret-of-robert-1")});
    keys(&json!({"pepper": pepper, "keys": [alice, robert]}), 0o640);
    let mut gateway = bench.gateway();
    let ask = |gateway: &Gateway, key: &str| {
        let request = Request::get("/test/x").header("authorization", &format!("Bearer {key}"));
        gateway.send(&request).unwrap().status
    };
    assert_eq!(ask(&gateway, "secret-of-alice-1"), 200);
    assert_eq!(ask(&gateway, "secret-of-robert-1"), 200);
    assert_eq!(ask(&gateway, "secret-of-nobody-1"), 403);

    // A file that others can read is not taken, and says so without telling what is in it.
    keys(&json!({"pepper": pepper, "keys": [alice]}), 0o644);
    let exposed = |status: &Value| status["folder"]["complaints"][0]["code"] == "KEYS_EXPOSED";
    gateway.wait_status("the file is refused", exposed).unwrap();
    assert_eq!(ask(&gateway, "secret-of-robert-1"), 200);
    keys(&json!({"pepper": pepper, "keys": [alice]}), 0o600);
    eventually("the key is gone", || {
        (ask(&gateway, "secret-of-robert-1") == 403).then_some(())
    })
    .unwrap();
    assert_eq!(ask(&gateway, "secret-of-alice-1"), 200);
    assert!(!gateway.log().contains("secret-of"), "{}", gateway.log());

    // Without the file the keys stay, over a restart too.
    fs::remove_file(bench.watched().join("keys.json")).unwrap();
    gateway.restart().unwrap();
    gateway.wait_ready().unwrap();
    let missing = |status: &Value| status["folder"]["complaints"][0]["code"] == "KEYS_MISSING";
    gateway.wait_status("the file is missed", missing).unwrap();
    assert_eq!(
        (
            ask(&gateway, "secret-of-alice-1"),
            ask(&gateway, "secret-of-robert-1")
        ),
        (200, 403)
    );
}

fn hmac(pepper: &str, secret: &str) -> String {
    let script =
        format!("printf %s {secret} | openssl dgst -sha256 -mac HMAC -macopt hexkey:{pepper}");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn gateway_starts_from_last_known_good_with_the_folder_gone() {
    let bench = Bench::new();
    bench.place("libraries/c-headers.so", bench.c_headers(None));
    bench.tagging("one", "blue");
    let mut gateway = bench.gateway();
    assert_eq!(tag_of(&gateway, "/one/x"), "blue");
    let elsewhere = bench.temporary.path().join("elsewhere");
    fs::rename(bench.watched(), &elsewhere).unwrap();
    gateway
        .wait_status("the folder is missed", |status| {
            status["folder"]["trouble"]["code"] == "FOLDER_UNREADABLE"
        })
        .unwrap();
    gateway.kill_and_restart().unwrap();
    gateway.wait_ready().unwrap();
    assert_eq!(tag_of(&gateway, "/one/x"), "blue");

    // An empty mount point in its place, and then the folder with a change.
    fs::create_dir_all(bench.watched().join("apis")).unwrap();
    gateway
        .wait_status("the folder is empty", |status| {
            status["folder"]["trouble"]["code"] == "FOLDER_EMPTY"
        })
        .unwrap();
    assert_eq!(tag_of(&gateway, "/one/x"), "blue");
    fs::remove_dir_all(bench.watched()).unwrap();
    fs::rename(&elsewhere, bench.watched()).unwrap();
    bench.tagging("one", "green");
    wait_tag(&gateway, "/one/x", "green");
    wait_sound(&gateway);
}

#[test]
fn gateway_without_folder_or_state_is_not_ready_until_the_folder_comes() {
    let bench = Bench::new();
    let mut gateway = bench.starting();
    let empty = |status: &Value| status["folder"]["trouble"]["code"] == "FOLDER_EMPTY";
    let status = gateway.wait_status("the folder is empty", empty).unwrap();
    assert_eq!(status["report"]["state"], "starting");
    bench.api("one", &json!({}));
    gateway.wait_ready().unwrap();
    assert_eq!(get(&gateway, "/one/x").status, 200);
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
