//! `gantry tenant`: tenants, for the operators of the control plane.

use clap::{Args, Subcommand};
use gantry_client::Repeat;
use gantry_domain::TenantId;
use gantry_proto::v1;
use serde::Serialize;

use crate::context::{Context, list, refused};
use crate::error::CliError;
use crate::view::{Shown, View, moment, moment_shown};

/// What can be done with tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant and its first admin token, which is shown once.
    Create(Create),
    /// Show the tenants.
    List(List),
}

/// Arguments of `gantry tenant create`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  gantry tenant create acme -o json | jq -r .admin_token")]
pub(crate) struct Create {
    /// The tenant's name: lower-case letters, digits, hyphens.
    name: TenantId,
}

/// Arguments of `gantry tenant list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Entries to show, at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

#[derive(Debug, Serialize)]
struct TenantView {
    name: String,
    created_at: Option<String>,
}

impl From<v1::Tenant> for TenantView {
    fn from(tenant: v1::Tenant) -> Self {
        Self {
            name: tenant.name,
            created_at: moment(tenant.created_at_ms),
        }
    }
}

#[derive(Debug, Serialize)]
struct CreatedView {
    #[serde(flatten)]
    tenant: TenantView,
    admin_token: String,
}

impl View for CreatedView {
    fn shown(&self) -> Shown {
        Shown::Record(vec![
            ("tenant", self.tenant.name.clone()),
            ("admin token (shown only now)", self.admin_token.clone()),
        ])
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct TenantsView(Vec<TenantView>);

impl View for TenantsView {
    fn shown(&self) -> Shown {
        let row = |tenant: &TenantView| {
            vec![
                tenant.name.clone(),
                moment_shown(tenant.created_at.as_ref()),
            ]
        };
        Shown::Table {
            head: vec!["TENANT", "CREATED"],
            rows: self.0.iter().map(row).collect(),
        }
    }
}

pub(super) async fn run(command: Tenant, context: &Context) -> Result<(), CliError> {
    match command {
        Tenant::Create(arguments) => create(arguments, context).await,
        Tenant::List(arguments) => list_tenants(arguments, context).await,
    }
}

async fn create(arguments: Create, context: &Context) -> Result<(), CliError> {
    let request = v1::CreateTenantRequest {
        name: arguments.name.to_string(),
    };
    let answer = context
        .client()?
        .call(Repeat::Never, request, |client, request| async move {
            client.admin().create_tenant(request).await
        })
        .await
        .map_err(refused)?;
    let tenant = answer
        .tenant
        .ok_or(CliError::Answer { missing: "tenant" })?;
    context.printer().data(&CreatedView {
        tenant: tenant.into(),
        admin_token: answer.admin_token,
    })?;
    context
        .printer()
        .note("The admin token is not shown again: keep it now.");
    Ok(())
}

async fn list_tenants(arguments: List, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let listing = list(arguments.limit, |page_size, page_token| {
        let request = v1::ListTenantsRequest {
            page_size,
            page_token,
        };
        let client = client.clone();
        async move {
            let answer = client
                .call(Repeat::Safe, request, |client, request| async move {
                    client.admin().list_tenants(request).await
                })
                .await?;
            Ok((answer.tenants, answer.next_page_token))
        }
    });
    let tenants = listing.await?.tell(context.printer());
    let tenants = tenants.into_iter().map(TenantView::from).collect();
    context.printer().data(&TenantsView(tenants))
}
