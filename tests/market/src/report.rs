//! Tables in Markdown.

use crate::collude::{Ring, Split};
use crate::federation::{CLASSES, class_name};
use crate::growth::Point;
use crate::instance::Size;
use crate::measure::Figures;
use crate::misreport::{FACTORS, Row};

/// What the study of the design measured with a prototype, as shares: rule, size of instance, shading gains, overbidding gains.
const PROTOTYPE: [(&str, Size, f64, f64); 6] = [
    ("highest limit first, k = 0.5", Size::Small, 0.170, 0.022),
    ("highest limit first, k = 0", Size::Small, 0.019, 0.031),
    ("lowest usage first, k = 0", Size::Small, 0.020, 0.006),
    ("highest limit first, k = 0.5", Size::Large, 0.033, 0.117),
    ("highest limit first, k = 0", Size::Large, 0.017, 0.117),
    ("lowest usage first, k = 0", Size::Large, 0.025, 0.0),
];

/// A run of a quarter with its name.
pub type Run = (String, Figures);

/// A table: a heading, and rows of cells.
fn table(heading: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule: Vec<String> = heading.iter().map(|_| "---".to_owned()).collect();
    let rows: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{}{rows}", line(heading), line(&rule))
}

fn cells(first: &str, rest: impl IntoIterator<Item = String>) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(rest).collect()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn change(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}

fn hours(hours: f64) -> String {
    format!("{hours:.1} h")
}

/// The runs of a quarter beside each other.
#[must_use]
pub fn quarter(runs: &[Run]) -> String {
    let heading = cells("figure", runs.iter().map(|(name, _)| name.clone()));
    let row = |name: &str, of: &dyn Fn(&Figures) -> String| cells(name, runs.iter().map(|(_, run)| of(run)));
    let mut rows = vec![
        row("requests placed", &|run| run.requests.to_string()),
        row("requests served", &|run| run.awards.to_string()),
        row("accelerator-hours offered", &|run| format!("{:.2} million", run.hours_offered / 1e6)),
        row("utilisation", &|run| percent(run.utilisation)),
    ];
    for (at, class) in CLASSES.into_iter().enumerate() {
        let asked = runs.first().map_or(0.0, |(_, run)| run.asked_by_class[at]);
        let name = format!("hours to {} ({} of what was asked for)", class_name(class), percent(asked));
        rows.push(row(&name, &|run| percent(run.hours_by_class[at])));
    }
    for (at, class) in CLASSES.into_iter().enumerate() {
        rows.push(row(&format!("served, of the requests of {}", class_name(class)), &|run| {
            percent(run.success_by_class[at])
        }));
    }
    for at in 0..4 {
        let top = runs.first().map_or(0.0, |(_, run)| run.size_limits[at]);
        let name = if at < 3 {
            format!("served, size quartile {} (to {top:.0} accelerator-hours)", at + 1)
        } else {
            "served, size quartile 4 (larger)".to_owned()
        };
        rows.push(row(&name, &|run| percent(run.success_by_size[at])));
    }
    rows.push(row("median wait of requests for now", &|run| hours(run.wait_now)));
    for at in 0..4 {
        rows.push(row(&format!("the same, size quartile {}", at + 1), &|run| {
            hours(run.wait_now_by_size[at])
        }));
    }
    rows.extend([
        row("the same, out of the reserve", &|run| hours(run.wait_now_by_lane[0])),
        row("the same, out of the market", &|run| hours(run.wait_now_by_lane[1])),
        row("median wait of all, chosen lead time counted", &|run| hours(run.wait_all)),
        row("HHI of groups per resource class, mean", &|run| format!("{:.0}", run.concentration)),
        row("largest group's share per resource class, mean", &|run| percent(run.largest_share)),
        row("reserve allocated by need", &|run| percent(run.reserve_used)),
        row("reserve released and leased", &|run| format!("{:.2} %", run.reserve_released * 100.0)),
        row("aid booked", &|run| format!("{:.2} million EUR", run.aid_eur / 1e6)),
    ]);
    table(&heading, &rows)
}

/// Resource classes: price and utilisation in each run.
#[must_use]
pub fn markets(runs: &[Run]) -> String {
    let mut heading = vec!["resource class".to_owned(), "accelerators".to_owned(), "lowest ask".to_owned()];
    heading.extend(runs.iter().map(|(name, _)| format!("price, {name}")));
    heading.extend(runs.iter().map(|(name, _)| format!("utilisation, {name}")));
    let Some((_, first)) = runs.first() else { return String::new() };
    let rows: Vec<Vec<String>> = (0..first.markets.len())
        .map(|at| {
            let market = &first.markets[at];
            let mut row = vec![
                format!("`{}`", market.class),
                market.capacity.to_string(),
                format!("{:.2}", market.ask),
            ];
            row.extend(runs.iter().map(|(_, run)| format!("{:.2}", run.markets[at].price)));
            row.extend(runs.iter().map(|(_, run)| percent(run.markets[at].utilisation)));
            row
        })
        .collect();
    table(&heading, &rows)
}

