//! Running commands, and speaking.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use gantry_tests::binaries::outside_cargo;

/// A line for people, on standard error.
#[expect(clippy::print_stderr, reason = "this is where xtask speaks")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// `cargo`, the one that runs us, in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    outside_cargo(&mut command);
    command.current_dir(root());
    command
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    gantry_tests::binaries::workspace()
}

/// Runs a command to its end, with its output where ours goes.
///
/// # Errors
/// It cannot be started or fails; the message holds the command line.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    say(&format!("$ {line}"));
    let status = command
        .status()
        .with_context(|| format!("start `{line}`"))?;
    ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}

/// Runs a command to its end, with its output where ours goes, and looks at each line of it.
///
/// # Errors
/// It cannot be started or fails; the message holds the command line.
#[expect(
    clippy::print_stdout,
    reason = "what a program prints on standard output stays there"
)]
pub(crate) fn follow(command: &mut Command, mut look: impl FnMut(&str)) -> Result<()> {
    let line = line(command);
    say(&format!("$ {line}"));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start `{line}`"))?;
    let output = child.stdout.take().context("the output is ours to read")?;
    for printed in BufReader::new(output).split(b'\n') {
        let printed = printed.with_context(|| format!("read what `{line}` prints"))?;
        let printed = String::from_utf8_lossy(&printed);
        println!("{printed}");
        look(&printed);
    }
    let status = child.wait().with_context(|| format!("await `{line}`"))?;
    ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}

/// Runs a command to its end without showing its output.
///
/// # Errors
/// It cannot be started or fails; the message holds what it wrote.
pub(crate) fn quietly(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command
        .output()
        .with_context(|| format!("start `{line}`"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`{line}` failed ({})\n{text}{error}",
        output.status
    );
    Ok(text)
}

fn line(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(program)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}
