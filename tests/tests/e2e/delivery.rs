//! What authors put into their own continuous integration: the script delivers, and the workflows are
//! what their hosts take.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use gantry_tests::binaries::{binary, target_dir, tool, workspace};
use gantry_tests::process::signal;
use gantry_tests::{Gateway, Request};
use serde_json::json;

use crate::lab::{Lab, arch};

/// An author's repository: a plugin in C, its manifest, and where the script writes its summary.
struct Repository {
    folder: PathBuf,
}

impl Repository {
    fn of(lab: &Lab) -> Self {
        let folder = lab.stage.folder().join("repository");
        fs::create_dir_all(&folder).unwrap();
        let source = workspace().join("examples/c-headers/plugin.c");
        fs::copy(source, folder.join("plugin.c")).unwrap();
        let manifest = json!({
            "name": "tagging", "version": "1.0.0", "file_list": ["c-headers.so", "lost.so"],
            "custom_middleware": {
                "driver": "goplugin", "pre": [{"name": "TagRequest", "path": "c-headers.so"}],
            },
        });
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
        Self { folder }
    }

    fn summary(&self) -> String {
        fs::read_to_string(self.folder.join("summary.md")).unwrap()
    }

    fn deliver(&self, lab: &Lab, version: &str, gateways: &str) -> Output {
        self.deliver_as(lab, version, gateways, &[])
    }

