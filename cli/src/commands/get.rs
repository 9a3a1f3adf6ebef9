//! `gantry get`: one published version with its files.

use clap::Args;
use gantry_client::download;
use serde::Serialize;
use serde_json::Value;

use super::release::{ReleaseName, ReleaseView, YankView};
use crate::context::{Context, refused};
use crate::error::CliError;
use crate::view::{Shown, View};

/// Arguments of `gantry get`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry get hooks@1.2.0
  gantry get hooks@1.2.0 -o json | jq .manifest")]
pub(crate) struct Get {
    /// The bundle and its version, such as hooks@1.2.0.
    #[arg(value_name = "BUNDLE@VERSION")]
    release: ReleaseName,
}

#[derive(Debug, Serialize)]
struct GotView {
    #[serde(flatten)]
    release: ReleaseView,
    yanked: Option<YankView>,
    etag: String,
    manifest: Value,
}

impl View for GotView {
    fn shown(&self) -> Shown {
        self.release.table()
    }
}

pub(super) async fn run(arguments: Get, context: &Context) -> Result<(), CliError> {
    let ReleaseName { bundle, version } = arguments.release;
    let client = context.client()?;
    let answer = download::release(&client, &bundle, &version)
        .await
        .map_err(refused)?;
    let release = answer
        .release
        .ok_or(CliError::Answer { missing: "release" })?;
    let manifest = serde_json::from_slice(&answer.manifest).map_err(|_| CliError::Answer {
        missing: "readable manifest",
    })?;
    let view = GotView {
        release: release.into(),
        yanked: answer.yanked.map(YankView::from),
        etag: answer.etag,
        manifest,
    };
    let printer = context.printer();
    printer.data(&view)?;
    if let Some(yank) = &view.yanked {
        let reason = yank.reason.as_deref().unwrap_or("no reason was given");
        printer.warn(format_args!("{bundle}@{version} was yanked: {reason}"));
    }
    Ok(())
}
