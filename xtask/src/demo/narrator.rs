//! The voice of the demo: scenes, lines and checks, in colour on a terminal.

use std::fmt::Debug;
use std::io::IsTerminal as _;

use anyhow::{Result, ensure};

use crate::run::say;

/// Speaks, and counts what was checked.
#[derive(Debug)]
pub(crate) struct Narrator {
    colour: bool,
    scene: u32,
    checks: u32,
}

impl Narrator {
    /// Colour only where somebody can see it and did not decline.
    pub(crate) fn new() -> Self {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            colour,
            scene: 0,
            checks: 0,
        }
    }

    /// Opens a scene.
    pub(crate) fn scene(&mut self, title: &str) {
        self.scene += 1;
        say("");
        say(&self.paint("1;36", &format!("{}. {title}", self.scene)));
    }

    /// A line of the story.
    #[expect(
        clippy::unused_self,
        reason = "all that the demo says comes from the narrator"
    )]
    pub(crate) fn say(&self, line: &str) {
        say(&format!("   {line}"));
    }

    /// A fact that must hold; told when it does.
    ///
    /// # Errors
    /// It does not hold.
    pub(crate) fn check<T: PartialEq + Debug>(
        &mut self,
        fact: &str,
        seen: &T,
        expected: &T,
    ) -> Result<()> {
        ensure!(
            seen == expected,
            "\"{fact}\" does not hold: saw {seen:?} instead of {expected:?}"
        );
        self.checks += 1;
        say(&format!("   {} {fact}", self.paint("32", "✓")));
        Ok(())
    }

    /// The end of the checks.
    pub(crate) fn finale(&self) {
        say("");
        say(&self.paint("1;32", &format!("All {} checks held.", self.checks)));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
