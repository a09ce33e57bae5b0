//! Tells the story of the demo while it happens: lines for people, one object per stage for programs.

use crate::progress::Progress;
use serde::Serialize;
use serde_json::{Map, Value};
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

/// Writes what happens.
pub(super) struct Teller<'a> {
    out: &'a mut dyn Write,
    json: bool,
    progress: Progress,
    began: Instant,
    stage: Instant,
    facts: Map<String, Value>,
}

impl<'a> Teller<'a> {
    pub fn new(out: &'a mut dyn Write, json: bool, progress: Progress) -> Self {
        let now = Instant::now();
        Self { out, json, progress, began: now, stage: now, facts: Map::new() }
    }

    /// A stage begins.
    pub fn begin(&mut self, number: u8, stage: &str, title: &str) {
        self.stage = Instant::now();
        self.facts = Map::new();
        self.fact("stage", stage);
        self.fact("number", number);
        self.print(&format!("\n{number}. {title}"));
        self.progress.now(format!("stage {number} of 6: {title}"));
    }

    /// Something that goes on.
    pub fn now(&self, text: &str) {
        self.progress.now(text);
    }

    /// Something that happened, for people.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.print(&format!("   {}", text.as_ref()));
    }

    /// The same, for programs.
    pub fn fact(&mut self, name: &str, value: impl Serialize) {
        // What a stage tells is made of text, numbers and lists, which always have a JSON form.
        self.facts.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
    }

    /// The stage is over.
    pub fn end(&mut self) {
        let took = milliseconds(self.stage.elapsed());
        self.fact("ms", took);
        self.fact("since_start_ms", milliseconds(self.began.elapsed()));
        if self.json {
            let text = Value::Object(std::mem::take(&mut self.facts)).to_string();
            self.write(&text);
        }
    }

    /// How long the demo runs already.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn print(&mut self, text: &str) {
        if !self.json {
            self.write(text);
        }
    }

    fn write(&mut self, text: &str) {
        let Self { out, progress, .. } = self;
        // A reader that went away has seen enough; the demo still ends in order.
        progress.apart(|| {
            let _ = writeln!(out, "{text}");
            let _ = out.flush();
        });
    }
}

/// Whole milliseconds.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_lines_and_programs_one_object_per_stage() {
        let tell = |json| {
            let mut out = Vec::new();
            let mut teller = Teller::new(&mut out, json, Progress::new(true));
            teller.begin(2, "grant", "Estonia issues a grant");
            teller.line("EE: 5000.00 EUR");
            teller.fact("amount", "5000.00");
            teller.end();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(tell(false), "\n2. Estonia issues a grant\n   EE: 5000.00 EUR\n");
        let text = tell(true);
        assert_eq!(text.lines().count(), 1);
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&object["stage"], &object["number"]), (&Value::from("grant"), &Value::from(2)));
        assert_eq!(object["amount"], "5000.00");
        assert!(object["ms"].is_u64());
    }
}