    /// The same with other variables.
    fn deliver_as(
        &self,
        lab: &Lab,
        version: &str,
        gateways: &str,
        variables: &[(&str, &str)],
    ) -> Output {
        let _ = fs::remove_file(self.folder.join("summary.md"));
        let gantry = binary("gantry").unwrap();
        let path = [
            gantry.parent().unwrap().to_owned(),
            target_dir().join("tools/python/bin"),
            PathBuf::from(std::env::var("PATH").unwrap()),
        ];
        Command::new("bash")
            .arg(workspace().join("deploy/ci/deliver.sh"))
            .current_dir(&self.folder)
            .env("PATH", path.map(|p| p.display().to_string()).join(":"))
            .env("GANTRY_ENDPOINT", lab.stage.control_plane.endpoint())
            .env("GANTRY_TOKEN", lab.project.admin.token())
            .env("GANTRY_ENVIRONMENT", &lab.project.environment)
            .env("GANTRY_CACHE_DIR", target_dir().join("stage/delivery"))
            .env("VERSION", version)
            .env("GATEWAY_VERSIONS", gateways)
            .env("TARGETS", format!("linux/{}", arch()))
            .env("WAIT_TIMEOUT", "60")
            .env("SUMMARY", "summary.md")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The tag that the upstream saw.
fn tagged(gateway: &Gateway) -> String {
    let answer = gateway.send(&Request::get("/api/x")).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[test]
fn script_builds_publishes_deploys_and_waits_and_says_why_it_could_not() {
    let lab = Lab::start();
    let old = lab.gateway();
    let new = lab
        .stage
        .ready_gateway(&lab.project, "gateway-2", "v5.4.0")
        .unwrap();
    lab.put(
        &old,
        &json!({
            "use_keyless": true, "custom_middleware_bundle": "tagging",
            "config_data": {"tag": "delivered"},
        }),
    );
    let repository = Repository::of(&lab);
    let files = ["v5.3.0", "v5.4.0"].map(|gateway| {
        format!(
            "| c-headers_{gateway}_linux_{0}.so | linux_{0} | {gateway} |",
            arch()
        )
    });

    // As a change that is only proposed is built.
    let only = [("BUILD_ONLY", "1")];
    let built = repository.deliver_as(&lab, "1.0.0", "v5.3.0 v5.4.0", &only);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let summary = repository.summary();
    assert!(summary.contains("### tagging@1.0.0: built"), "{summary}");
    for file in &files {
        assert!(summary.contains(file), "{file}: {summary}");
    }
    assert!(lab.project.admin.json(&["get", "tagging@1.0.0"]).is_err());

    // Workers that do not get to it in time: the same again waits again.
    let stopped: Vec<_> = [&old, &new]
        .iter()
        .flat_map(|gateway| gateway.worker_pids().unwrap())
        .collect();
    let all = |name| stopped.iter().for_each(|pid| signal(*pid, name).unwrap());
    all("STOP");
    let soon = [("WAIT_TIMEOUT", "2")];
    let late = repository.deliver_as(&lab, "1.0.0", "v5.3.0 v5.4.0", &soon);
    all("CONT");
    assert_eq!(late.status.code(), Some(8), "{}", text(&late.stderr));
    let summary = repository.summary();
    for said in [
        "### tagging@1.0.0: not delivered (exit code 8)",
        "| gateway-1 | v5.3.0 | behind |",
        "| gateway-2 | v5.4.0 | behind |",
    ] {
        assert!(summary.contains(said), "{said}: {summary}");
    }

    let delivered = repository.deliver(&lab, "1.0.0", "v5.3.0 v5.4.0");
    assert!(delivered.status.success(), "{}", text(&delivered.stderr));
    let summary = repository.summary();
    let gateways = [
        "| gateway-1 | v5.3.0 | serving |",
        "| gateway-2 | v5.4.0 | serving |",
    ];
    for said in ["### tagging@1.0.0: delivered", &files[0], &files[1]]
        .into_iter()
        .chain(gateways)
    {
        assert!(summary.contains(said), "{said}: {summary}");
    }
    for gateway in [&old, &new] {
        assert!(tagged(gateway).contains("x-tag"), "{}", tagged(gateway));
    }

    let again = repository.deliver(&lab, "1.0.0", "v5.3.0 v5.4.0");
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(repository.summary(), summary);
    let said = text(&again.stderr);
    assert!(
        said.contains("file_list names lost.so, which this did not build"),
        "{said}"
    );

    // A build is missing for a gateway that is there: nothing moves, and the gateway is named.
    let refused = repository.deliver(&lab, "1.1.0", "v5.4.0");
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stderr));
    let summary = repository.summary();
    for said in ["tagging@1.1.0: not delivered (exit code 7)", "gateway-1"] {
        assert!(summary.contains(said), "{said}: {summary}");
    }
    assert!(text(&refused.stderr).contains("gateway-1"));
    assert!(tagged(&old).contains("x-tag"));

    // What does not compile goes no further.
    fs::write(repository.folder.join("plugin.c"), "int broken(\n").unwrap();
    let broken = repository.deliver(&lab, "1.2.0", "v5.4.0");
    assert_eq!(broken.status.code(), Some(1), "{}", text(&broken.stderr));
    for said in [text(&broken.stderr), repository.summary()] {
        assert!(said.contains("plugin.c:"), "{said}");
    }
    assert!(lab.project.admin.json(&["get", "tagging@1.2.0"]).is_err());

    // A manifest, or a place for the summary, that cannot be used is said before anything is published.
    let nowhere = [("SUMMARY", "/nowhere/summary.md")];
    let unwritable = repository.deliver_as(&lab, "1.2.0", "v5.4.0", &nowhere);
    assert_eq!(unwritable.status.code(), Some(64));
    assert!(text(&unwritable.stderr).contains("/nowhere/summary.md, which cannot be written"));
    fs::write(repository.folder.join("manifest.json"), "[]").unwrap();
    let listed = repository.deliver(&lab, "1.2.0", "v5.4.0");
    let said = text(&listed.stderr);
    assert_eq!(listed.status.code(), Some(3), "{said}");
    assert!(
        said.contains("manifest.json") && !said.contains("Traceback"),
        "{said}"
    );

    fs::remove_file(repository.folder.join("manifest.json")).unwrap();
    let bare = repository.deliver(&lab, "1.2.0", "v5.4.0");
    assert_eq!(bare.status.code(), Some(64), "{}", text(&bare.stderr));
    assert!(text(&bare.stderr).contains("manifest.json is missing"));
}

fn lint(program: &str, arguments: &[&str]) {
    let output = Command::new(tool(program).unwrap())
        .args(arguments)
        .output()
        .unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{program}: {said}");
}

#[test]
fn workflows_are_what_their_hosts_take() {
    let file = |name: &str| {
        let path = workspace().join("deploy/ci").join(name);
        path.display().to_string()
    };
    lint("shellcheck", &[&file("deliver.sh")]);
    // It looks into the commands of a workflow as well.
    let shellcheck = tool("shellcheck").unwrap().display().to_string();
    let github = file("github.yml");
    lint(
        "actionlint",
        &["-color=false", "-shellcheck", &shellcheck, &github],
    );
    let schema = |name: &str, more: &[&str]| {
        let all = [&["--builtin-schema", name], more].concat();
        lint("check-jsonschema", &all);
    };
    schema("vendor.github-workflows", &[&github]);
    // A component is two documents: its inputs, and its jobs.
    let component = fs::read_to_string(file("gitlab.yml")).unwrap();
    let (inputs, jobs) = component.split_once("\n---\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, document) in [("inputs.yml", inputs), ("jobs.yml", jobs)] {
        let path = folder.path().join(name);
        fs::write(&path, document).unwrap();
        let path = path.to_str().unwrap();
        schema("vendor.gitlab-ci", &["--data-transform", "gitlab-ci", path]);
    }
    for input in jobs.split("$[[ inputs.").skip(1) {
        let (name, _) = input.split_once(" ]]").unwrap();
        assert!(inputs.contains(&format!("\n    {name}:\n")), "{name}");
    }
}
