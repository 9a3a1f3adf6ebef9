//! Gateways fetch straight from S3, and through the control plane where that does not work. Two proxies
//! count: one on the control plane's way to S3, one on the gateway's.

use std::path::Path;
use std::process::Command;

use gantry_tests::binaries::tool;
use gantry_tests::plugins::example;
use gantry_tests::process::eventually;
use gantry_tests::{
    Fault, FaultProxy, Gateway, GatewayOptions, Project, Request, S3Server, Stage, StageOptions,
    Storage,
};
use serde_json::{Value, json};

use crate::lab::{Lab, VERSION, get, middleware, revision};

/// What every signed URL holds, in any case.
const SIGNED: &str = "x-amz-signature";

struct Ways {
    lab: Lab,
    /// From the control plane to S3.
    inner: FaultProxy,
    /// From gateways to S3.
    outer: FaultProxy,
    s3: S3Server,
    _folder: tempfile::TempDir,
}

impl Ways {
    fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let s3 = S3Server::start(Storage::S3sFs, folder.path()).unwrap();
        let address = s3.bucket().address();
        let (inner, outer) = (FaultProxy::start(address), FaultProxy::start(address));
        let (inner, outer) = (inner.unwrap(), outer.unwrap());
        let mut options = StageOptions::in_bucket(&s3.bucket().by_way_of(inner.address()));
        let endpoint = format!("http://{}", outer.address());
        options = options.variable("GANTRY_STORAGE_PRESIGNED_ENDPOINT", &endpoint);
        for (name, value) in variables {
            options = options.variable(name, value);
        }
        Self {
            lab: Lab::start_on(&options),
            inner,
            outer,
            s3,
            _folder: folder,
        }
    }

    /// Publishes a version; its library and the library's size.
    fn push(&self, version: &str) -> u64 {
        let library = example(version, None).unwrap();
        let bundle = self.lab.bundle("hooks", version);
        let bundle = bundle.file("hooks.so", &library).unwrap();
        self.lab
            .publish(bundle.hook("pre", "AddTraceHeader", "hooks.so"));
        size(&library)
    }

    fn deploy(&self, gateway: &Gateway, version: &str) -> Value {
        let deployed = self.lab.project.admin.deploy(&format!("hooks@{version}"));
        let revision = revision(&deployed.unwrap());
        let status = gateway.wait_revision(revision).unwrap();
        serving(&status, version).clone()
    }

    fn define(&self, gateway: &Gateway) {
        let hooks = middleware(&[("response", &[("StampResponse", "hooks.so")])]);
        let keyless = json!({"custom_middleware": hooks, "use_keyless": true});
        self.lab.put(gateway, &keyless);
    }

    fn passed(&self) -> (u64, u64) {
        (self.inner.from_server(), self.outer.from_server())
    }
}

fn size(file: &Path) -> u64 {
    file.metadata().unwrap().len()
}

fn serving<'a>(status: &'a Value, version: &str) -> &'a Value {
    let artifacts = status["report"]["artifacts"].as_array().unwrap();
    let of_version = |artifact: &&Value| artifact["version"] == version;
    artifacts.iter().find(of_version).unwrap()
}

/// A gateway that logs everything it can.
fn loud_gateway(stage: &Stage, project: &Project) -> Gateway {
    let options = GatewayOptions {
        id: "gateway-1".into(),
        version: Some(VERSION.into()),
        variables: vec![("GANTRY_LOG".into(), "trace".into())],
        ..GatewayOptions::default()
    };
    let mut gateway = stage.gateway(project, &options).unwrap();
    gateway.wait_ready().unwrap();
    gateway
}

#[test]
fn library_passes_by_the_control_plane_and_comes_through_it_when_it_must() {
    let ways = Ways::start(&[("GANTRY_LOG", "trace")]);
    ways.push("1.0.0");
    ways.lab.project.admin.deploy("hooks@1.0.0").unwrap();
    let gateway = loud_gateway(&ways.lab.stage, &ways.lab.project);
    let before = ways.passed();
    ways.define(&gateway);
    let size_bytes = size(&example("1.0.0", None).unwrap());
    let (inner, outer) = (ways.passed().0 - before.0, ways.passed().1 - before.1);
    assert!(
        outer >= size_bytes,
        "the gateway read it: {outer} of {size_bytes}"
    );
    assert!(inner < size_bytes / 2, "the control plane did not: {inner}");
    let status = gateway.status().unwrap();
    assert_eq!(serving(&status, "1.0.0")["fetched_from"], "object_storage");
    let reported = eventually("the control plane is told", || {
        let gateways = ways.lab.project.admin.json(&["gateways"]).ok()?;
        let artifact = gateways[0]["artifacts"][0].clone();
        artifact["fetched_from"].is_string().then_some(artifact)
    });
    assert_eq!(reported.unwrap()["fetched_from"], "object_storage");

    // A changed byte, and a way that is broken: the same library comes the other way.
    for (version, fault, times, code) in [
        ("1.1.0", Fault::Change(100_000), 1, "LIBRARY_DIGEST"),
        ("1.2.0", Fault::SlowDown, u64::MAX, "STORAGE_REFUSED"),
        (
            "1.3.0",
            Fault::ResetAnswer(100_000),
            u64::MAX,
            "STORAGE_BROKEN",
        ),
        ("1.4.0", Fault::Refuse, u64::MAX, "STORAGE_"),
    ] {
        let size_bytes = ways.push(version);
        ways.outer.fault(fault, times);
        let before = ways.passed().0;
        let artifact = ways.deploy(&gateway, version);
        assert_eq!(artifact["fetched_from"], "control_plane", "{artifact}");
        assert!(ways.passed().0 - before >= size_bytes, "{version}");
        assert!(ways.outer.struck() > 0, "{version}: it was tried");
        let stamped = get(&gateway, "/api/x");
        let expected = format!("example-hooks {version}");
        assert!(stamped.header("x-gantry-plugin").starts_with(&expected));
        assert!(gateway.log().contains(code), "{version}: {code} is logged");
    }
    for log in [gateway.log(), ways.lab.stage.control_plane.log()] {
        assert!(log.contains("TRACE"), "everything is logged");
        assert!(!log.to_ascii_lowercase().contains(SIGNED), "but no URL");
    }
}

