//! `gantry key`: consumer keys of an environment.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Subcommand};
use gantry_client::Repeat;
use gantry_domain::{KeyId, Limits};
use gantry_proto::v1;
use serde::Serialize;
use serde_json::Value;

use crate::context::{Context, list, refused};
use crate::error::CliError;
use crate::settings::read_text;
use crate::view::{Shown, View, given, moment, moment_shown, or_dash};

/// Bytes of a file that holds a consumer's secret, at most.
const SECRET_BYTES_MAX: u64 = 1024;

/// What can be done with consumer keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key. Its secret is shown once.
    Create(Create),
    /// Show a key and its session, never its secret.
    Get(Get),
    /// Show the keys.
    List(List),
    /// End a key.
    Revoke(Revoke),
}

/// Arguments of `gantry key create`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry key create --env staging --session '{\"tier\":\"gold\"}' --description mobile
  gantry key create --env staging --session @session.json -o json | jq -r .secret
  gantry key create --env staging --secret-file moved.key     keeps a consumer's old secret")]
pub(crate) struct Create {
    /// Session that hooks see: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    session: SessionFrom,
    /// What it is for.
    #[arg(long, default_value = "")]
    description: String,
    /// File with the secret that the consumer has already; without it one is made.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
enum SessionFrom {
    Inline(String),
    File(PathBuf),
}

impl FromStr for SessionFrom {
    type Err = std::convert::Infallible;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(match (s, s.strip_prefix('@')) {
            ("-", _) => Self::File(PathBuf::from("-")),
            (_, Some(path)) => Self::File(PathBuf::from(path)),
            (inline, None) => Self::Inline(inline.to_owned()),
        })
    }
}

/// Arguments of `gantry key get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The key's id, as `gantry key list` shows it.
    id: KeyId,
}

/// Arguments of `gantry key list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Entries to show, at most.
    #[arg(long, default_value_t = 1000)]
    limit: usize,
}

/// Arguments of `gantry key revoke`.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The key's id, as `gantry key list` shows it.
    id: KeyId,
}

#[derive(Debug, Serialize)]
struct KeyView {
    id: String,
    description: Option<String>,
    created_at: Option<String>,
    session: Value,
}

impl TryFrom<v1::Key> for KeyView {
    type Error = CliError;

    fn try_from(key: v1::Key) -> Result<Self, CliError> {
        let session = match &key.session[..] {
            [] => Value::Object(serde_json::Map::new()),
            session => serde_json::from_slice(session).map_err(|_| CliError::Answer {
                missing: "readable session",
            })?,
        };
        Ok(Self {
            id: key.id,
            description: given(key.description),
            created_at: moment(key.created_at_ms),
            session,
        })
    }
}

impl View for KeyView {
    fn shown(&self) -> Shown {
        Shown::Record(vec![
            ("key", self.id.clone()),
            ("description", or_dash(self.description.as_ref())),
            ("created", moment_shown(self.created_at.as_ref())),
            ("session", self.session.to_string()),
        ])
    }
}

#[derive(Debug, Serialize)]
struct CreatedView {
    #[serde(flatten)]
    key: KeyView,
    /// None when the consumer had one already.
    secret: Option<String>,
}

