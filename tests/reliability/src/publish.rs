//! The tables of docs/reliability.md.

use crate::figure::{Figure, Found, Results};
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
pub fn write(top: &Path, figures: &[Figure], results: &Results) -> Result<(), String> {
    let path = top.join(PAGE);
    let page = fs::read_to_string(&path).map_err(|error| format!("cannot read {PAGE}: {error}"))?;
    let page = replaced(&page, "figures", &figures_table(figures, results))?;
    let page = replaced(&page, "planted", &planted_table(results))?;
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

fn planted_table(results: &Results) -> String {
    let caught = results.planted.values().filter(|verdict| verdict.caught).count();
    let mut table =
        format!("{caught} of {} caught.\n\n| planted | caught by |\n|---|---|\n", results.planted.len());
    for verdict in results.planted.values() {
        let by = match (&verdict.obstacle, verdict.failed.as_slice()) {
            (Some(obstacle), _) => format!("**not tried**: {obstacle}"),
            (None, []) => "**nothing**".to_owned(),
            (None, [one]) => format!("`{one}`"),
            (None, [one, rest @ ..]) => format!("`{one}` and {} more", rest.len()),
        };
        table.push_str(&format!("| {} | {by} |\n", verdict.says));
    }
    table
}
