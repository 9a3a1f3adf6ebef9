//! `gantry explain`: why an API, or each of an environment, runs what it runs on a gateway.

use clap::{ArgGroup, Args};
use gantry_client::{Client, Repeat};
use gantry_domain::{ApiId, GatewayId, GatewayVersion, Platform};
use gantry_proto::v1;
use serde::Serialize;

use crate::context::{Context, list, refused};
use crate::error::CliError;
use crate::view::{Shown, View, coded, given, short};

/// APIs that are explained at once, at most.
const APIS_MAX: usize = 100_000;

/// Arguments of `gantry explain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry explain orders --env staging --gateway edge-1
  gantry explain orders --env staging --gateway-version v5.3.0 --platform linux/arm64
  gantry explain --env staging --gateway-version v5.4.0 --check    every API, before an upgrade")]
#[command(group(ArgGroup::new("whose").args(["gateway", "gateway_version"]).required(true)))]
pub(crate) struct Explain {
    /// The API's id; every API of the environment without it.
    api: Option<ApiId>,
    /// A gateway that has connected before.
    #[arg(long, value_name = "ID")]
    gateway: Option<GatewayId>,
    /// A gateway version, instead of a gateway.
    #[arg(long, value_name = "VERSION")]
    gateway_version: Option<GatewayVersion>,
    /// The platform that goes with --gateway-version.
    #[arg(long, default_value = "linux_amd64")]
    platform: Platform,
    /// Exit with 4 if something would not run.
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Serialize)]
struct CandidateView {
    file: String,
    sha256: String,
    matched: String,
    verdict: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct FunctionView {
    hook: String,
    /// Where it is a function of an endpoint.
    method: Option<String>,
    /// The endpoint's path.
    endpoint: Option<String>,
    position: u32,
    function: String,
    path: String,
    disabled: bool,
    bundle: String,
    version: String,
    candidates: Vec<CandidateView>,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Debug, Serialize)]
struct ExplainedView {
    api_id: String,
    environment: String,
    gateway_version: String,
    platform: String,
    lookup: String,
    revision: u64,
    functions: Vec<FunctionView>,
    code: Option<String>,
    message: Option<String>,
}

impl From<v1::ExplainedFunction> for FunctionView {
    fn from(function: v1::ExplainedFunction) -> Self {
        let candidates = function
            .candidates
            .into_iter()
            .map(|candidate| CandidateView {
                file: candidate.file,
                sha256: candidate.sha256,
                matched: candidate.matched,
                verdict: candidate.verdict,
                reason: candidate.reason,
            });
        Self {
            candidates: candidates.collect(),
            hook: function.hook,
            method: given(function.method),
            endpoint: given(function.endpoint),
            position: function.position,
            function: function.function,
            path: function.path,
            disabled: function.disabled,
            bundle: function.bundle,
            version: function.version,
            code: given(function.code),
            message: given(function.message),
        }
    }
}

impl FunctionView {
    /// The hook, or the endpoint that it runs for.
    fn place(&self) -> String {
        match (&self.method, &self.endpoint) {
            (Some(method), Some(path)) => format!("{method} {path}"),
            _ => self.hook.clone(),
        }
    }

    /// One row per candidate; one that says why, if there is none or none is taken.
    fn rows(&self) -> Vec<Vec<String>> {
        let begin = || {
            vec![
                self.place(),
                self.function.clone(),
                self.path.clone(),
                format!("{}@{}", self.bundle, self.version),
            ]
        };
        let row = |cells: [String; 4]| [begin(), cells.into()].concat();
        let mut rows: Vec<_> = self
            .candidates
            .iter()
            .map(|candidate| {
                row([
                    candidate.file.clone(),
                    short(&candidate.sha256),
                    candidate.verdict.clone(),
                    candidate.reason.clone(),
                ])
            })
            .collect();
        let end = match (&self.code, self.disabled) {
            (_, true) => Some(["DISABLED".to_owned(), "the entry is disabled".to_owned()]),
            (Some(code), false) => Some([code.clone(), self.message.clone().unwrap_or_default()]),
            (None, false) => None,
        };
        if let Some([code, message]) = end {
            rows.push(row(["-".to_owned(), "-".to_owned(), code, message]));
        }
        rows
    }

    const fn fails(&self) -> bool {
        self.code.is_some() && !self.disabled
    }
}

