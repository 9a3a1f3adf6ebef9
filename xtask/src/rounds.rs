//! Pushes in which somebody is killed, as many as asked for.

use anyhow::Result;
use clap::Args;

use crate::run::{cargo, run as command};
use crate::{debian, tools};

/// What is played.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many rounds on each storage.
    #[arg(long, default_value_t = 500)]
    rounds: u64,
    /// Repeats the rounds of this seed, which an earlier run has printed; a new one without it.
    #[arg(long)]
    seed: Option<u64>,
    /// Only on this storage: local or s3.
    #[arg(long)]
    storage: Option<String>,
}

/// Provides what the rounds need, and plays them.
///
/// # Errors
/// What was promised did not hold: the output names seed and round.
pub(crate) fn run(options: &Options) -> Result<()> {
    tools::provide()?;
    debian::provide_counters()?;
    command(cargo().args(["build", "--workspace", "--quiet"]))?;
    let tests = match options.storage.as_deref() {
        None => "durability::rounds".to_owned(),
        Some(storage) => format!("durability::rounds::{storage}_"),
    };
    let mut test = cargo();
    test.args(["test", "--package", "gantry-tests", "--test", "e2e", "--"])
        .arg(tests)
        .env("GANTRY_ROUNDS", options.rounds.to_string());
    if let Some(seed) = options.seed {
        test.env("GANTRY_SEED", seed.to_string());
    }
    command(&mut test)
}
