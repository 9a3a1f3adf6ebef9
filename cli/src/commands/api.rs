//! `gantry api`: API definitions of an environment.

mod filled;
mod openapi;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gantry_client::Repeat;
use gantry_domain::{ApiId, Limits};
use gantry_proto::v1;
use serde::Serialize;
use serde_json::Value;

use crate::context::{Context, list, refused};
use crate::error::CliError;
use crate::settings::read_text;
use crate::view::{Shown, View, Warning, given, or_dash, short};
use filled::FilledView;

/// What can be done with API definitions.
#[derive(Debug, Subcommand)]
pub(crate) enum Api {
    /// Check a definition, fill in what follows from it, and store it.
    Put(Put),
    /// Show a definition as it is stored.
    Get(Get),
    /// Show the APIs of the environment.
    List(List),
    /// Delete a definition: gateways stop serving the API.
    Delete(Delete),
}

/// Arguments of `gantry api put`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry api put orders.json --env staging
  gantry api put orders.json --env staging --validate-only
  gantry api get orders --env staging | gantry api put - --env production")]
pub(crate) struct Put {
    /// The definition (JSON); `-` is standard input.
    file: PathBuf,
    /// Only replace the definition with this digest (`none`: only create).
    #[arg(long, value_name = "DIGEST", default_value = "")]
    etag: String,
    /// Check only; store nothing.
    #[arg(long)]
    validate_only: bool,
}

/// Arguments of `gantry api get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The API's id.
    id: ApiId,
}

/// Arguments of `gantry api list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Entries to show, at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

/// Arguments of `gantry api delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The API's id.
    id: ApiId,
}

#[derive(Debug, Serialize)]
struct PutView {
    api_id: Option<String>,
    environment: String,
    digest: String,
    /// The revision it became; none when it was only checked.
    revision: Option<u64>,
    filled_in: Vec<FilledView>,
    warnings: Vec<Warning>,
    definition: Value,
}

impl View for PutView {
    fn shown(&self) -> Shown {
        let revision = self.revision.map(|revision| revision.to_string());
        Shown::Record(vec![
            ("api", or_dash(self.api_id.as_ref())),
            ("environment", self.environment.clone()),
            ("revision", or_dash(revision.as_ref())),
            ("digest", self.digest.clone()),
        ])
    }
}

/// The definition alone, in either form, so that it can be put again.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct DefinitionView(Value);

impl View for DefinitionView {
    fn shown(&self) -> Shown {
        Shown::Text(format!("{:#}", self.0))
    }
}

#[derive(Debug, Serialize)]
struct ApiView {
    api_id: String,
    name: String,
    domain: Option<String>,
    listen_path: String,
    active: bool,
    digest: String,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct ApisView(Vec<ApiView>);

impl View for ApisView {
    fn shown(&self) -> Shown {
        let row = |api: &ApiView| {
            vec![
                api.api_id.clone(),
                api.name.clone(),
                or_dash(api.domain.as_ref()),
                api.listen_path.clone(),
                if api.active { "yes" } else { "no" }.to_owned(),
                short(&api.digest),
            ]
        };
        Shown::Table {
            head: vec!["API", "NAME", "DOMAIN", "LISTEN PATH", "ACTIVE", "DIGEST"],
            rows: self.0.iter().map(row).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct DeletedView {
    api_id: String,
    environment: String,
    revision: u64,
}

impl View for DeletedView {
    fn shown(&self) -> Shown {
        Shown::Record(vec![
            ("deleted", self.api_id.clone()),
            ("environment", self.environment.clone()),
            ("revision", self.revision.to_string()),
        ])
    }
}

pub(super) async fn run(command: Api, context: &Context) -> Result<(), CliError> {
    match command {
        Api::Put(arguments) => put(arguments, context).await,
        Api::Get(arguments) => get(arguments, context).await,
        Api::List(arguments) => list_apis(arguments, context).await,
        Api::Delete(arguments) => delete(arguments, context).await,
    }
}

async fn put(arguments: Put, context: &Context) -> Result<(), CliError> {
    let environment = context.environment()?;
    let text = read_definition(&arguments.file)?;
    let request = v1::PutApiRequest {
        environment: environment.clone(),
        definition: openapi::apart(&text, context).await?.into_bytes(),
        etag: arguments.etag.clone(),
        validate_only: arguments.validate_only,
    };
    // With an etag a second try would be refused because of the first.
    let repeat = if arguments.etag.is_empty() {
        Repeat::Safe
    } else {
        Repeat::Never
    };
    let answer = context
        .client()?
        .call(repeat, request, |client, request| async move {
            client.apis().put_api(request).await
        })
        .await
        .map_err(refused)?;
    let definition = parse_definition(&answer.definition)?;
    let given = serde_json::from_str(&text).unwrap_or(Value::Null);
    let view = PutView {
        api_id: definition["api_id"].as_str().map(str::to_owned),
        environment,
        digest: answer.digest,
        revision: (!arguments.validate_only).then_some(answer.revision),
        filled_in: filled::between(&given, &definition),
        warnings: answer.warnings.into_iter().map(Warning::from).collect(),
        definition,
    };
    let printer = context.printer();
    printer.data(&view)?;
    for filled in &view.filled_in {
        printer.note(filled);
    }
    printer.warnings(&view.warnings);
    Ok(())
}

fn read_definition(path: &Path) -> Result<String, CliError> {
    let limits = Limits::default();
    let bytes_max = (limits.definition_bytes_max + limits.openapi_bytes_max) as u64;
    read_text(path, bytes_max).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

fn parse_definition(bytes: &[u8]) -> Result<Value, CliError> {
    serde_json::from_slice(bytes).map_err(|_| CliError::Answer {
        missing: "readable definition",
    })
}

async fn get(arguments: Get, context: &Context) -> Result<(), CliError> {
    let request = v1::GetApiRequest {
        environment: context.environment()?,
        api_id: arguments.id.to_string(),
    };
    let answer = context
        .client()?
        .call(Repeat::Safe, request, |client, request| async move {
            client.apis().get_api(request).await
        })
        .await
        .map_err(refused)?;
    let definition = parse_definition(&answer.definition)?;
    context.printer().data(&DefinitionView(definition))
}

async fn list_apis(arguments: List, context: &Context) -> Result<(), CliError> {
    let environment = context.environment()?;
    let client = context.client()?;
    let listing = list(arguments.limit, |page_size, page_token| {
        let request = v1::ListApisRequest {
            environment: environment.clone(),
            page_size,
            page_token,
        };
        let client = client.clone();
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
    let apis = apis.into_iter().map(|api| ApiView {
        api_id: api.api_id,
        name: api.name,
        domain: given(api.domain),
        listen_path: api.listen_path,
        active: api.active,
        digest: api.digest,
    });
    context.printer().data(&ApisView(apis.collect()))
}

async fn delete(arguments: Delete, context: &Context) -> Result<(), CliError> {
    let environment = context.environment()?;
    let request = v1::DeleteApiRequest {
        environment: environment.clone(),
        api_id: arguments.id.to_string(),
    };
    // A second try would find nothing to delete and report that as a failure.
    let answer = context
        .client()?
        .call(Repeat::Never, request, |client, request| async move {
            client.apis().delete_api(request).await
        })
        .await
        .map_err(refused)?;
    context.printer().data(&DeletedView {
        api_id: arguments.id.to_string(),
        environment,
        revision: answer.revision,
    })
}