/// Why requests were not served, in each run.
#[must_use]
pub fn reasons(runs: &[Run]) -> String {
    let heading =
        cells("reason at the last batch, of all decided requests", runs.iter().map(|(name, _)| name.clone()));
    let mut names: Vec<&String> = runs.iter().flat_map(|(_, run)| run.reasons.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let rows: Vec<Vec<String>> = names
        .into_iter()
        .map(|name| {
            let of =
                |run: &Figures| format!("{:.2} %", run.reasons.get(name).copied().unwrap_or(0.0) * 100.0);
            cells(&format!("`{name}`"), runs.iter().map(|(_, run)| of(run)))
        })
        .collect();
    table(&heading, &rows)
}

/// Gains from misreporting, beside the prototype's; then what always saying a multiple does.
#[must_use]
pub fn misreport(small: &[Row], large: &[Row]) -> String {
    let heading = [
        "order among the eligible",
        "instances",
        "gains by shading",
        "prototype",
        "gains by overbidding",
        "prototype",
        "volume (accelerator-slots)",
        "declared surplus (EUR)",
    ]
    .map(str::to_owned);
    let sized = || {
        let sized = |rows: &'static str| move |row| (rows, row);
        small.iter().map(sized("small")).chain(large.iter().map(sized("large")))
    };
    let rows: Vec<Vec<String>> = sized()
        .map(|(size, row)| {
            let kind = if size == "small" { Size::Small } else { Size::Large };
            let before = PROTOTYPE.iter().find(|(rule, of, ..)| *rule == row.rule && *of == kind);
            let before = |at: fn(&(&str, Size, f64, f64)) -> f64| {
                before.map_or("-".to_owned(), |one| percent(at(one)))
            };
            vec![
                row.rule.to_owned(),
                format!("{} {size}", row.cases),
                percent(row.shading),
                before(|one| one.2),
                percent(row.overbidding),
                before(|one| one.3),
                format!("{:.0}", row.volume),
                format!("{:.1}", row.surplus_eur),
            ]
        })
        .collect();
    let always: Vec<Vec<String>> = sized()
        .map(|(size, row)| {
            let mut cells = vec![row.rule.to_owned(), size.to_owned()];
            cells.extend(row.always.map(change));
            cells
        })
        .collect();
    let mut factors =
        vec!["a buyer that always says this times its value".to_owned(), "instances".to_owned()];
    factors.extend(FACTORS.map(|factor| factor.to_string()));
    format!("{}\n{}", table(&heading, &rows), table(&factors, &always))
}

/// What splitting gains, and what agreeing does.
#[must_use]
pub fn collude(splits: &[Split], rings: &[Ring]) -> String {
    let heading = [
        "asks for, of the class",
        "appears as",
        "got, of the class",
        "least and greatest",
        "got, of what it asked",
        "of it, from the reserve",
        "EUR per hour",
        "median wait",
    ]
    .map(str::to_owned);
    let rows: Vec<Vec<String>> = splits
        .iter()
        .map(|row| {
            vec![
                percent(row.asks),
                row.guise.name().to_owned(),
                format!("{:.2} %", row.got * 100.0),
                format!("{:.2} to {:.2} %", row.got_range[0] * 100.0, row.got_range[1] * 100.0),
                percent(row.success),
                percent(row.reserve),
                format!("{:.3}", row.price),
                hours(row.wait),
            ]
        })
        .collect();
    let mut agreed = ["ten agree to say this times their values", "gain by shading", "gain by overbidding"]
        .map(str::to_owned)
        .to_vec();
    agreed.extend(FACTORS.map(|factor| factor.to_string()));
    let mut together = Vec::new();
    for ring in rings {
        let mut gains =
            vec![format!("{}: their gain", ring.rule), percent(ring.shading), percent(ring.overbidding)];
        gains.extend(ring.always.map(change));
        let mut prices = vec![format!("{}: the price", ring.rule), String::new(), String::new()];
        prices.extend(ring.price.map(change));
        together.extend([gains, prices]);
    }
    format!("{}\n{}", table(&heading, &rows), table(&agreed, &together))
}

/// Times of batches beside n log n from the first.
#[must_use]
pub fn growth(points: &[Point]) -> String {
    let heading = [
        "resting orders",
        "served",
        "one batch",
        "least to greatest",
        "times n log n from the first row",
        "times n log n from the row before",
        "per order",
    ]
    .map(str::to_owned);
    let Some(first) = points.first() else { return String::new() };
    let before = std::iter::once(first).chain(points);
    let rows: Vec<Vec<String>> = points
        .iter()
        .zip(before)
        .map(|(point, before)| {
            let times = |from: &Point| format!("{:.2}", point.median_ms / point.n_log_n_ms(from));
            vec![
                point.orders.to_string(),
                point.trades.to_string(),
                format!("{:.2} ms", point.median_ms),
                format!("{:.2} to {:.2}, of {}", point.least_ms, point.greatest_ms, point.runs),
                times(first),
                times(before),
                format!("{:.0} ns", point.median_ms * 1e6 / f64::from(point.orders)),
            ]
        })
        .collect();
    table(&heading, &rows)
}
