//! API definitions: legality, auto-fill, routes, etags.

use gantry_domain::Limits;
use gantry_proto::v1;
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{Bundle, Caller, Plugin, TestApp, codes, fields, reason};

const HOOKS: &[(&str, &[&str])] = &[
    ("Add", &["pre", "post"]),
    ("Check", &["auth"]),
    ("After", &["post_auth"]),
];

pub(crate) fn api(id: &str, path: &str, more: &Value) -> String {
    let mut definition = json!({
        "api_id": id, "name": id,
        "proxy": {"listen_path": path, "target_url": "http://127.0.0.1:9"},
    });
    for (name, value) in more.as_object().unwrap() {
        definition[name] = value.clone();
    }
    definition.to_string()
}

fn hook(hook: &str, function: &str) -> Value {
    let entry = json!({"name": function, "path": "hooks.so"});
    let entry = if hook == "auth_check" {
        entry
    } else {
        json!([entry])
    };
    json!({"driver": "goplugin", hook: entry})
}

async fn with_hooks(app: &TestApp) -> Caller {
    let acme = app.tenant("acme").await;
    let bytes = Plugin {
        functions: HOOKS,
        ..Plugin::SIMPLE
    }
    .compile();
    acme.push(&Bundle::simple("hooks", "1.0.0", &bytes))
        .await
        .unwrap();
    acme.deploy_bundle("hooks", "1.0.0", false).await.unwrap();
    acme
}

#[tokio::test]
async fn absent_switches_are_filled_in_from_the_hooks_and_come_back() {
    let app = TestApp::start().await;
    let acme = with_hooks(&app).await;
    for (id, middleware, expected) in [
        ("auth", hook("auth_check", "Check"), (false, true, false)),
        (
            "post-auth",
            hook("post_key_auth", "After"),
            (false, false, true),
        ),
        ("neither", hook("pre", "Add"), (false, false, true)),
    ] {
        let definition = api(
            id,
            &format!("/{id}"),
            &json!({"custom_middleware": middleware}),
        );
        let put = acme.put_api(&definition).await.unwrap();
        assert_eq!(codes(&put.warnings), [""; 0]);
        let get = v1::GetApiRequest {
            environment: "prod".into(),
            api_id: id.into(),
        };
        let got = acme.apis().get_api(get).await.unwrap().into_inner();
        assert_eq!(
            (&got.definition, &got.digest),
            (&put.definition, &put.digest)
        );
        let stored: Value = serde_json::from_slice(&got.definition).unwrap();
        let switches = ["use_keyless", "use_go_plugin_auth", "use_standard_auth"];
        let switches = switches.map(|name| stored[name].as_bool().unwrap());
        assert_eq!(switches, <[bool; 3]>::from(expected), "{id}");
    }
}

#[tokio::test]
async fn contradiction_is_refused_with_the_field_that_must_change_and_stores_nothing() {
    let app = TestApp::start().await;
    let acme = with_hooks(&app).await;
    let before = app.rows().await;
    for (middleware, switch, value, field) in [
        (
            hook("auth_check", "Check"),
            "use_keyless",
            true,
            "use_keyless",
        ),
        (
            hook("auth_check", "Check"),
            "use_go_plugin_auth",
            false,
            "use_go_plugin_auth",
        ),
        (
            hook("auth_check", "Check"),
            "custom_plugin_auth_enabled",
            false,
            "use_go_plugin_auth",
        ),
        (
            hook("post_key_auth", "After"),
            "use_keyless",
            true,
            "use_keyless",
        ),
        (
            hook("pre", "Add"),
            "use_go_plugin_auth",
            true,
            "use_go_plugin_auth",
        ),
    ] {
        let definition = api(
            "a",
            "/a",
            &json!({"custom_middleware": middleware, switch: value}),
        );
        let refusal = acme.put_api(&definition).await.unwrap_err();
        assert_eq!(
            (refusal.code(), reason(&refusal).as_str()),
            (Code::InvalidArgument, "HOOK_CONTRADICTION")
        );
        assert!(fields(&refusal).contains(&field.to_owned()), "{refusal:?}");
    }
    assert_eq!(app.rows().await, before);
}

#[tokio::test]
async fn field_that_is_not_known_is_refused_by_its_path() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let refusal = acme
        .put_api(&api("a", "/a", &json!({"enable_jwt": true})))
        .await
        .unwrap_err();
    assert_eq!(
        (reason(&refusal).as_str(), fields(&refusal)),
        ("FIELD_UNKNOWN", vec!["enable_jwt".to_owned()])
    );
}

