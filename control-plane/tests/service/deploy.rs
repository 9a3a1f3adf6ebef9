//! Pins, and what stands against moving them.

use gantry_proto::v1;
use serde_json::json;
use tonic::Code;

use crate::apis::api;
use crate::support::{Bundle, Caller, Plugin, TestApp, blockers, codes, reason};
use crate::sync::{FakeGateway, hello, profile};

const PRE: &str = r#""pre":[{"name":"Add","path":"hooks.so"}]"#;

fn build(version: &'static str, build: &'static str) -> Vec<u8> {
    Plugin {
        gateway_version: Some(version),
        build,
        ..Plugin::SIMPLE
    }
    .compile()
}

async fn gateway(app: &TestApp, acme: &Caller, id: &str, version: &str) -> FakeGateway {
    let token = acme.token(&[v1::Right::Gateway]).await.secret;
    FakeGateway::connect(&app.as_token(&token), hello(profile(id, version)))
        .await
        .unwrap()
}

#[tokio::test]
async fn version_that_a_connected_gateway_cannot_resolve_is_refused_with_the_list_unless_forced() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (old, new) = (build("5.3.0", "1"), build("5.4.0", "1"));
    let both = [
        ("hooks_v5.3.0_linux_amd64.so", old.as_slice()),
        ("hooks_v5.4.0_linux_amd64.so", &new),
    ];
    acme.push(&Bundle::new("hooks", "1.0.0", PRE, &both))
        .await
        .unwrap();
    acme.push(&Bundle::new("hooks", "2.0.0", PRE, &both[1..]))
        .await
        .unwrap();
    acme.put_api(&api(
        "orders",
        "/orders",
        &json!({"custom_middleware_bundle": "hooks"}),
    ))
    .await
    .unwrap();
    let _old = gateway(&app, &acme, "old", "v5.3.0").await;
    let _new = gateway(&app, &acme, "new", "v5.4.0").await;
    let deployed = acme.deploy_bundle("hooks", "1.0.0", false).await.unwrap();
    assert_eq!((deployed.revision, deployed.pins[0].weight), (2, 100));

    let refusal = acme
        .deploy_bundle("hooks", "2.0.0", false)
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::FailedPrecondition, "GATEWAYS_CANNOT_RUN")
    );
    let listed = (
        "TARGET_UNRESOLVED".to_owned(),
        "gateways/old/apis/orders".to_owned(),
    );
    assert_eq!(blockers(&refusal), [listed]);
    let pins = v1::ListPinsRequest {
        environment: "prod".into(),
    };
    let pins = acme.deploy().list_pins(pins).await.unwrap().into_inner();
    assert_eq!((pins.revision, pins.pins[0].version.as_str()), (2, "1.0.0"));

    let forced = acme.deploy_bundle("hooks", "2.0.0", true).await.unwrap();
    assert_eq!(
        (forced.revision, codes(&forced.warnings)),
        (3, vec!["TARGET_UNRESOLVED"])
    );
    assert_eq!(forced.warnings[0].path, "gateways/old/apis/orders");
}

#[tokio::test]
async fn deploying_what_is_deployed_makes_no_revision_and_what_is_not_published_is_not_found() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.push(&Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile()))
        .await
        .unwrap();
    let first = acme.deploy_bundle("hooks", "1.0.0", false).await.unwrap();
    let again = acme.deploy_bundle("hooks", "1.0.0", false).await.unwrap();
    assert_eq!((first.revision, again.revision), (1, 1));
    let refusal = acme
        .deploy_bundle("hooks", "1.0.1", false)
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::NotFound, "RELEASE_NOT_FOUND")
    );
}

#[tokio::test]
async fn version_whose_hooks_contradict_a_definition_is_refused_even_when_forced() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let bytes = Plugin {
        functions: &[("Add", &["pre", "auth"])],
        ..Plugin::SIMPLE
    }
    .compile();
    acme.push(&Bundle::simple("hooks", "1.0.0", &bytes))
        .await
        .unwrap();
    let auth = r#""auth_check":{"name":"Add","path":"hooks.so"}"#;
    acme.push(&Bundle::new(
        "hooks",
        "2.0.0",
        auth,
        &[("hooks.so", &bytes)],
    ))
    .await
    .unwrap();
    acme.deploy_bundle("hooks", "1.0.0", false).await.unwrap();
    let open = json!({"custom_middleware_bundle": "hooks", "use_keyless": true});
    acme.put_api(&api("open", "/open", &open)).await.unwrap();
    let refusal = acme
        .deploy_bundle("hooks", "2.0.0", true)
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::FailedPrecondition, "HOOK_CONTRADICTION")
    );
    let named = (
        "HOOK_CONTRADICTION".to_owned(),
        "apis/open/use_keyless".to_owned(),
    );
    assert!(
        blockers(&refusal).contains(&named),
        "{:?}",
        blockers(&refusal)
    );
}

