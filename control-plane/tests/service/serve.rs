//! The process: start, TLS, reflection, health.

use std::process::{Command, Output};
use std::sync::Arc;

use gantry_control_plane::app::{App, AppError};
use gantry_control_plane::config::TlsConfig;
use gantry_domain::{Limits, SystemClock};
use gantry_proto::v1;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{TestApp, await_file, config};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gantry-control-plane"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn reflection_and_health_are_open_and_name_every_service() {
    let app = TestApp::start().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(app.channel());
    let answer = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap();
    let answer = answer.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list of services");
    };
    let names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for service in gantry_proto::descriptors::pool().services() {
        assert!(names.contains(&service.full_name().to_owned()), "{names:?}");
    }
    let health = HealthClient::new(app.channel())
        .check(HealthCheckRequest::default())
        .await
        .unwrap();
    assert_eq!(health.into_inner().status, 1);
}

#[tokio::test]
async fn configured_certificate_is_served_and_plaintext_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = TlsConfig {
        certificate_file: folder.path().join("cert.pem"),
        key_file: folder.path().join("key.pem"),
    };
    std::fs::write(&tls.certificate_file, issued.cert.pem()).unwrap();
    std::fs::write(&tls.key_file, issued.signing_key.serialize_pem()).unwrap();
    let mut config = config(folder.path(), Limits::default());
    config.server.tls = Some(tls);
    let app = App::open(&config, Arc::new(SystemClock)).await.unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(app.serve(stop.clone()));
    let address = await_file(config.server.address_file.as_ref().unwrap()).await;

    let trust = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(issued.cert.pem()))
        .domain_name("localhost");
    let secure = Endpoint::from_shared(format!("https://{address}"))
        .unwrap()
        .tls_config(trust)
        .unwrap();
    let mut client = HealthClient::new(secure.connect().await.unwrap());
    client.check(HealthCheckRequest::default()).await.unwrap();
    let plain = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy();
    assert!(
        HealthClient::new(plain)
            .check(HealthCheckRequest::default())
            .await
            .is_err()
    );
    let door = await_file(config.http.address_file.as_ref().unwrap()).await;
    let port = door.rsplit_once(':').unwrap().1;
    let certificate = config.server.tls.unwrap().certificate_file;
    let curl = |url: String| {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "10"]);
        curl.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
        curl.arg("--cacert").arg(&certificate).arg(url);
        tokio::task::spawn_blocking(move || curl.output().unwrap())
    };
    let secure = curl(format!("https://localhost:{port}/livez"));
    let secure = secure.await.unwrap();
    assert!(secure.status.success(), "{}", text(&secure.stderr));
    let plain = curl(format!("http://localhost:{port}/livez"))
        .await
        .unwrap();
    assert!(!plain.status.success(), "{}", text(&plain.stdout));
    drop(client);
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn store_that_another_control_plane_uses_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), Limits::default());
    let _first = App::open(&config, Arc::new(SystemClock)).await.unwrap();
    let second = App::open(&config, Arc::new(SystemClock)).await;
    assert!(matches!(second, Err(AppError::Locked(_))));
}

#[tokio::test]
async fn bootstrap_prints_a_token_once_and_another_only_when_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let first = run(&["bootstrap", "--data-dir", &data]);
    assert!(first.status.success());
    let token = text(&first.stdout).trim();
    assert!(token.starts_with("gantry_") && !token.contains(char::is_whitespace));
    let second = run(&["bootstrap", "--data-dir", &data]);
    assert_eq!((second.status.code(), text(&second.stdout)), (Some(1), ""));
    assert!(
        text(&second.stderr).contains("valid admin token already"),
        "{}",
        text(&second.stderr)
    );
    let third = run(&["bootstrap", "--again", "--data-dir", &data]);
    assert!(third.status.success());
    assert_ne!(third.stdout, first.stdout);
}

#[tokio::test]
async fn configuration_is_checked_and_shown_and_every_mistake_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(
        &file,
        "[server]\nlisten = '0.0.0.0:1'\nlistn = 1\n[log]\nformat = 'xml'\n",
    )
    .unwrap();
    let path = file.display().to_string();
    let checked = run(&["config", "check", "--config", &path]);
    assert_eq!(checked.status.code(), Some(2));
    let errors = text(&checked.stderr);
    for part in ["server.listen:", "server.listn:", "log.format:"] {
        assert!(errors.contains(part), "{errors}");
    }
    std::fs::write(&file, "data_dir = '/data'\n").unwrap();
    let shown = run(&["config", "show", "--config", &path]);
    assert!(
        text(&shown.stdout).contains("storage.directory = \"/data/objects\"  # default"),
        "{}",
        text(&shown.stdout)
    );
}

#[tokio::test]
async fn process_serves_until_it_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let (data, address) = (folder.path().join("data"), folder.path().join("address"));
    let token = run(&["bootstrap", "--data-dir", data.to_str().unwrap()]);
    let mut process = Command::new(env!("CARGO_BIN_EXE_gantry-control-plane"))
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data.to_str().unwrap(),
        ])
        .args(["--address-file", address.to_str().unwrap()])
        .spawn()
        .unwrap();
    let address = await_file(&address).await;
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy();
    let answer = crate::support::call_raw(
        &channel,
        "/gantry.v1.AdminService/WhoAmI",
        Some(text(&token.stdout).trim()),
        vec![bytes::Bytes::new()],
    );
    let who: v1::WhoAmIResponse = prost::Message::decode(answer.await.unwrap().remove(0)).unwrap();
    assert_eq!(who.tenant, "gantry");
    drop(channel);
    let terminated = Command::new("kill")
        .args(["-TERM", &process.id().to_string()])
        .status()
        .unwrap();
    assert!(terminated.success());
    let ended = tokio::task::spawn_blocking(move || process.wait().unwrap())
        .await
        .unwrap();
    assert!(ended.success());
}