#[test]
fn library_of_other_bytes_is_accepted_from_nowhere() {
    let ways = Ways::start(&[]);
    ways.push("1.0.0");
    ways.lab.project.admin.deploy("hooks@1.0.0").unwrap();
    let bucket = ways.s3.bucket();
    let objects = bucket.objects().unwrap();
    let key = objects
        .iter()
        .find(|key| key.ends_with("/hooks.so"))
        .unwrap();
    let mut bytes = bucket.read(key).unwrap();
    let genuine = bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    bucket.write(key, &bytes).unwrap();
    let gateway = ways.lab.gateway();
    ways.define(&gateway);
    let status = gateway.wait_status("the refusal", |status| {
        let artifact = &status["report"]["artifacts"][0];
        artifact["code"] == "LIBRARY_DIGEST"
    });
    assert_eq!(status.unwrap()["report"]["artifacts"][0]["phase"], "failed");
    assert_eq!(get(&gateway, "/api/x").status, 500);
    bucket.write(key, &genuine).unwrap();
    eventually("the genuine library is fetched", || {
        let answer = gateway.send(&Request::get("/api/x")).ok();
        answer.filter(|answer| answer.status == 200)
    })
    .unwrap();
}

#[test]
fn gateways_are_given_no_url_where_that_is_switched_off() {
    let ways = Ways::start(&[("GANTRY_STORAGE_PRESIGNED_DOWNLOADS", "false")]);
    ways.push("1.0.0");
    ways.lab.project.admin.deploy("hooks@1.0.0").unwrap();
    let gateway = ways.lab.gateway();
    ways.define(&gateway);
    let status = gateway.status().unwrap();
    assert_eq!(serving(&status, "1.0.0")["fetched_from"], "control_plane");
    assert_eq!(ways.passed().1, 0);
}

/// What a gateway's token gets for a digest: a URL, or the refusal.
fn locate(stage: &Stage, token: &str, digest: &str) -> Result<String, String> {
    let output = Command::new(tool("grpcurl").unwrap())
        .args([
            "-plaintext",
            "-H",
            &format!("authorization: Bearer {token}"),
        ])
        .args(["-d", &json!({"sha256": digest}).to_string()])
        .arg(stage.control_plane.address().to_string())
        .arg("gantry.v1.SyncService/LocateArtifact")
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    Ok(answer["url"].as_str().unwrap_or_default().to_owned())
}

fn status_of(url: &str) -> u16 {
    gantry_tests::web::agent()
        .get(url)
        .call()
        .unwrap()
        .status()
        .as_u16()
}

#[test]
fn url_is_given_to_the_tenant_alone_and_opens_one_object_for_a_short_time() {
    let ways = Ways::start(&[("GANTRY_STORAGE_PRESIGNED_FOR_S", "2")]);
    ways.push("1.0.0");
    let stage = &ways.lab.stage;
    let objects = ways.s3.bucket().objects().unwrap();
    let key = objects
        .iter()
        .find(|key| key.ends_with("/hooks.so"))
        .unwrap();
    let digest = key.rsplit('/').nth(1).unwrap();
    let other = stage.project("globex", "production").unwrap();
    let refusal = locate(stage, &other.gateway_token, digest).unwrap_err();
    assert!(refusal.contains("NotFound"), "{refusal}");
    assert!(!refusal.contains("http://"), "{refusal}");
    let admin = ways.lab.project.admin.token().to_owned();
    let refusal = locate(stage, &admin, digest).unwrap_err();
    assert!(refusal.contains("PermissionDenied"), "{refusal}");

    let url = locate(stage, &ways.lab.project.gateway_token, digest).unwrap();
    let endpoint = format!("http://{}/", ways.outer.address());
    assert!(url.starts_with(&endpoint), "as gateways see it");
    assert_eq!(status_of(&url), 200);
    let commit = url.replace(key, "t/acme/published/hooks/1.0.0.json");
    assert_eq!(status_of(&commit), 403, "it opens nothing else");
    assert_eq!(status_of(url.split_once('?').unwrap().0), 403, "unsigned");
    eventually("it expires", || (status_of(&url) == 403).then_some(())).unwrap();
}
