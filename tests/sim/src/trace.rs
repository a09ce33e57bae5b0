//! What happened, in order: as a hash that tells two runs apart, and as lines for people.

use std::fmt;
use tokio::time::Instant;

/// Everything of a run that can be seen from outside.
#[derive(Debug)]
pub struct Trace {
    started: Instant,
    hasher: blake3::Hasher,
    /// Prints each line too.
    told: bool,
    /// How many lines there were.
    lines: u64,
}

impl Trace {
    /// An empty one that begins now.
    #[must_use]
    pub fn new(told: bool) -> Self {
        Self { started: Instant::now(), hasher: blake3::Hasher::new(), told, lines: 0 }
    }

    /// Milliseconds of simulated time since the beginning.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Adds a line.
    pub fn note(&mut self, line: fmt::Arguments<'_>) {
        let line = format!("{:>8} {line}\n", self.now_ms());
        self.hasher.update(line.as_bytes());
        self.lines += 1;
        if self.told {
            print!("{line}");
        }
    }

    /// The hash of all lines, and their number.
    #[must_use]
    pub fn hash(&self) -> (String, u64) {
        (self.hasher.finalize().to_hex()[..16].to_owned(), self.lines)
    }
}
