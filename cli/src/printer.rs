//! The only place that writes: data to stdout, everything else to stderr.

use crate::error::Failure;
use crate::trust;
use comfy_table::{Attribute, Cell, ContentArrangement, Table};
use hansa_node_api::light::{Light, Verification};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// How the user wants to be spoken to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Printer {
    json: bool,
    quiet: bool,
    plain: bool,
    trust: Option<&'static Light>,
}

/// What goes on, on one line of stderr.
#[derive(Clone, Debug)]
pub struct Progress {
    printer: Printer,
    bar: ProgressBar,
}

impl Printer {
    /// A printer for people, or with `json` for programs. `quiet` leaves out notes and progress; `plain` colours.
    #[must_use]
    pub fn new(json: bool, quiet: bool, plain: bool) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, quiet, plain: plain || unwanted, trust: None }
    }

    /// The same printer, which says of each result how far it is proven.
    #[must_use]
    pub fn with_trust(self, light: &'static Light) -> Self {
        Self { trust: Some(light), ..self }
    }

    /// Whether programs read.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Whether notes and progress are not wanted.
    #[must_use]
    pub fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Gives the result: one JSON value on one line for programs, the text for people.
    pub fn data(self, value: &impl Serialize, text: impl FnOnce() -> String) {
        let told = self.trust.map(Light::verification).filter(trust::is_told);
        let text = match self.json {
            true => json(value, told.as_ref()),
            false => text(),
        };
        let text = text.trim_end_matches('\n');
        let mut out = std::io::stdout().lock();
        // A reader that went away, such as `head`, has had enough.
        let _ = if text.is_empty() { Ok(()) } else { writeln!(out, "{text}") };
        let _ = out.flush();
        drop(out);
        match told.as_ref().map(trust::sentences) {
            Some((Some(proven), unproven)) => {
                self.note(&proven);
                unproven.into_iter().for_each(|text| self.warn(&text));
            }
            Some((None, unproven)) => unproven.into_iter().for_each(|text| self.warn(&text)),
            None => {}
        }
    }

    /// Gives text that is the result itself, such as a log, for people and programs alike.
    pub fn raw(self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }

    /// Whether a person reads the result on a terminal, which acts upon some of what it is to show.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        std::io::stdout().is_terminal()
    }

    /// Tells people something by the way.
    pub fn note(self, text: &str) {
        if !self.quiet {
            self.tell(text);
        }
    }

    /// Tells people something they should not miss.
    pub fn warn(self, text: &str) {
        let mark = if self.colours() { "\x1b[33;1mwarning:\x1b[0m" } else { "warning:" };
        self.tell(&format!("{mark} {text}"));
    }

    /// Tells why the command failed.
    pub fn fail(self, failure: &Failure) {
        if self.json {
            self.tell(&failure.json().to_string());
            return;
        }
        let mark = if self.colours() { "\x1b[31;1merror:\x1b[0m" } else { "error:" };
        self.tell(&format!("{mark} {failure}"));
    }

    /// Asks a person for a line; nobody there gives none.
    #[must_use]
    pub fn ask(self, question: &str) -> Option<String> {
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return None;
        }
        self.tell(question);
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).ok()?;
        Some(line.trim().to_owned())
    }

    /// Shows what goes on: a spinner where a person watches, lines elsewhere, nothing for the quiet.
    #[must_use]
    pub fn progress(self, text: &str) -> Progress {
        let shown = !self.quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if shown {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        let progress = Progress { printer: self, bar };
        progress.now(text);
        progress
    }

    /// Shows how much of `total` bytes has been moved.
    #[must_use]
    pub fn transfer(self, text: &str, total: u64) -> Progress {
        let shown = !self.quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(text.to_owned());
        Progress { printer: self, bar }
    }

    /// A table for people; its first row names the columns.
    #[must_use]
    pub fn table<const COLUMNS: usize>(
        self,
        header: [&str; COLUMNS],
        rows: impl IntoIterator<Item = [String; COLUMNS]>,
    ) -> String {
        let mut table = Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        // Only where a person reads are wide cells folded; a pipe gets each row on one line.
        let folded = std::io::stdout().is_terminal();
        let arrangement = if folded { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        table.set_content_arrangement(arrangement);
        let bold = folded && !self.plain;
        let title =
            |text: &&str| if bold { Cell::new(text).add_attribute(Attribute::Bold) } else { Cell::new(text) };
        table.set_header(header.iter().map(title));
        for row in rows {
            table.add_row(row);
        }
        if let Some(first) = table.column_mut(0) {
            first.set_padding((0, 1));
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    fn tell(self, text: &str) {
        let mut out = std::io::stderr().lock();
        let _ = writeln!(out, "{text}");
    }

    fn colours(self) -> bool {
        !self.plain && std::io::stderr().is_terminal()
    }
}

impl Progress {
    /// Says what goes on now, in place of what went on before.
    pub fn now(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// Says what is done, on a line that stays.
    pub fn done(&self, text: &str) {
        if self.bar.is_hidden() {
            self.printer.note(text);
        } else {
            self.bar.println(text);
        }
    }

    /// Whether nobody sees the line: the output is no terminal, or should be quiet.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// How many bytes have been moved.
    pub fn moved(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    /// Takes the moving line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A result for programs. How far it is proven stands in it, or beside it where it is no object.
fn json(value: &impl Serialize, told: Option<&Verification>) -> String {
    let text = match told {
        None => serde_json::to_string(value),
        Some(told) => serde_json::to_value(value).and_then(|value| {
            let told = serde_json::to_value(told)?;
            let whole = match value {
                serde_json::Value::Object(mut fields) => {
                    fields.insert("verification".to_owned(), told);
                    serde_json::Value::Object(fields)
                }
                answer => serde_json::json!({ "answer": answer, "verification": told }),
            };
            serde_json::to_string(&whole)
        }),
    };
    text.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// Pairs of a name and a value, aligned, for showing one thing.
#[must_use]
pub fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let shown = pairs.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name:<width$}  {value}")).collect::<Vec<_>>().join("\n")
}