#[tokio::test]
async fn file_that_two_pinned_bundles_could_answer_is_refused() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let bytes = Plugin::SIMPLE.compile();
    for bundle in ["one", "two"] {
        acme.push(&Bundle::simple(bundle, "1.0.0", &bytes))
            .await
            .unwrap();
    }
    acme.deploy_bundle("one", "1.0.0", false).await.unwrap();
    let inline = json!({"driver": "native", "pre": [{"name": "Add", "path": "hooks.so"}]});
    let definition = api("a", "/a", &json!({"custom_middleware": inline}));
    acme.put_api(&definition).await.unwrap();
    let refusal = acme.deploy_bundle("two", "1.0.0", true).await.unwrap_err();
    assert_eq!(reason(&refusal), "FILE_AMBIGUOUS");
    let delete = v1::DeleteApiRequest {
        environment: "prod".into(),
        api_id: "a".into(),
    };
    acme.apis().delete_api(delete).await.unwrap();
    acme.deploy_bundle("two", "1.0.0", false).await.unwrap();
    assert_eq!(
        reason(&acme.put_api(&definition).await.unwrap_err()),
        "FILE_AMBIGUOUS"
    );
}

#[tokio::test]
async fn explain_names_every_candidate_and_why_it_was_taken_or_passed_over() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let (old, new) = (build("5.3.0", "1"), build("5.4.0", "1"));
    let both = [
        ("hooks_v5.3.0_linux_amd64.so", old.as_slice()),
        ("hooks_v5.4.0_linux_amd64.so", &new),
    ];
    acme.push(&Bundle::new("hooks", "1.0.0", PRE, &both))
        .await
        .unwrap();
    acme.deploy_bundle("hooks", "1.0.0", false).await.unwrap();
    acme.put_api(&api(
        "orders",
        "/orders",
        &json!({"custom_middleware_bundle": "hooks"}),
    ))
    .await
    .unwrap();
    let _connected = gateway(&app, &acme, "new", "v5.4.0").await;
    let explain = |request: v1::ExplainRequest| {
        let acme = acme.clone();
        let request = v1::ExplainRequest {
            environment: "prod".into(),
            api_id: "orders".into(),
            ..request
        };
        async move {
            acme.deploy()
                .explain(request)
                .await
                .map(tonic::Response::into_inner)
        }
    };
    let of = v1::ExplainRequest {
        gateway_id: "new".into(),
        ..Default::default()
    };
    let explained = explain(of).await.unwrap();
    assert_eq!(
        (explained.gateway_version.as_str(), explained.code.as_str()),
        ("v5.4.0", "")
    );
    let candidates = &explained.functions[0].candidates;
    let verdicts: Vec<_> = candidates
        .iter()
        .map(|candidate| candidate.verdict.as_str())
        .collect();
    assert_eq!(verdicts, ["GATEWAY_VERSION_DIFFERS", "TAKEN"]);
    assert_eq!(
        candidates[1].sha256,
        gantry_domain::Digest::of(&new).to_string()
    );

    let imagined = v1::ExplainRequest {
        gateway_version: "v6.0.0".into(),
        platform: "linux_amd64".into(),
        ..Default::default()
    };
    let explained = explain(imagined).await.unwrap();
    assert_eq!(
        (
            explained.code.as_str(),
            explained.functions[0].code.as_str()
        ),
        ("TARGET_UNRESOLVED", "TARGET_UNRESOLVED")
    );
    let nobody = v1::ExplainRequest {
        gateway_id: "nobody".into(),
        ..Default::default()
    };
    assert_eq!(
        reason(&explain(nobody).await.unwrap_err()),
        "GATEWAY_NOT_FOUND"
    );
    assert_eq!(
        reason(&explain(v1::ExplainRequest::default()).await.unwrap_err()),
        "FIELD_MISSING"
    );
}