#[tokio::test]
async fn function_that_its_file_does_not_offer_is_refused_and_one_that_waits_is_a_warning() {
    let app = TestApp::start().await;
    let acme = with_hooks(&app).await;
    let put = |middleware: Value| api("a", "/a", &json!({"custom_middleware": middleware}));
    let refusal = acme
        .put_api(&put(hook("pre", "Missing")))
        .await
        .unwrap_err();
    assert_eq!(
        (reason(&refusal).as_str(), fields(&refusal)),
        (
            "FUNCTION_NOT_FOUND",
            vec!["custom_middleware.pre[0].name".to_owned()]
        )
    );
    let refusal = acme.put_api(&put(hook("pre", "Check"))).await.unwrap_err();
    assert_eq!(reason(&refusal), "HOOK_UNDECLARED");
    let other = json!({"driver": "goplugin", "pre": [{"name": "Add", "path": "later.so"}]});
    assert_eq!(
        codes(&acme.put_api(&put(other)).await.unwrap().warnings),
        ["FILE_NOT_FOUND"]
    );
    let bundle = api("b", "/b", &json!({"custom_middleware_bundle": "later"}));
    assert_eq!(
        codes(&acme.put_api(&bundle).await.unwrap().warnings),
        ["BUNDLE_NOT_DEPLOYED"]
    );
}

#[tokio::test]
async fn route_belongs_to_one_api() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    acme.put_api(&api("first", "/orders/", &json!({"domain": "Api.Example"})))
        .await
        .unwrap();
    let same = api("second", "/orders", &json!({"domain": "api.example"}));
    let refusal = acme.put_api(&same).await.unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::AlreadyExists, "ROUTE_CONFLICT")
    );
    assert!(refusal.message().contains("first"), "{}", refusal.message());
    acme.put_api(&api("second", "/orders", &json!({})))
        .await
        .unwrap();
    // Moving an API to its own route is no conflict.
    acme.put_api(&api("first", "/orders", &json!({"domain": "api.example"})))
        .await
        .unwrap();
}

#[tokio::test]
async fn putting_the_same_again_or_validating_makes_no_revision() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.put_api(&api("a", "/a", &json!({}))).await.unwrap();
    assert_eq!(first.revision, 1);
    let again = acme
        .put_api(&api("a", "/a", &json!({"active": true})))
        .await
        .unwrap();
    assert_eq!((again.revision, again.digest), (1, first.digest.clone()));
    let validate = |etag: &str, validate_only| v1::PutApiRequest {
        environment: "prod".into(),
        definition: api("a", "/b", &json!({})).into_bytes(),
        etag: etag.into(),
        validate_only,
    };
    let checked = acme
        .apis()
        .put_api(validate("", true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(checked.revision, 1);
    let refusal = acme
        .apis()
        .put_api(validate("none", false))
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    let moved = acme
        .apis()
        .put_api(validate(&first.digest, false))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(moved.revision, 2);
}

#[tokio::test]
async fn apis_are_listed_deleted_and_bounded() {
    let app = TestApp::start_with(Limits {
        apis_max: 2,
        ..Limits::default()
    })
    .await;
    let acme = app.tenant("acme").await;
    for id in ["b", "a"] {
        acme.put_api(&api(id, &format!("/{id}"), &json!({})))
            .await
            .unwrap();
    }
    let refusal = acme.put_api(&api("c", "/c", &json!({}))).await.unwrap_err();
    assert_eq!(reason(&refusal), "APIS_TOO_MANY");
    let list = |page_token: &str| v1::ListApisRequest {
        environment: "prod".into(),
        page_size: 1,
        page_token: page_token.into(),
    };
    let first = acme.apis().list_apis(list("")).await.unwrap().into_inner();
    let second = acme
        .apis()
        .list_apis(list(&first.next_page_token))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            first.apis[0].api_id.as_str(),
            second.apis[0].api_id.as_str()
        ),
        ("a", "b")
    );
    assert_eq!(second.next_page_token, "");
    let delete = v1::DeleteApiRequest {
        environment: "prod".into(),
        api_id: "a".into(),
    };
    assert_eq!(
        acme.apis()
            .delete_api(delete.clone())
            .await
            .unwrap()
            .into_inner()
            .revision,
        3
    );
    assert_eq!(
        reason(&acme.apis().delete_api(delete).await.unwrap_err()),
        "API_NOT_FOUND"
    );
}

#[tokio::test]
async fn writers_at_once_lose_nothing_and_revisions_follow_each_other() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut writers = tokio::task::JoinSet::new();
    for i in 0..6 {
        let acme = acme.clone();
        writers.spawn(async move {
            acme.put_api(&api(&format!("a{i}"), &format!("/a{i}"), &json!({})))
                .await
        });
    }
    let mut revisions: Vec<_> = writers
        .join_all()
        .await
        .into_iter()
        .map(|put| put.unwrap().revision)
        .collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6]);
    let list = v1::ListApisRequest {
        environment: "prod".into(),
        ..Default::default()
    };
    assert_eq!(
        acme.apis()
            .list_apis(list)
            .await
            .unwrap()
            .into_inner()
            .apis
            .len(),
        6
    );
}
