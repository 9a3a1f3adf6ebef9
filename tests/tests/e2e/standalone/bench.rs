//! What the tests of standalone gateways share: a folder to fill, a gateway on it, ways to wait.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use gantry_tests::binaries::binary;
use gantry_tests::plugins::{self, BundleFolder, example};
use gantry_tests::process::eventually;
use gantry_tests::{Gateway, GatewayOptions, Upstream};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::{VERSION, get, middleware};

/// A folder, an upstream, and room for a gateway.
pub(super) struct Bench {
    pub(super) temporary: TempDir,
    upstream: Upstream,
}

impl Bench {
    pub(super) fn new() -> Self {
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

    pub(super) fn watched(&self) -> PathBuf {
        self.temporary.path().join("watched")
    }

    /// Puts a file in place as most tools do: written beside it and renamed.
    pub(super) fn place(&self, file: &str, bytes: impl AsRef<[u8]>) {
        let path = self.watched().join(file);
        let beside = path.with_file_name(".placing");
        fs::write(&beside, bytes).unwrap();
        fs::rename(&beside, &path).unwrap();
    }

    pub(super) fn definition(&self, id: &str, fields: &Value) -> String {
        let mut definition = json!({
            "name": id, "api_id": id, "use_keyless": true,
            "proxy": {"listen_path": format!("/{id}/"), "target_url": self.upstream.url()},
        });
        for (name, value) in fields.as_object().unwrap() {
            definition[name] = value.clone();
        }
        definition.to_string()
    }

    pub(super) fn api(&self, id: &str, fields: &Value) {
        self.place(&format!("apis/{id}.json"), self.definition(id, fields));
    }

    /// An API with the C example's function at `pre`, out of a library that lies there by itself.
    pub(super) fn tagging(&self, id: &str, tag: &str) {
        self.api(id, &tagged(tag));
    }

    pub(super) fn c_headers(&self, gateway_version: Option<&str>) -> Vec<u8> {
        let built = plugins::c(
            "examples/c-headers/plugin.c",
            self.temporary.path(),
            gateway_version,
        );
        fs::read(built.unwrap()).unwrap()
    }

    pub(super) fn hooks_bundle(&self, version: &str) -> PathBuf {
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

    pub(super) fn gateway(&self) -> Gateway {
        let mut gateway = self.starting();
        gateway.wait_ready().unwrap();
        gateway
    }

    pub(super) fn starting(&self) -> Gateway {
        let options = self.options("gateway");
        Gateway::standalone(self.temporary.path(), &self.watched(), &options).unwrap()
    }

    pub(super) fn check(&self) -> Output {
        let mut command = Command::new(binary("gantry-gateway").unwrap());
        command.arg("check").arg("--folder").arg(self.watched());
        command
            .args(["--gateway-version", VERSION])
            .output()
            .unwrap()
    }
}

pub(super) fn tagged(tag: &str) -> Value {
    let entries = [("TagRequest", "c-headers.so")];
    json!({"custom_middleware": middleware(&[("pre", &entries)]), "config_data": {"tag": tag}})
}

pub(super) fn tag_of(gateway: &Gateway, path: &str) -> String {
    let answer = get(gateway, path);
    let tag = answer.json()["headers"]["x-tag"]
        .as_str()
        .map(str::to_owned);
    tag.unwrap_or_else(|| format!("{} {}", answer.status, answer.body))
}

pub(super) fn wait_tag(gateway: &Gateway, path: &str, tag: &str) {
    let mut last = String::new();
    let seen = eventually("the tag", || {
        last = tag_of(gateway, path);
        (last == tag).then_some(())
    });
    seen.unwrap_or_else(|e| panic!("{tag}: {e:#}: {last}\n{}", gateway.log()));
}

/// Waits until an API is said to be in a state, with a code and part of a reason.
pub(super) fn wait_api(gateway: &Gateway, id: &str, state: &str, reason: &str) -> Value {
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

pub(super) fn wait_sound(gateway: &Gateway) {
    let sound = |status: &Value| {
        status["report"]["state"] == "ready" && status["folder"]["complaints"] == json!([])
    };
    gateway.wait_status("nothing is wrong", sound).unwrap();
}

pub(super) fn wait_status_of(gateway: &Gateway, path: &str, status: u16) {
    eventually("the status", || {
        (get(gateway, path).status == status).then_some(())
    })
    .unwrap();
}
