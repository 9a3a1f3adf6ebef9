//! Functions of single endpoints, in Rust, C and Go: which requests meet them, what a missing file closes,
//! what deploying it opens, and what is refused.

use gantry_tests::plugins;
use gantry_tests::{Answer, Gateway, Request};
use serde_json::{Value, json};

use crate::lab::{Lab, assert_code, get, revision};

const C: &str = "c-headers.so";
const RUST: &str = "faulty.so";
const GO: &str = "go-hooks.so";

fn entry(method: &str, path: &str, file: &str, function: &str) -> Value {
    json!({"method": method, "path": path, "plugin_path": file, "func_name": function})
}

fn fields(entries: &[Value]) -> Value {
    json!({
        "use_keyless": true, "config_data": {"tag": "blue"},
        "extended_paths": {"go_plugin": entries},
    })
}

/// A C, a Rust and a Go library, deployed.
fn three_languages(lab: &Lab) {
    lab.deploy_c(
        "examples/c-headers/plugin.c",
        "c-headers",
        ("pre", "TagRequest"),
    );
    lab.deploy_faulty();
    let go = plugins::go("examples/go-hooks", "1.0.0", None).unwrap();
    let bundle = lab.bundle("go-hooks", "1.0.0").file(GO, &go).unwrap();
    lab.publish(bundle.hook("pre", "Correlate", GO));
    lab.project.admin.deploy("go-hooks@1.0.0").unwrap();
}

fn entries() -> Vec<Value> {
    let mut disabled = entry("GET", "/items/{id}", RUST, "Fail");
    disabled["disabled"] = json!(true);
    vec![
        entry("GET", "/items/{id}", C, "TagRequest"),
        disabled,
        entry("GET", "/items/{id}", GO, "Correlate"),
        entry("POST", "^/files/[a-z]+\\.txt$", RUST, "BodyReplace"),
        entry("GET", "/go/{name}", GO, "Correlate"),
        entry("GET", "/late", "late.so", "TagRequest"),
        entry("GET", "/panics", RUST, "Panic"),
    ]
}

fn upstream_saw(answer: &Answer, header: &str) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let value = &answer.json()["headers"][header];
    value.as_str().unwrap_or_default().to_owned()
}

fn partial(status: &Value) -> bool {
    let apis = &status["report"]["apis"];
    apis[0]["state"] == "partial" && apis[0]["code"] == "FILE_NOT_FOUND"
}

fn post(gateway: &Gateway, path: &str) -> String {
    let answer = gateway.send(&Request::post(path, "x")).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["body"].as_str().unwrap().to_owned()
}

#[test]
fn functions_in_three_languages_run_at_their_endpoints_only() {
    let lab = Lab::start();
    three_languages(&lab);
    let gateway = lab.gateway();
    lab.put(&gateway, &fields(&entries()));

    // Two of one endpoint in order: Go joins what C left; the disabled one between them would fail.
    let item = get(&gateway, "/api/items/42?q=1");
    assert!(upstream_saw(&item, "x-correlation-id").starts_with("blue/"));
    assert_eq!(item.header("x-correlated-by"), "go-hooks 1.0.0");
    let go = get(&gateway, "/api/go/x");
    assert!(
        upstream_saw(&go, "x-correlation-id").starts_with('/'),
        "C was not there"
    );
    for path in ["/api/items", "/api/items/42/parts", "/api/go", "/api/"] {
        let passed = get(&gateway, path);
        assert_eq!(upstream_saw(&passed, "x-correlation-id"), "", "{path}");
        assert_eq!(upstream_saw(&passed, "x-tag"), "", "{path}");
    }
    assert_eq!(post(&gateway, "/api/files/abc.txt"), "[x]");
    for path in ["/api/files/abc.txt.gz", "/api/files/1.txt", "/api/items/42"] {
        assert_eq!(post(&gateway, path), "x", "{path}");
    }

    let before = lab.upstream.requests();
    let panicked = get(&gateway, "/api/panics");
    assert_eq!(
        (panicked.status, &panicked.json()["code"]),
        (500, &json!("PLUGIN_FAILED"))
    );
    assert_eq!(
        lab.upstream.requests(),
        before,
        "nothing passes a function that fails"
    );
}

