//! A control plane in this process, and what tests say to it.

mod plugin;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gantry_control_plane::app::{App, bootstrap};
use gantry_control_plane::config::{Config, Inputs};
use gantry_control_plane::metadata::Metadata;
use gantry_domain::{Digest, Limits, SystemClock};
use gantry_proto::v1;
use gantry_proto::v1::admin_service_client::AdminServiceClient;
use gantry_proto::v1::api_service_client::ApiServiceClient;
use gantry_proto::v1::catalog_service_client::CatalogServiceClient;
use gantry_proto::v1::deploy_service_client::DeployServiceClient;
use gantry_proto::v1::key_service_client::KeyServiceClient;
use gantry_proto::v1::publish_service_client::PublishServiceClient;
use gantry_proto::v1::sync_service_client::SyncServiceClient;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt;

pub(crate) use plugin::Plugin;
pub(crate) use wire::call_raw;

/// Longer than anything here takes; reached only when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane that serves until it is dropped or stopped.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    pub(crate) operator: String,
    config: Config,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
    folder: Arc<tempfile::TempDir>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let config = config(folder.path(), limits);
        let token = bootstrap(&config, &SystemClock, false).await.unwrap();
        Self::serve(config, folder, token.reveal()).await
    }

    async fn serve(config: Config, folder: Arc<tempfile::TempDir>, operator: String) -> Self {
        let app = App::open(&config, Arc::new(SystemClock)).await.unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(async move { app.serve(stopped).await.unwrap() });
        let address_file = config.server.address_file.clone().unwrap();
        let address = await_file(&address_file).await.parse().unwrap();
        std::fs::remove_file(address_file).unwrap();
        Self {
            address,
            operator,
            config,
            stop,
            serving: Some(serving),
            folder,
        }
    }

    /// Stops it and gives back what is needed to start it again.
    pub(crate) async fn stop(mut self) -> Stopped {
        self.stop.cancel();
        let serving = self.serving.take().unwrap();
        tokio::time::timeout(PATIENCE, serving)
            .await
            .unwrap()
            .unwrap();
        Stopped {
            config: self.config.clone(),
            folder: self.folder.clone(),
            operator: self.operator.clone(),
        }
    }

    pub(crate) fn objects_dir(&self) -> PathBuf {
        self.folder.path().join("data/objects")
    }

    /// Paths of all stored objects, sorted.
    pub(crate) fn objects(&self) -> Vec<String> {
        let mut paths = Vec::new();
        walk(&self.objects_dir(), "", &mut paths);
        paths.sort();
        paths
    }

    /// Rows of the stores that uploads and environments fill, as text.
    pub(crate) async fn rows(&self) -> Vec<String> {
        self.metadata().await.dump().await.unwrap()
    }

    /// Where bundles are taken by plain HTTP.
    pub(crate) async fn http(&self) -> SocketAddr {
        let file = self.config.http.address_file.clone().unwrap();
        await_file(&file).await.parse().unwrap()
    }

    /// What lies in the folder for archives that are taken in.
    pub(crate) fn spooled(&self) -> usize {
        std::fs::read_dir(&self.config.http.spool_directory)
            .unwrap()
            .count()
    }

    pub(crate) async fn metadata(&self) -> Metadata {
        Metadata::open(&self.config.metadata.file).await.unwrap()
    }

    pub(crate) fn as_token(&self, token: &str) -> Caller {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let token = Bearer(token.to_owned());
        Caller(InterceptedService::new(endpoint.connect_lazy(), token))
    }

    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address))
            .unwrap()
            .connect_lazy()
    }

    /// A tenant with an environment `prod`, as its admin.
    pub(crate) async fn tenant(&self, name: &str) -> Caller {
        let request = v1::CreateTenantRequest { name: name.into() };
        let created = self
            .as_token(&self.operator)
            .admin()
            .create_tenant(request)
            .await
            .unwrap();
        let admin = self.as_token(&created.into_inner().admin_token);
        admin.environment("prod").await;
        admin
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A control plane between two lives.
pub(crate) struct Stopped {
    pub(crate) config: Config,
    folder: Arc<tempfile::TempDir>,
    operator: String,
}

impl Stopped {
    pub(crate) async fn start(self) -> TestApp {
        TestApp::serve(self.config, self.folder, self.operator).await
    }
}

pub(crate) fn config(folder: &Path, limits: Limits) -> Config {
    let text = |path: PathBuf| path.display().to_string();
    let flags = [
        ("data_dir", text(folder.join("data"))),
        ("server.listen", "127.0.0.1:0".to_owned()),
        ("server.address_file", text(folder.join("address"))),
        ("server.shutdown_timeout_ms", "5000".to_owned()),
        ("http.listen", "127.0.0.1:0".to_owned()),
        ("http.address_file", text(folder.join("http-address"))),
    ];
    let inputs = Inputs {
        flags: flags.into(),
        ..Inputs::default()
    };
    let config = Config::read(inputs).unwrap();
    Config { limits, ..config }
}

/// Waits for a file that is renamed into place when it is complete.
pub(crate) async fn await_file(path: &Path) -> String {
    let found = async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) => return text,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .expect("the file appears")
}

