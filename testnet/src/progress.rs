//! What goes on, on one moving line of stderr where a person watches, and as plain lines elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// Shows what goes on. Clones share the line.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    lines: bool,
    quiet: bool,
}

impl Progress {
    /// Progress on stderr; nothing at all for the quiet.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let moving = !quiet && std::io::stderr().is_terminal();
        let target = if moving { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if moving {
            let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self { bar, lines: !quiet && !moving, quiet }
    }

    /// Says what goes on now.
    pub fn now(&self, text: impl Into<String>) {
        let text = text.into();
        if self.lines {
            // Whoever does not listen to stderr is not owed progress.
            let _ = writeln!(std::io::stderr(), "{text} ...");
        }
        self.bar.set_message(text);
    }

    /// Says something that stays, to people who want to hear it.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.warn(text);
        }
    }

    /// Says something that nobody should miss.
    pub fn warn(&self, text: &str) {
        self.apart(|| {
            let _ = writeln!(std::io::stderr(), "{text}");
        });
    }

    /// Runs `write` with the moving line out of the way.
    pub fn apart<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Takes the moving line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
