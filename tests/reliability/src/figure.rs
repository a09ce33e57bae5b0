//! The claims of the page and the commands that measure them.

use crate::run::{run, words};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What starts the lines of a command that say what it found.
pub const FOUND: &str = "figure: ";

/// One claim.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Its name: words joined by hyphens.
    pub name: String,
    /// What is claimed.
    pub claim: String,
    /// What stands for it in the test command, for a reader.
    pub gate: String,
    /// The command of the short run: minutes.
    pub short: String,
    /// The command of the long run: hours.
    pub long: String,
    /// What marks a line of the output that says what was found, besides [`FOUND`]: any of these texts in it.
    #[serde(default)]
    pub keeps: Vec<String>,
    /// Variables of both, each `NAME=VALUE`.
    #[serde(default)]
    pub environment: Vec<String>,
}

/// What a run of a claim's command found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Found {
    /// The command.
    pub command: String,
    /// It held.
    pub held: bool,
    /// What it counted, in its own words.
    pub words: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: u64,
    /// The commit it was taken of.
    pub commit: String,
    /// The day, as in 2026-11-22.
    pub day: String,
}

/// What was found, by name of the claim, and what became of the planted faults.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// By name of the claim.
    pub figures: BTreeMap<String, Found>,
    /// By name of the fault.
    pub planted: BTreeMap<String, crate::planted::Verdict>,
}

#[derive(Deserialize)]
struct List {
    figure: Vec<Figure>,
}

/// Reads the list below `top`.
///
/// # Errors
/// Says what is wrong with it.
pub fn list(top: &Path) -> Result<Vec<Figure>, String> {
    let text = fs::read_to_string(top.join("tests/reliability/figures.toml"))
        .map_err(|error| format!("cannot read figures.toml: {error}"))?;
    let list: List = toml::from_str(&text).map_err(|error| format!("figures.toml: {error}"))?;
    Ok(list.figure)
}

impl Figure {
    /// Runs the command of the claim, the long one or the short, and keeps the lines that say what was found.
    ///
    /// # Errors
    /// Says what cannot be started.
    pub fn take(&self, top: &Path, long: bool, commit: &str, day: &str) -> Result<Found, String> {
        let command = if long { &self.long } else { &self.short };
        let (variables, rest): (Vec<String>, Vec<String>) =
            words(command).into_iter().partition(|word| is_variable(word));
        let environment: Vec<(String, String)> = self
            .environment
            .iter()
            .chain(&variables)
            .filter_map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        let ended = run(&rest, top, &environment, true)?;
        let words: Vec<String> = ended.output.lines().filter_map(|line| self.found(line)).collect();
        Ok(Found {
            command: command.clone(),
            held: ended.ok,
            words,
            seconds: ended.seconds,
            commit: commit.to_owned(),
            day: day.to_owned(),
        })
    }
}

impl Figure {
    /// What a line of the output says was found, its columns drawn together; nothing if it says nothing of that kind.
    #[must_use]
    pub fn found(&self, line: &str) -> Option<String> {
        let said = line.trim().strip_prefix(FOUND);
        let said = said.or_else(|| self.keeps.iter().any(|mark| line.contains(mark)).then_some(line))?;
        Some(said.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// Words such as `HANSA_CASES=10000` before a command's own.
fn is_variable(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.chars().all(|one| one.is_ascii_uppercase() || one == '_' || one.is_ascii_digit())
    })
}

impl Results {
    /// Reads what earlier runs found; nothing if there were none.
    ///
    /// # Errors
    /// Says what cannot be read.
    pub fn read(top: &Path) -> Result<Self, String> {
        match fs::read_to_string(top.join(crate::publish::RESULTS)) {
            Ok(text) => {
                serde_json::from_str(&text).map_err(|error| format!("{}: {error}", crate::publish::RESULTS))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("cannot read {}: {error}", crate::publish::RESULTS)),
        }
    }

    /// Keeps them.
    ///
    /// # Errors
    /// Says what cannot be written.
    pub fn write(&self, top: &Path) -> Result<(), String> {
        let path = top.join(crate::publish::RESULTS);
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        path.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .map_err(|error| format!("cannot make its folder: {error}"))?;
        fs::write(&path, format!("{text}\n"))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}