fn walk(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &format!("{path}/"), paths);
        } else {
            paths.push(path);
        }
    }
}

#[derive(Clone)]
pub(crate) struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = format!("Bearer {}", self.0).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// Someone who calls with a token.
#[derive(Clone)]
pub(crate) struct Caller(InterceptedService<Channel, Bearer>);

type Service = InterceptedService<Channel, Bearer>;

impl Caller {
    pub(crate) fn admin(&self) -> AdminServiceClient<Service> {
        AdminServiceClient::new(self.0.clone())
    }

    pub(crate) fn publish(&self) -> PublishServiceClient<Service> {
        PublishServiceClient::new(self.0.clone())
    }

    pub(crate) fn catalog(&self) -> CatalogServiceClient<Service> {
        CatalogServiceClient::new(self.0.clone())
    }

    pub(crate) fn deploy(&self) -> DeployServiceClient<Service> {
        DeployServiceClient::new(self.0.clone())
    }

    pub(crate) fn apis(&self) -> ApiServiceClient<Service> {
        ApiServiceClient::new(self.0.clone())
    }

    pub(crate) fn keys(&self) -> KeyServiceClient<Service> {
        KeyServiceClient::new(self.0.clone())
    }

    pub(crate) fn sync(&self) -> SyncServiceClient<Service> {
        SyncServiceClient::new(self.0.clone())
    }

    pub(crate) async fn environment(&self, name: &str) {
        let request = v1::CreateEnvironmentRequest {
            name: name.into(),
            lookup: String::new(),
        };
        self.admin().create_environment(request).await.unwrap();
    }

    /// A token with these rights; gateways belong to `prod`.
    pub(crate) async fn token(&self, rights: &[v1::Right]) -> v1::CreateTokenResponse {
        let gateway = rights.contains(&v1::Right::Gateway);
        let request = v1::CreateTokenRequest {
            rights: rights.iter().map(|right| (*right).into()).collect(),
            environment: if gateway {
                "prod".into()
            } else {
                String::new()
            },
            description: "test".into(),
        };
        self.admin()
            .create_token(request)
            .await
            .unwrap()
            .into_inner()
    }

    pub(crate) async fn begin(&self, bundle: &Bundle) -> Result<v1::BeginUploadResponse, Status> {
        let request = v1::BeginUploadRequest {
            manifest: bundle.manifest.clone().into_bytes(),
            files: bundle.declarations(),
        };
        Ok(self.publish().begin_upload(request).await?.into_inner())
    }