impl View for CreatedView {
    fn shown(&self) -> Shown {
        let kept = "(the one that was given)".to_owned();
        Shown::Record(vec![
            ("key", self.key.id.clone()),
            ("session", self.key.session.to_string()),
            (
                "secret (shown only now)",
                self.secret.clone().unwrap_or(kept),
            ),
        ])
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct KeysView(Vec<KeyView>);

impl View for KeysView {
    fn shown(&self) -> Shown {
        let row = |key: &KeyView| {
            vec![
                key.id.clone(),
                moment_shown(key.created_at.as_ref()),
                or_dash(key.description.as_ref()),
            ]
        };
        Shown::Table {
            head: vec!["KEY", "CREATED", "DESCRIPTION"],
            rows: self.0.iter().map(row).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct RevokedView {
    id: String,
    environment: String,
}

impl View for RevokedView {
    fn shown(&self) -> Shown {
        Shown::Record(vec![
            ("revoked", self.id.clone()),
            ("environment", self.environment.clone()),
        ])
    }
}

pub(super) async fn run(command: Key, context: &Context) -> Result<(), CliError> {
    match command {
        Key::Create(arguments) => create(arguments, context).await,
        Key::Get(arguments) => get(arguments, context).await,
        Key::List(arguments) => list_keys(arguments, context).await,
        Key::Revoke(arguments) => revoke(arguments, context).await,
    }
}

async fn create(arguments: Create, context: &Context) -> Result<(), CliError> {
    let environment = context.environment()?;
    let session = match arguments.session {
        SessionFrom::Inline(text) => text,
        SessionFrom::File(path) => read(&path, Limits::default().session_bytes_max as u64)?,
    };
    let secret = match &arguments.secret_file {
        Some(path) => read(path, SECRET_BYTES_MAX)?.trim().to_owned(),
        None => String::new(),
    };
    let kept = arguments.secret_file.is_some();
    if kept && secret.is_empty() {
        // Empty on the wire means that a secret is to be made, which is not what was asked for.
        return Err(CliError::Usage {
            message: "the secret file is empty".to_owned(),
            hint: "leave --secret-file out to have a secret made",
        });
    }
    let request = v1::CreateKeyRequest {
        environment,
        session: session.into_bytes(),
        description: arguments.description,
        secret,
    };
    let answer = context
        .client()?
        .call(Repeat::Never, request, |client, request| async move {
            client.keys().create_key(request).await
        })
        .await
        .map_err(refused)?;
    let key = answer.key.ok_or(CliError::Answer { missing: "key" })?;
    context.printer().data(&CreatedView {
        key: key.try_into()?,
        secret: (!kept).then_some(answer.secret),
    })?;
    if !kept {
        context
            .printer()
            .note("The secret is not shown again: keep it now.");
    }
    Ok(())
}

fn read(path: &Path, bytes_max: u64) -> Result<String, CliError> {
    read_text(path, bytes_max).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

async fn get(arguments: Get, context: &Context) -> Result<(), CliError> {
    let request = v1::GetKeyRequest {
        environment: context.environment()?,
        id: arguments.id.to_string(),
    };
    let answer = context
        .client()?
        .call(Repeat::Safe, request, |client, request| async move {
            client.keys().get_key(request).await
        })
        .await
        .map_err(refused)?;
    let key = answer.key.ok_or(CliError::Answer { missing: "key" })?;
    context.printer().data(&KeyView::try_from(key)?)
}

async fn list_keys(arguments: List, context: &Context) -> Result<(), CliError> {
    let environment = context.environment()?;
    let client = context.client()?;
    let listing = list(arguments.limit, |page_size, page_token| {
        let request = v1::ListKeysRequest {
            environment: environment.clone(),
            page_size,
            page_token,
        };
        let client = client.clone();
        async move {
            let answer = client
                .call(Repeat::Safe, request, |client, request| async move {
                    client.keys().list_keys(request).await
                })
                .await?;
            Ok((answer.keys, answer.next_page_token))
        }
    });
    let keys = listing.await?.tell(context.printer());
    let keys: Result<Vec<_>, _> = keys.into_iter().map(KeyView::try_from).collect();
    context.printer().data(&KeysView(keys?))
}

async fn revoke(arguments: Revoke, context: &Context) -> Result<(), CliError> {
    let environment = context.environment()?;
    let request = v1::RevokeKeyRequest {
        environment: environment.clone(),
        id: arguments.id.to_string(),
    };
    // A second try would find no such key and report that as a failure.
    context
        .client()?
        .call(Repeat::Never, request, |client, request| async move {
            client.keys().revoke_key(request).await
        })
        .await
        .map_err(refused)?;
    context.printer().data(&RevokedView {
        id: arguments.id.to_string(),
        environment,
    })
}
