//! The demo: the whole product on this machine, told scene by scene. Every line that says something
//! happened was checked to have happened; the first check that does not hold ends the demo.

mod narrator;
mod scenes;
mod source;
mod storage;

use std::path::PathBuf;

use anyhow::Result;
use gantry_tests::{StageOptions, Storage};

use crate::run::{cargo, quietly};
use crate::tools;
use narrator::Narrator;
use scenes::Set;

/// Plays the demo. Without `once` it keeps everything running until it is interrupted.
pub(crate) fn run(once: bool, folder: Option<PathBuf>, storage: Storage) -> Result<()> {
    let mut narrator = Narrator::new();
    tools::provide_storage(storage)?;
    tools::provide_languages()?;
    narrator.say("Building the control plane, the gateway and the command line.");
    quietly(
        cargo()
            .args(["build", "--quiet", "--package", "gantry-control-plane"])
            .args(["--package", "gantry-gateway", "--package", "gantry"]),
    )?;
    let temporary = tempfile::Builder::new().prefix("gantry-demo-").tempdir()?;
    let folder = folder.unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;

    let mut set = Set::build(&folder, &StageOptions::on(storage), &mut narrator)?;
    set.publish_and_deploy(&mut narrator)?;
    set.show_storage(&mut narrator)?;
    set.show_each_hook(&mut narrator)?;
    set.swap_under_load(&mut narrator)?;
    set.second_gateway(&mut narrator)?;
    set.go_from_source(&mut narrator)?;
    set.lose_storage(&mut narrator)?;
    narrator.finale();
    if once {
        return Ok(());
    }
    set.invite(&mut narrator);
    loop {
        std::thread::park();
    }
}