const HEAD: [&str; 8] = [
    "HOOK", "FUNCTION", "PATH", "BUNDLE", "FILE", "SHA256", "VERDICT", "REASON",
];

impl ExplainedView {
    fn rows(&self) -> impl Iterator<Item = Vec<String>> {
        self.functions.iter().flat_map(FunctionView::rows)
    }

    /// Whether the API, or a function of it, would not run.
    fn fails(&self) -> bool {
        self.code.is_some() || self.functions.iter().any(FunctionView::fails)
    }
}

impl View for ExplainedView {
    fn shown(&self) -> Shown {
        Shown::Table {
            head: HEAD.to_vec(),
            rows: self.rows().collect(),
        }
    }
}

/// Every API of an environment.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct AllView(Vec<ExplainedView>);

impl View for AllView {
    fn shown(&self) -> Shown {
        let rows = self.0.iter().flat_map(|view| {
            let of_api = |row: Vec<String>| [vec![view.api_id.clone()], row].concat();
            view.rows().map(of_api)
        });
        Shown::Table {
            head: [&["API"], &HEAD[..]].concat(),
            rows: rows.collect(),
        }
    }
}

pub(super) async fn run(arguments: Explain, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let mut views = Vec::new();
    if let Some(api) = &arguments.api {
        let view = explained(&client, &arguments, context, api.to_string()).await?;
        context.printer().data(&view)?;
        views.push(view);
    } else {
        for api in apis(&client, context).await? {
            views.push(explained(&client, &arguments, context, api).await?);
        }
        let all = AllView(views);
        context.printer().data(&all)?;
        views = all.0;
    }
    tell(&views, context);
    let failing: Vec<_> = views
        .into_iter()
        .filter(ExplainedView::fails)
        .map(|view| view.api_id)
        .collect();
    if arguments.check && !failing.is_empty() {
        let api = failing.join(", ");
        return Err(CliError::Unresolved { api });
    }
    Ok(())
}

/// The APIs of the environment.
async fn apis(client: &Client, context: &Context) -> Result<Vec<String>, CliError> {
    let environment = context.environment()?;
    let listing = list(APIS_MAX, |page_size, page_token| {
        let request = v1::ListApisRequest {
            environment: environment.clone(),
            page_size,
            page_token,
        };
        async move {
            let answer = client
                .call(Repeat::Safe, request, |client, request| async move {
                    client.apis().list_apis(request).await
                })
                .await?;
            Ok((answer.apis, answer.next_page_token))
        }
    });
    let apis = listing.await?.tell(context.printer());
    Ok(apis.into_iter().map(|api| api.api_id).collect())
}

async fn explained(
    client: &Client,
    arguments: &Explain,
    context: &Context,
    api_id: String,
) -> Result<ExplainedView, CliError> {
    let environment = context.environment()?;
    let gateway = arguments.gateway.as_ref();
    let profile = arguments.gateway_version;
    let request = v1::ExplainRequest {
        environment: environment.clone(),
        api_id: api_id.clone(),
        gateway_id: gateway.map(ToString::to_string).unwrap_or_default(),
        gateway_version: profile
            .map(|version| version.to_string())
            .unwrap_or_default(),
        platform: profile
            .map(|_| arguments.platform.to_string())
            .unwrap_or_default(),
    };
    let answer = client
        .call(Repeat::Safe, request, |client, request| async move {
            client.deploy().explain(request).await
        })
        .await
        .map_err(refused)?;
    let functions = answer.functions.into_iter().map(FunctionView::from);
    Ok(ExplainedView {
        api_id,
        environment,
        gateway_version: answer.gateway_version,
        platform: answer.platform,
        lookup: answer.lookup,
        revision: answer.revision,
        functions: functions.collect(),
        code: given(answer.code),
        message: given(answer.message),
    })
}

fn tell(views: &[ExplainedView], context: &Context) {
    let printer = context.printer();
    let Some(first) = views.first() else {
        return printer.note("the environment has no APIs");
    };
    let what = match views {
        [one] => one.api_id.clone(),
        all => format!("{} APIs", all.len()),
    };
    printer.note(format_args!(
        "{what} at revision {} on a gateway {} {}, names tried in the order {}.",
        first.revision, first.gateway_version, first.platform, first.lookup
    ));
    for view in views {
        if let Some(code) = &view.code {
            let message = view.message.as_deref().unwrap_or("the API cannot run");
            printer.warn(coded(&format!("{}: {message}", view.api_id), code));
        }
    }
}
