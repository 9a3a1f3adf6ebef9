//! `gantry gateways`: the gateways of an environment and what each of them runs.

use clap::Args;
use gantry_client::Repeat;
use gantry_proto::v1;
use serde::Serialize;

use crate::context::{Context, list};
use crate::error::CliError;
use crate::view::{Shown, View, coded, given, moment, moment_shown, short};

/// Arguments of `gantry gateways`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry gateways --env staging
  gantry gateways --env staging -o json | jq '.[].artifacts[].sha256'

VERSION shows `(built …)` behind it where configuration says another version than the program's own.
REVISION is what the gateway runs / the environment's newest.")]
pub(crate) struct Gateways {
    /// Entries to show, at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, Serialize)]
struct ArtifactView {
    bundle: String,
    version: String,
    file: String,
    sha256: String,
    phase: String,
    workers_serving: u32,
    workers: u32,
    code: Option<String>,
    message: Option<String>,
    /// Where it came from, if it was fetched since the gateway started.
    fetched_from: Option<String>,
}

#[derive(Debug, Serialize)]
struct ApiStateView {
    api_id: String,
    state: String,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Serialize)]
struct GatewayView {
    id: String,
    version: String,
    /// The program's own version, where configuration says another one.
    built_version: Option<String>,
    version_overridden: bool,
    platform: String,
    libc: String,
    abi: String,
    features: Vec<String>,
    connected: bool,
    last_seen_at: Option<String>,
    state: String,
    revision: u64,
    /// The environment's newest revision.
    head_revision: u64,
    workers_live: u32,
    workers: u32,
    requests_total: u64,
    worker_deaths_total: u64,
    artifacts: Vec<ArtifactView>,
    /// Only APIs that are not simply serving.
    apis: Vec<ApiStateView>,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct GatewaysView(Vec<GatewayView>);

impl GatewayView {
    fn new(status: v1::GatewayStatus, head_revision: u64) -> Self {
        let profile = status.profile.unwrap_or_default();
        let report = status.report.unwrap_or_default();
        let built_version = given(profile.built_version).filter(|built| *built != profile.version);
        Self {
            id: profile.gateway_id,
            version: profile.version,
            version_overridden: built_version.is_some(),
            built_version,
            platform: profile.platform,
            libc: profile.libc,
            abi: profile.abi,
            features: profile.features,
            connected: status.connected,
            last_seen_at: moment(status.last_seen_at_ms),
            state: given(report.state).unwrap_or_else(|| "unknown".to_owned()),
            revision: report.applied_revision,
            head_revision,
            workers_live: report.workers_live,
            workers: report.workers,
            requests_total: report.requests_total,
            worker_deaths_total: report.worker_deaths_total,
            artifacts: report
                .artifacts
                .into_iter()
                .map(ArtifactView::from)
                .collect(),
            apis: report.apis.into_iter().map(ApiStateView::from).collect(),
        }
    }

    fn row(&self) -> Vec<String> {
        let artifacts: Vec<_> = self.artifacts.iter().map(ArtifactView::line).collect();
        vec![
            self.id.clone(),
            match &self.built_version {
                Some(built) => format!("{} (built {built})", self.version),
                None => self.version.clone(),
            },
            self.platform.clone(),
            match (self.connected, self.state.as_str()) {
                (true, state) => state.to_owned(),
                (false, state) => format!("disconnected, was {state}"),
            },
            format!("{}/{}", self.revision, self.head_revision),
            format!("{}/{}", self.workers_live, self.workers),
            moment_shown(self.last_seen_at.as_ref()),
            artifacts.join("\n"),
        ]
    }
}

impl From<v1::ArtifactStatus> for ArtifactView {
    fn from(artifact: v1::ArtifactStatus) -> Self {
        Self {
            bundle: artifact.bundle,
            version: artifact.version,
            file: artifact.file,
            sha256: artifact.sha256,
            phase: artifact.phase,
            workers_serving: artifact.workers_serving,
            workers: artifact.workers,
            code: given(artifact.code),
            message: given(artifact.message),
            fetched_from: given(artifact.fetched_from),
        }
    }
}

impl From<v1::ApiStatus> for ApiStateView {
    fn from(api: v1::ApiStatus) -> Self {
        Self {
            api_id: api.api_id,
            state: api.state,
            code: given(api.code),
            message: given(api.message),
        }
    }
}

impl ArtifactView {
    fn line(&self) -> String {
        let Self {
            bundle,
            version,
            file,
            phase,
            ..
        } = self;
        let digest = short(&self.sha256);
        let state = match (phase.as_str(), &self.code) {
            ("serving", _) => format!("serving {}/{}", self.workers_serving, self.workers),
            (phase, Some(code)) => format!("{phase} {code}"),
            (phase, None) => phase.to_owned(),
        };
        format!("{bundle}@{version} {file} {digest} {state}")
    }
}

impl View for GatewaysView {
    fn shown(&self) -> Shown {
        Shown::Table {
            head: vec![
                "GATEWAY",
                "VERSION",
                "PLATFORM",
                "STATE",
                "REVISION",
                "WORKERS",
                "SEEN",
                "ARTIFACTS",
            ],
            rows: self.0.iter().map(GatewayView::row).collect(),
        }
    }
}

pub(super) async fn run(arguments: Gateways, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let environment = context.environment()?;
    let listing = list(arguments.limit, |page_size, page_token| {
        let request = v1::ListGatewaysRequest {
            environment: environment.clone(),
            page_size,
            page_token,
        };
        let client = client.clone();
        async move {
            let answer = client
                .call(Repeat::Safe, request, |client, request| async move {
                    client.deploy().list_gateways(request).await
                })
                .await?;
            let head_revision = answer.head_revision;
            let gateways = answer.gateways.into_iter();
            let gateways = gateways.map(|status| GatewayView::new(status, head_revision));
            Ok((gateways.collect(), answer.next_page_token))
        }
    });
    let view = GatewaysView(listing.await?.tell(context.printer()));
    context.printer().data(&view)?;
    tell_troubles(&view, context);
    Ok(())
}

/// What a table of digests does not show: which APIs do not simply serve, and why artifacts failed.
fn tell_troubles(view: &GatewaysView, context: &Context) {
    let printer = context.printer();
    for gateway in &view.0 {
        let id = &gateway.id;
        for api in &gateway.apis {
            let why = why(api.message.as_ref(), api.code.as_ref());
            printer.warn(format_args!(
                "{id}: API {} is {}{why}",
                api.api_id, api.state
            ));
        }
        for artifact in gateway
            .artifacts
            .iter()
            .filter(|artifact| artifact.code.is_some())
        {
            let why = why(artifact.message.as_ref(), artifact.code.as_ref());
            let (file, phase) = (&artifact.file, &artifact.phase);
            printer.warn(format_args!("{id}: {file} {phase}{why}"));
        }
    }
    if view.0.is_empty() {
        printer.hint(
            "no gateway has connected yet; `gantry token create --right gateway` makes its token",
        );
    }
}

fn why(message: Option<&String>, code: Option<&String>) -> String {
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    match coded(&text(message), &text(code)) {
        nothing if nothing.is_empty() => nothing,
        why => format!(": {why}"),
    }
}
