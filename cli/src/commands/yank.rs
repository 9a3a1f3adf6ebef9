//! `gantry yank`: withdraws a version from new deployments.

use clap::Args;
use gantry_proto::v1;
use serde::Serialize;

use super::release::{ReleaseName, YankView, repeat_with};
use crate::context::{Context, refused};
use crate::error::CliError;
use crate::view::{Shown, View, moment_shown, or_dash};

/// Arguments of `gantry yank`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry yank hooks@1.2.0 --reason 'drops the tenant header'

Environments that run the version go on running it; no other can deploy it. Nothing is deleted:
`gantry unyank` takes it back.")]
pub(crate) struct Yank {
    /// The bundle and its version, such as hooks@1.2.0.
    #[arg(value_name = "BUNDLE@VERSION")]
    release: ReleaseName,
    /// Why; shown to whoever wants to deploy it.
    #[arg(long, default_value = "")]
    reason: String,
    /// Only if the version still has this etag, as `gantry get -o json` shows it.
    #[arg(long, default_value = "")]
    etag: String,
}

#[derive(Debug, Serialize)]
struct YankedView {
    bundle: String,
    version: String,
    yanked: YankView,
    etag: String,
}

impl View for YankedView {
    fn shown(&self) -> Shown {
        Shown::Record(vec![
            ("yanked", format!("{}@{}", self.bundle, self.version)),
            ("at", moment_shown(self.yanked.at.as_ref())),
            ("reason", or_dash(self.yanked.reason.as_ref())),
        ])
    }
}

pub(super) async fn run(arguments: Yank, context: &Context) -> Result<(), CliError> {
    let ReleaseName { bundle, version } = arguments.release;
    let request = v1::YankRequest {
        bundle: bundle.to_string(),
        version: version.to_string(),
        reason: arguments.reason,
        etag: arguments.etag,
    };
    let repeat = repeat_with(&request.etag);
    let answer = context
        .client()?
        .call(repeat, request, |client, request| async move {
            client.catalog().yank(request).await
        })
        .await
        .map_err(refused)?;
    let yanked = answer.yanked.ok_or(CliError::Answer { missing: "yank" })?;
    context.printer().data(&YankedView {
        bundle: bundle.to_string(),
        version: version.to_string(),
        yanked: yanked.into(),
        etag: answer.etag,
    })?;
    context
        .printer()
        .note("Where it runs it goes on running; `gantry pins` shows whether it does.");
    Ok(())
}
