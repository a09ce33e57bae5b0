//! What a benchmark found, for people and for programs.

use super::machine::{cores, load_average};
use super::statistics::Spread;
use serde_json::{Value, json};

/// One figure.
#[derive(Clone, Debug)]
struct Figure {
    name: String,
    unit: &'static str,
    spread: Spread,
    /// How many values it comes from.
    count: usize,
    target: Option<(Bound, f64)>,
}

/// Which side of its target a figure should be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    AtLeast,
    AtMost,
}

/// What a benchmark found.
#[derive(Clone, Debug)]
pub(super) struct Report {
    bench: &'static str,
    load_before: f64,
    figures: Vec<Figure>,
    notes: Vec<String>,
    failure: Option<String>,
}

impl Report {
    /// An empty report; made before the measurement, for it remembers how busy the machine was.
    pub fn new(bench: &'static str) -> Self {
        Self { bench, load_before: load_average(), figures: Vec::new(), notes: Vec::new(), failure: None }
    }

    /// Adds a figure; one without values is left out.
    pub fn figure(&mut self, name: impl Into<String>, unit: &'static str, values: &[f64]) {
        self.add(name.into(), unit, values, None);
    }

    /// Adds a figure whose median is held against a target.
    pub fn target(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        values: &[f64],
        bound: Bound,
        target: f64,
    ) {
        self.add(name.into(), unit, values, Some((bound, target)));
    }

    fn add(&mut self, name: String, unit: &'static str, values: &[f64], target: Option<(Bound, f64)>) {
        if let Some(spread) = Spread::of(values) {
            self.figures.push(Figure { name, unit, spread, count: values.len(), target });
        }
    }

    /// Says something that belongs to the figures.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Says that the federation did not do what it must. The first such failure stands.
    pub fn fail(&mut self, text: impl Into<String>) {
        self.failure.get_or_insert(text.into());
    }

    /// What the federation did not do.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The report as JSON.
    pub fn json(&self) -> Value {
        let figures = self.figures.iter().map(|figure| {
            let Spread { median, min, max } = figure.spread;
            json!({
                "name": figure.name, "unit": figure.unit, "median": median, "min": min, "max": max,
                "count": figure.count, "target": figure.target.map(|(_, target)| target), "met": figure.met(),
            })
        });
        json!({
            "bench": self.bench,
            "figures": figures.collect::<Vec<_>>(),
            "notes": self.notes,
            "failure": self.failure,
            "machine": { "cores": cores(), "load_before": self.load_before, "load_after": load_average() },
        })
    }

    /// The report as text.
    pub fn text(&self) -> String {
        let mut lines = vec![format!(
            "bench {}: {} processors, load {:.2} before and {:.2} after",
            self.bench,
            cores(),
            self.load_before,
            load_average()
        )];
        let width = self.figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0);
        lines.extend(self.figures.iter().map(|figure| figure.line(width)));
        lines.extend(self.notes.iter().map(|note| format!("  note: {note}")));
        lines.join("\n")
    }
}

impl Figure {
    fn met(&self) -> Option<bool> {
        let (bound, target) = self.target?;
        Some(match bound {
            Bound::AtLeast => self.spread.median >= target,
            Bound::AtMost => self.spread.median <= target,
        })
    }

    fn line(&self, width: usize) -> String {
        let Spread { median, min, max } = self.spread;
        let mut line = format!("  {:<width$}  {} {}", self.name, number(median), self.unit);
        if self.count > 1 {
            line.push_str(&format!("  ({} to {}, of {})", number(min), number(max), self.count));
        }
        if let (Some((bound, target)), Some(met)) = (self.target, self.met()) {
            let sign = if bound == Bound::AtLeast { ">=" } else { "<=" };
            line.push_str(&format!(
                "  target {sign} {}: {}",
                number(target),
                if met { "met" } else { "missed" }
            ));
        }
        line
    }
}

/// Three or four digits, for more are noise.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_with_their_targets() {
        let mut report = Report::new("test");
        report.target("rate", "per s", &[4_000.0, 6_000.0, 5_100.0], Bound::AtLeast, 5_000.0);
        report.target("time", "ms", &[61.23], Bound::AtMost, 60.0);
        report.figure("nothing", "ms", &[]);
        report.note("by the way");
        let text = report.text();
        assert!(text.contains("rate  5100 per s  (4000 to 6000, of 3)  target >= 5000: met"), "{text}");
        assert!(text.contains("time  61.2 ms  target <= 60: missed"), "{text}");
        assert!(!text.contains("nothing") && text.ends_with("note: by the way"), "{text}");
        let value = report.json();
        assert_eq!((&value["figures"][0]["met"], &value["figures"][1]["met"]), (&json!(true), &json!(false)));
        assert_eq!(report.failure(), None);
        report.fail("lost");
        report.fail("later");
        assert_eq!(report.failure(), Some("lost"));
    }

    #[test]
    fn numbers_keep_three_digits() {
        for (value, text) in [
            (12_345.6, "12346"),
            (123.4, "123"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.0123, "0.0123"),
            (3.0, "3"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
