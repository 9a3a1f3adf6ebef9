//! `gantry deploy`: runs a published version of a bundle in an environment, and waits for gateways
//! where that is asked for.

use std::time::Duration;

use clap::Args;
use gantry_client::{Client, Repeat};
use gantry_domain::{BundleName, BundleVersion};
use gantry_proto::v1;
use serde::Serialize;

use super::pins::{PinView, table};
use super::release::ReleaseName;
use super::rollout::{self, Rollout, Standing, Target, Waiting};
use crate::context::Context;
use crate::error::{CliError, Operation};
use crate::view::{Shown, View, Warning};

/// Arguments of `gantry deploy`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry deploy hooks@1.2.0 --env staging
  gantry deploy hooks@1.1.0 --env staging      back to an earlier version is the same command
  gantry deploy hooks@1.2.0 --env staging --wait

Exits with 7 when a connected gateway could not run an API then; each is listed. With --wait also
when a gateway turns out not to serve it, and with 8 when some do not in time. Nothing is taken
back; the same command waits again.")]
pub(crate) struct Deploy {
    /// The bundle and its version, such as hooks@1.2.0.
    #[arg(value_name = "BUNDLE@VERSION")]
    release: ReleaseName,
    /// Deploy although some connected gateway cannot run an API then.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    waiting: Waiting,
}

/// A deployment, and how far it came where that was waited for.
#[derive(Debug, Serialize)]
pub(super) struct DeployedView {
    environment: String,
    bundle: String,
    version: String,
    revision: u64,
    pins: Vec<PinView>,
    warnings: Vec<Warning>,
    /// Only where they were waited for.
    gateways: Option<Vec<Standing>>,
}

impl View for DeployedView {
    fn shown(&self) -> Shown {
        match &self.gateways {
            None => table(&self.pins),
            Some(gateways) => Shown::Table {
                head: rollout::HEAD.to_vec(),
                rows: gateways.iter().map(Standing::row).collect(),
            },
        }
    }
}

/// What to deploy where.
pub(super) struct Order<'a> {
    pub(super) bundle: &'a BundleName,
    pub(super) version: &'a BundleVersion,
    pub(super) environment: String,
    pub(super) force: bool,
    pub(super) waiting: Waiting,
}

/// A deployment that was made, and why it counts as no success all the same.
pub(super) struct Deployed {
    pub(super) view: DeployedView,
    pub(super) failure: Option<CliError>,
}

pub(super) async fn run(arguments: Deploy, context: &Context) -> Result<(), CliError> {
    let ReleaseName { bundle, version } = &arguments.release;
    let order = Order {
        bundle,
        version,
        environment: context.environment()?,
        force: arguments.force,
        waiting: arguments.waiting,
    };
    let deployed = deploy(context, &context.client()?, order).await?;
    context.printer().data(&deployed.view)?;
    deployed.failure.map_or(Ok(()), Err)
}

/// Moves the pin, says so, and waits.
pub(super) async fn deploy(
    context: &Context,
    client: &Client,
    order: Order<'_>,
) -> Result<Deployed, CliError> {
    let Order {
        bundle,
        version,
        environment,
        ..
    } = &order;
    let answer = move_pin(client, &order).await?;
    let revision = answer.revision;
    let printer = context.printer();
    let warnings: Vec<_> = answer.warnings.into_iter().map(Warning::from).collect();
    printer.warnings(&warnings);
    printer.note(format_args!(
        "Deployed {bundle}@{version} to {environment}: revision {revision}."
    ));
    let rollout = if order.waiting.wait {
        let target = Target {
            environment,
            bundle,
            version,
            revision,
        };
        let limit = Duration::from_secs(order.waiting.wait_timeout);
        Some(rollout::watch(context, client, &target, limit).await?)
    } else {
        printer.note(format_args!(
            "`gantry gateways --env {environment}` shows when gateways run it; --wait waits."
        ));
        None
    };
    tell(context, &order, rollout.as_ref());
    let (gateways, failure) = match rollout {
        Some(Rollout { standings, failure }) => (Some(standings), failure),
        None => (None, None),
    };
    let view = DeployedView {
        bundle: bundle.to_string(),
        version: version.to_string(),
        revision,
        pins: answer.pins.into_iter().map(PinView::from).collect(),
        warnings,
        gateways,
        environment: order.environment,
    };
    Ok(Deployed { view, failure })
}

async fn move_pin(client: &Client, order: &Order<'_>) -> Result<v1::DeployResponse, CliError> {
    let request = v1::DeployRequest {
        environment: order.environment.clone(),
        bundle: order.bundle.to_string(),
        version: order.version.to_string(),
        force: order.force,
    };
    client
        // Moving a pin to where it is already changes nothing.
        .call(Repeat::Safe, request, |client, request| async move {
            client.deploy().deploy(request).await
        })
        .await
        .map_err(|error| CliError::Refused {
            operation: Operation::Deploy,
            error,
        })
}

fn tell(context: &Context, order: &Order<'_>, rollout: Option<&Rollout>) {
    let Some(rollout) = rollout else { return };
    for complaint in rollout.standings.iter().flat_map(Standing::complaints) {
        context.printer().warn(complaint);
    }
    if rollout.standings.is_empty() {
        context
            .printer()
            .warn("no gateway is connected: nothing serves it yet");
    } else if rollout.failure.is_none() && rollout.standings.iter().all(|it| it.files == 0) {
        let (bundle, environment) = (order.bundle, &order.environment);
        context.printer().warn(format_args!(
            "no API of {environment} uses {bundle} on these gateways: they have loaded nothing of it, and whether it can \
             be loaded is not known"
        ));
    }
}
