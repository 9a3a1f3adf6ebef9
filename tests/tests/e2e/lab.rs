//! What the end-to-end tests share: a stage with one project, an upstream, and short ways to publish
//! the libraries of the fixtures.

use std::fs;
use std::path::PathBuf;

use gantry_tests::plugins::{self, BundleFolder};
use gantry_tests::{
    Answer, Gateway, GatewayOptions, Outcome, Project, Request, Stage, StageOptions, Upstream,
};
use serde_json::{Value, json};

/// The gateway version that most tests use.
pub(crate) const VERSION: &str = "v5.3.0";

/// A stage, a project, an upstream.
pub(crate) struct Lab {
    pub(crate) stage: Stage,
    pub(crate) project: Project,
    pub(crate) upstream: Upstream,
}

impl Lab {
    pub(crate) fn start() -> Self {
        let options = StageOptions::from_environment().expect("the storage is known");
        Self::start_on(&options)
    }

    pub(crate) fn start_on(options: &StageOptions) -> Self {
        let stage = Stage::start_with(options).expect("start a control plane");
        let project = stage
            .project("acme", "production")
            .expect("create a project");
        let upstream = Upstream::start().expect("start an upstream");
        Self {
            stage,
            project,
            upstream,
        }
    }

    pub(crate) fn gateway(&self) -> Gateway {
        self.stage
            .ready_gateway(&self.project, "gateway-1", VERSION)
            .expect("start a gateway")
    }

    /// The same with a configuration, TOML.
    pub(crate) fn gateway_with(&self, config: &str) -> Gateway {
        let file = self.stage.folder().join("gateway.toml");
        fs::write(&file, config).expect("write the configuration");
        let options = GatewayOptions {
            id: "gateway-1".into(),
            version: Some(VERSION.into()),
            config: Some(file),
            ..GatewayOptions::default()
        };
        let gateway = self.stage.gateway(&self.project, &options);
        let mut gateway = gateway.expect("start a gateway");
        gateway.wait_ready().expect("the gateway is ready");
        gateway
    }

    /// A definition of `/api/` to the upstream, with further fields.
    pub(crate) fn definition(&self, fields: &Value) -> Value {
        let mut definition = json!({
            "name": "Test", "api_id": "test",
            "proxy": {"listen_path": "/api/", "target_url": self.upstream.url()},
        });
        for (name, value) in fields.as_object().expect("fields are an object") {
            definition[name] = value.clone();
        }
        definition
    }

    /// Writes a definition and waits until the gateway runs it.
    pub(crate) fn put(&self, gateway: &Gateway, fields: &Value) -> Value {
        let put = self
            .project
            .admin
            .put_api(self.stage.folder(), &self.definition(fields))
            .expect("put the definition");
        gateway
            .wait_revision(revision(&put))
            .expect("the gateway follows");
        put
    }

    /// Writes a definition that is expected to be refused.
    pub(crate) fn put_refused(&self, fields: &Value) -> Outcome {
        let file = self.stage.folder().join("refused.json");
        std::fs::write(&file, self.definition(fields).to_string()).expect("write the definition");
        let outcome = self
            .project
            .admin
            .run(&["api", "put", &file.to_string_lossy()])
            .expect("run gantry");
        assert_ne!(
            outcome.code,
            0,
            "{} was accepted: {}",
            self.definition(fields),
            outcome.stdout
        );
        outcome
    }

    /// Publishes and deploys the Rust library of misbehaving functions as bundle `faulty`.
    pub(crate) fn deploy_faulty(&self) {
        let library = plugins::faulty().expect("build the fixture");
        let bundle = self
            .bundle("faulty", "1.0.0")
            .file("faulty.so", &library)
            .expect("add the library");
        self.publish(bundle.hook("pre", "Echo", "faulty.so"));
        self.project
            .admin
            .deploy("faulty@1.0.0")
            .expect("deploy faulty");
    }

    /// Publishes and deploys the example library as bundle `hooks`, for any gateway version's name.
    pub(crate) fn deploy_hooks(&self) {
        let library = plugins::example("1.0.0", Some(VERSION)).expect("build the example");
        let name = format!("hooks_{VERSION}_linux_{}.so", arch());
        let bundle = self
            .bundle("hooks", "1.0.0")
            .file(&name, &library)
            .expect("add the library");
        self.publish(bundle.hook("pre", "AddTraceHeader", "hooks.so"));
        self.project
            .admin
            .deploy("hooks@1.0.0")
            .expect("deploy hooks");
    }

    /// Publishes and deploys a C plugin as a bundle of its name, with one function at one hook.
    pub(crate) fn deploy_c(&self, source: &str, bundle: &str, (field, function): (&str, &str)) {
        let library = plugins::c(source, self.stage.folder(), None).expect("build the C plugin");
        let file = format!("{bundle}.so");
        let folder = self
            .bundle(bundle, "1.0.0")
            .file(&file, &library)
            .expect("add the library");
        self.publish(folder.hook(field, function, &file));
        self.project
            .admin
            .deploy(&format!("{bundle}@1.0.0"))
            .expect("deploy the C plugin");
    }

    pub(crate) fn bundle(&self, name: &str, version: &str) -> BundleFolder {
        BundleFolder::new(self.stage.folder(), name, version).expect("make a bundle's folder")
    }

    pub(crate) fn publish(&self, bundle: BundleFolder) -> Value {
        self.project
            .admin
            .push(&bundle.write().expect("write the manifest"))
            .expect("push the bundle")
    }

    /// Pushes a bundle that is expected to be refused.
    pub(crate) fn push_refused(&self, bundle: BundleFolder) -> Outcome {
        let folder: PathBuf = bundle.write().expect("write the manifest");
        let outcome = self
            .project
            .admin
            .run(&["push", &folder.to_string_lossy()])
            .expect("run gantry");
        assert_ne!(outcome.code, 0, "the push was accepted: {}", outcome.stdout);
        outcome
    }
}

/// `custom_middleware` from pairs of hook field and entries (function, file).
pub(crate) fn middleware(hooks: &[(&str, &[(&str, &str)])]) -> Value {
    let mut middleware = json!({"driver": "goplugin"});
    for (field, entries) in hooks {
        let entries: Vec<_> = entries
            .iter()
            .map(|(name, path)| json!({"name": name, "path": path}))
            .collect();
        middleware[field] = if *field == "auth_check" {
            entries[0].clone()
        } else {
            json!(entries)
        };
    }
    middleware
}

pub(crate) fn revision(value: &Value) -> u64 {
    value["revision"].as_u64().expect("a revision")
}

pub(crate) fn get(gateway: &Gateway, path: &str) -> Answer {
    gateway.send(&Request::get(path)).expect("an answer")
}

pub(crate) fn arch() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}

/// Asserts that a refusal was told with its code.
pub(crate) fn assert_code(outcome: &Outcome, code: &str) {
    assert!(
        outcome.stderr.contains(code),
        "expected {code} in: {}",
        outcome.stderr
    );
}
