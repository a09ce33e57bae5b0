//! The tables of docs/reliability.md.

use crate::figure::{Figure, Found, Results};
use crate::planted::Fault;
use std::fs;
use std::path::Path;

/// The page, below the top folder.
pub const PAGE: &str = "docs/reliability.md";

/// What runs found, below the top folder.
pub const RESULTS: &str = "docs/reliability/results.json";

/// The text of a page with the part between the marks of `name` replaced.
///
/// # Errors
/// Says which mark the page lacks.
pub fn replaced(page: &str, name: &str, body: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let missing = |mark: &str| format!("{PAGE} has no line `{mark}`; put it back where the table belongs");
    let (head, rest) = page.split_once(&begin).ok_or_else(|| missing(&begin))?;
    let (_, tail) = rest.split_once(&end).ok_or_else(|| missing(&end))?;
    Ok(format!("{head}{begin}\n\n{}\n\n{end}{tail}", body.trim()))
}

/// Writes the tables into the page.
///
/// # Errors
/// Names the file that cannot be read or written, or the mark the page lacks.
pub fn write(top: &Path, figures: &[Figure], faults: &[Fault], results: &Results) -> Result<(), String> {
    let path = top.join(PAGE);
    let page = fs::read_to_string(&path).map_err(|error| format!("cannot read {PAGE}: {error}"))?;
    let page = replaced(&page, "figures", &figures_table(figures, results))?;
    let page = replaced(&page, "planted", &planted_table(faults, results))?;
    fs::write(&path, page).map_err(|error| format!("cannot write {PAGE}: {error}"))
}

fn figures_table(figures: &[Figure], results: &Results) -> String {
    let mut table =
        String::from("| claim | in every test run | last long or short run | command |\n|---|---|---|---|\n");
    for figure in figures {
        let found = results.figures.get(&figure.name);
        let (said, command) = match found {
            None => ("not run".to_owned(), figure.short.as_str()),
            Some(found) => (said(found), found.command.as_str()),
        };
        table.push_str(&format!("| {} | {} | {said} | `{command}` |\n", figure.claim, figure.gate));
    }
    table
}

fn said(found: &Found) -> String {
    let words = if found.words.is_empty() { "all held".to_owned() } else { found.words.join("; ") };
    let words = if found.held { words } else { format!("**did not hold**: {words}") };
    format!("{words} ({} s, {}, commit {})", found.seconds, found.day, found.commit)
}

fn planted_table(faults: &[Fault], results: &Results) -> String {
    let verdict = |fault: &Fault| results.planted.get(&fault.name);
    let tried: Vec<_> = faults.iter().filter_map(verdict).collect();
    let caught = tried.iter().filter(|verdict| verdict.caught).count();
    let mut table = format!(
        "{} faults are listed, {} were tried, {caught} of these were caught.\n\n| planted | caught by |\n|---|---|\n",
        faults.len(),
        tried.len()
    );
    for fault in faults {
        let by = match verdict(fault) {
            None => "not tried yet".to_owned(),
            Some(verdict) => match (&verdict.obstacle, verdict.failed.len()) {
                (Some(obstacle), _) => format!("**not tried**: {obstacle}"),
                (None, _) if !verdict.caught => format!("**not by** `{}`", fault.caught_by),
                (None, 1) => format!("`{}`", fault.caught_by),
                (None, count) => format!("`{}` and {} more", fault.caught_by, count.saturating_sub(1)),
            },
        };
        table.push_str(&format!("| {} | {by} |\n", fault.says));
    }
    table
}
