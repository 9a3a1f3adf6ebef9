//! `gantry push`: uploads a bundle and publishes it.

use std::path::PathBuf;

use clap::Args;
use gantry_bundle::BundleSource;
use gantry_client::upload::{Progress, Pushed, push};
use gantry_domain::{EnvironmentName, Limits};
use indicatif::ProgressBar;
use serde::Serialize;

use super::bundle::refuse_unfit;
use super::deploy::{Deployed, DeployedView, Order, deploy};
use super::release::ReleaseView;
use super::rollout::Waiting;
use crate::context::Context;
use crate::error::CliError;
use crate::meter::Meter;
use crate::view::{Shown, View, Warning, size};

/// Arguments of `gantry push`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry push ./hooks              a folder with manifest.json and the libraries it lists
  gantry push hooks-1.2.0.zip      the same, packed
  gantry push ./hooks --deploy staging --wait

A push that was interrupted goes on where it stopped when it is repeated. Publishing deploys nothing;
--deploy and `gantry deploy` do. A published version never changes, and pushing the same files again
is no error.")]
pub(crate) struct Push {
    /// A folder with manifest.json, or a zip.
    path: PathBuf,
    /// Send libraries that would be refused, and let the control plane say so.
    #[arg(long)]
    no_inspect: bool,
    /// Deploy the version in this environment once it is published.
    #[arg(long, value_name = "ENVIRONMENT")]
    deploy: Option<EnvironmentName>,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Debug, Serialize)]
struct PushedView {
    release: ReleaseView,
    already_published: bool,
    sent_bytes: u64,
    warnings: Vec<Warning>,
    /// Only where it was deployed as well.
    deployment: Option<DeployedView>,
}

impl View for PushedView {
    fn shown(&self) -> Shown {
        self.release.table()
    }
}

pub(super) async fn run(arguments: Push, context: &Context) -> Result<(), CliError> {
    if arguments.waiting.wait && arguments.deploy.is_none() {
        return Err(CliError::Usage {
            message: "--wait waits for a deployment, and none was asked for".to_owned(),
            hint: "use --deploy ENVIRONMENT --wait",
        });
    }
    let client = context.client()?;
    let bundle = BundleSource::open(&arguments.path, &Limits::default())?;
    let printer = context.printer();
    let local: Vec<_> = bundle.warnings().iter().map(Warning::from).collect();
    printer.warnings(&local);
    if !arguments.no_inspect {
        refuse_unfit(&bundle, printer)?;
    }
    let bar = printer.bytes_bar();
    bar.set_message(bundle.manifest().name.to_string());
    let meter = Meter::new(&bar);
    let pushed = push(&client, &bundle, |progress| show(&meter, &bar, &progress)).await;
    bar.finish_and_clear();
    let mut view = view(pushed?, local);
    printer.warnings(&view.warnings[bundle.warnings().len()..]);
    let (name, version) = (&view.release.bundle, &view.release.version);
    if view.already_published {
        printer.note(format_args!(
            "{name}@{version} was published before, with these very files."
        ));
    } else {
        let sent = size(view.sent_bytes);
        printer.note(format_args!("Published {name}@{version}; {sent} were new."));
    }
    let Some(environment) = &arguments.deploy else {
        printer.data(&view)?;
        printer.note(format_args!(
            "Run it with: gantry deploy {name}@{version} --env ENVIRONMENT"
        ));
        return Ok(());
    };
    let order = Order {
        bundle: &bundle.manifest().name,
        version: &bundle.manifest().version,
        environment: environment.to_string(),
        force: false,
        waiting: arguments.waiting,
    };
    let Deployed {
        view: deployment,
        failure,
    } = deploy(context, &client, order).await?;
    view.deployment = Some(deployment);
    printer.data(&view)?;
    failure.map_or(Ok(()), Err)
}

fn view(pushed: Pushed, mut warnings: Vec<Warning>) -> PushedView {
    warnings.extend(pushed.warnings.into_iter().map(Warning::from));
    PushedView {
        release: pushed.release.into(),
        already_published: pushed.already_published,
        sent_bytes: pushed.sent_bytes,
        warnings,
        deployment: None,
    }
}

/// Shows how far a push is.
fn show(meter: &Meter<'_>, bar: &ProgressBar, progress: &Progress<'_>) {
    match progress {
        Progress::Begun { files } => {
            bar.set_length(files.iter().map(|file| file.size_bytes).sum());
            for file in *files {
                meter.reach(&file.name, file.committed_bytes);
            }
        }
        Progress::Sent { file, offset_bytes } => meter.reach(file.as_str(), *offset_bytes),
        Progress::Publishing => bar.set_message("publishing"),
    }
}
