//! `gantry deploy`: runs a published version of a bundle in an environment.

use clap::Args;
use gantry_client::Repeat;
use gantry_proto::v1;
use serde::Serialize;

use super::pins::{PinView, table};
use super::release::ReleaseName;
use crate::context::Context;
use crate::error::{CliError, Operation};
use crate::view::{Shown, View, Warning};

/// Arguments of `gantry deploy`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry deploy hooks@1.2.0 --env staging
  gantry deploy hooks@1.1.0 --env staging      back to an earlier version is the same command

Exits with 7 when a connected gateway could not run an API then; each is listed.")]
pub(crate) struct Deploy {
    /// The bundle and its version, such as hooks@1.2.0.
    #[arg(value_name = "BUNDLE@VERSION")]
    release: ReleaseName,
    /// Deploy although some connected gateway cannot run an API then.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Serialize)]
struct DeployedView {
    environment: String,
    bundle: String,
    version: String,
    revision: u64,
    pins: Vec<PinView>,
    warnings: Vec<Warning>,
}

impl View for DeployedView {
    fn shown(&self) -> Shown {
        table(&self.pins)
    }
}

pub(super) async fn run(arguments: Deploy, context: &Context) -> Result<(), CliError> {
    let ReleaseName { bundle, version } = arguments.release;
    let environment = context.environment()?;
    let request = v1::DeployRequest {
        environment: environment.clone(),
        bundle: bundle.to_string(),
        version: version.to_string(),
        force: arguments.force,
    };
    let answer = context
        .client()?
        // Moving a pin to where it is already changes nothing.
        .call(Repeat::Safe, request, |client, request| async move {
            client.deploy().deploy(request).await
        })
        .await
        .map_err(|error| CliError::Refused {
            operation: Operation::Deploy,
            error,
        })?;
    let printer = context.printer();
    let view = DeployedView {
        bundle: bundle.to_string(),
        version: version.to_string(),
        revision: answer.revision,
        pins: answer.pins.into_iter().map(PinView::from).collect(),
        warnings: answer.warnings.into_iter().map(Warning::from).collect(),
        environment,
    };
    printer.data(&view)?;
    printer.warnings(&view.warnings);
    let DeployedView {
        environment,
        revision,
        ..
    } = &view;
    printer.note(format_args!(
        "Deployed {bundle}@{version} to {environment}: revision {revision}. \
         `gantry gateways --env {environment}` shows when gateways run it."
    ));
    Ok(())
}
