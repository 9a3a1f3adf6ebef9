//! `gantry env`: environments of the tenant.

use clap::{Args, Subcommand};
use gantry_client::Repeat;
use gantry_domain::EnvironmentName;
use gantry_domain::resolution::Lookup;
use gantry_proto::v1;
use serde::Serialize;

use crate::context::{Context, refused};
use crate::error::CliError;
use crate::view::{Shown, View, moment, moment_shown};

/// What can be done with environments.
#[derive(Debug, Subcommand)]
pub(crate) enum Env {
    /// Make an environment.
    Create(Create),
    /// Show the environments.
    List(List),
}

/// Arguments of `gantry env create`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  gantry env create staging")]
pub(crate) struct Create {
    /// The environment's name: lower-case letters, digits, hyphens.
    name: EnvironmentName,
    /// Which file names are tried first: `documented` (the name given) or `versioned_first`.
    #[arg(long, default_value = "documented")]
    lookup: Lookup,
}

/// Arguments of `gantry env list`.
#[derive(Debug, Args)]
pub(crate) struct List {}

#[derive(Debug, Serialize)]
struct EnvironmentView {
    name: String,
    revision: u64,
    lookup: String,
    created_at: Option<String>,
}

impl From<v1::Environment> for EnvironmentView {
    fn from(environment: v1::Environment) -> Self {
        Self {
            name: environment.name,
            revision: environment.revision,
            lookup: environment.lookup,
            created_at: moment(environment.created_at_ms),
        }
    }
}

impl View for EnvironmentView {
    fn shown(&self) -> Shown {
        Shown::Record(vec![
            ("environment", self.name.clone()),
            ("revision", self.revision.to_string()),
            ("lookup", self.lookup.clone()),
        ])
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct EnvironmentsView(Vec<EnvironmentView>);

impl View for EnvironmentsView {
    fn shown(&self) -> Shown {
        let row = |environment: &EnvironmentView| {
            vec![
                environment.name.clone(),
                environment.revision.to_string(),
                environment.lookup.clone(),
                moment_shown(environment.created_at.as_ref()),
            ]
        };
        Shown::Table {
            head: vec!["ENVIRONMENT", "REVISION", "LOOKUP", "CREATED"],
            rows: self.0.iter().map(row).collect(),
        }
    }
}

pub(super) async fn run(command: Env, context: &Context) -> Result<(), CliError> {
    match command {
        Env::Create(arguments) => create(arguments, context).await,
        Env::List(List {}) => list(context).await,
    }
}

async fn create(arguments: Create, context: &Context) -> Result<(), CliError> {
    let request = v1::CreateEnvironmentRequest {
        name: arguments.name.to_string(),
        lookup: arguments.lookup.as_str().to_owned(),
    };
    let answer = context
        .client()?
        .call(Repeat::Never, request, |client, request| async move {
            client.admin().create_environment(request).await
        })
        .await
        .map_err(refused)?;
    let environment = answer.environment.ok_or(CliError::Answer {
        missing: "environment",
    })?;
    context.printer().data(&EnvironmentView::from(environment))
}

async fn list(context: &Context) -> Result<(), CliError> {
    let request = v1::ListEnvironmentsRequest {};
    let answer = context
        .client()?
        .call(Repeat::Safe, request, |client, request| async move {
            client.admin().list_environments(request).await
        })
        .await
        .map_err(refused)?;
    let environments = answer.environments.into_iter().map(EnvironmentView::from);
    context
        .printer()
        .data(&EnvironmentsView(environments.collect()))
}
