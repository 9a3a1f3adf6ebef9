//! A stock gRPC client finds and calls the services through reflection, as the README shows.

use std::process::Command;

use gantry_tests::binaries::tool;

use crate::lab::Lab;

fn grpcurl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(tool("grpcurl").unwrap())
        .arg("-plaintext")
        .args(arguments)
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), text)
}

#[test]
fn stock_client_lists_describes_and_calls_the_services() {
    let lab = Lab::start();
    let address = lab.stage.control_plane.address().to_string();
    let (good, listed) = grpcurl(&[&address, "list"]);
    assert!(good, "{listed}");
    for service in [
        "AdminService",
        "PublishService",
        "DeployService",
        "ApiService",
        "KeyService",
        "SyncService",
    ] {
        assert!(
            listed
                .lines()
                .any(|line| line == format!("gantry.v1.{service}")),
            "{listed}"
        );
    }
    let (good, described) = grpcurl(&[&address, "describe", "gantry.v1.ApiService.PutApi"]);
    assert!(good && described.contains("PutApiRequest"), "{described}");
    let credential = format!("authorization: Bearer {}", lab.project.admin.token());
    let (good, answered) = grpcurl(&["-H", &credential, &address, "gantry.v1.AdminService/WhoAmI"]);
    assert!(
        good && answered.contains("\"tenant\": \"acme\""),
        "{answered}"
    );
    let (good, refused) = grpcurl(&[&address, "gantry.v1.AdminService/WhoAmI"]);
    assert!(!good && refused.contains("Unauthenticated"), "{refused}");
    let (good, health) = grpcurl(&[&address, "grpc.health.v1.Health/Check"]);
    assert!(good && health.contains("SERVING"), "{health}");
}
