//! Tables into the page, charts beside it.

use crate::chart::{Labels, bars, lines, log_lines};
use crate::federation::{CLASSES, class_name};
use crate::growth::Point;
use crate::report::Run;
use std::path::Path;

/// The page, below the top folder.
pub const PAGE: &str = "docs/market.md";

/// The folder of the charts, below the top folder.
const CHARTS: &str = "docs/market";

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

/// Writes parts into the page, and charts beside it.
///
/// # Errors
/// Names the file that cannot be read or written, or the mark the page lacks.
pub fn write(top: &Path, parts: &[(&str, String)], charts: &[(&str, String)]) -> Result<(), String> {
    let path = top.join(PAGE);
    let mut page = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {PAGE}: {error}"))?;
    for (name, body) in parts {
        page = replaced(&page, name, body)?;
    }
    std::fs::create_dir_all(top.join(CHARTS)).map_err(|error| format!("cannot make {CHARTS}: {error}"))?;
    for (name, text) in charts {
        let file = format!("{CHARTS}/{name}.svg");
        // One element per line, so that a change of one is a change of one.
        let text = format!("{}\n", text.trim_end());
        std::fs::write(top.join(&file), text).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    std::fs::write(&path, page).map_err(|error| format!("cannot write {PAGE}: {error}"))
}

/// The charts of a quarter, by name.
///
/// # Errors
/// What the drawing library says.
pub fn quarter_charts(runs: &[Run]) -> Result<Vec<(&'static str, String)>, String> {
    let of = |pick: fn(&Run) -> Vec<f64>| -> Vec<(String, Vec<f64>)> {
        runs.iter().map(|run| (run.0.clone(), pick(run))).collect()
    };
    let text = |error: Box<dyn std::error::Error>| error.to_string();
    let by_class = bars(
        &Labels {
            title: "Requests served, by class of organisation",
            across: "",
            upwards: "of those decided",
        },
        &CLASSES.map(class_name),
        &of(|(_, run)| run.success_by_class.to_vec()),
    );
    let by_size = bars(
        &Labels {
            title: "Requests served, by size",
            across: "quartile of accelerator-hours",
            upwards: "of those decided",
        },
        &["smallest", "second", "third", "largest"],
        &of(|(_, run)| run.success_by_size.to_vec()),
    );
    let first = runs.first().ok_or("there is no run to draw")?;
    let prices: Vec<(String, Vec<(f64, f64)>)> = first
        .1
        .markets
        .iter()
        .map(|market| (market.class.clone(), by_day(market.price_by_day.iter().copied())))
        .collect();
    let prices = lines(
        &Labels {
            title: "Price of the market lane, mean of each day",
            across: "day",
            upwards: "EUR per accelerator-hour",
        },
        &prices,
    );
    let used: Vec<(String, Vec<(f64, f64)>)> =
        runs.iter().map(|run| (run.0.clone(), used_by_day(run))).collect();
    let used = lines(
        &Labels { title: "Leased, as a share of all accelerators", across: "day", upwards: "share" },
        &used,
    );
    Ok(vec![
        ("served-by-class", by_class.map_err(text)?),
        ("served-by-size", by_size.map_err(text)?),
        ("prices", prices.map_err(text)?),
        ("utilisation", used.map_err(text)?),
    ])
}

fn by_day(values: impl Iterator<Item = Option<f64>>) -> Vec<(f64, f64)> {
    values.enumerate().filter_map(|(day, value)| Some((day as f64 + 1.0, value?))).collect()
}

/// Utilisation over all resource classes, by accelerators.
fn used_by_day((_, run): &Run) -> Vec<(f64, f64)> {
    let all: f64 = run.markets.iter().map(|market| f64::from(market.capacity)).sum();
    let days = run.markets.first().map_or(0, |market| market.utilisation_by_day.len());
    let of = |day: usize| -> f64 {
        let each = run.markets.iter();
        each.map(|market| market.utilisation_by_day[day] * f64::from(market.capacity)).sum::<f64>() / all
    };
    by_day((0..days).map(|day| Some(of(day))))
}

/// The chart of growth.
///
/// # Errors
/// What the drawing library says.
pub fn growth_chart(points: &[Point]) -> Result<String, String> {
    let first = points.first().ok_or("there is nothing measured to draw")?;
    let measured = points.iter().map(|point| (f64::from(point.orders), point.median_ms)).collect();
    let expected = points.iter().map(|point| (f64::from(point.orders), point.n_log_n_ms(first))).collect();
    let labels = Labels {
        title: "One batch of an unconstrained book",
        across: "resting orders",
        upwards: "milliseconds of one processor",
    };
    log_lines(&labels, &[("measured, median".into(), measured), ("n log n from the first".into(), expected)])
        .map_err(|error| error.to_string())
}
