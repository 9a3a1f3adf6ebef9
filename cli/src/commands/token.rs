//! `gantry token`: access tokens of the tenant.

use clap::{Args, Subcommand};
use gantry_client::Repeat;
use gantry_domain::{Right, TokenId};
use gantry_proto::{convert, v1};
use serde::Serialize;

use crate::context::{Context, list, refused};
use crate::error::CliError;
use crate::view::{Shown, View, given, moment, moment_shown, or_dash};

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token. It is shown once.
    Create(Create),
    /// Show the tokens, never their secrets.
    List(List),
    /// End a token at once.
    Revoke(Revoke),
}

/// Arguments of `gantry token create`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry token create --right publish,deploy --description ci
  gantry token create --right gateway --env staging -o json | jq -r .secret")]
pub(crate) struct Create {
    /// What it may do: publish, deploy, gateway or admin; several with commas.
    #[arg(
        long = "right",
        alias = "rights",
        required = true,
        value_delimiter = ','
    )]
    rights: Vec<Right>,
    /// What it is for.
    #[arg(long, default_value = "")]
    description: String,
}

/// Arguments of `gantry token list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Entries to show, at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

/// Arguments of `gantry token revoke`.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The token's id, as `gantry token list` shows it.
    id: TokenId,
}

/// A token without its secret.
#[derive(Debug, Serialize)]
pub(super) struct TokenView {
    pub(super) id: String,
    pub(super) rights: Vec<String>,
    pub(super) environment: Option<String>,
    pub(super) description: Option<String>,
    created_at: Option<String>,
    revoked_at: Option<String>,
}

impl From<v1::Token> for TokenView {
    fn from(token: v1::Token) -> Self {
        let rights = token.rights().filter_map(convert::right);
        Self {
            rights: rights.map(|right| right.to_string()).collect(),
            id: token.id,
            environment: given(token.environment),
            description: given(token.description),
            created_at: moment(token.created_at_ms),
            revoked_at: moment(token.revoked_at_ms),
        }
    }
}

pub(super) fn rights_shown(rights: &[String]) -> String {
    rights.join(",")
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct TokensView(Vec<TokenView>);

impl View for TokensView {
    fn shown(&self) -> Shown {
        let row = |token: &TokenView| {
            vec![
                token.id.clone(),
                rights_shown(&token.rights),
                or_dash(token.environment.as_ref()),
                moment_shown(token.created_at.as_ref()),
                moment_shown(token.revoked_at.as_ref()),
                or_dash(token.description.as_ref()),
            ]
        };
        Shown::Table {
            head: vec![
                "TOKEN",
                "RIGHTS",
                "ENVIRONMENT",
                "CREATED",
                "REVOKED",
                "DESCRIPTION",
            ],
            rows: self.0.iter().map(row).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct CreatedView {
    #[serde(flatten)]
    token: TokenView,
    secret: String,
}

impl View for CreatedView {
    fn shown(&self) -> Shown {
        Shown::Record(vec![
            ("token", self.token.id.clone()),
            ("rights", rights_shown(&self.token.rights)),
            ("environment", or_dash(self.token.environment.as_ref())),
            ("secret (shown only now)", self.secret.clone()),
        ])
    }
}

#[derive(Debug, Serialize)]
struct RevokedView(TokenView);

impl View for RevokedView {
    fn shown(&self) -> Shown {
        Shown::Record(vec![
            ("token", self.0.id.clone()),
            ("revoked", moment_shown(self.0.revoked_at.as_ref())),
        ])
    }
}

pub(super) async fn run(command: Token, context: &Context) -> Result<(), CliError> {
    match command {
        Token::Create(arguments) => create(arguments, context).await,
        Token::List(arguments) => list_tokens(arguments, context).await,
        Token::Revoke(arguments) => revoke(arguments, context).await,
    }
}

async fn create(arguments: Create, context: &Context) -> Result<(), CliError> {
    // Only gateway tokens belong to an environment; for others the one that happens to be set for
    // everyday work does not matter.
    let environment = if arguments.rights.contains(&Right::Gateway) {
        context.environment()?
    } else {
        String::new()
    };
    let rights = arguments.rights.iter();
    let request = v1::CreateTokenRequest {
        rights: rights
            .map(|right| convert::right_to_wire(*right).into())
            .collect(),
        environment,
        description: arguments.description,
    };
    let answer = context
        .client()?
        .call(Repeat::Never, request, |client, request| async move {
            client.admin().create_token(request).await
        })
        .await
        .map_err(refused)?;
    let token = answer.token.ok_or(CliError::Answer { missing: "token" })?;
    context.printer().data(&CreatedView {
        token: token.into(),
        secret: answer.secret,
    })?;
    context
        .printer()
        .note("The secret is not shown again: keep it now.");
    Ok(())
}

async fn list_tokens(arguments: List, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let listing = list(arguments.limit, |page_size, page_token| {
        let request = v1::ListTokensRequest {
            page_size,
            page_token,
        };
        let client = client.clone();
        async move {
            let answer = client
                .call(Repeat::Safe, request, |client, request| async move {
                    client.admin().list_tokens(request).await
                })
                .await?;
            Ok((answer.tokens, answer.next_page_token))
        }
    });
    let tokens = listing.await?.tell(context.printer());
    let tokens = tokens.into_iter().map(TokenView::from).collect();
    context.printer().data(&TokensView(tokens))
}

async fn revoke(arguments: Revoke, context: &Context) -> Result<(), CliError> {
    let request = v1::RevokeTokenRequest {
        id: arguments.id.to_string(),
    };
    let answer = context
        .client()?
        .call(Repeat::Safe, request, |client, request| async move {
            client.admin().revoke_token(request).await
        })
        .await
        .map_err(refused)?;
    let token = answer.token.ok_or(CliError::Answer { missing: "token" })?;
    context.printer().data(&RevokedView(token.into()))
}
