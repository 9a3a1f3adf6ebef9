//! `gantry unyank`: takes a yank back.

use clap::Args;
use gantry_proto::v1;
use serde::Serialize;

use super::release::{ReleaseName, repeat_with};
use crate::context::{Context, refused};
use crate::error::CliError;
use crate::view::{Shown, View};

/// Arguments of `gantry unyank`.
#[derive(Debug, Args)]
pub(crate) struct Unyank {
    /// The bundle and its version, such as hooks@1.2.0.
    #[arg(value_name = "BUNDLE@VERSION")]
    release: ReleaseName,
    /// Only if the version still has this etag, as `gantry get -o json` shows it.
    #[arg(long, default_value = "")]
    etag: String,
}

#[derive(Debug, Serialize)]
struct UnyankedView {
    bundle: String,
    version: String,
    etag: String,
}

impl View for UnyankedView {
    fn shown(&self) -> Shown {
        let name = format!("{}@{}", self.bundle, self.version);
        Shown::Record(vec![("unyanked", name)])
    }
}

pub(super) async fn run(arguments: Unyank, context: &Context) -> Result<(), CliError> {
    let ReleaseName { bundle, version } = arguments.release;
    let request = v1::UnyankRequest {
        bundle: bundle.to_string(),
        version: version.to_string(),
        etag: arguments.etag,
    };
    let repeat = repeat_with(&request.etag);
    let answer = context
        .client()?
        .call(repeat, request, |client, request| async move {
            client.catalog().unyank(request).await
        })
        .await
        .map_err(refused)?;
    context.printer().data(&UnyankedView {
        bundle: bundle.to_string(),
        version: version.to_string(),
        etag: answer.etag,
    })
}
