//! The scenes. Each does what a user would do, with the command line and a web client, and checks
//! what the user would look at.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gantry_tests::plugins::{BundleFolder, example};
use gantry_tests::stage::text;
use gantry_tests::{Gateway, Load, Project, Request, Stage, StageOptions, Upstream};
use serde_json::{Value, json};

use super::narrator::Narrator;

/// The gateway version of the first gateway, and of the second.
pub(super) const VERSIONS: [&str; 2] = ["v5.2.5", "v5.3.0"];

/// Everything that is on stage.
pub(crate) struct Set {
    pub(super) folder: PathBuf,
    pub(super) stage: Stage,
    pub(super) project: Project,
    pub(super) upstream: Upstream,
    pub(super) gateways: Vec<Gateway>,
}

impl Set {
    /// Starts a control plane with a tenant, an upstream and a gateway.
    pub(crate) fn build(
        folder: &Path,
        options: &StageOptions,
        narrator: &mut Narrator,
    ) -> Result<Self> {
        narrator.scene("A control plane, a tenant, a gateway");
        let stage = Stage::start_in(folder, options)?;
        narrator.say(&format!(
            "The control plane listens on {} and keeps SQLite in {}.",
            stage.control_plane.endpoint(),
            folder.display()
        ));
        narrator.say(&match &stage.s3 {
            None => "Objects are in the same folder.".to_owned(),
            Some(server) => format!(
                "Objects are in bucket {} of a real S3 server on {}.",
                server.bucket().name(),
                server.bucket().endpoint()
            ),
        });
        let project = stage.project("acme", "production")?;
        narrator.say("The operator created tenant acme; its admin created environment production and a gateway token.");
        let gateway = stage.ready_gateway(&project, "gateway-1", VERSIONS[0])?;
        narrator.say(&format!(
            "Gateway gateway-1 reports {} and serves on http://{}. An endpoint and a token were all it was given.",
            VERSIONS[0], gateway.address(),
        ));
        let upstream = Upstream::start()?;
        narrator.say(&format!(
            "The upstream on {} answers with whatever it receives.",
            upstream.url()
        ));
        Ok(Self {
            folder: folder.to_owned(),
            stage,
            project,
            upstream,
            gateways: vec![gateway],
        })
    }

    /// Pushes version 1.0.0 with two builds, writes an API definition, deploys.
    pub(crate) fn publish_and_deploy(&mut self, narrator: &mut Narrator) -> Result<()> {
        narrator.scene("Push, define, deploy");
        let pushed = self.push("1.0.0", narrator)?;
        let again = self
            .project
            .admin
            .push(&self.folder.join("example-hooks-1.0.0"))?;
        narrator.check(
            "pushing the same bytes again gives the same answer",
            &again["release"]["digest"],
            &pushed["release"]["digest"],
        )?;

        let definition = json!({
            "name": "Orders", "api_id": "orders",
            "proxy": {"listen_path": "/orders/", "target_url": self.upstream.url(), "strip_listen_path": true},
            "custom_middleware_bundle": "example-hooks",
            "config_data": {
                "api_keys": {"key-of-alice": "alice"},
                "rewrite": {"from": "/orders/latest", "to": "/orders/2026/newest"},
            },
        });
        let deployed = self.project.admin.deploy("example-hooks@1.0.0")?;
        narrator.say(&format!(
            "Deployed example-hooks@1.0.0: revision {}.",
            deployed["revision"]
        ));
        let put = self.project.admin.put_api(&self.folder, &definition)?;
        narrator.say("Wrote the API definition without any switch of authentication.");
        let filled = &put["definition"];
        narrator.check("it came back with use_keyless: false and use_go_plugin_auth: true, because the bundle has an auth function",
            &(filled["use_keyless"].clone(), filled["use_go_plugin_auth"].clone()), &(json!(false), json!(true)))?;
        let revision = put["revision"]
            .as_u64()
            .context("the revision of the definition")?;
        self.gateways[0].wait_revision(revision)?;
        narrator.say(&format!("gateway-1 fetched its build, probed it in a throw-away process, and serves revision {revision}."));
        Ok(())
    }

