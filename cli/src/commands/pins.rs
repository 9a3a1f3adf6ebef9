//! `gantry pins`: which version of which bundle runs in an environment.

use clap::Args;
use gantry_client::Repeat;
use gantry_proto::v1;
use serde::Serialize;

use crate::context::{Context, refused};
use crate::error::CliError;
use crate::view::{Shown, View, short};

/// Arguments of `gantry pins`.
#[derive(Debug, Args)]
pub(crate) struct Pins {}

/// A bundle's version in an environment.
#[derive(Debug, Serialize)]
pub(super) struct PinView {
    pub(super) bundle: String,
    pub(super) version: String,
    weight: u32,
    release: String,
}

impl From<v1::Pin> for PinView {
    fn from(pin: v1::Pin) -> Self {
        Self {
            bundle: pin.bundle,
            version: pin.version,
            weight: pin.weight,
            release: pin.release,
        }
    }
}

pub(super) fn table(pins: &[PinView]) -> Shown {
    let row = |pin: &PinView| {
        vec![
            pin.bundle.clone(),
            pin.version.clone(),
            pin.weight.to_string(),
            short(&pin.release),
        ]
    };
    Shown::Table {
        head: vec!["BUNDLE", "VERSION", "WEIGHT", "RELEASE"],
        rows: pins.iter().map(row).collect(),
    }
}

#[derive(Debug, Serialize)]
struct PinsView {
    environment: String,
    revision: u64,
    pins: Vec<PinView>,
}

impl View for PinsView {
    fn shown(&self) -> Shown {
        table(&self.pins)
    }
}

pub(super) async fn run(_: Pins, context: &Context) -> Result<(), CliError> {
    let environment = context.environment()?;
    let request = v1::ListPinsRequest {
        environment: environment.clone(),
    };
    let answer = context
        .client()?
        .call(Repeat::Safe, request, |client, request| async move {
            client.deploy().list_pins(request).await
        })
        .await
        .map_err(refused)?;
    context.printer().data(&PinsView {
        environment,
        revision: answer.revision,
        pins: answer.pins.into_iter().map(PinView::from).collect(),
    })
}
