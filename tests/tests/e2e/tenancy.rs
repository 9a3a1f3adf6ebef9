//! Two tenants on one control plane see nothing of each other.

use gantry_tests::plugins;
use serde_json::json;

use crate::lab::Lab;

#[test]
fn another_tenant_with_the_same_names_gets_nothing_and_disturbs_nothing() {
    let lab = Lab::start();
    lab.deploy_faulty();
    lab.project
        .admin
        .put_api(
            lab.stage.folder(),
            &lab.definition(&json!({"use_keyless": true})),
        )
        .unwrap();
    lab.project.admin.json(&["key", "create"]).unwrap();
    let other = lab.stage.project("globex", "production").unwrap();
    for listing in [&["api", "list"][..], &["key", "list"], &["gateways"]] {
        assert_eq!(other.admin.json(listing).unwrap(), json!([]), "{listing:?}");
    }
    assert_eq!(other.admin.run(&["api", "get", "test"]).unwrap().code, 4);
    assert_eq!(
        other.admin.run(&["deploy", "faulty@1.0.0"]).unwrap().code,
        4
    );
    assert_eq!(
        other.admin.run(&["tenant", "list"]).unwrap().code,
        5,
        "only operators see tenants"
    );

    // The same name and version with other bytes: another tenant's business.
    let library = plugins::example("1.0.0", None).unwrap();
    let bundle =
        plugins::BundleFolder::new(&lab.stage.folder().join("globex"), "faulty", "1.0.0").unwrap();
    let folder = bundle
        .file("faulty.so", &library)
        .unwrap()
        .hook("pre", "AddTraceHeader", "faulty.so")
        .write()
        .unwrap();
    other.admin.push(&folder).unwrap();
    let objects = lab.stage.control_plane.objects().unwrap();
    for tenant in ["acme", "globex"] {
        assert!(
            objects.contains(&format!("t/{tenant}/published/faulty/1.0.0.json")),
            "{objects:?}"
        );
    }
}

#[test]
fn gateway_token_of_one_tenant_receives_nothing_of_another() {
    let lab = Lab::start();
    lab.project
        .admin
        .put_api(
            lab.stage.folder(),
            &lab.definition(&json!({"use_keyless": true})),
        )
        .unwrap();
    let other = lab.stage.project("globex", "production").unwrap();
    let gateway = lab.stage.ready_gateway(&other, "theirs", "v5.3.0").unwrap();
    assert_eq!(crate::lab::get(&gateway, "/api/x").status, 404);
    assert_eq!(lab.upstream.requests(), 0);
}