    /// Sends requests that show each hook.
    pub(crate) fn show_each_hook(&mut self, narrator: &mut Narrator) -> Result<()> {
        narrator.scene("Five hooks, in order");
        let before = self.upstream.requests();
        let none = self.gateways[0].send(&Request::get("/orders/latest"))?;
        narrator.check(
            "Auth refuses a request without a key (401)",
            &none.status,
            &401,
        )?;
        narrator.check(
            "and Pre ran before it: its early header is on the refusal",
            &none.header("x-gantry-first"),
            &"example-hooks 1.0.0",
        )?;
        let wrong =
            self.gateways[0].send(&Request::get("/orders/latest").header("x-api-key", "guess"))?;
        narrator.check("Auth refuses an unknown key (403)", &wrong.status, &403)?;
        narrator.check(
            "and the upstream saw neither",
            &self.upstream.requests(),
            &before,
        )?;

        let answer = self.gateways[0].send(&alice())?;
        let seen = answer.json();
        narrator.check("Alice's key is accepted (200)", &answer.status, &200)?;
        narrator.check(
            "Post-Auth told the upstream who calls",
            &seen["headers"]["x-caller"],
            &json!("alice"),
        )?;
        narrator.check(
            "Post rewrote the path, which was then stripped of its listen path",
            &seen["path"],
            &json!("/2026/newest"),
        )?;
        narrator.check(
            "and added to the query",
            &seen["query"],
            &json!("via=gantry"),
        )?;
        narrator.check(
            "Response stamped the answer with the build that ran",
            &answer.header("x-gantry-plugin"),
            &"example-hooks 1.0.0 for gateway v5.2.5",
        )?;
        narrator.check(
            "and tells who ran in which order",
            &answer.header("x-gantry-hooks"),
            &"pre, auth, post_auth, post, response",
        )?;
        Ok(())
    }

    /// Pushes and deploys 1.1.0 while clients keep asking.
    pub(crate) fn swap_under_load(&mut self, narrator: &mut Narrator) -> Result<()> {
        narrator.scene("A new version under load");
        self.push("1.1.0", narrator)?;
        let load = Load::start(self.gateways[0].address(), &alice(), 4, |answer| {
            answer.status == 200
                && answer
                    .header("x-gantry-plugin")
                    .starts_with("example-hooks 1.")
        })?;
        load.wait_for(200)?;
        let deployed = self.project.admin.deploy("example-hooks@1.1.0")?;
        let revision = deployed["revision"]
            .as_u64()
            .context("the revision of the deployment")?;
        self.gateways[0].wait_revision(revision)?;
        load.wait_for(200)?;
        let report = load.stop();
        narrator.say(&format!(
            "Four clients asked without a pause: {} answers.",
            report.good
        ));
        narrator.check(
            "no request failed during the swap",
            &(report.failed, report.failures),
            &(0, Vec::new()),
        )?;
        let answer = self.gateways[0].send(&alice())?;
        narrator.check(
            "the new version answers now",
            &answer.header("x-gantry-plugin"),
            &"example-hooks 1.1.0 for gateway v5.2.5",
        )?;
        Ok(())
    }

