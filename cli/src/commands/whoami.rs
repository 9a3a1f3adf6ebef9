//! `gantry whoami`: whose token this is and what it may do.

use clap::Args;
use gantry_client::Repeat;
use gantry_proto::v1;
use serde::Serialize;

use super::token::{TokenView, rights_shown};
use crate::context::{Context, refused};
use crate::error::CliError;
use crate::view::{Shown, View, or_dash};

/// Arguments of `gantry whoami`.
#[derive(Debug, Args)]
pub(crate) struct Whoami {}

#[derive(Debug, Serialize)]
struct WhoamiView {
    tenant: String,
    token: TokenView,
}

impl View for WhoamiView {
    fn shown(&self) -> Shown {
        let token = &self.token;
        Shown::Record(vec![
            ("tenant", self.tenant.clone()),
            ("token", token.id.clone()),
            ("rights", rights_shown(&token.rights)),
            ("environment", or_dash(token.environment.as_ref())),
            ("description", or_dash(token.description.as_ref())),
        ])
    }
}

pub(super) async fn run(_: Whoami, context: &Context) -> Result<(), CliError> {
    let answer = context
        .client()?
        .call(
            Repeat::Safe,
            v1::WhoAmIRequest {},
            |client, request| async move { client.admin().who_am_i(request).await },
        )
        .await
        .map_err(refused)?;
    let token = answer.token.ok_or(CliError::Answer { missing: "token" })?;
    context.printer().data(&WhoamiView {
        tenant: answer.tenant,
        token: token.into(),
    })
}
