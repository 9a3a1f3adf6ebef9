//! What authors put into their own continuous integration: the script delivers, and the workflows are
//! what their hosts take.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gantry_tests::binaries::{binary, target_dir, tool, workspace};
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
            "name": "tagging", "version": "1.0.0", "file_list": [],
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

    let delivered = repository.deliver(&lab, "1.0.0", "v5.3.0 v5.4.0");
    assert!(delivered.status.success(), "{}", text(&delivered.stderr));
    let summary = repository.summary();
    let (first, second) = (
        format!("c-headers_v5.3.0_linux_{}.so", arch()),
        format!("c-headers_v5.4.0_linux_{}.so", arch()),
    );
    let gateways = [
        "gateway-1 | v5.3.0 | serving",
        "gateway-2 | v5.4.0 | serving",
    ];
    for said in ["tagging@1.0.0: delivered", &first, &second]
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

    // A build is missing for a gateway that is there: nothing moves, and the gateway is named.
    let refused = repository.deliver(&lab, "1.1.0", "v5.4.0");
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("gateway-1"));
    assert!(repository.summary().contains("not delivered (exit code 7)"));
    assert!(tagged(&old).contains("x-tag"));

    // What does not compile goes no further.
    fs::write(repository.folder.join("plugin.c"), "int broken(\n").unwrap();
    let broken = repository.deliver(&lab, "1.2.0", "v5.4.0");
    assert_eq!(broken.status.code(), Some(1), "{}", text(&broken.stderr));
    assert!(text(&broken.stderr).contains("plugin.c:"));
    assert!(lab.project.admin.json(&["get", "tagging@1.2.0"]).is_err());
}

fn lint(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
}

#[test]
fn workflows_are_what_their_hosts_take() {
    let file = |name: &str| {
        workspace()
            .join("deploy/ci")
            .join(name)
            .display()
            .to_string()
    };
    lint(
        &tool("actionlint").unwrap(),
        &["-color=false", &file("github.yml")],
    );
    let schema = target_dir().join("tools/python/bin/check-jsonschema");
    lint(
        &schema,
        &[
            "--builtin-schema",
            "vendor.github-workflows",
            &file("github.yml"),
        ],
    );
    // The schema is for the second document: a component begins with its inputs.
    let component = fs::read_to_string(file("gitlab.yml")).unwrap();
    let (_, pipeline) = component.split_once("\n---\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pipeline_file = folder.path().join("pipeline.yml");
    fs::write(&pipeline_file, pipeline).unwrap();
    let pipeline_file = pipeline_file.display().to_string();
    lint(
        &schema,
        &[
            "--builtin-schema",
            "vendor.gitlab-ci",
            "--data-transform",
            "gitlab-ci",
            &pipeline_file,
        ],
    );
}
