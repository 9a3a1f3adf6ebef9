//! Everything that is printed. Data to standard output; words and progress to standard error.
//!
//! Colour and progress bars appear on terminals only, and colour not where `NO_COLOR` is set. Text that
//! came from elsewhere cannot steer the terminal: control characters are shown, not sent.

use std::borrow::Cow;
use std::error::Error as _;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::build::{BuildError, Finding};
use crate::error::{CliError, about, violation_message};
use crate::exit::Exit;
use crate::settings::OutputFormat;
use crate::view::{Shown, View, Warning};

/// Violations that are printed; more are counted.
const VIOLATIONS_SHOWN: usize = 50;

#[derive(Debug, Clone, Copy)]
enum Colour {
    Red = 31,
    Yellow = 33,
    Cyan = 36,
}

/// Prints in the form that was asked for.
#[derive(Debug)]
pub(crate) struct Printer {
    output: OutputFormat,
    quiet: bool,
    err_is_terminal: bool,
    err_has_colour: bool,
}

impl Printer {
    /// A printer for this process's standard streams.
    pub(crate) fn new(output: OutputFormat, quiet: bool) -> Self {
        let err_is_terminal = io::stderr().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            output,
            quiet,
            err_is_terminal,
            err_has_colour: err_is_terminal && !no_colour,
        }
    }

    /// A printer for when the settings could not be read.
    pub(crate) fn plain() -> Self {
        Self::new(OutputFormat::default(), false)
    }

    /// What the argument parser has to say: help that was asked for is data, the rest is wrong usage.
    pub(crate) fn clap(e: &clap::Error) -> Exit {
        // It writes to the right stream, with colour where that is wanted. If that fails there is
        // nobody left to tell.
        let _ = e.print();
        if e.use_stderr() {
            Exit::Usage
        } else {
            Exit::Success
        }
    }

    /// The command's data.
    pub(crate) fn data(&self, view: &impl View) -> Result<(), CliError> {
        let text = match self.output {
            OutputFormat::Json => serde_json::to_string_pretty(view)
                .map_err(|e| CliError::Output(io::Error::other(e)))?,
            OutputFormat::Table => render(view.shown()),
        };
        let mut out = io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            // The reader has seen enough, as in `gantry key list | head`.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(CliError::Output),
        }
    }

    /// Words about what was done.
    pub(crate) fn note(&self, words: impl Display) {
        if !self.quiet {
            self.line(&words.to_string());
        }
    }

    /// What its reader should know before going on.
    pub(crate) fn warn(&self, words: impl Display) {
        self.labelled("warning", Colour::Yellow, &words.to_string());
    }

    /// Warnings about fields and files.
    pub(crate) fn warnings(&self, warnings: &[Warning]) {
        for Warning {
            path,
            code,
            message,
        } in warnings
        {
            self.warn(about(path, message, code));
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self, words: impl Display) {
        self.labelled("hint", Colour::Cyan, &words.to_string());
    }

    /// An error, everything that stands in the way, and what to do next.
    pub(crate) fn error(&self, error: &CliError) {
        if let CliError::Build(BuildError::SourceRefused(findings)) = error {
            return self.findings(findings);
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !message.contains(&cause_text) {
                message = format!("{message}: {cause_text}");
            }
            source = cause.source();
        }
        self.labelled("error", Colour::Red, &message);
        if let CliError::Refused { error, .. } = error {
            for violation in error.violations.iter().take(VIOLATIONS_SHOWN) {
                self.line(&format!("  {}", violation_message(violation)));
            }
            if let Some(more) = error.violations.len().checked_sub(VIOLATIONS_SHOWN + 1) {
                self.line(&format!("  and {} more", more + 1));
            }
        }
        for hint in error.hints() {
            self.hint(hint);
        }
    }

    /// Places in a source that are refused, each with what to do instead.
    fn findings(&self, findings: &[Finding]) {
        for finding in findings {
            self.labelled("error", Colour::Red, &finding.to_string());
            if !finding.advice.is_empty() {
                self.hint(&finding.advice);
            }
        }
    }

    /// A bar for bytes, hidden unless somebody watches.
    pub(crate) fn bytes_bar(&self) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        if self.err_is_terminal && !self.quiet {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}";
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    /// Shows that something goes on, hidden unless somebody watches.
    pub(crate) fn spinner(&self) -> ProgressBar {
        let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if self.err_is_terminal && !self.quiet {
            spinner.set_draw_target(ProgressDrawTarget::stderr());
            spinner.enable_steady_tick(Duration::from_millis(120));
        }
        match ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            Ok(style) => spinner.with_style(style),
            Err(_) => spinner,
        }
    }

    /// Words of another program, such as a compiler's about a file and a line.
    pub(crate) fn quoted(&self, words: &str) {
        self.line(&words.replace('\t', "    "));
    }

    fn labelled(&self, label: &str, colour: Colour, words: &str) {
        if self.err_has_colour {
            let (code, words) = (colour as u8, clean(words));
            self.raw(&format!("\x1b[1;{code}m{label}:\x1b[0m {words}"));
        } else {
            self.line(&format!("{label}: {words}"));
        }
    }

    fn line(&self, words: &str) {
        self.raw(&clean(words));
    }

    #[expect(clippy::unused_self, reason = "printing goes through the printer")]
    fn raw(&self, line: &str) {
        // Without standard error there is nobody to complain to.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

fn render(shown: Shown) -> String {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Disabled);
    match shown {
        Shown::Text(text) => return text,
        Shown::Record(fields) => {
            let rows = fields
                .into_iter()
                .map(|(name, value)| vec![name.to_owned(), value]);
            table.add_rows(rows.map(cells));
        }
        Shown::Table { head, rows } => {
            table.set_header(head);
            table.add_rows(rows.into_iter().map(cells));
        }
    }
    // No borders and no wrapping: columns that `awk` and eyes can read.
    table.load_style(comfy_table::presets::NOTHING);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn cells(row: Vec<String>) -> Vec<String> {
    row.into_iter()
        .map(|cell| clean(&cell).into_owned())
        .collect()
}

/// Shows control characters instead of sending them, except line breaks.
fn clean(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| c.is_control() && c != '\n';
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| match c {
        c if harmful(c) => c.escape_default().to_string(),
        c => c.to_string(),
    });
    Cow::Owned(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(clean("\x1b[2Jhidden\r"), "\\u{1b}[2Jhidden\\r");
        assert!(matches!(clean("two\nlines é"), Cow::Borrowed(_)));
    }

    #[test]
    fn table_has_no_borders_and_no_trailing_space() {
        let rows = vec![
            vec!["a".to_owned(), "bb".to_owned()],
            vec!["ccc".into(), "d".into()],
        ];
        let text = render(Shown::Table {
            head: vec!["ONE", "TWO"],
            rows,
        });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines, ["ONE  TWO", "a    bb", "ccc  d"]);
    }
}