    pub(crate) async fn send(
        &self,
        upload: &str,
        file: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<v1::FileProgress, Status> {
        let mut position = offset;
        let mut messages = Vec::new();
        for chunk in bytes.chunks(256 << 10) {
            messages.push(v1::UploadFileRequest {
                upload_id: upload.into(),
                file: file.into(),
                offset: position,
                chunk: bytes::Bytes::copy_from_slice(chunk),
            });
            position += chunk.len() as u64;
        }
        let sent = self
            .publish()
            .upload_file(tokio_stream::iter(messages))
            .await?;
        Ok(sent.into_inner().file.unwrap())
    }

    /// Uploads what is missing and publishes.
    pub(crate) async fn push(&self, bundle: &Bundle) -> Result<v1::PublishResponse, Status> {
        let begun = self.begin(bundle).await?;
        if let Some(release) = begun.published {
            return Ok(v1::PublishResponse {
                release: Some(release),
                warnings: Vec::new(),
                already_published: true,
            });
        }
        for file in &begun.files {
            if file.committed_bytes < file.size_bytes {
                let bytes =
                    &bundle.bytes_of(&file.name)[usize::try_from(file.committed_bytes).unwrap()..];
                self.send(&begun.upload_id, &file.name, file.committed_bytes, bytes)
                    .await?;
            }
        }
        let request = v1::PublishRequest {
            upload_id: begun.upload_id,
        };
        Ok(self.publish().publish(request).await?.into_inner())
    }

    pub(crate) async fn deploy_bundle(
        &self,
        bundle: &str,
        version: &str,
        force: bool,
    ) -> Result<v1::DeployResponse, Status> {
        let request = v1::DeployRequest {
            environment: "prod".into(),
            bundle: bundle.into(),
            version: version.into(),
            force,
        };
        Ok(self.deploy().deploy(request).await?.into_inner())
    }

    pub(crate) async fn put_api(&self, definition: &str) -> Result<v1::PutApiResponse, Status> {
        let request = v1::PutApiRequest {
            environment: "prod".into(),
            definition: definition.as_bytes().to_vec(),
            ..v1::PutApiRequest::default()
        };
        Ok(self.apis().put_api(request).await?.into_inner())
    }
}

/// A bundle as an author has it.
#[derive(Clone)]
pub(crate) struct Bundle {
    pub(crate) manifest: String,
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Bundle {
    /// `hooks` is the inside of `custom_middleware` after the driver.
    pub(crate) fn new(name: &str, version: &str, hooks: &str, files: &[(&str, &[u8])]) -> Self {
        let list: Vec<_> = files.iter().map(|(name, _)| format!("{name:?}")).collect();
        let digests: Vec<_> = files
            .iter()
            .map(|(name, bytes)| format!("{name:?}:\"{}\"", Digest::of(bytes)))
            .collect();
        let manifest = format!(
            r#"{{"name":"{name}","version":"{version}","file_list":[{}],"sha256":{{{}}},
            "custom_middleware":{{"driver":"goplugin",{hooks}}}}}"#,
            list.join(","),
            digests.join(","),
        );
        let files = files
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
        Self {
            manifest,
            files: files.collect(),
        }
    }

    /// One file `hooks.so` with its function `Add` at `pre`.
    pub(crate) fn simple(name: &str, version: &str, bytes: &[u8]) -> Self {
        Self::new(
            name,
            version,
            r#""pre":[{"name":"Add","path":"hooks.so"}]"#,
            &[("hooks.so", bytes)],
        )
    }

    pub(crate) fn bytes_of(&self, file: &str) -> &[u8] {
        &self.files.iter().find(|(name, _)| name == file).unwrap().1
    }

    fn declarations(&self) -> Vec<v1::FileDeclaration> {
        let manifest: serde_json::Value = serde_json::from_str(&self.manifest).unwrap();
        let declaration = |(name, bytes): &(String, Vec<u8>)| v1::FileDeclaration {
            name: name.clone(),
            sha256: manifest["sha256"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            size_bytes: bytes.len() as u64,
        };
        self.files.iter().map(declaration).collect()
    }
}

/// The stable code of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

/// The fields that a refusal names.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let fields = details
        .bad_request()
        .map(|bad| bad.field_violations.clone())
        .unwrap_or_default();
    fields.into_iter().map(|field| field.field).collect()
}

/// The things that stand in the way: code and subject.
pub(crate) fn blockers(status: &Status) -> Vec<(String, String)> {
    let details = status.get_error_details();
    let found = details
        .precondition_failure()
        .map(|bad| bad.violations.clone())
        .unwrap_or_default();
    found
        .into_iter()
        .map(|violation| (violation.r#type, violation.subject))
        .collect()
}

/// The codes of warnings.
pub(crate) fn codes(warnings: &[v1::Warning]) -> Vec<&str> {
    warnings
        .iter()
        .map(|warning| warning.code.as_str())
        .collect()
}
