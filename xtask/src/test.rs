//! Every test of the project, on a machine that has Rust, a C compiler and Python.

use anyhow::Result;
use gantry_tests::Storage;
use gantry_tests::extent;
use gantry_tests::storage::VARIABLE;

use crate::run::{cargo, follow, run as command, say};
use crate::slowest::Slowest;
use crate::{cross, debian, room, toolchains, tools};

/// How many of the slowest tests are named in the end.
const SLOWEST: usize = 10;

/// How cargo starts test programs whose tests shall say how long they took: the standard harness tells
/// only those who ask for what is not yet stable. The variable reaches the programs and no compiler, so
/// nothing is built differently.
const TIMED: &str = r#"target."cfg(all())".runner = ["env", "RUSTC_BOOTSTRAP=1"]"#;

/// End-to-end tests that are run a second time with every object in S3, and where they keep them then.
/// All of them can be: `GANTRY_TEST_STORAGE=s3 cargo xtask test -p gantry-tests --test e2e`.
const ON_S3: [&str; 4] = ["seed_rules", "layout", "publishing", "last_known_good"];

/// Builds what tests count instructions of.
const GUARDED: [&str; 6] = [
    "build",
    "--quiet",
    "--profile",
    "guard",
    "--package",
    "gantry-gateway",
];

/// Provides what the tests need, builds what they start, and runs them: all of them, or what the
/// arguments of `cargo test` select; what takes long only if all is asked for.
pub(crate) fn run(full: bool, arguments: &[String]) -> Result<()> {
    let cargo = || {
        let mut command = cargo();
        command.env(extent::VARIABLE, if full { "1" } else { "0" });
        command
    };
    room::check()?;
    tools::provide()?;
    toolchains::provide()?;
    cross::provide()?;
    debian::provide_counters()?;
    debian::provide_peers()?;
    debian::provide_emulator()?;
    command(cargo().args(["build", "--workspace", "--quiet"]))?;
    if !arguments.is_empty() {
        return command(cargo().args(["test", "--workspace"]).args(arguments));
    }
    // Not for selected tests: it takes minutes, and the one that needs it says how to build it.
    command(cargo().args(GUARDED))?;
    room::check()?;
    let mut slowest = Slowest::new(SLOWEST);
    let all = ["test", "--workspace", "--no-fail-fast"];
    let programs = follow(
        cargo()
            .args(all)
            .args(["--lib", "--bins", "--tests", "--config", TIMED])
            .args(["--", "-Zunstable-options", "--report-time"]),
        |line| slowest.read(line),
    );
    let mut on_s3 = cargo();
    on_s3
        .args(["test", "--package", "gantry-tests", "--test", "e2e", "--"])
        .args(ON_S3)
        .env(VARIABLE, Storage::S3sFs.to_string());
    let on_s3 = command(&mut on_s3);
    let examples = command(cargo().args(all).arg("--doc"));
    say(&slowest.to_string());
    programs.and(on_s3).and(examples)
}