    /// Starts a gateway of another version on the same revision.
    pub(crate) fn second_gateway(&mut self, narrator: &mut Narrator) -> Result<()> {
        narrator.scene("Another gateway version, the same revision");
        let gateway = self
            .stage
            .ready_gateway(&self.project, "gateway-2", VERSIONS[1])?;
        self.gateways.push(gateway);
        let head = self
            .project
            .admin
            .json(&["deploy", "example-hooks@1.1.0"])?["revision"]
            .as_u64()
            .context("revision")?;
        let mut digests = Vec::new();
        for (gateway, version) in self.gateways.iter().zip(VERSIONS) {
            let status = gateway.wait_revision(head)?;
            let answer = gateway.send(&alice())?;
            let expected = format!("example-hooks 1.1.0 for gateway {version}");
            narrator.check(
                &format!("the gateway that reports {version} answers with its own build"),
                &answer.header("x-gantry-plugin"),
                &expected.as_str(),
            )?;
            digests.push(serving(&status)?);
        }
        for (digest, version) in digests.iter().zip(VERSIONS) {
            let built = sha256(&example("1.1.0", Some(version))?)?;
            narrator.check(
                &format!(
                    "status of the gateway on {version} names the digest of that build ({})",
                    &built[..12]
                ),
                digest,
                &built,
            )?;
        }
        narrator.check(
            "the two run different bytes",
            &(digests[0] == digests[1]),
            &false,
        )?;
        let explained =
            self.project
                .admin
                .json(&["explain", "orders", "--gateway", "gateway-2"])?;
        let first = &explained["functions"][0]["candidates"];
        for candidate in first.as_array().into_iter().flatten() {
            narrator.say(&format!(
                "explain: {} {} {}",
                candidate["file"].as_str().unwrap_or_default(),
                candidate["verdict"].as_str().unwrap_or_default(),
                candidate["reason"].as_str().unwrap_or_default()
            ));
        }
        Ok(())
    }

    /// What to try next.
    pub(crate) fn invite(&self, narrator: &mut Narrator) {
        narrator.scene("Your turn");
        narrator.say("Everything keeps running until you press Ctrl-C. In another terminal:");
        let gateway = self.gateways[0].address();
        let bin = gantry_tests::binaries::target_dir().join("debug");
        for line in [
            format!("export PATH={}:$PATH", bin.display()),
            format!(
                "export GANTRY_ENDPOINT={} GANTRY_ENVIRONMENT={}",
                self.stage.control_plane.endpoint(),
                self.project.environment
            ),
            format!("export GANTRY_TOKEN={}", self.project.admin.token()),
            format!("curl -i -H 'x-api-key: key-of-alice' http://{gateway}/orders/latest"),
            format!("curl -i -H 'x-name: you' http://{gateway}/greetings/x"),
            "gantry gateways".to_owned(),
            "gantry explain orders --gateway gateway-1".to_owned(),
            "gantry api get orders".to_owned(),
            "gantry deploy example-hooks@1.0.0".to_owned(),
        ] {
            narrator.say(&format!("  {line}"));
        }
    }

    fn push(&self, version: &str, narrator: &mut Narrator) -> Result<Value> {
        narrator.say(&format!(
            "Building example-hooks {version} for {} and {}.",
            VERSIONS[0], VERSIONS[1]
        ));
        let mut bundle = BundleFolder::new(&self.folder, "example-hooks", version)?;
        for gateway in VERSIONS {
            let file = format!("hooks_{gateway}_linux_{}.so", arch());
            bundle = bundle.file(&file, &example(version, Some(gateway))?)?;
        }
        for (field, function) in [
            ("pre", "AddTraceHeader"),
            ("auth_check", "CheckApiKey"),
            ("post_key_auth", "NameCaller"),
            ("post", "RewritePath"),
            ("response", "StampResponse"),
        ] {
            bundle = bundle.hook(field, function, "hooks.so");
        }
        let pushed = self.project.admin.push(&bundle.write()?)?;
        narrator.say(&format!("Pushed example-hooks@{version}."));
        Ok(pushed)
    }
}

pub(super) fn alice() -> Request {
    Request::get("/orders/latest").header("x-api-key", "key-of-alice")
}

/// The digest that a gateway's status says is serving.
fn serving(status: &Value) -> Result<String> {
    let artifacts = status["report"]["artifacts"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let serving = artifacts
        .iter()
        .find(|artifact| artifact["phase"] == "serving")
        .context("no artifact is serving")?;
    text(serving, "sha256")
}

fn sha256(file: &Path) -> Result<String> {
    let output = crate::run::quietly(std::process::Command::new("sha256sum").arg(file))?;
    Ok(output
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned())
}

pub(super) fn arch() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}