#[test]
fn missing_file_closes_its_endpoint_until_it_is_deployed() {
    let lab = Lab::start();
    three_languages(&lab);
    let gateway = lab.gateway();
    let put = lab.put(&gateway, &fields(&entries()));
    let at = "extended_paths.go_plugin[5].plugin_path";
    assert!(put.to_string().contains(at), "a warning names it: {put}");
    let before = lab.upstream.requests();
    let late = get(&gateway, "/api/late");
    assert_eq!(
        (late.status, &late.json()["code"]),
        (500, &json!("ENDPOINT_UNAVAILABLE"))
    );
    assert_eq!(lab.upstream.requests(), before);
    assert_eq!(
        post(&gateway, "/api/late"),
        "x",
        "another method is not concerned"
    );
    assert_eq!(
        upstream_saw(&get(&gateway, "/api/items/1"), "x-tag"),
        "blue"
    );
    gateway
        .wait_status("the endpoint is told", partial)
        .unwrap();

    let library = plugins::c(
        "examples/c-headers/plugin.c",
        lab.stage.folder(),
        Some("5.3.0"),
    );
    let bundle = lab
        .bundle("late", "1.0.0")
        .file("late.so", &library.unwrap())
        .unwrap();
    lab.publish(bundle.hook("pre", "TagRequest", "late.so"));
    let deployed = lab.project.admin.deploy("late@1.0.0").unwrap();
    gateway.wait_revision(revision(&deployed)).unwrap();
    assert_eq!(upstream_saw(&get(&gateway, "/api/late"), "x-tag"), "blue");
    gateway
        .wait_status("nothing is wrong", |status| {
            status["report"]["apis"] == json!([])
        })
        .unwrap();

    // A gateway version that the file was not built for: the endpoint is named before the upgrade.
    let explain = |version: &str| {
        let arguments = ["explain", "test", "--gateway-version", version];
        lab.project.admin.json(&arguments).unwrap()["functions"].clone()
    };
    let explained = explain("v5.3.0");
    let functions = explained.as_array().unwrap();
    assert_eq!(functions.len(), 7);
    let told = |i: usize| {
        (
            functions[i]["method"].clone(),
            functions[i]["endpoint"].clone(),
        )
    };
    assert_eq!(told(0), (json!("GET"), json!("/items/{id}")));
    assert_eq!(functions[0]["candidates"][0]["file"], C);
    assert_eq!(functions[1]["disabled"], true);
    assert_eq!(
        (&functions[5]["function"], &functions[5]["code"]),
        (&json!("TagRequest"), &Value::Null)
    );
    assert_eq!(explain("v5.4.0")[5]["code"], "TARGET_UNRESOLVED");
    let table = lab
        .project
        .admin
        .run(&["explain", "test", "--gateway-version", "v5.3.0"]);
    let table = table.unwrap().stdout;
    assert!(
        table.contains("GET /items/{id}") && table.contains("late.so"),
        "{table}"
    );
}

#[test]
fn endpoints_that_could_not_mean_one_thing_are_refused() {
    let lab = Lab::start();
    lab.deploy_c(
        "examples/c-headers/plugin.c",
        "c-headers",
        ("pre", "TagRequest"),
    );
    let refused = |entry: Value, code: &str, field: &str| {
        let outcome = lab.put_refused(&fields(&[entry]));
        assert_code(&outcome, code);
        let field = format!("extended_paths.go_plugin[0].{field}");
        assert!(outcome.stderr.contains(&field), "{}", outcome.stderr);
    };
    refused(entry("GET", "/(", C, "TagRequest"), "FIELD_INVALID", "path");
    refused(
        entry("GET", "/a", C, "Nothing"),
        "FUNCTION_NOT_FOUND",
        "func_name",
    );
    refused(
        entry("GET", "/a", C, "BlockPath"),
        "HOOK_UNDECLARED",
        "func_name",
    );
    let mut unknown = entry("GET", "/a", C, "TagRequest");
    unknown["symbol"] = json!("TagRequest");
    refused(unknown, "FIELD_UNKNOWN", "symbol");

    let good = fields(&[entry("GET", "/a", C, "TagRequest")]);
    let admin = &lab.project.admin;
    admin
        .put_api(lab.stage.folder(), &lab.definition(&good))
        .unwrap();
    let library = plugins::c("examples/c-headers/plugin.c", lab.stage.folder(), None).unwrap();
    let twin = lab.bundle("twin", "1.0.0").file(C, &library).unwrap();
    lab.publish(twin.hook("pre", "TagRequest", C));
    let outcome = admin.run(&["deploy", "twin@1.0.0"]).unwrap();
    assert_ne!(outcome.code, 0);
    assert_code(&outcome, "FILE_AMBIGUOUS");
}
